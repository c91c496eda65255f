"""Rows of JSONL, CSV and Parquet files, one at a time, each with its row number.

What a row means (a document, an example, an annotation) is left to the caller.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from labels.errors import DataError

Row = dict[str, Any]
Reject = Callable[[str], None]
"""Called with a message for a row that cannot be read; without one, the row raises DataError."""

ROW_SUFFIXES = (".jsonl", ".csv", ".parquet")


def is_unicode(text: str) -> bool:
    """Whether a string can be written as UTF-8: cutting inside an emoji leaves an unpaired surrogate, which cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def read_rows(path: Path, reject: Reject | None = None) -> Iterator[tuple[int, Row]]:
    """Yield (row number, row) of a file, by its ending; JSONL rows are numbered by line, CSV and Parquet rows from 1.

    The file is streamed: memory use does not grow with its size.

    Raises:
        DataError: the file is missing, empty, not UTF-8, of another ending, or a row cannot be read and
            `reject` is None.
    """
    readers = {".jsonl": _read_jsonl, ".csv": _read_csv, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: rows are read from {', '.join(ROW_SUFFIXES)} files, not '{path.suffix}'. Convert it.")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file. Check the path.")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty. Give a file with at least one row.")
    # Around the whole reading: a generator meets what is wrong with the file only when it gets there.
    try:
        yield from reader(path, reject or _raise)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {_first_bad_byte(path)}). Save it as UTF-8.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _first_bad_byte(path: Path) -> int:
    """Position in the file of the first byte that is not UTF-8: the decoder's own error counts from its buffer."""
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
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                deep = "nested too deeply" if isinstance(error, RecursionError) else "a number is too long"
                reason = error.msg if isinstance(error, json.JSONDecodeError) else deep
                reject(f"{place}: this line is not JSON ({reason}). Fix or remove it.")
                continue
            if not isinstance(row, dict):
                reject(f'{place}: a line must be a JSON object such as {{"text": ...}}, not {type(row).__name__}.')
                continue
            yield number, row


def _read_csv(path: Path, reject: Reject) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(2**31 - 1)  # a field may be a whole article; the default is 128 KiB
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        try:
            width = len(reader.fieldnames or [])
        except csv.Error as error:
            raise DataError(f"{path}: the header is not CSV ({error}). Fix its quotes.") from error
        for number in count(1):  # not `enumerate`: a row that is not CSV is counted too
            place = DataError.place(path, number)
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                reject(f"{place}: this row is not CSV ({error}). Fix its quotes.")
                continue
            # DictReader puts fields beyond the header under None, and None into fields that are missing.
            if None in row or None in row.values():
                reject(f"{place}: this row does not have the header's {width} fields. Quote fields with commas.")
                continue
            yield number, row


def _read_parquet(path: Path, reject: Reject) -> Iterator[tuple[int, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import ClassLabel, Features

    # Hugging Face stores a label as a number, and its name in the file's schema.
    try:
        with pq.ParquetFile(path) as file:
            features = Features.from_arrow_schema(file.schema_arrow)
            names = {name: feature for name, feature in features.items() if isinstance(feature, ClassLabel)}
            number = 0
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield number, row | {name: class_name(row[name], feature) for name, feature in names.items()}
    except (pa.ArrowException, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read as Parquet ({reason}). Write it again.") from error


def row_text(row: Row, place: str) -> str:
    """The column `text` of a row.

    Raises:
        DataError: there is none, or it is empty or not a string.
    """
    text = row.get("text")
    if not isinstance(text, str):
        columns = ", ".join(map(str, row)) or "none"
        raise DataError(f"{place}: this row has no column `text` with a string. Its columns: {columns}. Rename one.")
    if not text.strip():
        raise DataError(f"{place}: `text` is empty. Fill it in or remove the row.")
    return text


def class_name(value: int | None, feature: Any) -> str | None:
    """The name of a Hugging Face ClassLabel's number; None for None and for -1, which means unlabelled."""
    return None if value is None or value < 0 else str(feature.int2str(value))
