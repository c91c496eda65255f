"""Rich text that shows the control characters of texts, titles, names and notes."""

from __future__ import annotations

from typing import Any, Self

from rich.highlighter import Highlighter
from rich.style import Style
from rich.text import Text

from labels.unicode import visible


class ShownText(Text):
    """Like `rich.text.Text`, but control characters in its strings are visible.

    Rich itself removes some control characters, such as backspaces, and passes others, such as ESC, to the terminal.
    """

    def __init__(self, text: str = "", style: str | Style = "", **options: Any) -> None:
        super().__init__(visible(text), style, **options)

    def append(self, text: Text | str, style: str | Style | None = None) -> Self:
        """Append a string, with its control characters visible, or another text."""
        super().append(visible(text) if isinstance(text, str) else text, style)
        return self


class TypedText(Highlighter):
    """A highlighter for input lines that makes control characters visible; the value of the line does not change."""

    def __call__(self, text: str | Text) -> ShownText:
        """Return the text to show."""
        return ShownText(text if isinstance(text, str) else text.plain, no_wrap=True, overflow="ignore", end="")

    def highlight(self, text: Text) -> None:
        """Do nothing: no part of the text has a style of its own."""
