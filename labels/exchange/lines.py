"""The native line: one annotation event with its sentence, as a row of JSON values, and its validation.

Native JSONL files consist of native lines; records of other formats contain a native line, without its text, as a
stamp. Each format converts its records to lines; `labels.exchange.driver` adds lines to the store.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from labels.codebook.schema import Codebook
from labels.errors import CodebookError, DataError, did_you_mean
from labels.gold import MODEL_CODER
from labels.records import Annotation, Basis, Document, Sentence, sentence_id
from labels.text.rows import Row, is_unicode
from labels.unicode import person_name

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
    "basis": (str,),
    "informed": (bool,),
    "undoes": (str,),
    "draw_id": (str,),
}
COLUMNS = tuple(_TYPES)
"""The columns of a native line, in order."""

_FIELDS = [*fields(Sentence), *fields(Annotation)]
OPTIONAL = frozenset(field.name for field in _FIELDS if field.default is not MISSING and field.name in _TYPES)
"""Columns that may be missing from a line, because the record classes have a default for them."""

_EVENT_COLUMNS = tuple(field.name for field in fields(Annotation) if field.name in _TYPES)
_LONGEST_DOCUMENT = 2**31 - 1  # offsets are 32-bit integers in PostgreSQL
# An undo has no state, and an adjudicator cannot skip a sentence. A model that gave no readable answer skipped it.
_STATES: dict[str, tuple[str | None, ...]] = {
    "annotate": ("reviewed", "skipped", "not_a_sentence"),
    "adjudicate": ("reviewed", "not_a_sentence"),
    "undo": (None,),
    "model": ("reviewed", "skipped"),
}


@dataclass(frozen=True)
class Line:
    """One event and its sentence.

    - `document`: set if the text is new and not a sentence exported by communique
    - `place`: the file and the row, for messages
    - `stored_id`: id of a stored sentence, which replaces `sentence` if their texts are equal
    - `must_be_stored`: the stored sentence is required, and `sentence` has no text
    - `asked_at`: for the answer to a task, the time of the answer or, without one, of the task; empty for others
    - `event_parts`: JSON values that determine the id of the event, together with the sentence; None if the file has
      the id
    """

    event: Annotation
    sentence: Sentence
    document: Document | None = None
    place: str = ""
    stored_id: str = ""
    must_be_stored: bool = False
    asked_at: str = ""
    event_parts: tuple[Any, ...] | None = None

    def about(self, sentence: Sentence) -> Line:
        """The same line for another sentence, such as the stored sentence with the same text."""
        return replace(self, event=replace(self.event, sentence_id=sentence.id), sentence=sentence)

    def with_event_id(self, ids: Sequence[str], taken: dict[str, str], path: Path) -> Line:
        """The line with the id of the same event in the store, or with an id that no other event has.

        Args:
            ids: the result of `event_ids` for the line as it was read.
            taken: event id -> sentence id, for the events in the store and for earlier lines; extended by this line.
            path: the file of the line.
        """
        sentence = self.event.sentence_id
        # An id that an earlier release would have given is kept, unless the id depends on the name of the file.
        by_file = self.document is not None and self.document.source == path.name
        preferred = [self.event.event_id, *ids] if by_file else [*ids, self.event.event_id]
        known = (one for one in preferred if taken.get(one) == sentence)
        free = (one for one in preferred if one not in taken)
        chosen = next(known, None) or next(free, self.event.event_id)
        taken.setdefault(chosen, sentence)
        return replace(self, event=replace(self.event, event_id=chosen))

    def event_ids(self, stored: Sentence) -> list[str]:
        """The ids that any release may have given to the event.

        Args:
            stored: the sentence under its id in the store.
        """
        if self.event_parts is None:
            return [self.event.event_id]
        span = (self.sentence.start, self.sentence.end)
        former = self.document.former_ids if self.document else ()
        sentences = [*(sentence_id(document, *span) for document in former), self.sentence.id, stored.id]
        return [event_id(sentence, self.event_parts) for sentence in dict.fromkeys(sentences)]


def event_id(sentence: str, parts: Sequence[Any]) -> str:
    """32 hex digits that identify an event from another tool by its sentence and content.

    Args:
        parts: the name of the format, the annotator, and the JSON values that distinguish the decision.
    """
    # The id must never change between releases; otherwise, a second import would add all records again.
    return hashlib.sha256(canonical_json([*parts[:2], sentence, *parts[2:]]).encode()).hexdigest()[:32]


def canonical_json(value: Any) -> str:
    """Convert a value to JSON that is the same for equal values."""
    # Keys are sorted because tools do not keep their order.
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


@dataclass(frozen=True)
class UnseenLine:
    """A sentence on which nobody decided in the file, counted by `reason`; the other attributes are as in `Line`."""

    reason: str
    sentence: Sentence
    document: Document | None = None
    place: str = ""
    stored_id: str = ""


def format_line(line: Line) -> Row:
    """Convert a line to a row with the columns in `COLUMNS`, in order."""
    values: Row = {field.name: getattr(line.sentence, field.name) for field in fields(Sentence)}
    values |= {field.name: getattr(line.event, field.name) for field in fields(Annotation)}
    values["labels"] = list(line.event.labels)
    values["suggestion"] = None if line.event.suggestion is None else list(line.event.suggestion)
    values["extra"] = None if line.event.extra is None else dict(line.event.extra)
    # Earlier releases do not know these columns.
    return {column: values[column] for column in COLUMNS if column not in ("undoes", "draw_id") or values[column]}


def parse_line(row: Row, place: str, codebook: Codebook) -> Line:
    """Convert a row with the columns in `COLUMNS` to a line; other columns are ignored.

    Raises:
        DataError: a column is missing or has the wrong type, a value cannot be stored, the id does not match the span,
            or a label is not in the codebook; the message starts with `place` and names the column.
    """
    _check_types(row, place)
    _check_decision(row, place)
    _check_storable(row, place)
    synthetic = row.get("synthetic", False)
    sentence = Sentence(row["document_id"], row["start"], row["end"], row["text"], synthetic=synthetic)
    # The id is a hash of document and span, so this check detects edited offsets.
    if sentence.id != row["sentence_id"]:
        raise DataError(
            f"{place}: sentence_id '{row['sentence_id']}' does not match document_id, start and end "
            f"('{sentence.id}'). The line was altered: export the file again."
        )
    try:
        labels = codebook.check_labels(row["labels"], place) if row["state"] == "reviewed" else ()
    except CodebookError as error:
        raise DataError(str(error)) from None
    values: dict[str, Any] = {column: row[column] for column in _EVENT_COLUMNS if column in row}
    values["labels"] = labels
    values["annotator"] = person_name(row["annotator"], place)
    # Null (no model was asked) differs from an empty list (a model suggested no label).
    if values.get("suggestion") is not None:
        values["suggestion"] = tuple(values["suggestion"])
    return Line(Annotation(**values), sentence, place=place)


def check_measures(event: Annotation, place: str) -> None:
    """Check the time and the duration of a decision that is new to the store.

    Not part of `parse_line`, because stores and exports of earlier versions may contain invalid values.

    Raises:
        DataError: `created_at` is not a time in ISO 8601, or `seconds` is negative.
    """
    try:
        datetime.fromisoformat(event.created_at)
    except ValueError:
        raise DataError(
            f"{place}: `created_at` must be a time such as 2026-01-31T10:00:00+00:00, not '{event.created_at:.40}'. "
            "Fix the value."
        ) from None
    if (event.seconds or 0) < 0:
        raise DataError(
            f"{place}: the seconds that a decision took (`seconds` or `lead_time`) must not be negative, but they are "
            f"{event.seconds}. Fix the value."
        )


def _check_types(row: Row, place: str) -> None:
    for column, expected in _TYPES.items():
        if column not in row and column not in OPTIONAL:
            near = did_you_mean(column, row)
            raise DataError(f"{place}: column `{column}` is missing{near}. A native line has: {', '.join(COLUMNS)}.")
        # Do not use isinstance: True is an int in Python, but not a valid offset.
        if column in row and type(row[column]) not in expected:
            names = " or ".join(kind.__name__.replace("NoneType", "null") for kind in expected)
            raise DataError(f"{place}: `{column}` must be {names}, not {type(row[column]).__name__}. Fix the line.")


def _check_decision(row: Row, place: str) -> None:
    allowed = _STATES.get(row["event"])
    if allowed is None:
        raise DataError(f"{place}: `event` must be {' or '.join(_STATES)}, not '{row['event']}'. Fix the line.")
    if row["state"] not in allowed:
        raise DataError(
            f"{place}: `state` must be {' or '.join(map(str, allowed))} for the event '{row['event']}', "
            f"not '{row['state']}'. Fix the line."
        )
    if row["event"] != "undo" and row["annotator"].startswith(MODEL_CODER) != (row["event"] == "model"):
        raise DataError(
            f"{place}: names that begin with '{MODEL_CODER}' belong to language models, whose events are always of the "
            f"kind 'model', but '{row['annotator']}' has an event of the kind '{row['event']}'. Fix the name or the "
            "kind."
        )
    if row["labels"] and row["state"] != "reviewed":
        raise DataError(f"{place}: `state` {row['state']} allows no labels, but the line has labels. Fix the line.")
    if row.get("basis", "") not in get_args(Basis):
        listed = ", ".join(f"'{basis}'" for basis in get_args(Basis))
        raise DataError(f"{place}: `basis` must be one of {listed}, not '{row['basis']}'. Fix the line.")
    for name in ("labels", "suggestion"):
        for label in row.get(name) or ():
            if not isinstance(label, str):
                raise DataError(f"{place}: `{name}` must contain label names (strings), not {label!r}. Fix the line.")
    probability = row.get("inclusion_probability")
    if probability is not None and not 0 < probability <= 1:
        raise DataError(f"{place}: `inclusion_probability` must be in (0, 1], not {probability}. Fix the line.")


def _check_storable(row: Row, place: str) -> None:
    """Reject values that JSON allows but a database cannot store."""
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
