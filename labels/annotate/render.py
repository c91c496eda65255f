"""The contents of the labelling screen as rich text: the sentence in its context, the labels, the codebook, the bars.

The functions are pure; the widgets are in `labels.annotate.screen`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.columns import Columns
from rich.style import Style
from rich.text import Text

from labels.annotate.article import Article, Run
from labels.annotate.items import Entry, Item, Opinion, in_words, named
from labels.annotate.session import Session
from labels.annotate.shown import ShownText
from labels.codebook.cues import Cue
from labels.codebook.schema import Codebook
from labels.records import Sentence
from labels.unicode import Folded, visible

CUE_STYLE = "underline bold yellow"
LABEL, KEY = "label", "key"
"""Keys in the metadata of texts that can be clicked on: the name of a label, and the key that a click stands for."""
_MANY_LABELS = 12
_BAR = 16
_FASTEST = 1.0
"""Seconds: nobody reads a sentence in less, so faster decisions say nothing about the pace."""
_LAST_KEYS = (("?", "help"), ("q", "quit"))
_WRONG = Style.parse("bold red")
"""Not as a string, which Textual would read as the red of CSS."""
_BAR_KEYS = {"⏎": "enter", "←→": "right", "←": "left", "Esc": "escape"}
"""Keys of the bottom bar whose names in Textual differ."""


class CueMarker:
    """Marks a codebook's cue words in a text."""

    def __init__(self, codebook: Codebook) -> None:
        self._cues = [Cue(phrase) for label in codebook.labels for phrase in label.cues]

    def mark(self, text: str) -> Text:
        """Return the text with every cue underlined; control characters are visible."""
        marked = ShownText(text, style="bold")
        folded = Folded(text)
        for start, end in (span for cue in self._cues for span in cue.spans(folded)):
            marked.stylize(CUE_STYLE, len(visible(text[:start])), len(visible(text[:end])))
        return marked


def pressing(key: str) -> Style:
    """The style of a text on which a click acts as a key."""
    return Style(meta={KEY: key})


def before(item: Item) -> Text:
    """The context before the sentence, dim, with a line break before each paragraph."""
    return _run(item.context.before, item.breaks)


def after(item: Item) -> Text:
    """The context after the sentence, dim."""
    return _run(item.context.after, item.breaks[len(item.context.before) + 1 :])


def _run(sentences: Sequence[Sentence], breaks: Sequence[bool]) -> Text:
    """Join sentences into one text; `breaks` is True at each position after which a new paragraph begins."""
    text = ShownText(style="dim")
    for position, sentence in enumerate(sentences):
        # A sentence may contain line breaks from its file; on the screen, only paragraphs start a new line.
        text.append(" ".join(sentence.text.split()), "bold" if sentence.heading else None)
        if position + 1 < len(sentences):
            text.append("\n" if breaks[position] else " ")
    return text


def heading(item: Item) -> Text:
    """The sentence's number in the draw, its document's title (the id if nothing is known of the document) and date.

    A sentence that is a headline is marked.
    """
    title = item.context.title or f"document {item.sentence.document_id}"
    mark = "[heading] " if item.sentence.heading else ""
    place = f"{item.position} · {mark}{title}  {item.context.date}".rstrip()
    return ShownText(place, style="italic", no_wrap=True, overflow="ellipsis")


def remarks(item: Item, note: str) -> Text:
    """Lines about the sentence: news, reason for labelling again, opinions, own decision, suggestion and note."""
    lines: list[Text] = [ShownText(item.news, style="magenta")] if item.news else []
    if item.previous is not None:
        why = f"Label again ({item.reason}). " if item.reason else "Label again. "
        lines.append(ShownText(f"{why}Earlier labels: {named(item.previous)}", style="magenta"))
    if item.asked:
        lines.append(ShownText(item.question, "magenta"))
    keys = {id(opinion): key for key, opinion in item.answers.items()}
    lines += [_opinion(opinion, keys.get(id(opinion), "")) for opinion in item.opinions]
    if item.decision is not None:
        lines.append(ShownText(f"Your earlier decision: {in_words(item.decision, item.reading)}", style="green"))
    if item.suggestion is not None:
        suggested = ShownText(f"A model suggests: {named(item.suggestion.labels)} (Ctrl-Y accepts)", style="blue")
        suggested.stylize(pressing("ctrl+y"))
        lines.append(suggested)
    if item.withheld:
        lines.append(ShownText("A model's suggestion is withheld here.", style="blue"))
    if note:
        lines.append(ShownText(f"! {note}", style="bold magenta"))
    return ShownText("\n").join(lines)


def _opinion(opinion: Opinion, key: str) -> Text:
    """An annotator's decision and note, after the key that takes the whole answer."""
    said = f"{opinion.role}: {in_words(opinion, opinion.reading)}"
    line = ShownText.assemble((f" {key} ", "reverse"), " ") if key else ShownText()
    line.append(f"{said}  ! {opinion.note}" if opinion.note else said, "cyan")
    if key:
        line.stylize(pressing(key))
    return line


def choices(item: Item, codebook: Codebook, chosen: Sequence[str], beginning: str = "") -> Text | Columns:
    """The labels whose names start with `beginning`, with their keys: one per line, or in columns if there are many.

    The style of a label's cell has the label's name in its metadata, under `LABEL`.
    """
    keys = codebook.shown_keys
    names = [name for name in codebook.labels_beginning(beginning) if name in (item.asked or codebook.label_names)]
    cells = [_choice(keys[name], name, item, name in chosen) for name in names]
    if not cells:
        return ShownText(f"No label's name begins with '{beginning}'.", style=_WRONG)
    return Columns(cells, padding=(0, 3)) if len(cells) > _MANY_LABELS else ShownText("\n").join(cells)


def chosen_line(codebook: Codebook, chosen: Sequence[str]) -> str:
    """The chosen labels in one line if there are many labels, some of which may be out of view; otherwise empty."""
    if len(codebook.labels) <= _MANY_LABELS or codebook.exclusive:
        return ""
    return f"Chosen: {', '.join(chosen)}" if chosen else "Nothing is chosen yet."


def _choice(key: str, name: str, item: Item, ticked: bool) -> Text:
    cell = ShownText.assemble((f" {key} ", "reverse"), " ", ("[x] " if ticked else "[ ] ", "bold"))
    cell.append(name, style="bold green" if ticked else "")
    if item.suggestion is not None:
        probability = item.suggestion.probabilities[name]
        mark = "  model" if name in item.suggestion.labels else ""
        cell.append(f"  {probability:.2f}{mark}", style="blue")
    who = _supporters(name, item.opinions)
    if who:
        cell.append(f"  {', '.join(who)}", style="cyan")
    cell.stylize(Style(meta={LABEL: name}))
    return cell


def _supporters(name: str, opinions: Iterable[Opinion]) -> Iterable[str]:
    """The annotators who assigned the label; a question mark follows a name if the decision leaves it undecided."""
    who: dict[str, None] = {}  # a set that keeps insertion order
    for opinion in opinions:
        sure = opinion.labels if opinion.reading is None else opinion.reading.labels
        if name in sure:
            who[opinion.annotator] = None
        elif opinion.state == "reviewed" and opinion.reading and name in opinion.reading.undecided:
            who[f"{opinion.annotator}?"] = None
    return who


def end(session: Session, *, more: bool) -> str:
    """The text after the last sentence: what is left, and the keys that go on; `more` is true if Enter draws more."""
    drafts = f" Choices or notes not confirmed yet: {session.drafts}." if session.drafts else ""
    if session.remaining:
        return f"{session.remaining} of {session.total} left undecided.{drafts} End goes to them, q quits."
    skips = f" Skipped: {session.skipped}." if session.skipped else ""
    keys = "Enter draws more, q quits." if more else "q quits."
    return f"All {session.total} are decided.{skips}{drafts} u undoes the last decision; {keys}"


def top_bar(session: Session, annotator: str) -> Text:
    """The top bar: annotator, task, progress and pace."""
    done = round(_BAR * session.decided / session.total) if session.total else 0
    bar = ShownText.assemble(("━" * done, "green"), ("━" * (_BAR - done), "dim"))
    pace = f"{3600 / session.seconds:.0f}/h" if session.seconds and session.seconds >= _FASTEST else "–/h"
    progress = f" {session.decided}/{session.total}  {pace}  today {session.today}"
    return ShownText.assemble((annotator, "bold"), f" · {session.task}  ", bar, progress)


def keys_bar(codebook: Codebook, *, task: str, width: int, keeps: bool = False) -> Text:
    """The bottom bar: the most important keys that do not choose a label, as many as fit into `width` columns.

    Args:
        keeps: whether earlier labels stay if none is chosen.
    """
    keys = [
        *([] if codebook.exclusive else [("⏎", "save")]),
        *([] if codebook.requires_label else [("n", "keep" if keeps else "none")]),
        ("s", "leave" if task == "adjudicating" else "skip"),
        ("u", "undo"),
        ("!", "note"),
        ("#", "name") if codebook.keyless else ("/", "find"),
        ("F3", "rules"),
        ("F4", "list"),
        ("F5", "article"),
        ("←→", "go"),
        ("F9", "not a sentence"),
    ]
    room = width - sum(len(key) + len(what) + 3 for key, what in _LAST_KEYS)
    fitting: list[tuple[str, str]] = []
    for key, what in keys:
        room -= len(key) + len(what) + 3
        if room < 0:
            break
        fitting.append((key, what))
    return bar_of([*fitting, *_LAST_KEYS])


def end_bar(session: Session, *, more: bool) -> Text:
    """The bottom bar if there is no sentence; `more` is true if Enter goes on."""
    keys = [("⏎", "go on")] * more + [("End", "undecided")] * bool(session.remaining)
    return bar_of([*keys, ("u", "undo"), ("←", "back"), ("F4", "list"), *_LAST_KEYS])


def bar_of(keys: Sequence[tuple[str, str]]) -> Text:
    """Keys and what they do, in one line; a click on a key acts as the key."""
    bar = ShownText(no_wrap=True, overflow="ellipsis")
    for key, what in keys:
        begun = len(bar)
        bar.append(f"{key} ", style="bold").append(what)
        bar.stylize(pressing(_BAR_KEYS.get(key, key.lower())), begun)
        bar.append("  ")
    bar.rstrip()
    return bar


def remark(words: str, *, wrong: bool) -> Text:
    """The line above the bottom bar: an answer to a key, red if something is `wrong`."""
    return ShownText(words, style=_WRONG if wrong else "dim")


def entry(row: Entry, width: int) -> Text:
    """A row in the list of the draw: number, state, the beginning of the text, and the labels, in `width` columns."""
    head = f"{row.position:>4} {row.mark or ' '} "
    said = row.said if len(row.said) <= width // 3 else f"{row.said[: width // 3 - 1]}…"
    text = " ".join(row.sentence.text.split())
    room = max(width - len(head) - len(said) - 2, 8)
    shown = text if len(text) <= room else f"{text[: room - 1]}…"
    line = ShownText(head, no_wrap=True, overflow="ellipsis")
    return line.append(shown.ljust(room)).append(f"  {said}", "green")


def recent(rows: Sequence[Entry], width: int) -> Text:
    """The last decisions, one per line: number, labels, and the beginning of the text."""
    lines = [ShownText("Recent decisions", style="bold")]
    for row in rows:
        line = ShownText(f"{row.position:>4} ", no_wrap=True, overflow="ellipsis")
        text = " ".join(row.sentence.text.split())
        line.append(f"{row.said}  ", "green").append(text, "dim")
        line.truncate(width, overflow="ellipsis")
        lines.append(line)
    return ShownText("\n").join(lines)


def article_parts(article: Article) -> tuple[Text, Text, Text]:
    """The text before the sentence, the sentence, and the text after it; headings are bold, boilerplate is dim."""
    return _runs(article.before), ShownText(article.sentence, style="bold"), _runs(article.after)


_RUN_STYLES = {"heading": "bold underline", "boilerplate": "dim", "": ""}


def _runs(runs: Sequence[Run]) -> Text:
    text = ShownText()
    for words, kind in runs:
        text.append(words if text else words.lstrip(), _RUN_STYLES[kind])
    text.rstrip()
    return text
