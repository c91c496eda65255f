"""Rich text that shows the control characters of texts, titles, names and notes, and text with hanging indents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.highlighter import Highlighter
from rich.measure import Measurement
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


class Hanging:
    """A text whose long lines go on below their own beginning, to the right of a mark.

    Args:
        text: the text.
        indent: the width of the mark at the beginning of a line, in columns.
    """

    def __init__(self, text: Text, indent: Callable[[str], int]) -> None:
        self._text, self._indent = text, indent

    def __str__(self) -> str:
        return self._text.plain

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._text.split("\n", allow_blank=True):
            indent = self._indent(line.plain)
            mark, rest = line.divide([indent]) if indent else (Text(), line)
            for row in rest.wrap(console, max(options.max_width - indent, 1)) or [rest]:
                yield Text.assemble(mark, row, no_wrap=True)
                mark = Text(" " * indent)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._text)


class TypedText(Highlighter):
    """A highlighter for input lines that makes control characters visible; the value of the line does not change."""

    def __call__(self, text: str | Text) -> ShownText:
        """Return the text to show."""
        return ShownText(text if isinstance(text, str) else text.plain, no_wrap=True, overflow="ignore", end="")

    def highlight(self, text: Text) -> None:
        """Do nothing: no part of the text has a style of its own."""
