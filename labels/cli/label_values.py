"""The table of label values that differ from the names of their labels, printed by several commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from labels.cli.terminal import table
from labels.unicode import visible

if TYPE_CHECKING:
    from rich.table import Table

_SHOWN = 20


class NamedValue(Protocol):
    """A value in label cells, the name of its label (empty if no label applies), and the number of its rows."""

    @property
    def value(self) -> str:
        """The value in the file."""

    @property
    def name(self) -> str:
        """The name of the label."""

    @property
    def rows(self) -> int:
        """The number of rows."""


def label_value_table(values: Sequence[NamedValue], rest: str = "") -> Table:
    """Build the table with at most 20 values; `rest` is the file that contains the others."""
    rows = ((visible(found.value), found.name or "(no label)", f"{found.rows:,}") for found in values[:_SHOWN])
    more = len(values) - _SHOWN
    caption = f"{more} more values{f' are in {rest}' if rest else ''}" if more > 0 else None
    return table(("value in the file", "label", "rows"), rows, align="tlr", caption=caption)
