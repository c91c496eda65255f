"""Only changed cells are written, and the terminal then shows what Textual meant to show."""

from __future__ import annotations

import re
from io import StringIO

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from labels.annotate.screen.painting import Frame

WIDTH, HEIGHT = 6, 2
RED = Style(color="red")
STYLES = [None, Style(bold=True), Style(bold=True, bgcolor="blue"), RED, RED + Style(meta={"label": "aid"})]
Screen = dict[tuple[int, int], tuple[str, str]]


@st.composite
def lines(draw: st.DrawFn) -> list[Segment]:
    """Segments that fill one row, with wide characters and combining marks."""
    segments: list[Segment] = []
    room = WIDTH
    while room:
        text = draw(st.sampled_from(["a", "bc", "  ", "你", "é", "e\u0301", "x"]))
        text = text if cell_len(text) <= room else "."
        segments.append(Segment(text, draw(st.sampled_from(STYLES))))
        room -= cell_len(text)
    return segments


def show(screen: Screen, output: str) -> None:
    """What a terminal does with the output: move, set a style, write."""
    row = column = 0
    style = ""
    for codes, kind, text in re.findall(r"\x1b\[([\d;]*)([Hm])|([^\x1b])", output):
        if kind == "H":
            row, column = (int(number) - 1 for number in codes.split(";"))
        elif kind == "m":
            style = codes.removeprefix("0").removeprefix(";")
        elif cell_len(text) == 0:
            base, own = screen[row, column - 1]
            screen[row, column - 1] = (base + text, own)
        else:
            # A blank shows only the colour of its background.
            seen = [code for code in style.split(";") if text != " " or code.startswith("4")]
            screen[row, column] = (text, ";".join(seen))
            column += 1
            if cell_len(text) == 2:
                screen[row, column] = ("", style)
                column += 1


def update(rows: list[list[Segment]], top: int = 0) -> LayoutUpdate:
    return LayoutUpdate([[Strip(row)] for row in rows], Region(0, top, WIDTH, len(rows)))


@settings(max_examples=30)
@given(
    st.lists(st.lists(lines(), min_size=HEIGHT, max_size=HEIGHT), min_size=2, max_size=3), st.integers(0, HEIGHT - 1)
)
def test_a_terminal_shows_the_last_of_several_screens(screens: list[list[list[Segment]]], top: int) -> None:
    console = Console(file=StringIO(), color_system="truecolor")
    frame, terminal, expected = Frame(), Screen(), Screen()
    for rows in screens[:-1]:
        show(terminal, frame.paint(update(rows), console))
    part = screens[-1][: HEIGHT - top]
    show(terminal, frame.paint(update(part, top), console))
    for rows, start in ((screens[-2], 0), (part, top)):
        show(expected, Frame().paint(update(rows, start), console))

    assert terminal == expected
    assert frame.paint(update(part, top), console) == ""
    frame.forget()
    assert frame.paint(update(part, top), console) != ""
