"""Read examples from labelled files, and infer a codebook from the labels.

Labelled files are JSONL, CSV or Parquet files with the columns `text` and either `label` (one label) or `labels` (any
number of labels, separated by `|` in CSV).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from labels.codebook.schema import NAME, Codebook, codebook_from_dict
from labels.errors import CodebookError, DataError
from labels.records import Example
from labels.text.rows import Row, is_unicode, read_rows, row_text

SEPARATOR = "|"
"""Separates several labels in one cell of a table."""
_NOTHING = (None, "")


# -- examples


def read_examples(path: Path, codebook: Codebook, part: str = "") -> list[Example]:
    """Read the examples of a labelled file, in file order.

    Ids come from the column `example_id`, otherwise from `sentence_id` and `document_id`, otherwise from `part`, row
    number and text. Renaming the file therefore does not change the ids. A row without `document_id` counts as a
    document of its own. Rows may contain the names or the titles of labels.

    Args:
        part: the role of the file, "train" or "test"; it makes the ids of equal rows in two files different.

    Raises:
        DataError: the file has no rows, a row has no text or no label column, a text contains an unpaired surrogate,
            a label is not in the codebook, or an id occurs twice; the message names the file and the row.
    """
    examples: list[Example] = []
    rows_by_id: dict[str, int] = {}
    names = codebook.names_by_value
    for number, row in read_rows(path):
        example = _example(row, number, DataError.place(path, number), codebook, names, part)
        if example.id in rows_by_id:
            raise DataError(
                f"{path}:{number}: row {rows_by_id[example.id]} already has the id '{example.id}'. "
                "Ids must be unique. Remove or change one of the rows."
            )
        rows_by_id[example.id] = number
        examples.append(example)
    if not examples:
        raise DataError(f"{path}: the file has no rows. Use a file with the columns `text` and `label` or `labels`.")
    return examples


def _example(row: Row, number: int, place: str, codebook: Codebook, names: Mapping[str, str], part: str) -> Example:
    text = row_text(row, place)
    if not is_unicode(text):
        raise DataError(f"{place}: `text` contains an unpaired surrogate. Fix or remove the row.")
    column = label_column(row, place)
    try:
        given = cell_labels(row[column], column, place)
        labels = codebook.check_labels([names.get(label, label) for label in given], place)
    except CodebookError as error:
        raise DataError(str(error)) from None
    identifier = _identifier(row, part, number, text)
    document = row.get("document_id")
    return Example(
        id=identifier,
        document_id=identifier if document in _NOTHING else str(document),
        text=text,
        labels=labels,
        date="" if row.get("date") is None else str(row["date"]),
        synthetic=row.get("synthetic") in (True, "true", "True"),
    )


def _identifier(row: Row, part: str, number: int, text: str) -> str:
    if row.get("example_id") not in _NOTHING:
        return str(row["example_id"])
    if row.get("sentence_id") not in _NOTHING:
        # Other tools number sentences within a document, so `sentence_id` alone may not be unique.
        document = "" if row.get("document_id") in _NOTHING else f"{row['document_id']}:"
        return f"{document}{row['sentence_id']}"
    return row_id(part, number, text)


def row_id(part: str, number: int, text: str) -> str:
    """16 hex digits for a row without an id, from the role of the file, the row number (from 1) and the text."""
    return hashlib.sha256(f"{part}\n{number}\n{text}".encode()).hexdigest()[:16]


# -- labels in a row


def label_column(row: Row, place: str) -> str:
    """The name of the row's label column: `label` or `labels`.

    Raises:
        DataError: the row has both columns or neither.
    """
    present = [column for column in ("labels", "label") if column in row]
    if len(present) == 1:
        return present[0]
    what = "the row has both `label` and `labels`" if present else "the row has neither `label` nor `labels`"
    raise DataError(
        f"{place}: {what}. Its columns: {', '.join(map(str, row)) or 'none'}. "
        "Use `label` for exactly one label, `labels` for any number."
    )


def cell_labels(value: Any, column: str, place: str) -> tuple[str, ...]:
    """The labels in a cell of the column `label` or `labels`, unchanged; empty for a blank cell.

    Raises:
        DataError: the type of the value does not fit the column.
    """
    if value in _NOTHING:
        return ()
    if column == "label":
        # A bool is an int in Python, but `true` is not a label name.
        if isinstance(value, str | int) and not isinstance(value, bool):
            return (str(value),)
        raise DataError(f"{place}: `label` must be one label name, not {value!r}. Use `labels` for a list.")
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(SEPARATOR) if part.strip())
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise DataError(f"{place}: `labels` must be a list of label names, not {value!r}. Fix the row.")


# -- a codebook from labels


def infer_codebook_of(paths: Sequence[Path]) -> Codebook:
    """Infer a codebook from the label values in labelled files; it is named after the first file.

    Raises:
        DataError: a file cannot be read, or some rows have `label` and others `labels`.
        CodebookError: see `infer_codebook`.
    """
    label_sets: list[tuple[str, ...]] = []
    columns: set[str] = set()
    for path in paths:
        for number, row in read_rows(path):
            place = DataError.place(path, number)
            column = label_column(row, place)
            columns.add(column)
            label_sets.append(cell_labels(row[column], column, place))
    if len(columns) > 1:
        raise DataError(
            f"{paths[0]}: some rows have the column `label`, others `labels`. Use the same column in all rows."
        )
    name = paths[0].stem.removesuffix(".train").removesuffix(".test")
    return infer_codebook(name, label_sets, exclusive=columns == {"label"})


def infer_codebook(name: str, label_sets: Iterable[tuple[str, ...]], *, exclusive: bool) -> Codebook:
    """Make a codebook with one label per value, sorted by value.

    The value becomes the title of the label; the name is the value without characters that names cannot contain.

    Args:
        name: the name of the codebook.
        label_sets: the label values of each row.
        exclusive: True for values from a `label` column, False for values from a `labels` column. An exclusive codebook
            gets `allow_none = true` if a row has no label.

    Raises:
        CodebookError: no row has a label, all rows of an exclusive codebook have the same label, or a name is not
            valid.
    """
    values: set[str] = set()
    some_empty = False
    for labels in label_sets:
        values.update(labels)
        some_empty = some_empty or not labels
    if not values:
        raise CodebookError(
            f"{name}: no row has a label, so no codebook can be inferred. Fill in the column `label` or `labels`."
        )
    if exclusive and len(values) == 1 and not some_empty:
        raise CodebookError(
            f"{name}: every row has the label '{next(iter(values))}', so there is nothing to distinguish. "
            "Add rows with other labels, or leave `label` empty in rows to which the label does not apply."
        )
    content = {
        "name": name,
        "description": "Inferred from the label values of a file: write the definitions before people label with it.",
        "exclusive": exclusive,
        "allow_none": some_empty or not exclusive,
        "labels": [{"name": label, "title": value} for value, label in _label_names(sorted(values)).items()],
    }
    return codebook_from_dict(content, name)


def _label_names(values: Sequence[str]) -> dict[str, str]:
    """Map values to similar, unique label names; values that are valid names stay unchanged."""
    # Valid names come first, so that no generated name is equal to one of them.
    found = {value: value for value in values if NAME.fullmatch(value)}
    taken = set(found)
    for number, value in enumerate(values, 1):
        if value not in found:
            plain = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode()
            name = re.sub(r"[^A-Za-z0-9_.\-]+", "_", plain).strip("_.-") or f"label_{number}"
            free = (each for each in chain([name], (f"{name}_{i}" for i in count(2))) if each not in taken)
            found[value] = next(free)
            taken.add(found[value])
    return {value: found[value] for value in values}
