"""Add and remove apostrophes before the cells of a CSV file that a spreadsheet would execute.

Excel, LibreOffice and Google Sheets execute cells that begin with `=` or a similar character (OWASP, "CSV Injection").
In a file for spreadsheets, such cells get an apostrophe, and the column `APOSTROPHES` lists the changed columns of each
row. Reading removes exactly these apostrophes, and keeps apostrophes in other cells.

Users may delete this column. Without it, an apostrophe before a formula is removed only if the whole table is protected
(`FoundApostrophes`), and every command that reads the table reports the removal.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from labels.errors import DataError
from labels.records import same_text

APOSTROPHES = "communique:apostrophes"
"""The last column of a file for spreadsheets: a JSON list of the columns with an added apostrophe; empty if none."""

# Some programs ignore white space and invisible characters before a formula. East Asian versions of Excel also execute
# the full-width characters.
_EXECUTED = re.compile(
    r"[\t\r\n]|[\s\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*[=+\-@＝＋－＠]"
)


def spreadsheet_header(columns: Sequence[str]) -> list[str]:
    """Return the header of a file for spreadsheets."""
    return [*(f"'{name}" if name.startswith("'") or _EXECUTED.match(name) else name for name in columns), APOSTROPHES]


def spreadsheet_cells(columns: Sequence[str], cells: Sequence[str], values: Sequence[Any]) -> list[str]:
    """Return the cells of a row, with apostrophes where they are needed, and the cell of the column `APOSTROPHES`.

    Args:
        values: the values of the cells. Only strings can be formulas; a number such as -0.5 stays a number.
    """
    changed = [
        isinstance(value, str) and _EXECUTED.match(text) is not None for value, text in zip(values, cells, strict=True)
    ]
    names = [name for name, own in zip(columns, changed, strict=True) if own]
    safe = [f"'{text}" if own else text for text, own in zip(cells, changed, strict=True)]
    return [*safe, json.dumps(names, ensure_ascii=False) if names else ""]


def without_apostrophes(row: dict[str, Any], place: str) -> dict[str, Any]:
    """Restore a row of a CSV file to its form before `spreadsheet_header` and `spreadsheet_cells`.

    Rows of other files are returned unchanged. A cell that lost its apostrophe in a spreadsheet is also unchanged.

    Raises:
        DataError: the cell of the column `APOSTROPHES` is not a list of names.
    """
    if APOSTROPHES not in row:
        return row
    cells = {name.removeprefix("'"): value for name, value in row.items() if name != APOSTROPHES}
    for name in _listed(row[APOSTROPHES], place):
        cell = cells.get(name)
        if isinstance(cell, str) and cell.startswith("'") and _EXECUTED.match(cell, 1):
            cells[name] = cell[1:]
    return cells


_CLOSING = re.compile(r"'(?!\w)")
_NUMBER = re.compile(r"\s*[+-]?[\d.,]*\d[\d.,]*(?:[eE][+-]?\d+)?\s*%?")


class FoundApostrophes:
    """Decides whether the apostrophes in a table without the column `APOSTROPHES` were added for spreadsheets.

    This is the case if every cell that would be a formula begins with an apostrophe; numbers do not count. An
    apostrophe stays if it may open a quotation that a later apostrophe closes.
    """

    def __init__(self, rows: Iterable[Iterable[str]]) -> None:
        self.cells: list[str] = []
        for cell in (cell for row in rows for cell in row):
            if _is_added(cell):
                self.cells.append(cell)
            elif _EXECUTED.match(cell) and not _NUMBER.fullmatch(cell):
                self.cells = []
                break

    def __bool__(self) -> bool:
        return bool(self.cells)

    def removed(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row without its added apostrophes."""
        return {name: cell[1:] if isinstance(cell, str) and _is_added(cell) else cell for name, cell in row.items()}


def _is_added(cell: str) -> bool:
    return cell.startswith("'") and _EXECUTED.match(cell, 1) is not None and not _CLOSING.search(cell, 1)


_PERHAPS_ADDED = re.compile(rb"(?:\A|[^\w ])'\W")


def apostrophes_in(path: Path, delimiter: str, *, declared: bool) -> FoundApostrophes:
    """Find the apostrophes that were added for spreadsheets to a CSV file that has lost the column `APOSTROPHES`.

    Args:
        declared: whether the first line declares the separator.

    Raises:
        OSError, UnicodeDecodeError: the file cannot be read.
    """
    # Most files have no such cell, and searching their bytes is much faster than parsing them.
    with path.open("rb") as file:
        if not any(_PERHAPS_ADDED.search(line) for line in file):
            return FoundApostrophes([])
    with path.open(encoding="utf-8-sig", newline="") as lines:
        if declared:
            next(lines)
        reader = csv.reader(lines, delimiter=delimiter)
        try:
            return FoundApostrophes([] if APOSTROPHES in next(reader, []) else reader)
        except csv.Error:  # the row is reported when it is read
            return FoundApostrophes([])


def is_safe_form(cell: str, text: str) -> bool:
    """Return whether a cell is the text with the apostrophe that a file for spreadsheets puts before it."""
    return cell.startswith("'") and _EXECUTED.match(cell, 1) is not None and same_text(cell[1:], text)


def _listed(cell: Any, place: str) -> list[str]:
    try:
        names = json.loads(cell or "[]")
    except (TypeError, ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(
            f"{place}: the column `{APOSTROPHES}` must be empty or a list of columns such as "
            '["text"]. Restore the cell, or export the file again.'
        )
    return names
