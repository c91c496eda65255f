"""The line at the bottom of the screen into which a note, words to find, a number or a label's name is typed."""

from __future__ import annotations

from collections.abc import Sequence
from os.path import commonprefix
from typing import Literal

from textual import events
from textual.widgets import Input

from labels.annotate.shown import TypedText

Question = Literal["note", "find", "jump", "label", "rules"]
_TITLES: dict[Question, str] = {
    "note": "Note",
    "find": "Words to find in this draw",
    "jump": "Number of the sentence",
    "label": "Beginning of the label's name",
    "rules": "Words in the codebook",
}
TYPING_KEYS: dict[Question, tuple[tuple[str, str], ...]] = {
    "note": (("⏎", "save the note"), ("Esc", "cancel")),
    "find": (("⏎", "find"), ("Esc", "cancel")),
    "jump": (("⏎", "go there"), ("Esc", "cancel")),
    "label": (("⏎", "choose"), ("Tab", "complete"), ("Esc", "cancel")),
    "rules": (("⏎", "keep what is found"), ("Esc", "show all")),
}
"""The keys that act while a question is asked, and what they do."""
_EDITS = {
    "backspace": "delete_left",
    "delete": "delete_right",
    "left": "cursor_left",
    "right": "cursor_right",
    "home": "home",
    "end": "end",
}
"""Editing keys -> the matching actions of `Input`."""


class TextLine(Input):
    """A text input line that asks one question at a time and is otherwise hidden.

    The screen passes key presses to `edit`: with the widget's own bindings, Enter could overtake a letter.
    """

    DEFAULT_CSS = "TextLine { height: 3; display: none; border-title-color: $text; }"
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
