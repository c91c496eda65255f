"""The plain labelling prompt: line by line, for screen readers, scripts and any terminal.

Typed lines become decisions of a `Session`. The caller passes the functions that read and write the lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from labels.annotate.items import Item, in_words, named
from labels.annotate.keyboard import small
from labels.annotate.session import Session
from labels.codebook.schema import BY_NAME, Codebook
from labels.errors import CodebookError, DecidedMeanwhileError

Ask = Callable[[str], str]
Say = Callable[[str], None]

NONE, SKIP, UNDO, QUIT, HELP, NOTE = "n", "s", "u", "q", "?", "!"
NOT_A_SENTENCE, ACCEPT, JUMP = ":n", ":y", ":"
"""Begin with a reserved key, so that no codebook can claim them."""


def run_prompt(
    session: Session, codebook: Codebook, ask: Ask, say: Say, more: Callable[[], Session | None] | None = None
) -> Session:
    """Label until the annotator quits; returns the last session.

    At the end of the draw, decisions can still be undone, and Enter draws more; any other answer quits.

    Args:
        ask: function that shows a prompt and returns the typed line. If it raises EOFError, the prompt quits.
        say: function that shows a line.
        more: function that makes the next session when this session is done, or returns None if no sentences are left.
    """
    shown = None
    while True:
        item = session.current()
        # Show each sentence only once: a screen reader would repeat it after every note or mistyped key.
        if item is not None and shown != item.sentence.id:
            _show(item, session, say)
            shown = item.sentence.id
        try:
            answer = ask(_menu(codebook, session) if item else _end(session, more=more is not None)).strip()
            answer = small(answer, (NONE, SKIP, UNDO, QUIT)) if answer not in codebook.keys else answer
        except (EOFError, KeyboardInterrupt):
            break
        if item is None and not answer and more is not None:
            following = more()
            if following is None:
                say("Nothing is left to draw.")
                break
            session = following
            continue
        jumped = answer.startswith(JUMP) and answer[1:].isdecimal()
        if answer == QUIT or (item is None and answer != UNDO and not jumped):
            break
        if _act(answer, session, codebook, say):
            shown = None
    return session


def _act(answer: str, session: Session, codebook: Codebook, say: Say) -> bool:
    """Carry out one typed line; returns True if the sentence must be shown again. Unknown answers change nothing."""
    if answer == UNDO:
        if not session.undo():
            say("Nothing to undo.")
            return False
        return True
    if answer == HELP:
        _show_codebook(codebook, say)
        return False
    if answer.startswith(JUMP) and answer[1:].isdecimal():
        there = session.go_to(int(answer[1:]))
        if not there:
            say(f"There is no sentence {answer[1:]} in this draw.")
        return there
    item = session.current()
    note = item.draft.note if item else ""
    if answer.startswith(NOTE):
        say(_keep_note(session, answer.removeprefix(NOTE).strip(), note))
        return False
    try:
        _decide(answer, note, session, codebook)
    except (CodebookError, DecidedMeanwhileError) as error:
        say(str(error))
        return False
    return True


def _keep_note(session: Session, note: str, before: str) -> str:
    """Keep a note, or remove the one that stands if `note` is empty; returns what was done."""
    if not note and not before:
        return f"Type the note on the same line, after {NOTE}"
    item = session.current()
    session.keep_draft(item.draft.labels if item else (), note)
    return "The note is saved and will be recorded with your decision." if note else f"The note is removed: {before}"


def _decide(answer: str, note: str, session: Session, codebook: Codebook) -> None:
    """Record the decision in a typed line.

    Raises:
        CodebookError: the line is not a decision that the codebook allows.
        DecidedMeanwhileError: see `Session.review`.
    """
    if answer == SKIP:
        session.skip(note)
        return
    if answer == NOT_A_SENTENCE:
        session.mark_not_a_sentence(note)
        return
    item = session.current()
    if item and answer in item.answers:
        session.take(item.answers[answer], note)
        return
    if answer == ACCEPT:
        if not session.accept(note):
            why = "The suggestion is withheld here." if item and item.withheld else "No suggestion is shown here."
            raise CodebookError(f"{why} Type label keys.")
        return
    others = _other_keys(codebook, session)
    labels = _named(answer, codebook) if answer.startswith(BY_NAME) else _keyed(answer, codebook, others)
    if codebook.exclusive and len(labels) > 1:
        raise CodebookError("This codebook is exclusive: type one label only.")
    item = session.current()
    if not labels and codebook.requires_label and not (item and item.kept):
        raise CodebookError(f"This codebook requires a label; type {SKIP} ({others[SKIP]}) if none applies.")
    session.review(labels, note)


def _other_keys(codebook: Codebook, session: Session) -> dict[str, str]:
    """Keys that do not choose a label -> their actions."""
    item = session.current()
    keeping = item is not None and item.replaces
    none = {} if codebook.requires_label and not keeping else {NONE: "keep" if keeping else "none"}
    skip = "leave" if session.task == "adjudicating" else "skip"
    return none | {
        SKIP: skip,
        NOT_A_SENTENCE: "not a sentence",
        UNDO: "undo",
        f"{JUMP}3": "go to sentence 3",
        f"{NOTE}text": "note",
        QUIT: "quit",
        HELP: "help",
    }


def _keyed(answer: str, codebook: Codebook, others: Mapping[str, str]) -> set[str]:
    """The labels for the typed keys. `others` are further keys to list in the error message.

    Raises:
        CodebookError: the answer is empty or contains anything but label keys.
    """
    keys = codebook.keys
    typed = set() if answer == NONE else {small(key, keys) for key in answer.replace(" ", "").replace(",", "")}
    if not typed.issubset(keys) or not (typed or answer == NONE):
        listed = ", ".join(f"{key} {what}" for key, what in others.items())
        raise CodebookError(
            f"'{answer}' is not one of the keys. Type label keys ({' '.join(keys)}), {BY_NAME}name for a label by its "
            f"name, {listed}."
        )
    return {keys[key] for key in typed}


def _named(answer: str, codebook: Codebook) -> set[str]:
    """The labels whose names, or unique prefixes of names, are typed after `BY_NAME`.

    Raises:
        CodebookError: nothing follows `BY_NAME`, or a prefix matches no label or several labels.
    """
    names = answer.replace(BY_NAME, " ").replace(",", " ").split()
    if not names:
        raise CodebookError(f"Type the beginning of a label's name after {BY_NAME}; {HELP} lists all labels.")
    return {codebook.label_beginning(name) for name in names}


def _show(item: Item, session: Session, say: Say) -> None:
    say("")
    mark = " (heading)" if item.sentence.heading else ""
    say(f"[{item.position}/{session.total}] {item.context.title}".rstrip() + mark)
    if item.news:
        say(f"    {item.news}")
    if item.previous is not None:
        say(f"    label again: {item.reason}; earlier labels: {named(item.previous)}")
    if item.asked:
        say(f"    {item.question}")
    # Only one sentence of context on each side, because screen readers read everything aloud.
    for sentence in item.context.before[-1:]:
        say(f"    … {sentence.text}")
    say(f"  > {item.sentence.text}")
    for sentence in item.context.after[:1]:
        say(f"    {sentence.text} …")
    _show_opinions(item, say)
    _show_own(item, say)
    if item.suggestion is not None:
        say(f"    a model suggests: {named(item.suggestion.labels)}  [{ACCEPT}] accept")
    if item.withheld:
        say("    a model's suggestion is withheld")


def _show_opinions(item: Item, say: Say) -> None:
    """Others' decisions, each after the key that takes the whole answer."""
    keys = {id(opinion): f"[{key}] " for key, opinion in item.answers.items()}
    for opinion in item.opinions:
        note = f" ({opinion.note})" if opinion.note else ""
        say(f"    {keys.get(id(opinion), '')}{opinion.role}: {in_words(opinion, opinion.reading)}{note}")


def _show_own(item: Item, say: Say) -> None:
    """The annotator's own decision on the sentence, and the draft that an undo has left."""
    if item.undone:
        chosen = f"labels {named(item.draft.labels)}" + (f", note {item.draft.note}" if item.draft.note else "")
        say(f"    undone, not confirmed: {chosen}")
    if item.decision is not None:
        stands = " stands" if item.undone else ""
        say(f"    your earlier decision{stands}: {in_words(item.decision, item.reading)}")


def _menu(codebook: Codebook, session: Session) -> str:
    item = session.current()
    asked = (item.asked if item else ()) or codebook.label_names
    labels = "  ".join(f"[{key}] {name}" for key, name in codebook.keys.items() if name in asked)
    more = f"  [{BY_NAME}name] {len(codebook.keyless)} more labels" if codebook.keyless else ""
    several = "" if codebook.exclusive else " (type several keys to choose several labels)"
    others = "  ".join(f"[{key}] {what}" for key, what in _other_keys(codebook, session).items())
    return f"{labels}{more}  {others}{several}\n: "


def _end(session: Session, *, more: bool) -> str:
    """The prompt after the last sentence: all sentences are decided, or some were left undecided."""
    left = f"{session.remaining} left undecided." if session.remaining else "All sentences of this draw are decided."
    left += f" Not confirmed yet: {session.drafts}." if session.drafts else ""
    enter = "  [Enter] draw more" if more else ""
    return f"\n{left}  [{UNDO}] undo{enter}  [{QUIT}] quit\n: "


def _show_codebook(codebook: Codebook, say: Say) -> None:
    keys = codebook.shown_keys
    for label in codebook.labels:
        say(f"[{keys[label.name]}] {label.name}: {label.definition}")
        for mark, rules in (("in", label.include), ("out", label.exclude)):
            for rule in rules:
                say(f"      {mark}: {rule}")
