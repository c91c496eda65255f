"""Read JSONL, CSV and Parquet files row by row, with row numbers.

The caller interprets the rows as documents, examples or annotations.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from labels.errors import DataError, counted
from labels.output.table_files import apostrophes_in, without_apostrophes
from labels.records import trimmed_text
from labels.text.headers import ColumnFinder, ColumnNames, check_header, csv_form
from labels.text.parquet import read_parquet
from labels.text.parsing.recognition import Oddities, refuse_binary, refuse_markup
from labels.unicode import clean, is_missing

Row = dict[str, Any]
Reject = Callable[[str], None]
"""Called with a message for each row that cannot be read. Without it, such a row raises DataError."""

ROW_SUFFIXES = (".jsonl", ".csv", ".parquet")


def is_unicode(text: str) -> bool:
    """Return whether UTF-8 can encode a string; False if it has an unpaired surrogate, such as half an emoji."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def read_rows(path: Path, reject: Reject | None = None) -> Iterator[tuple[int, Row]]:
    """Yield (row number, row) from a file; the extension determines the format.

    The number of a JSONL row is its line number; CSV and Parquet rows are numbered from 1. Those of a CSV file are
    `RowNumber`s, which `DataError.place` shows as the line in an editor. The file is streamed: memory
    use does not depend on the size of the file.

    Raises:
        DataError: the file is missing, empty or not UTF-8, the extension is not supported, or a row cannot be read
            while `reject` is None.
    """
    readers: dict[str, Callable[[Path, Reject], Iterator[tuple[int, Row]]]]
    readers = {".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: rows can only be read from {', '.join(ROW_SUFFIXES)} files, not '{path.suffix}'. "
            "Convert the file."
        )
    if not path.is_file():
        raise DataError(f"{path}: this file does not exist. Check the path.")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty. Use a file with at least one row.")
    if reader is not read_parquet:
        refuse_binary(path)
        refuse_markup(path)
    # The `try` covers the whole iteration: the generator raises errors only when it reaches the faulty part.
    try:
        yield from reader(path, reject or _raise)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: the file is not UTF-8 text (byte {_first_bad_byte(path)}). Save the file as UTF-8."
        ) from error
    except OSError as error:
        raise DataError(
            f"{path}: the file cannot be read ({error.strerror or error}). Check the path and its permissions."
        ) from error


class RowNumber(int):
    """The number of a row of a CSV file, from 1, which knows the line on which the row starts.

    The two differ: an editor also counts the header, blank lines, and the lines of a cell.
    """

    line: int

    @classmethod
    def on(cls, line: int, number: int) -> RowNumber:
        """Return the number of a row that starts on a line, counted from 1."""
        found = cls(number)
        found.line = line
        return found


class NamedRows:
    """The rows of a file under the column names of communique: chosen by the user, or found by `labels.text.headers`.

    Iterating yields (row number, row), and raises errors, as `read_rows` does; see also `ColumnFinder.rename`.
    `is_empty` is true until a row was read or rejected.
    """

    def __init__(self, path: Path, names: ColumnNames | None = None, reject: Reject | None = None) -> None:
        self.path = path
        self.is_empty = True
        self._reject = reject
        self._finder = ColumnFinder(path, names)
        self._oddities = Oddities()

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        for number, row in read_rows(self.path, self._seen_and_rejected if self._reject else None):
            self.is_empty = False
            header = 1 if isinstance(number, RowNumber) else number
            renamed = self._finder.rename(row, DataError.place(self.path, header))
            self._oddities.see(renamed.get("text"))
            yield number, renamed

    def _seen_and_rejected(self, message: str) -> None:
        self.is_empty = False
        (self._reject or _raise)(message)

    @property
    def notes(self) -> tuple[str, ...]:
        """The remarks on the separator, the columns and the texts, which are complete after the iteration."""
        return (*csv_notes(self.path), *self._finder.notes, *self._oddities.notes(self.path))


def _first_bad_byte(path: Path) -> int:
    """Return the position of the first byte that is not UTF-8; the decoder's error counts from its buffer's start."""
    seen = 0
    with path.open("rb") as lines:
        for line in lines:
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return seen + error.start
            seen += len(line)
    return seen


def _raise(message: str) -> None:
    raise DataError(message)


def _read_jsonl(path: Path, reject: Reject) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = DataError.place(path, number)
            try:
                row = json.loads(line, object_pairs_hook=object_without_repeats)
            except RepeatedKeyError as error:
                reject(f"{place}: {error}.")
                continue
            except (ValueError, RecursionError) as error:
                deep = "nested too deeply" if isinstance(error, RecursionError) else "a number is too long"
                reason = error.msg if isinstance(error, json.JSONDecodeError) else deep
                reject(f"{place}: this line is not valid JSON ({reason}). Fix or remove the line.")
                continue
            if not isinstance(row, dict):
                reject(f'{place}: a line must be a JSON object such as {{"text": ...}}, not {type(row).__name__}.')
                continue
            yield number, row


class RepeatedKeyError(ValueError):
    """A JSON object has two values for one key."""


def object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object from its pairs, for `json.loads(..., object_pairs_hook=...)`.

    Raises:
        RepeatedKeyError: a key occurs twice; Python would ignore all its values but the last.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise RepeatedKeyError(f"an object has the key '{repeated}' twice. Remove one of the two")
    return found


class _Lines:
    """The lines of a CSV file; `start` is the number of the first line with content since it was set to 0."""

    def __init__(self, lines: Iterable[str], first: int) -> None:
        self._lines = enumerate(lines, start=first)
        self.start = 0

    def __iter__(self) -> Iterator[str]:
        for number, line in self._lines:
            if not self.start and line.strip("\r\n"):
                self.start = number
            yield line


def _read_csv(path: Path, reject: Reject) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(2**31 - 1)  # a field may contain a whole article; the default limit is 128 KiB
    form = csv_form(path)
    with path.open(encoding="utf-8-sig", newline="") as lines:
        if form.declared:
            next(lines)
        numbered = _Lines(lines, first=2 if form.declared else 1)
        reader = csv.DictReader(numbered, strict=True, delimiter=form.delimiter)
        try:
            names = reader.fieldnames or []
        except csv.Error as error:
            raise DataError(f"{path}: the header is not valid CSV ({error}). Fix the quotes in the header.") from error
        check_header(names, path)
        apostrophes = apostrophes_in(path, form.delimiter, declared=form.declared)
        for position in count(1):  # not `enumerate`, because invalid rows are counted too
            numbered.start = 0
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                place = DataError.place(path, numbered.start)
                reject(f"{place}: this row is not valid CSV ({error}). Fix the quotes in the row.")
                continue
            number = RowNumber.on(numbered.start, position)
            place = DataError.place(path, number)
            # DictReader stores surplus fields under the key None and gives missing fields the value None.
            if None in row or None in row.values():
                reject(
                    f"{place}: the header has {counted(len(names), 'field')}, but this row has more or fewer. "
                    f"Put fields that contain {form.name} in quotes."
                )
                continue
            if "text" in row and all(cell == name for name, cell in row.items()):
                reject(f"{place}: this row repeats the header. Remove the row.")
                continue
            try:
                row = apostrophes.removed(row) if apostrophes else without_apostrophes(row, place)
            except DataError as error:
                reject(str(error))
                continue
            yield number, row


def csv_notes(path: Path) -> tuple[str, ...]:
    """Return remarks on the separator and the apostrophes of a CSV file; empty for other formats."""
    if path.suffix.lower() != ".csv":
        return ()
    form = csv_form(path)
    found = apostrophes_in(path, form.delimiter, declared=form.declared).cells
    notes = () if form.delimiter == "," else (f"{path}: the columns are separated by {form.name}",)
    if not found:
        return notes
    return (
        *notes,
        f"{path}: the apostrophe at the start of {counted(len(found), 'cell')}, such as {found[0][:40]!r}, was "
        "removed, because every cell that a spreadsheet would execute begins with one, as --for-spreadsheet writes it",
    )


# -- texts


def separator_advice(row: Row) -> str:
    """Return advice for a row that was read as one column because the separator is unknown; empty for other rows."""
    if len(row) == 1 and any(separator in name for name in row for separator in ";\t|"):
        return "If the columns are separated by a character other than a comma, save the file with commas. "
    return ""


def row_text(row: Row, place: str) -> str:
    """Return the value of a row's column `text`.

    Raises:
        DataError: the row has no column `text`, or its value is missing or not a string.
    """
    if "text" not in row:
        columns = ", ".join(map(str, row)) or "none"
        raise DataError(
            f"{place}: this row has no column `text`. Its columns: {columns}. "
            f"{separator_advice(row)}Rename the column with the text to `text`, or choose the column with "
            "--text-column (in an experiment: data.text_column)."
        )
    return checked_text(row["text"], place)


def checked_text(text: Any, place: str) -> str:
    """Check the text of a cell or record, and return it.

    Raises:
        DataError: the text is missing, or not a string.
    """
    if is_missing(text):
        shown = clean(text) if isinstance(text, str) else ""
        found = f"'{shown}', which stands for a missing value" if shown else "empty"
        raise DataError(f"{place}: `text` is {found}. Add the text or remove the row.")
    if not isinstance(text, str):
        raise DataError(f"{place}: `text` is {text!r:.80}, not a string. Put the text in quotes, or remove the row.")
    return text


class EqualTexts:
    """Numbers the equal texts of one file: two rows with the same text and no provenance are two documents.

    It needs about 100 bytes of memory per distinct text.
    """

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._numbers: dict[int, int] = {}

    def number(self, text: str, *annotators: str, record: str = "") -> int:
        """Return the number of a text among the equal texts so far, from 1.

        Args:
            annotators: the annotators who labelled this text. Their texts are counted separately, so that two
                annotators who label the same text in one table get the same number.
            record: the number that a tool gave to the record, if any. Equal texts in records with the same number are
                one text.
        """
        text = trimmed_text(text)
        if not record:
            return self._next(text, annotators or ("",))
        key = hash((text, record))
        if key not in self._numbers:
            self._numbers[key] = self._next(text, ("",))
        return self._numbers[key]

    def _next(self, text: str, counters: tuple[str, ...]) -> int:
        keys = [hash((text, counter)) for counter in counters]
        number = 1 + max(self._counts.get(key, 0) for key in keys)
        self._counts.update(dict.fromkeys(keys, number))
        return number
