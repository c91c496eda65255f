"""Numbers, intervals and tables of numbers, as every display shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table


def number(value: float | None, digits: int = 3) -> str:
    """A figure with so many decimals; a dash where it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


def bounds(interval: Mapping[str, float | None] | None, digits: int = 3) -> str:
    """The `low` and `high` of an interval; a dash where there is none."""
    if not interval or interval.get("low") is None:
        return "–"
    return f"{interval['low']:.{digits}f}–{interval['high']:.{digits}f}"


def figure_table(first: str, others: Sequence[str]) -> Table:
    """An empty table: a column of names, then columns of figures, aligned right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table
