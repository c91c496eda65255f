"""Labelled rows -> examples: JSONL, CSV or Parquet files with `text` and `label` or `labels`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labels.codebook.schema import Codebook, infer_codebook
from labels.errors import CodebookError, DataError
from labels.records import Example
from labels.text.rows import Row, is_unicode, read_rows

SEPARATOR = "|"
"""Between several labels in one cell of a table."""


def read_examples(path: Path, codebook: Codebook, part: str = "") -> list[Example]:
    """The examples of a labelled file, in order.

    Ids come from the columns `example_id`, else `sentence_id` with `document_id`, else `part`, row and text, so that a
    file keeps them under another name; rows without `document_id` are each their own document. A label stands there by
    its name or its title.

    Args:
        part: what the file is read as, "train" or "test"; equal rows of files that are read together have different
            ids where the parts differ.

    Raises:
        DataError: no usable row, a row without text or label column, half a character in a text, a label that the
            codebook lacks, or the same id twice; the message names file and row.
    """
    examples: list[Example] = []
    rows_by_id: dict[str, int] = {}
    names = codebook.names_by_value
    for number, row in read_rows(path):
        example = _example(path, number, row, codebook, names, part)
        if example.id in rows_by_id:
            raise DataError(
                f"{path}:{number}: id '{example.id}' stands in row {rows_by_id[example.id]} already. "
                "Ids must be unique; remove one of the rows."
            )
        rows_by_id[example.id] = number
        examples.append(example)
    if not examples:
        raise DataError(f"{path}: no row in it. Give a file with `text` and `label` or `labels`.")
    return examples


def infer_codebook_of(paths: Sequence[Path]) -> Codebook:
    """A codebook from the label values of labelled files; the first file names it.

    Raises:
        DataError: a file cannot be read, or some rows have `label` and others `labels`.
        CodebookError: no label, or one that cannot be a name.
    """
    label_sets: list[tuple[str, ...]] = []
    columns: set[str] = set()
    for path in paths:
        for number, row in read_rows(path):
            place = DataError.place(path, number)
            column = label_column(row, place)
            columns.add(column)
            label_sets.append(_labels(row[column], column, place))
    if len(columns) > 1:
        raise DataError(f"{paths[0]}: some rows have `label`, others `labels`. Use one of them throughout.")
    name = paths[0].stem.removesuffix(".train").removesuffix(".test")
    return infer_codebook(name, label_sets, exclusive=columns == {"label"})


def _example(path: Path, number: int, row: Row, codebook: Codebook, names: Mapping[str, str], part: str) -> Example:
    place = DataError.place(path, number)
    text = row.get("text")
    if isinstance(text, str) and not text.strip():
        raise DataError(f"{place}: `text` is empty. Remove the row, or fill it in.")
    if not isinstance(text, str):
        found = ", ".join(map(str, row)) or "none"
        raise DataError(f"{place}: a column `text` with text in it is needed. Columns here: {found}.")
    if not is_unicode(text):
        raise DataError(f"{place}: `text` contains an unpaired surrogate. Fix or remove the row.")
    column = label_column(row, place)
    try:
        given = _labels(row[column], column, place)
        labels = codebook.check_labels([names.get(label, label) for label in given], place)
    except CodebookError as error:
        raise DataError(str(error)) from None
    identifier = _identifier(row, part, number, text)
    document = row.get("document_id")
    return Example(
        id=identifier,
        document_id=identifier if document in (None, "") else str(document),
        text=text,
        labels=labels,
        date="" if row.get("date") is None else str(row["date"]),
        synthetic=row.get("synthetic") in (True, "true", "True"),
    )


def _identifier(row: Row, part: str, number: int, text: str) -> str:
    if row.get("example_id") not in (None, ""):
        return str(row["example_id"])
    if row.get("sentence_id") not in (None, "") and row.get("document_id") not in (None, ""):
        return f"{row['document_id']}:{row['sentence_id']}"
    if row.get("sentence_id") not in (None, ""):
        return str(row["sentence_id"])
    return row_id(part, number, text)


def row_id(part: str, number: int, text: str) -> str:
    """16 hex digits for a row that states no id: from what it is read as, its number (from 1) and its text."""
    return hashlib.sha256(f"{part}\n{number}\n{text}".encode()).hexdigest()[:16]


def label_column(row: Row, place: str) -> str:
    """`label` or `labels`, whichever the row has.

    Raises:
        DataError: it has both, or neither.
    """
    present = [column for column in ("labels", "label") if column in row]
    if len(present) == 1:
        return present[0]
    what = "both `label` and `labels` are there" if present else "there is neither `label` nor `labels`"
    raise DataError(
        f"{place}: {what}. The row has: {', '.join(map(str, row)) or 'nothing'}. "
        "Use `label` for one of several, `labels` for any number."
    )


def _labels(value: Any, column: str, place: str) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    if column == "label":
        if isinstance(value, str | int) and not isinstance(value, bool):
            return (str(value),)
        raise DataError(f"{place}: `label` must be one label name, not {value!r}. Use `labels` for a list.")
    if isinstance(value, str):
        return tuple(_parts(value))
    if isinstance(value, list | tuple):
        values = list(value)
        if all(isinstance(item, str) for item in values):
            return tuple(values)
    raise DataError(f"{place}: `labels` must be a list of label names, not {value!r}. Fix the row.")


def _parts(cell: str) -> Iterator[str]:
    """Labels of a table's cell, `a|b`."""
    return (part.strip() for part in cell.split(SEPARATOR) if part.strip())
