"""Rows of JSONL, CSV and Parquet files, one at a time, each with its row number.

What a row means (a document, an example, an annotation) is its reader's business.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from labels.errors import DataError

Row = dict[str, Any]
Reject = Callable[[str], None]
"""Called with a message for a row that cannot be read; without one, the row raises DataError."""

ROW_SUFFIXES = (".jsonl", ".csv", ".parquet")


def read_rows(path: Path, reject: Reject | None = None) -> Iterator[tuple[int, Row]]:
    """Yield (row number, row) of a file by its ending; JSONL rows are lines, CSV and Parquet rows count from 1.

    The file is streamed: memory does not grow with it.

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
    try:
        yield from reader(path, reject or _raise)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error


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
            except (json.JSONDecodeError, RecursionError) as error:
                reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
                reject(f"{place}: this line is not JSON ({reason}). Mend or remove it.")
                continue
            if not isinstance(row, dict):
                reject(f'{place}: a JSON object is expected, not {type(row).__name__}. Write {{"text": ...}}.')
                continue
            yield number, row


def _read_csv(path: Path, reject: Reject) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        number = 0
        while True:
            number += 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                reject(f"{path}:{number}: this row is not CSV ({error}). Mend its quotes.")
                continue
            if None in row or None in row.values():
                width = len(reader.fieldnames or [])
                reject(f"{path}:{number}: this row does not have the header's {width} fields. Quote its commas.")
                continue
            yield number, row


def _read_parquet(path: Path, reject: Reject) -> Iterator[tuple[int, Row]]:
    from datasets import ClassLabel, load_dataset

    try:
        table = load_dataset("parquet", data_files=str(path), streaming=True, split="train")
        class_labels = {
            name: feature for name, feature in (table.features or {}).items() if isinstance(feature, ClassLabel)
        }
        for number, row in enumerate(table, start=1):
            for name, feature in class_labels.items():
                value = row[name]
                row[name] = None if value is None or value < 0 else feature.int2str(value)
            yield number, row
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read as Parquet ({reason}). Write it again.") from error
