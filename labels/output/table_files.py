"""Write rows as CSV and JSON that other programs read back unchanged; `labels.text.rows` reads them.

CSV files are UTF-8 with commas, line feeds and a header. Quotes are used only where a cell needs them. NUL characters
and unpaired surrogates are refused, because pandas, R and spreadsheets cut or change a cell that contains them.

Excel, LibreOffice and Google Sheets execute cells that begin with `=` or a similar character (OWASP, "CSV Injection").
In a file for spreadsheets, such cells get an apostrophe, and the column `APOSTROPHES` lists the changed columns of each
row. Reading removes exactly these apostrophes, and keeps apostrophes in other cells. Users may delete this column.
Without it, an apostrophe before a formula is removed only if the whole table is protected (`FoundApostrophes`), and
every command that reads the table reports the removal.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labels.errors import DataError
from labels.output.drafts import whole_file
from labels.records import same_text

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]


# -- apostrophes in files for spreadsheets

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


# -- CSV and JSON


def write_csv(path: Path, rows: Iterable[Row], columns: Sequence[str], *, for_spreadsheet: bool = False) -> None:
    """Write a CSV file completely or not at all.

    Args:
        rows: values by column. Missing values and None become empty cells; other columns are ignored.
        for_spreadsheet: put an apostrophe before cells that a spreadsheet would execute,
            and write a byte order mark, by which Excel recognizes UTF-8.

    Raises:
        DataError: the file cannot be written, or a cell contains a NUL character or an unpaired surrogate.
    """
    with whole_file(path) as draft, csv_writer(draft, columns, path, for_spreadsheet=for_spreadsheet) as write:
        write(rows)


def check_spreadsheet(path: Path) -> None:
    """Check that a file for spreadsheets has the extension .csv.

    Raises:
        DataError: the file has another extension.
    """
    if path.suffix.lower() != ".csv":
        raise DataError(
            f"{path}: --for-spreadsheet is only for .csv files. Change the file extension, or leave out "
            "--for-spreadsheet."
        )


@contextmanager
def csv_writer(
    draft: Path, columns: Sequence[str], path: Path, *, for_spreadsheet: bool = False
) -> Iterator[Callable[[Iterable[Row]], None]]:
    """Open the file `draft` and write the header; yields a function that appends rows. See `write_csv`.

    Args:
        path: the final path of the file, for messages.
    """
    written = 0
    with draft.open("wb") as file:
        file.write(csv_header(columns, path, for_spreadsheet=for_spreadsheet))

        def write(rows: Iterable[Row]) -> None:
            nonlocal written
            for line in csv_lines(rows, columns, path, written + 1, for_spreadsheet=for_spreadsheet):
                file.write(line)
                written += 1

        yield write


def csv_header(columns: Sequence[str], path: Path, *, for_spreadsheet: bool = False) -> bytes:
    """Return the first line of a CSV file, with the byte order mark if it is for spreadsheets. See `write_csv`."""
    if APOSTROPHES in columns:
        raise DataError(f"{path}: the column name `{APOSTROPHES}` is reserved. Rename the column.")
    line = _line(spreadsheet_header(columns) if for_spreadsheet else columns, DataError.place(path))
    return codecs.BOM_UTF8 + line if for_spreadsheet else line


def csv_lines(
    rows: Iterable[Row], columns: Sequence[str], path: Path, first: int = 1, *, for_spreadsheet: bool = False
) -> Iterator[bytes]:
    """Yield the lines of a CSV file after the header. See `write_csv`.

    Args:
        first: the number of the first row, for messages.
    """
    for number, row in enumerate(rows, start=first):
        values = [row.get(name) for name in columns]
        cells = [csv_cell(value) for value in values]
        if for_spreadsheet:
            cells = spreadsheet_cells(columns, cells, values)
        yield _line(cells, DataError.place(path, number))


def csv_block(rows: Iterable[Sequence[Any]], columns: Sequence[str], path: Path, first: int = 1) -> bytes:
    """The lines that `csv_lines` gives, for rows with one value per column: encoded at once, which is faster."""
    cells = [[one if type(one) in _AS_IT_IS else csv_cell(one) for one in row] for row in rows]
    lines = [_format_row(row)[: -len(_LINE_END)] for row in cells]
    block = _encoded("\n".join([*lines, ""]))
    if block is None or b"\0" in block:  # the other function names the row and the cell
        named = (dict(zip(columns, row, strict=True)) for row in cells)
        return b"".join(csv_lines(named, columns, path, first))
    return block


def write_csv_table(path: Path, rows: Sequence[Row]) -> None:
    """Write figures like `pandas.DataFrame.to_csv`: the columns of all rows, values as text, empty cells for None.

    Raises:
        DataError: as for `write_csv`.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    # `value != value` is true only for NaN.
    write_csv(path, ({n: str(v) for n, v in row.items() if v is not None and v == v} for row in rows), columns)


def csv_cell(value: Any) -> str:
    """Convert a value to a CSV cell: text stays unchanged, null becomes an empty cell, other values become JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    # `str` writes these numbers in the same way as JSON, but much faster.
    return str(value) if type(value) in (int, float) else json_text(value)


_UNICODE_LINE_ENDS = "\x85\u2028\u2029"


def json_text(value: Any) -> str:
    """Convert a value to JSON on one line; in ASCII if a text has an unpaired surrogate, which UTF-8 cannot encode.

    Unicode's own line ends are escaped, because `str.splitlines` and other programs would end the line there.
    """
    text = json.dumps(value, ensure_ascii=False)
    for end in _UNICODE_LINE_ENDS:
        text = text.replace(end, f"\\u{ord(end):04x}")
    return text if _encoded(text) is not None else json.dumps(value)


def json_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of a JSONL file."""
    return (json_text(row) + "\n" for row in rows)


class _Echo:
    """A file object for the csv module whose `write` returns the line, so that `writerow` returns it too."""

    def write(self, line: str) -> str:
        return line


_AS_IT_IS = frozenset({str, int, float, type(None)})
"""Types that the csv module writes in the same way as `csv_cell`."""
# With this line end, the csv module quotes carriage returns and line feeds, at which pandas would end a row.
_LINE_END = "\r\n"
_format_row = csv.writer(_Echo(), lineterminator=_LINE_END).writerow


def _line(cells: Sequence[str], place: str) -> bytes:
    line = _encoded(_format_row(cells).removesuffix(_LINE_END) + "\n")
    if line is None or b"\0" in line:
        cell = next(cell for cell in cells if _encoded(cell) is None or "\0" in cell)
        found = "a NUL character" if "\0" in cell else "an unpaired surrogate"
        raise DataError(
            f"{place}: the cell {cell[:40]!r} contains {found}, which a CSV file cannot contain. Remove the character, "
            "or write a .jsonl file."
        )
    return line


def _encoded(text: str) -> bytes | None:
    """Encode a text in UTF-8; None if it contains an unpaired surrogate."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


# -- Parquet


def arrow_column(values: Sequence[Any]) -> pa.Array:
    """Convert values to a column of a Parquet file or dataset; values of mixed types are converted to text."""
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return pa.array([None if value is None else csv_cell(value) for value in values])


def write_parquet(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Write rows to a Parquet file, completely or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: arrow_column([row.get(name) for row in rows]) for name in columns})
    with whole_file(path) as draft:
        pq.write_table(table, draft)
