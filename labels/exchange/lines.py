"""The native line: one annotation event with its sentence, as a row of JSON values, checked before it is believed.

Native JSONL files consist of such lines; records of other formats carry one of them, without its text, as a stamp.
How records become lines is the business of each format, and how lines enter the store that of
`labels.exchange.driver`.
"""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, dataclass, fields
from typing import Any

from labels.codebook.schema import Codebook
from labels.errors import CodebookError, DataError, did_you_mean
from labels.records import Annotation, Document, Sentence
from labels.text.rows import Row, is_unicode

_TYPES: dict[str, tuple[type, ...]] = {
    "event_id": (str,),
    "sentence_id": (str,),
    "document_id": (str,),
    "start": (int,),
    "end": (int,),
    "text": (str,),
    "annotator": (str,),
    "event": (str,),
    "state": (str, type(None)),
    "labels": (list,),
    "note": (str,),
    "seconds": (int, float, type(None)),
    "codebook_hash": (str,),
    "suggestion": (list, type(None)),
    "blind": (bool,),
    "strategy": (str,),
    "inclusion_probability": (int, float, type(None)),
    "created_at": (str,),
    "synthetic": (bool,),
    "extra": (dict, type(None)),
}
COLUMNS = tuple(_TYPES)
"""The columns of a native line, in their order."""

_FIELDS = [*fields(Sentence), *fields(Annotation)]
OPTIONAL = frozenset(field.name for field in _FIELDS if field.default is not MISSING and field.name in _TYPES)
"""Columns that a line may lack: those for which our records have a default."""

_EVENT_COLUMNS = tuple(field.name for field in fields(Annotation) if field.name in _TYPES)
_LONGEST_DOCUMENT = 2**31 - 1  # offsets are 32-bit integers in PostgreSQL
# An undo decides nothing, and an adjudicator cannot skip.
_STATES: dict[str, tuple[str | None, ...]] = {
    "annotate": ("reviewed", "skipped"),
    "adjudicate": ("reviewed",),
    "undo": (None,),
}


@dataclass(frozen=True)
class Line:
    """One event and the sentence that it is about.

    `document` is set where the file brought a text of its own, rather than a sentence of ours. `stored_id` names a
    sentence of the store that the line may be about instead; with `must_be_stored` it has to be, and `sentence` has no
    text. `place` is the file and the row.
    """

    event: Annotation
    sentence: Sentence
    document: Document | None = None
    place: str = ""
    stored_id: str = ""
    must_be_stored: bool = False


def format_line(line: Line) -> Row:
    """The line as a row with the columns of `COLUMNS`, in their order."""
    values: Row = {field.name: getattr(line.sentence, field.name) for field in fields(Sentence)}
    values |= {field.name: getattr(line.event, field.name) for field in fields(Annotation)}
    values["labels"] = list(line.event.labels)
    values["suggestion"] = None if line.event.suggestion is None else list(line.event.suggestion)
    values["extra"] = None if line.event.extra is None else dict(line.event.extra)
    return {column: values[column] for column in COLUMNS}


def parse_line(row: Row, place: str, codebook: Codebook) -> Line:
    """The line that a row with the columns of `COLUMNS` holds; other columns are ignored.

    Raises:
        DataError: a column is missing or of the wrong type, a value cannot be stored, the id does not fit the span,
            or the codebook lacks a label; the message starts with `place` and names the column.
    """
    _check_types(row, place)
    _check_decision(row, place)
    _check_storable(row, place)
    synthetic = row.get("synthetic", False)
    sentence = Sentence(row["document_id"], row["start"], row["end"], row["text"], synthetic=synthetic)
    # The id is a hash of document and span, so a line whose offsets were edited is found here.
    if sentence.id != row["sentence_id"]:
        raise DataError(
            f"{place}: sentence_id '{row['sentence_id']}' does not match document_id, start and end "
            f"('{sentence.id}'). The line was altered; export it again."
        )
    try:
        labels = codebook.check_labels(row["labels"], place) if row["state"] == "reviewed" else ()
    except CodebookError as error:
        raise DataError(str(error)) from None
    values: dict[str, Any] = {column: row[column] for column in _EVENT_COLUMNS if column in row}
    values["labels"] = labels
    # Null stays null: no model was asked, which differs from a model that suggested none.
    if values.get("suggestion") is not None:
        values["suggestion"] = tuple(values["suggestion"])
    return Line(Annotation(**values), sentence, place=place)


def _check_types(row: Row, place: str) -> None:
    for column, expected in _TYPES.items():
        if column not in row and column not in OPTIONAL:
            near = did_you_mean(column, row)
            raise DataError(f"{place}: column `{column}` is missing{near}. A native line has: {', '.join(COLUMNS)}.")
        # Not isinstance: true is an int in Python, and no offset.
        if column in row and type(row[column]) not in expected:
            names = " or ".join(kind.__name__.replace("NoneType", "null") for kind in expected)
            raise DataError(f"{place}: `{column}` must be {names}, not {type(row[column]).__name__}. Fix the line.")


def _check_decision(row: Row, place: str) -> None:
    allowed = _STATES.get(row["event"])
    if allowed is None:
        raise DataError(f"{place}: `event` must be {' or '.join(_STATES)}, not '{row['event']}'. Fix the line.")
    if row["state"] not in allowed:
        raise DataError(
            f"{place}: `state` of an event '{row['event']}' must be {' or '.join(map(str, allowed))}, "
            f"not '{row['state']}'. Fix the line."
        )
    if row["labels"] and row["state"] != "reviewed":
        raise DataError(f"{place}: `state` {row['state']} allows no labels, but the line has some. Fix the line.")
    for name in ("labels", "suggestion"):
        for label in row.get(name) or ():
            if not isinstance(label, str):
                raise DataError(f"{place}: `{name}` must hold label names (strings), not {label!r}. Fix the line.")
    probability = row.get("inclusion_probability")
    if probability is not None and not 0 < probability <= 1:
        raise DataError(f"{place}: `inclusion_probability` must be in (0, 1], not {probability}. Fix the line.")


def _check_storable(row: Row, place: str) -> None:
    """Refuse what JSON can write and no database can hold."""
    if not 0 <= row["start"] <= row["end"] <= _LONGEST_DOCUMENT:
        raise DataError(
            f"{place}: `start` and `end` must be offsets, 0 <= start <= end, "
            f"not {row['start']} and {row['end']}. Fix the line."
        )
    for column in ("seconds", "inclusion_probability"):
        if row.get(column) is not None and not math.isfinite(row[column]):
            raise DataError(f"{place}: `{column}` must be a finite number or null, not {row[column]}. Fix the line.")
    for column in COLUMNS:
        value = row.get(column)
        if isinstance(value, list | dict):
            try:
                value = json.dumps(value, ensure_ascii=False, allow_nan=False)
            except ValueError:
                raise DataError(f"{place}: `{column}` contains a number that is not finite. Fix the line.") from None
        if isinstance(value, str) and not is_unicode(value):
            raise DataError(f"{place}: `{column}` contains an unpaired surrogate. Fix the line.")
