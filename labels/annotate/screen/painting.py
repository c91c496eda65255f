"""Writes only the cells of the screen that have changed.

Textual writes every widget that was touched as a whole, about 15 KB for the next sentence on a large screen, which is
slow over a remote connection. A `Frame` remembers what the terminal shows and reduces Textual's updates to the changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import cast

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console, ConsoleRenderable
from rich.control import Control
from rich.segment import ControlType, Segment
from rich.style import Style
from textual._compositor import CompositorUpdate

Cell = tuple[str, str, str]
"""A character, the codes of its colours and attributes, and the codes of its background.

The second cell of a wide character has an empty text. The codes of a blank are those of its background, unless it is
underlined, struck or reversed.
"""

_UNKNOWN, _BLANK = ("", "", ""), (" ", "", "")
_OFF, _NO_STYLE = "\x1b[0m", "unknown"
_GAP = 8
"""Number of unchanged cells that are written again, because a move of the cursor would take more bytes."""


class Frame:
    """The cells that the terminal shows, by row and column; a cell that is not known is missing."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[int, Cell]] = {}

    def forget(self) -> None:
        """Assume nothing about the terminal, so that the next update is written completely."""
        self._rows = {}

    def paint(self, update: CompositorUpdate, console: Console) -> str:
        """The output that brings the terminal from the remembered state to the state after an update."""
        rows: dict[int, dict[int, Cell]] = {}
        for row, column, cell in _cells(update, console):
            rows.setdefault(row, {})[column] = cell
        pen = _Pen()
        output = "".join(self._paint_row(row, cells, pen) for row, cells in sorted(rows.items()))
        return f"{output}{_OFF}" if output else ""

    def _paint_row(self, row: int, cells: dict[int, Cell], pen: _Pen) -> str:
        shown = self._rows.setdefault(row, {})
        changed = sorted(column for column, cell in cells.items() if shown.get(column) != cell)
        shown.update(cells)
        output = ""
        for first, last in _runs(changed):
            # Not from the middle of a wide character, and not through cells that the update does not have.
            start = next((one for one in (first, first - 1) if shown.get(one, _UNKNOWN)[0]), first)
            written = [shown.get(column, _BLANK) for column in range(start, last + 1)]
            output += Control.move_to(start, row).segment.text + pen.write(written)
        return output


class Changes(CompositorUpdate):
    """An update of the screen, reduced to what has changed when it is written."""

    def __init__(self, update: CompositorUpdate, frame: Frame) -> None:
        self._update, self._frame = update, frame

    def render_segments(self, console: Console) -> str:
        """The output with escape sequences."""
        return self._frame.paint(self._update, console)


def _cells(update: CompositorUpdate, console: Console) -> Iterator[tuple[int, int, Cell]]:
    """Row, column and content of all cells of an update."""
    row = column = 0
    # Every update is also a renderable of Rich.
    for segment in console.render(cast(ConsoleRenderable, update)):
        if segment.control:
            for code, *place in segment.control:
                if code == ControlType.CURSOR_MOVE_TO:
                    column, row = map(int, place)
            continue
        if segment.text == "\n":
            continue
        codes, back = (
            _codes(segment.style, console._color_system or ColorSystem.TRUECOLOR) if segment.style else ("", "")
        )
        for character, width in _characters(segment):
            yield row, column, (character, back if character == " " else codes, back)
            if width == 2:
                yield row, column + 1, ("", codes, back)
            column += width


def _characters(segment: Segment) -> Iterator[tuple[str, int]]:
    """The characters of a segment with their widths; marks without a width stay with the character before them."""
    if segment.text.isascii():
        yield from ((character, 1) for character in segment.text)
        return
    pending, width = "", 0
    for character in segment.text:
        own = cell_len(character)
        if own and pending:
            yield pending, width
            pending, width = "", 0
        pending, width = pending + character, width + own
    if pending:
        yield pending, width


def _runs(columns: list[int]) -> Iterator[tuple[int, int]]:
    """The first and last columns of runs; changes that are close to each other are one run."""
    start = last = -1
    for column in columns:
        if start < 0:
            start = column
        elif column - last > _GAP:
            yield start, last
            start = column
        last = column
    if start >= 0:
        yield start, last


@lru_cache(maxsize=1024)
def _codes(style: Style, colours: ColorSystem) -> tuple[str, str]:
    """The numbers of the escape sequences that set a style, and the background of a blank in this style."""
    back = Style(bgcolor=style.bgcolor)
    if style.underline or style.underline2 or style.strike or style.reverse or style.overline:
        back = style
    codes, behind = (
        one.render("x", color_system=colours).partition("m")[0].removeprefix("\x1b[").removeprefix("x")
        for one in (style, back)
    )
    return codes, behind


class _Pen:
    """Writes cells as text, with an escape sequence wherever the style changes, also from one row to the next."""

    def __init__(self) -> None:
        self._codes, self._back = "", _NO_STYLE

    def write(self, cells: list[Cell]) -> str:
        """The text of cells that stand side by side."""
        output = ""
        for character, codes, back in cells:
            # A blank looks the same in every colour of its background.
            if (back != self._back) if character == " " else (codes != self._codes or self._back == _NO_STYLE):
                output += f"\x1b[0;{codes}m" if codes else _OFF
                self._codes, self._back = codes, back
            output += character
        return output
