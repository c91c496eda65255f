"""The plain labelling prompt: line by line, for screen readers, scripts and any terminal.

Turns keys into decisions of a `Session`; reading and writing lines is left to the two functions it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from labels.annotate.session import Item, Session, read_now
from labels.codebook.schema import BY_NAME, Codebook
from labels.errors import CodebookError, DecidedMeanwhileError

Ask = Callable[[str], str]
Say = Callable[[str], None]

NONE, SKIP, UNDO, QUIT, HELP, NOTE = "n", "s", "u", "q", "?", "!"


def run_prompt(session: Session, codebook: Codebook, ask: Ask, say: Say) -> int:
    """Label until the annotator quits; how many decisions stand at the end.

    When the draw is done the last decisions can still be undone; any other answer ends.

    Args:
        ask: shows a prompt and returns the line typed; raises EOFError when input ends, which quits.
        say: shows a line.
    """
    shown = None
    while True:
        item = session.current()
        if item is not None and shown != item.sentence.id:
            _show(item, session, say)
            shown = item.sentence.id
        try:
            answer = ask(_menu(codebook, session) if item else _end(session)).strip()
        except EOFError:
            break
        if answer == QUIT or (item is None and answer != UNDO):
            break
        if _act(answer, session, codebook, say):
            shown = None
    return session.decided


def _act(answer: str, session: Session, codebook: Codebook, say: Say) -> bool:
    """Carry one line out; whether something changed. An answer that is not understood changes nothing."""
    if answer == UNDO:
        if not session.undo():
            say("Nothing to undo.")
            return False
        return True
    if answer == HELP:
        _show_codebook(codebook, say)
        return False
    item = session.current()
    note = item.draft.note if item else ""
    if answer.startswith(NOTE):
        session.keep_draft(item.draft.labels if item else (), answer.removeprefix(NOTE).strip())
        say("Noted; it is kept with your decision.")
        return False
    if answer == SKIP:
        session.skip(note)
        return True
    return _review(answer, note, session, codebook, say)


def _review(answer: str, note: str, session: Session, codebook: Codebook, say: Say) -> bool:
    others = _other_keys(codebook, session)
    try:
        labels = _named(answer, codebook) if answer.startswith(BY_NAME) else _keyed(answer, codebook, others)
        if codebook.exclusive and len(labels) > 1:
            raise CodebookError("One label only: this codebook is exclusive.")
        if not labels and codebook.requires_label:
            raise CodebookError(f"This codebook demands a label; type {SKIP} ({others[SKIP]}) when none fits.")
        session.review(labels, note)
    except (CodebookError, DecidedMeanwhileError) as error:
        say(str(error))
        return False
    return True


def _other_keys(codebook: Codebook, session: Session) -> dict[str, str]:
    """What may be typed beside the labels' keys -> what it does."""
    none = {} if codebook.requires_label else {NONE: "none"}
    skip = "leave" if session.task == "adjudicating" else "skip"
    return none | {SKIP: skip, UNDO: "undo", f"{NOTE}text": "note", QUIT: "quit", HELP: "help"}


def _keyed(answer: str, codebook: Codebook, others: Mapping[str, str]) -> set[str]:
    """The labels of the keys typed; `others` are named where something else was.

    Raises:
        CodebookError: something else was typed, or nothing.
    """
    keys = codebook.keys
    typed = set() if answer == NONE else set(answer.replace(" ", "").replace(",", ""))
    if not typed.issubset(keys) or not (typed or answer == NONE):
        listed = ", ".join(f"{key} {what}" for key, what in others.items())
        raise CodebookError(
            f"'{answer}' is not a key here: type label keys ({' '.join(keys)}), {BY_NAME}name a label by its name, "
            f"{listed}."
        )
    return {keys[key] for key in typed}


def _named(answer: str, codebook: Codebook) -> set[str]:
    """The labels whose names, or beginnings of names, follow.

    Raises:
        CodebookError: none do, or a label's name does not begin so, or those of several do.
    """
    names = answer.replace(BY_NAME, " ").replace(",", " ").split()
    if not names:
        raise CodebookError(f"Type the beginning of a label's name after {BY_NAME}; {HELP} lists them all.")
    return {codebook.label_beginning(name) for name in names}


def _show(item: Item, session: Session, say: Say) -> None:
    say("")
    say(f"[{item.position}/{session.total}] {item.context.title}".rstrip())
    if item.news:
        say(f"    {item.news}")
    if item.previous is not None:
        say(f"    label again: {item.reason}; it bore: {', '.join(item.previous) or 'none'}")
    for sentence in item.context.before[-1:]:
        say(f"    … {sentence.text}")
    say(f"  > {item.sentence.text}")
    for sentence in item.context.after[:1]:
        say(f"    {sentence.text} …")
    for opinion in item.opinions:
        note = f" ({opinion.note})" if opinion.note else ""
        decision = "skipped" if opinion.state == "skipped" else ", ".join(opinion.labels) or "none"
        role = ", adjudicating" if opinion.event == "adjudicate" else ""
        say(f"    {opinion.annotator}{role}: {decision}{read_now(opinion, opinion.reading)}{note}")
    if item.suggestion is not None:
        say(f"    a model suggests: {', '.join(item.suggestion.labels) or 'none'}")


def _menu(codebook: Codebook, session: Session) -> str:
    labels = "  ".join(f"[{key}] {name}" for key, name in codebook.keys.items())
    more = f"  [{BY_NAME}name] {len(codebook.keyless)} labels more" if codebook.keyless else ""
    several = "" if codebook.exclusive else " (several keys at once: several labels)"
    others = "  ".join(f"[{key}] {what}" for key, what in _other_keys(codebook, session).items())
    return f"{labels}{more}  {others}{several}\n: "


def _end(session: Session) -> str:
    """What is asked when there is no further sentence: all are decided on, or the rest was left undecided."""
    left = f"{session.remaining} left undecided, for another time." if session.remaining else "The draw is done."
    return f"\n{left}  [{UNDO}] undo  [{QUIT}] quit\n: "


def _show_codebook(codebook: Codebook, say: Say) -> None:
    keys = codebook.shown_keys
    for label in codebook.labels:
        say(f"[{keys[label.name]}] {label.name}: {label.definition}")
        for mark, rules in (("in", label.include), ("out", label.exclude)):
            for rule in rules:
                say(f"      {mark}: {rule}")
