"""What the formats that are tables share: cells, columns, and the reading and writing of rows with gold labels."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labels.errors import DataError
from labels.exchange.decisions import Decision
from labels.exchange.foreign import (
    KEY,
    ForeignDecision,
    Reader,
    batch_of,
    extra_of,
    json_value,
    label_list,
    native_stamp,
    native_stamps,
    with_extra,
)
from labels.exchange.lines import Batch, Line
from labels.files import whole_file, write_whole
from labels.records import Annotation, Sentence
from labels.text.examples import SEPARATOR, label_column
from labels.text.rows import Row

if TYPE_CHECKING:
    import pyarrow as pa

UNLABELLED = "rows without labels"
"""What tables leave out: their empty cell does not say whether anybody looked."""


def read_gold(reader: Reader, path: Path, format: str, rows: Iterable[tuple[int, Row]]) -> Batch:
    """The lines of rows with one element each: `text`, `label` or `labels`, and what else there is.

    Raises:
        DataError: a row lacks a column, or as `Reader.line`; the message names file and row.
    """
    left_out: Counter[str] = Counter()
    lines: list[Line] = []
    for number, row in rows:
        place = DataError.place(path, number)
        stamps = native_stamps(row.get(KEY), place)
        value = row[label_column(row, place)]
        if is_blank(value) and not stamps:
            left_out[UNLABELLED] += 1
        else:
            lines.append(_gold_line(reader, row, split_labels(value, place), stamps, place, format))
    return batch_of(path, lines, left_out)


def _gold_line(reader: Reader, row: Row, labels: list[str], stamps: list[Row], place: str, format: str) -> Line:
    identifier = row.get("id")
    decision = ForeignDecision(
        text=row.get("text"),
        state="reviewed",
        labels=labels,
        record={key: json_value(value) for key, value in row.items() if key != KEY},
        identifier=identifier,
        metadata=row,
        stored_id=str(row.get("sentence_id") or identifier or ""),
    )
    line = reader.line(decision, place, stamps)
    return with_extra(
        line, format, foreign_columns(row, gold_row(line.event, line.sentence, exclusive=False), line.sentence)
    )


def gold_row(event: Annotation, sentence: Sentence, *, exclusive: bool) -> Row:
    """The columns of one element: `label` (one name or null) or `labels` (a list), with the ids that splits need."""
    labels: Row = {"labels": list(event.labels)}
    if exclusive:
        labels = {"label": event.labels[0] if event.labels else None}
    return {"text": sentence.text} | labels | {"document_id": sentence.document_id, "sentence_id": sentence.id}


def gold_rows(decisions: Iterable[Decision], format: str, *, exclusive: bool) -> list[Row]:
    """`gold_row` of each decision, with what its format said beyond and its stamp."""
    rows = ((event, sentence, gold_row(event, sentence, exclusive=exclusive)) for event, sentence in decisions)
    return [with_foreign_columns(row, event, sentence, format) for event, sentence, row in rows]


def is_blank(value: Any) -> bool:
    """Whether a cell says nothing: null, or a text of white space; an empty list says "none"."""
    return value is None or (isinstance(value, str) and not value.strip())


def split_labels(value: Any, place: str) -> list[str]:
    """Label names of a cell: `a|b`, one name or number, or a list."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(SEPARATOR) if name.strip()]
    if isinstance(value, int) and not isinstance(value, bool):
        return [str(value)]
    return label_list(value, place)


def foreign_columns(row: Mapping[str, Any], built: Mapping[str, Any], sentence: Sentence) -> Row:
    """The columns of a row that we have no word for, and the tool's own id; empty cells say nothing."""
    ours = {*built, KEY, "label", "labels"}
    rest = {key: json_value(value) for key, value in row.items() if key not in ours and value not in (None, "")}
    return {key: value for key, value in rest.items() if value is not None and (key, value) != ("id", sentence.id)}


def with_foreign_columns(built: Row, event: Annotation, sentence: Sentence, format: str) -> Row:
    """The row with the tool's own columns and the stamp of its decision, as JSON text."""
    extra = {key: value for key, value in extra_of(event, format).items() if key not in built or key == "id"}
    return built | extra | {KEY: json.dumps(native_stamp(event, sentence), ensure_ascii=False)}


def columns_of(rows: Sequence[Row], first: Sequence[str]) -> list[str]:
    """The columns of a table: `first`, then the others as they occur, the stamp last."""
    names = dict.fromkeys([*first, *(name for row in rows for name in row)])
    return [*(name for name in names if name != KEY), KEY]


def cell(value: Any) -> str:
    """A value as a cell of CSV: text as it is, null as nothing, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def write_csv(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Write a CSV file whole.

    Raises:
        DataError: it cannot be written there.
    """
    write_whole(path, _csv_lines(rows, columns))


def _csv_lines(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[str]:
    for values in ({name: name for name in columns}, *rows):
        buffer = io.StringIO(newline="")
        # The end of a line after RFC 4180; it also makes the writer put quotes around a lone carriage return.
        csv.writer(buffer, lineterminator="\r\n").writerow([cell(values.get(name)) for name in columns])
        yield buffer.getvalue()


def write_parquet(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Write a Parquet file whole.

    Raises:
        DataError: it cannot be written there.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: arrow_column([row.get(name) for row in rows]) for name in columns})
    with whole_file(path) as draft:
        pq.write_table(table, draft)


def arrow_column(values: Sequence[Any]) -> pa.Array:
    """The values as a column; as cells of text where they are not all of one type."""
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return pa.array([None if value is None else cell(value) for value in values])
