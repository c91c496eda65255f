"""The page of all keys."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.widgets import Static

from labels.annotate import render


class HelpScreen(ModalScreen[None]):
    """All keys; the screen below takes the key that closes it."""

    CSS = """
    HelpScreen { align: center middle; }
    #help { width: 78; max-width: 100%; height: auto; max-height: 90%; padding: 1 2; }
    #help { border: round $accent; background: $surface; }
    """

    def compose(self) -> ComposeResult:
        """One page of text."""
        yield Static(Text(f"{render.HELP}\nAny key closes this."), id="help")
