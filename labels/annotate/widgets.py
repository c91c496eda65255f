"""Widgets of the labelling screen: the page of all keys, and the line in which text is typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from labels.annotate import render

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
"""Keys that edit the line -> the actions of `Input` that do it."""


class HelpScreen(ModalScreen[None]):
    """All keys; the screen below handles the key that closes it."""

    CSS = """
    HelpScreen { align: center middle; }
    #help { width: 78; max-width: 100%; height: auto; max-height: 90%; padding: 1 2; }
    #help { border: round $accent; background: $surface; }
    """

    def compose(self) -> ComposeResult:
        """One page of text."""
        yield Static(Text(f"{render.HELP}\nAny key closes this."), id="help")


class TextLine(Input):
    """A line that asks one question at a time and is hidden in between.

    The screen passes key presses on to `edit`; the widget's own bindings would let Enter overtake a letter.
    """

    DEFAULT_CSS = "TextLine { height: 3; display: none; }"
    asking: Question | None = None

    def ask(self, question: Question, value: str = "") -> None:
        """Show the line with a question, and `value` to be edited."""
        self.asking = question
        self.border_title = _TITLES[question]
        self.value, self.display = value, True
        self.action_end()
        self.focus()

    def close(self) -> None:
        """Hide the line; what was typed stays in `value`."""
        self.asking, self.display = None, False
        self.blur()

    def edit(self, event: events.Key) -> bool:
        """Edit the text; False for a key that does not."""
        if event.key in _EDITS:
            getattr(self, f"action_{_EDITS[event.key]}")()
        elif event.character and event.is_printable:
            self.replace(event.character, *self.selection)
        else:
            return False
        return True

    def complete(self, names: Sequence[str]) -> None:
        """Extend the text to the beginning that all of `names` share."""
        common = names[0] if names else ""
        while not all(name.startswith(common) for name in names):
            common = common[:-1]
        if len(common) > len(self.value):
            self.value = common
            self.action_end()
