"""A plain table for spreadsheets and scripts: one decision a row, labels joined by `|`.

Read are tables of anyone's making with `text` and `labels` (or `label`). Without a column `state`, an empty cell of
labels does not say whether anybody looked, and the row is left out.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

from labels.codebook.schema import Codebook
from labels.errors import DataError, did_you_mean
from labels.exchange.decisions import AS_READ, standing_decisions
from labels.exchange.foreign import KEY, ForeignDecision, Reader, batch_of, native_stamps, with_extra
from labels.exchange.lines import Batch, Exported, Line, check_ending
from labels.exchange.tables import (
    UNLABELLED,
    columns_of,
    foreign_columns,
    is_blank,
    split_labels,
    with_foreign_columns,
    write_csv,
)
from labels.records import Annotation, Sentence
from labels.store import Store
from labels.text.examples import SEPARATOR, label_column
from labels.text.rows import Row, read_rows

FORMAT = "csv"
UNIT = "decisions"
LOST = (
    "decisions that were undone or replaced: only what stands is written",
    AS_READ,
    "documents: a sentence goes without the text around it",
    "what records of other formats said beyond the decision",
)
COLUMNS = (
    "text",
    "labels",
    "state",
    "annotator",
    "note",
    "seconds",
    "created_at",
    "suggestion",
    "document_id",
    "sentence_id",
)
_STATES = ("reviewed", "skipped", "unseen")


def read_file(path: Path, codebook: Codebook, annotator: str = "") -> Batch:
    """The decisions of a table; rows that nobody looked at are left out.

    Raises:
        DataError: a row lacks a column or holds a broken cell, or as `Reader.line`; the message names file and row.
    """
    check_ending(path, (".csv",), FORMAT)
    reader = Reader(path, FORMAT, codebook, annotator)
    left_out: Counter[str] = Counter()
    lines: list[Line] = []
    for number, row in read_rows(path):
        place = DataError.place(path, number)
        state = _state(row, place)
        if state == "unseen":
            left_out[UNLABELLED] += 1
        else:
            lines.append(_line(reader, row, state, place))
    return batch_of(path, lines, left_out)


def write_file(store: Store, path: Path, codebook: Codebook, annotator: str = "") -> Exported:
    """Write the decisions that stand (or one annotator's), one a row.

    Raises:
        DataError: the file cannot be written, or `annotator` decided nothing.
        CodebookError: as `labels.gold.resolve`.
    """
    check_ending(path, (".csv",), FORMAT)
    selection = standing_decisions(store, codebook, annotator)
    rows = [
        with_foreign_columns(_row(event, sentence), event, sentence, FORMAT) for event, sentence in selection.decisions
    ]
    write_csv(path, rows, columns_of(rows, COLUMNS))
    return Exported(len(rows), selection.left_out)


def _state(row: Row, place: str) -> Any:
    """What the row says of its state; labels without a state were given by somebody."""
    state = (row.get("state") or "").strip()
    if not state:
        return "unseen" if is_blank(row[label_column(row, place)]) else "reviewed"
    if state not in _STATES:
        near = did_you_mean(state, _STATES)
        raise DataError(f"{place}: `state` is {', '.join(_STATES)}, not '{state}'{near}. Fix the row.")
    return state


def _line(reader: Reader, row: Row, state: Any, place: str) -> Line:
    suggestion = row.get("suggestion")
    decision = ForeignDecision(
        text=row.get("text"),
        state=state,
        labels=split_labels(row[label_column(row, place)], place),
        record={key: value for key, value in row.items() if key != KEY},
        annotator=row.get("annotator") or "",
        created_at=row.get("created_at") or "",
        seconds=_seconds(row, place),
        note=row.get("note") or "",
        suggestion=None if is_blank(suggestion) else split_labels(suggestion, place),
        identifier=row.get("id"),
        metadata=row,
        stored_id=row.get("sentence_id") or "",
    )
    line = reader.line(decision, place, native_stamps(row.get(KEY), place))
    return with_extra(line, FORMAT, foreign_columns(row, _row(line.event, line.sentence), line.sentence))


def _seconds(row: Row, place: str) -> float | None:
    value = row.get("seconds") or ""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise DataError(f"{place}: `seconds` must be a number, not '{value}'. Fix the row or empty the cell.")
    return seconds


def _row(event: Annotation, sentence: Sentence) -> Row:
    return {
        "text": sentence.text,
        "labels": SEPARATOR.join(event.labels),
        "state": event.state,
        "annotator": event.annotator,
        "note": event.note,
        "seconds": event.seconds,
        "created_at": event.created_at,
        "suggestion": SEPARATOR.join(event.suggestion or ()),
        "document_id": sentence.document_id,
        "sentence_id": sentence.id,
    }
