"""Write rows as CSV and JSON that other programs read back unchanged; `labels.text.rows` reads them.

CSV files are UTF-8 with commas, line feeds and a header. Quotes are used only where a cell needs them. NUL characters
and unpaired surrogates are refused, because pandas, R and spreadsheets cut or change a cell that contains them.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labels.errors import DataError
from labels.output.apostrophes import APOSTROPHES, spreadsheet_cells, spreadsheet_header
from labels.output.drafts import whole_file

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]


def write_csv(path: Path, rows: Iterable[Row], columns: Sequence[str], *, for_spreadsheet: bool = False) -> None:
    """Write a CSV file completely or not at all.

    Args:
        rows: values by column. Missing values and None become empty cells; other columns are ignored.
        for_spreadsheet: put an apostrophe before cells that a spreadsheet would execute (`labels.output.apostrophes`),
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
