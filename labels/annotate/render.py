"""The contents of the labelling screen as rich text: the sentence in its context, the labels, the codebook, the bars.

The functions are pure. Two widgets follow them: the help page with all keys, and the text input line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os.path import commonprefix
from typing import Literal

from rich.columns import Columns
from rich.console import Group
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from labels.annotate.session import Item, Opinion, Session, in_words, named
from labels.annotate.shown import ShownText, TypedText
from labels.codebook.cues import Cue
from labels.codebook.schema import BY_NAME, Codebook, Label
from labels.records import Sentence
from labels.unicode.invisible import visible
from labels.unicode.typography import Folded

CUE_STYLE = "underline bold yellow"
_MANY_LABELS = 12
_BAR = 16


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
        text.append(" ".join(sentence.text.split()))
        if position + 1 < len(sentences):
            text.append("\n" if breaks[position] else " ")
    return text


def heading(item: Item) -> Text:
    """The sentence's number in the draw, its document's title (the id if there is no title) and date.

    A sentence that is a headline is marked.
    """
    title = item.context.title or f"document {item.sentence.document_id}"
    place = f"{item.position} · {title}  {item.context.date}".rstrip()
    mark = "  [heading]" if item.sentence.heading else ""
    return ShownText(place + mark, style="italic", no_wrap=True, overflow="ellipsis")


def remarks(item: Item, note: str) -> Text:
    """Lines about the sentence: news, reason for labelling again, opinions, own decision, suggestion and note."""
    lines = [ShownText(item.news, style="magenta")] if item.news else []
    if item.previous is not None:
        why = f"Label again ({item.reason}). " if item.reason else "Label again. "
        lines.append(ShownText(f"{why}Earlier labels: {named(item.previous)}", style="magenta"))
    if item.asked:
        lines.append(ShownText(f"Decide on {named(item.asked)} only. These labels stay: {named(item.kept)}", "magenta"))
    lines += [ShownText(_opinion(opinion), style="cyan") for opinion in item.opinions]
    if item.decision is not None:
        lines.append(ShownText(f"Your earlier decision: {in_words(item.decision, item.reading)}", style="green"))
    if item.suggestion is not None:
        lines.append(ShownText(f"A model suggests: {named(item.suggestion.labels)}", style="blue"))
    if note:
        lines.append(ShownText(f"! {note}", style="bold magenta"))
    return ShownText("\n").join(lines)


def _opinion(opinion: Opinion) -> str:
    said = f"{opinion.role}: {in_words(opinion, opinion.reading)}"
    return f"{said}  ! {opinion.note}" if opinion.note else said


def choices(item: Item, codebook: Codebook, chosen: Sequence[str], beginning: str = "") -> Text | Group:
    """The labels whose names start with `beginning`, with their keys: one per line, or in columns if there are many.

    The chosen labels are also listed above the columns, because some columns may be out of view.
    """
    keys = codebook.shown_keys
    names = [name for name in codebook.labels_beginning(beginning) if name in (item.asked or codebook.label_names)]
    cells = [_choice(keys[name], name, item, name in chosen) for name in names]
    if not cells:
        return ShownText(f"No label's name begins with '{beginning}'.", style="bold red")
    if len(cells) <= _MANY_LABELS:
        return ShownText("\n").join(cells)
    # The columns scroll, but the chosen labels must stay visible.
    head = f"Chosen: {', '.join(chosen)}" if chosen else "Nothing is chosen yet."
    return Group(ShownText(head, style="green"), Columns(cells, padding=(0, 3)))


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


def codebook_page(codebook: Codebook, *, full: bool) -> Text:
    """The codebook's definitions; if `full`, also its rules and examples."""
    page = ShownText.assemble((f"{codebook.name} {codebook.version}", "bold"), "\n")
    keys = codebook.shown_keys
    for label in codebook.labels:
        page.append("\n")
        page.append(f" {keys[label.name]} ", style="reverse")
        page.append(f" {label.name}\n", style="bold")
        page.append(f"{label.definition or 'No definition yet.'}\n")
        if full:
            page.append_text(_rules(label))
    if full and codebook.rules:
        page.append("\nFor all\n", style="bold")
        for rule in codebook.rules:
            page.append(f" - {rule}\n")
    return page


def _rules(label: Label) -> Text:
    page = ShownText()
    for mark, style, rules in (("+", "green", label.include), ("-", "red", label.exclude)):
        for rule in rules:
            page.append(f" {mark} ", style=f"bold {style}")
            page.append(f"{rule}\n")
    for mark, style, examples in (("yes", "green", label.examples), ("no", "red", label.counterexamples)):
        for example in examples:
            page.append(f" {mark}: ", style=style)
            page.append(f"“{example.text}”", style="italic")
            page.append(f" {example.why}\n" if example.why else "\n", style="dim")
    return page


def end(session: Session, *, more: bool) -> str:
    """The text after the last sentence: what is left, and the keys that go on; `more` is true if Enter draws more."""
    drafts = f" Choices or notes not confirmed yet: {session.drafts}." if session.drafts else ""
    if session.remaining:
        return f"{session.remaining} of {session.total} left undecided.{drafts} End goes to them, q quits."
    keys = "Enter draws more, q quits." if more else "q quits."
    return f"All {session.total} are decided.{drafts} u undoes the last decision; {keys}"


def top_bar(session: Session, annotator: str) -> Text:
    """The top bar: annotator, task, progress and pace."""
    done = round(_BAR * session.decided / session.total) if session.total else 0
    bar = ShownText.assemble(("━" * done, "green"), ("━" * (_BAR - done), "dim"))
    pace = f"{3600 / session.seconds:.0f}/h" if session.seconds else "–/h"
    progress = f" {session.decided}/{session.total}  {pace}  today {session.today}"
    return ShownText.assemble((annotator, "bold"), f" · {session.task}  ", bar, progress)


def keys_bar(codebook: Codebook, *, adjudicating: bool) -> Text:
    """The bottom bar: the keys that do not choose a label."""
    confirm = [] if codebook.exclusive else [("⏎", "save")]
    none = [] if codebook.requires_label else [("n", "none")]
    keys = [
        *confirm,
        *none,
        ("s", "leave" if adjudicating else "skip"),
        ("u", "undo"),
        ("!", "note"),
        ("←→", "go"),
        (BY_NAME, "name") if codebook.keyless else ("/", "find"),
        ("⇥", "book"),
        ("?", "help"),
        ("q", "quit"),
    ]
    bar = ShownText(no_wrap=True, overflow="ellipsis")
    for key, what in keys:
        bar.append(f"{key} ", style="bold")
        bar.append(f"{what}  ")
    bar.rstrip()
    return bar


def remark(words: str, *, wrong: bool) -> Text:
    """The line above the bottom bar: an answer to a key, red if something is `wrong`."""
    return ShownText(words, style="bold red" if wrong else "dim")


HELP = """\
label keys   choose a label or remove it; exclusive codebook: decide
#            choose a label by the beginning of its name
Enter        save the chosen labels and go on
n            none: you read the sentence, and no label applies
s            skip; skipped sentences come back at the end of the draw
Ctrl-N       not a sentence: this text does not belong to the corpus
u            undo the last decision; press again for earlier decisions
!            add a note, saved with the decision
left, right  go to the previous or next sentence, decided or not
End          go to the next undecided sentence
:            go to a sentence by its number
/            find a sentence of this draw by words in it
Tab          codebook: full, definitions only, hidden
up, down     scroll the codebook, or the text if the codebook is hidden
q            quit; everything is saved, unconfirmed choices too
"""


# -- widgets

Question = Literal["note", "find", "jump", "label"]
_TITLES: dict[Question, str] = {
    "note": "Note: Enter saves, Esc cancels",
    "find": "Words to find: Enter searches, Esc cancels",
    "jump": "Number of the sentence: Enter goes there, Esc cancels",
    "label": "Name of the label: Tab completes, Enter chooses, Esc cancels",
}
_EDITS = {
    "backspace": "delete_left",
    "delete": "delete_right",
    "left": "cursor_left",
    "right": "cursor_right",
    "home": "home",
    "end": "end",
}
"""Editing keys -> the matching actions of `Input`."""


class HelpScreen(ModalScreen[None]):
    """The help page with all keys. The screen below handles the key press that closes the page."""

    CSS = """
    HelpScreen { align: center middle; }
    #help { width: 78; max-width: 100%; height: auto; max-height: 90%; padding: 1 2; }
    #help { border: round $accent; background: $surface; }
    """

    def compose(self) -> ComposeResult:
        """Yield one page of text."""
        yield Static(ShownText(f"{HELP}\nAny key closes this page."), id="help")


class TextLine(Input):
    """A text input line that asks one question at a time and is otherwise hidden.

    The screen passes key presses to `edit`: with the widget's own bindings, Enter could overtake a letter.
    """

    DEFAULT_CSS = "TextLine { height: 3; display: none; }"
    asking: Question | None = None

    def __init__(self) -> None:
        super().__init__(id="line", select_on_focus=False, highlighter=TypedText())

    def ask(self, question: Question, value: str = "") -> None:
        """Show the line with a question and the initial text `value`."""
        self.asking = question
        self.border_title = _TITLES[question]
        self.value, self.display = value, True
        self.action_end()
        self.focus()

    def close(self) -> None:
        """Hide the line; the typed text stays in `value`."""
        self.asking, self.display = None, False
        self.blur()

    def edit(self, event: events.Key) -> bool:
        """Edit the text; returns False if the key is not an editing key."""
        if event.key in _EDITS:
            getattr(self, f"action_{_EDITS[event.key]}")()
        elif event.character and event.is_printable:
            self.replace(event.character, *self.selection)
        else:
            return False
        return True

    def complete(self, names: Sequence[str]) -> None:
        """Extend the text to the longest prefix that all `names` share."""
        common = commonprefix(names)  # noqa: RUF071 - the names are compared letter by letter, not as paths
        if len(common) > len(self.value):
            self.value = common
            self.action_end()
