"""Read examples from labelled files, and infer a codebook from the labels.

Labelled files are JSONL, CSV or Parquet files with the columns `text` and either `label` or `labels`, or with columns
that the user names. Rows on which nobody decided are left out and counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from labels.codebook.schema import Codebook
from labels.errors import DataError, counted
from labels.records import Example
from labels.text.cells import merge_key, parse_cell
from labels.text.headers import ColumnNames
from labels.text.labelled.exported import counted_rows, row_state
from labels.text.labelled.label_reading import Blank, LabelCell, LabelReading, read_labels
from labels.text.labelled.label_values import LabelValue
from labels.text.rows import NamedRows, Row, is_unicode, row_text, separator_advice
from labels.unicode import is_missing, is_no_value


@dataclass(frozen=True)
class ReadingOptions:
    """The user's choices for a labelled file: the columns of texts and labels, and the meaning of blank cells."""

    text_column: str = ""
    label_column: str = ""
    blank: Blank = ""

    @property
    def columns(self) -> ColumnNames:
        """The columns of texts and labels."""
        return ColumnNames(self.text_column, self.label_column)


@dataclass(frozen=True)
class LabelledFiles:
    """The examples of labelled files.

    - `codebook`: the given codebook, or the codebook inferred from the labels
    - `examples`: one list per file, in file order
    - `values`: the label values in the files that differ from the names of their labels
    - `notes`: remarks on how the files were read, such as the number of rows left out
    """

    codebook: Codebook
    examples: tuple[list[Example], ...]
    values: tuple[LabelValue, ...]
    notes: tuple[str, ...]


# -- examples


def read_examples(path: Path, codebook: Codebook, part: str = "") -> list[Example]:
    """Read the examples of one labelled file; see `read_labelled`."""
    return read_labelled([(path, part)], codebook).examples[0]


def read_unlabelled(path: Path, part: str = "", text_column: str = "") -> list[Example]:
    """Read the rows of a file as examples without labels, whether or not the file has labels.

    Raises:
        DataError: the file cannot be read, or a row has no text.
    """
    rows = NamedRows(path, ColumnNames(text_column))
    return [_example(row, number, DataError.place(path, number), (), part) for number, row in rows]


def read_labelled(
    files: Sequence[tuple[Path, str]], codebook: Codebook | None = None, options: ReadingOptions = ReadingOptions()
) -> LabelledFiles:
    """Read the examples of several labelled files together, because they share one set of labels.

    Ids come from the column `example_id`, otherwise from `sentence_id` and `document_id`, otherwise from the role of
    the file, row number and text. Renaming a file therefore does not change the ids. A row without `document_id` counts
    as a document of its own. Label cells may contain the names or the titles of labels.

    Args:
        files: paths, each with the role of its file, such as "train". Because of the role, equal rows in two files get
            different ids.
        codebook: the codebook with the labels; None to infer a codebook.

    Raises:
        DataError: a file has no rows with a decision, a row has no text or no label column, a text contains an unpaired
            surrogate, a label is not in the codebook, or an id occurs twice; the message names the file and the row.
        CodebookError: no codebook can be inferred.
    """
    tables = [_Table.read(path, options.columns) for path, _ in files]
    for table in tables:
        # Report a missing text column first: if it is missing, the label column is probably wrong too.
        if not any("text" in row for _, row in table.rows):
            number, first = table.rows[0]
            row_text(first, DataError.place(table.path, number))
    reading = _reading(tables, codebook, options.blank)
    examples = tuple(
        list(_examples(table, part, label_sets))
        for table, (_, part), label_sets in zip(tables, files, reading.label_sets, strict=True)
    )
    for table, own in zip(tables, examples, strict=True):
        if not own:
            raise DataError(
                f"{table.path}: no annotator has decided on any row ({counted(len(table.rows), 'row')}). Fill "
                "in the label "
                "column, or write `none` in the rows to which no label applies."
            )
    return LabelledFiles(reading.codebook, examples, reading.values, (*_table_notes(tables), *reading.notes))


def read_inclusion_probabilities(
    path: Path, part: str = "", options: ReadingOptions = ReadingOptions()
) -> dict[str, float]:
    """Read the column `inclusion_probability` of a labelled file, by example id; empty if there is no such column.

    Raises:
        DataError: the file cannot be read, or a probability is missing or not in (0, 1].
    """
    rows = _Table.read(path, options.columns).rows
    if not any("inclusion_probability" in row for _, row in rows):
        return {}
    found: dict[str, float] = {}
    for number, row in rows:
        place = DataError.place(path, number)
        value = row.get("inclusion_probability")
        try:
            chance = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            chance = float("nan")
        if not 0 < chance <= 1:
            raise DataError(
                f"{place}: `inclusion_probability` must be in (0, 1], not {value!r:.40}. Give the probability with "
                "which the sentence was drawn, or remove the column if it was the same for all sentences."
            )
        found[_identifier(row, part, number, row_text(row, place))] = chance
    return found


def infer_codebook_of(paths: Sequence[Path], options: ReadingOptions = ReadingOptions()) -> Codebook:
    """Infer a codebook from the label values in labelled files; it is named after the first file.

    Raises:
        DataError, CodebookError: see `infer_labels`.
    """
    return infer_labels(paths, options).codebook


def infer_labels(paths: Sequence[Path], options: ReadingOptions = ReadingOptions()) -> LabelReading:
    """Read only the labels of files, without a codebook.

    Raises:
        DataError: a file cannot be read, or some rows have `label` and others `labels`.
        CodebookError: see `labels.codebook.inferred.infer_codebook`.
    """
    tables = [_Table.read(path, options.columns) for path in paths]
    reading = _reading(tables, None, options.blank)
    return replace(reading, notes=(*_table_notes(tables), *reading.notes))


@dataclass(frozen=True)
class _Table:
    """The rows of a file that become examples, with their numbers, and remarks on the file."""

    path: Path
    rows: list[tuple[int, Row]]
    notes: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, columns: ColumnNames) -> _Table:
        named = NamedRows(path, columns)
        counted = counted_rows(path, named)
        if not counted.rows:
            raise DataError(
                f"{path}: the file has no rows. Use a file with the columns `text` and `label` or `labels`."
            )
        return cls(path, counted.rows, (*named.notes, *counted.notes))

    def cells(self) -> Iterator[LabelCell]:
        for number, row in self.rows:
            place = DataError.place(self.path, number)
            column = label_column(row, place)
            yield LabelCell(place, column, row[column], row_state(row))


def _table_notes(tables: Sequence[_Table]) -> Iterator[str]:
    return chain.from_iterable(table.notes for table in tables)


def _reading(tables: Sequence[_Table], codebook: Codebook | None, blank: Blank) -> LabelReading:
    cells = [(str(table.path), list(table.cells())) for table in tables]
    name = tables[0].path.stem.removesuffix(".train").removesuffix(".test")
    columns = {tuple(sorted({"label", "labels"} & row.keys())) for table in tables for _, row in table.rows}
    if codebook is None and {("label",), ("labels",)} <= columns:
        raise DataError(
            f"{tables[0].path}: some rows have the column `label`, others `labels`. Use the same column in all rows."
        )
    return read_labels(cells, codebook, blank=blank, name=name)


def _examples(table: _Table, part: str, label_sets: Sequence[tuple[str, ...] | None]) -> Iterator[Example]:
    rows_by_id: dict[str, int] = {}
    for (number, row), labels in zip(table.rows, label_sets, strict=True):
        if labels is None:
            continue
        place = DataError.place(table.path, number)
        example = _example(row, number, place, labels, part)
        if example.id in rows_by_id:
            earlier = DataError.place(table.path.name, rows_by_id[example.id])
            raise DataError(
                f"{place}: {earlier} already has the id '{example.id}'. "
                "Ids must be unique. Remove or change one of the rows."
            )
        rows_by_id[example.id] = number
        yield example


def _example(row: Row, number: int, place: str, labels: tuple[str, ...], part: str) -> Example:
    text = row_text(row, place)
    if not is_unicode(text):
        raise DataError(f"{place}: `text` contains an unpaired surrogate. Fix or remove the row.")
    identifier = _identifier(row, part, number, text)
    return Example(
        id=identifier,
        document_id=_written(row.get("document_id")) or identifier,
        text=text,
        labels=labels,
        date=_written(row.get("date")),
        synthetic=row.get("synthetic") in (True, "true", "True"),
        metadata=_metadata(row),
    )


_DECISION_COLUMNS = frozenset(
    {"text", "label", "labels", "state", "annotator", "note", "seconds", "created_at", "suggestion", "communique"}
    | {"example_id", "sentence_id", "document_id", "id", "date", "synthetic", "start", "end", "event", "event_id"}
    | {"codebook_hash", "blind", "strategy", "inclusion_probability", "draw_id", "model_id"}
)
"""Columns with the text, its ids and the decision on it, which are no metadata."""
_LONGEST_METADATA = 200
"""Longer values, such as a second text, are no metadata."""


def _metadata(row: Row) -> dict[str, str]:
    """Return the single values of the other columns of a row as text, without missing values."""
    found = {
        name: _written(value)
        for name, value in row.items()
        if name not in _DECISION_COLUMNS and isinstance(value, str | int | float)
    }
    return {name: value for name, value in found.items() if value and len(value) <= _LONGEST_METADATA}


def _identifier(row: Row, part: str, number: int, text: str) -> str:
    if example := _written(row.get("example_id")):
        return example
    if sentence := _written(row.get("sentence_id")):
        # Other tools number sentences within a document, so `sentence_id` alone may not be unique.
        document = _written(row.get("document_id"))
        return f"{document}:{sentence}" if document else sentence
    return row_id(part, number, text)


def _written(value: Any) -> str:
    """Convert an id or a date to text; empty if it is missing. A whole number that is stored as a float loses its `.0`.

    Without this conversion, rows without a document would all belong to one document called "nan" or "NA".
    """
    if is_missing(value):
        return ""
    if isinstance(value, str):
        return value
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def row_id(part: str, number: int, text: str) -> str:
    """Return an id of 16 hex digits for a row without one: a hash of the file's role, row number (from 1) and text."""
    return hashlib.sha256(f"{part}\n{number}\n{text}".encode()).hexdigest()[:16]


# -- the label column

_LABEL_COLUMNS = frozenset({"label", "labels"})


def label_column(row: Row, place: str) -> str:
    """Return the name of the row's label column: `label` or `labels`. If a row has both, it is the column with a value.

    Raises:
        DataError: the row has neither column, or the two columns have different labels.
    """
    present = [column for column in ("labels", "label") if column in row]
    if len(present) == 1:
        return present[0]
    if not present:
        raise DataError(
            f"{place}: the row has neither `label` nor `labels`. Its columns: {', '.join(map(str, row)) or 'none'}. "
            f"{separator_advice(row)}Use `label` for exactly one label, `labels` for any number, or choose the column "
            "with --label-column (in an experiment: data.label_column)."
        )
    filled = [column for column in present if not is_no_value(row[column])] or present
    if len(filled) == 2 and _label_keys(row["label"], place) != _label_keys(row["labels"], place):
        raise DataError(
            f"{place}: the row has both `label` and `labels`, with different labels: {row['label']!r:.60} and "
            f"{row['labels']!r:.60}. Choose one of the columns with --label-column (in an experiment: "
            "data.label_column), or remove the other."
        )
    return filled[0]


def label_cells(rows: Sequence[tuple[str, Row]]) -> Iterator[LabelCell]:
    """Yield the label cells of rows, each with its place, for messages.

    A row without the label column counts as undecided if other rows have the column.

    Raises:
        DataError: see `label_column`.
    """
    some_have = any(not _LABEL_COLUMNS.isdisjoint(row) for _, row in rows)
    for place, row in rows:
        if some_have and _LABEL_COLUMNS.isdisjoint(row):
            yield LabelCell(place, "label", None, row_state(row))
        else:
            column = label_column(row, place)
            yield LabelCell(place, column, row[column], row_state(row))


def _label_keys(value: Any, place: str) -> frozenset[str] | None:
    cell = parse_cell(value, place)
    return None if cell is None else frozenset(map(merge_key, cell.values))
