"""Argilla 2's records in their flattened form, as JSONL: one record a sentence, with lists of responses.

The nested form says nothing of a response's status, so it is refused: discarded (skipped) and submitted would be one.
Drafts are no decisions and are left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.exchange.decisions import AS_READ_ALONE, Decision, standing_decisions
from labels.exchange.foreign import (
    KEY,
    ForeignDecision,
    Reader,
    batch_of,
    extra_of,
    foreign_fields,
    json_value,
    label_list,
    native_stamp,
    native_stamps,
    object_at,
    with_extra,
    with_foreign_fields,
)
from labels.exchange.lines import Batch, Exported, Line, check_ending
from labels.files import write_whole
from labels.records import Annotation
from labels.store import Store
from labels.text.rows import Row, read_rows

FORMAT = "argilla"
UNIT = "decisions"
LOST = (
    "decisions that were undone or replaced: only what stands is written",
    AS_READ_ALONE,
    "documents: a sentence goes without the text around it",
    "what records of other formats said beyond the decision",
    f"time, seconds, note and draw stand only in the metadata `{KEY}`, where Argilla does not look",
)
_STATUS = ".responses.status"
_QUESTIONS = ("label", "labels")


def read_file(path: Path, codebook: Codebook, annotator: str = "") -> Batch:
    """The submitted and discarded responses of an Argilla file; drafts and unanswered records are left out.

    Raises:
        DataError: a record is nested, has several questions or a broken response, or as `Reader.line`; the message
            names file and line.
    """
    check_ending(path, (".jsonl",), FORMAT)
    reader = Reader(path, FORMAT, codebook, annotator)
    left_out: Counter[str] = Counter()
    lines: list[Line] = []
    for number, record in read_rows(path):
        lines += _record_lines(reader, record, DataError.place(path, number), left_out)
    return batch_of(path, lines, left_out)


def write_file(store: Store, path: Path, codebook: Codebook, annotator: str = "") -> Exported:
    """Write the decisions that stand (or one annotator's), those on the same sentence in one record.

    Raises:
        DataError: the file cannot be written, or `annotator` decided nothing.
        CodebookError: as `labels.gold.resolve`.
    """
    check_ending(path, (".jsonl",), FORMAT)
    selection = standing_decisions(store, codebook, annotator)
    rows = (_record(decisions, codebook) for decisions in selection.by_sentence())
    write_whole(path, (json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return Exported(len(selection.decisions), selection.left_out)


def _record_lines(reader: Reader, record: Row, place: str, left_out: Counter[str]) -> list[Line]:
    question = _question(record, place)
    responses = _responses(record, question, place) if question else []
    if not responses:
        left_out["unanswered records"] += 1
    lines: list[Line] = []
    values: list[Any] = []
    stamps = native_stamps(record.get(KEY), place)
    for value, user, status in responses:
        if status in ("draft", "pending"):
            left_out["drafts"] += 1
            continue
        # Further decisions than there are stamps are still about that sentence.
        left = stamps or native_stamps(record.get(KEY), place)
        lines.append(reader.line(_foreign_decision(record, question, value, user, status, place), place, left))
        values.append(value)
    if not lines:
        return []
    built = _record([(line.event, line.sentence) for line in lines], reader.codebook, question)
    rest = {key: entry for key, entry in record.items() if not key.startswith(f"{question}.responses")}
    extra: Row = {"record": foreign_fields(rest | {"text": built["text"]}, built)}
    if question != _QUESTIONS[0]:
        extra["question"] = question
    return [_with_extra(line, extra, value, reader.codebook) for line, value in zip(lines, values, strict=True)]


def _with_extra(line: Line, extra: Row, value: Any, codebook: Codebook) -> Line:
    own_value = {} if _value(line.event, codebook) == value else {"value": json_value(value)}
    return with_extra(line, FORMAT, {key: entry for key, entry in extra.items() if entry} | own_value)


def _question(record: Row, place: str) -> str:
    """The question whose responses are read: `label`, `labels`, or the only one; empty where none was answered."""
    if isinstance(record.get("responses"), dict):
        raise DataError(
            f"{place}: this is the nested form, which does not say what was submitted. Export the flattened one: "
            "`dataset.records.to_list(flatten=True)`, one record a line."
        )
    names = [key.removesuffix(_STATUS) for key in record if key.endswith(_STATUS)]
    for name in _QUESTIONS:
        if name in names:
            return name
    if len(names) > 1:
        raise DataError(f"{place}: several questions were asked: {', '.join(names)}. Name the one to read `label`.")
    return names[0] if names else ""


def _responses(record: Row, question: str, place: str) -> list[tuple[Any, str, str]]:
    """(value, user, status) of each response."""
    columns = [record.get(f"{question}.responses{part}") or [] for part in ("", ".users", ".status")]
    if not all(isinstance(column, list) for column in columns) or len({len(column) for column in columns}) != 1:
        raise DataError(
            f"{place}: `{question}.responses`, `.users` and `.status` must be lists of one length. Fix the record."
        )
    return [
        (value, "" if user is None else str(user), str(status)) for value, user, status in zip(*columns, strict=True)
    ]


def _foreign_decision(record: Row, question: str, value: Any, user: str, status: str, place: str) -> ForeignDecision:
    if status not in ("submitted", "discarded"):
        raise DataError(f"{place}: a response is draft, submitted or discarded, not '{status}'. Fix the record.")
    suggestion = record.get(f"{question}.suggestion")
    return ForeignDecision(
        text=record.get("text"),
        state="reviewed" if status == "submitted" else "skipped",
        labels=label_list(value, place) if status == "submitted" else (),
        record=[value, status],
        annotator=user,
        suggestion=None if suggestion is None else label_list(suggestion, place),
        identifier=record.get("id"),
        metadata=record,
    )


def _record(decisions: Sequence[Decision], codebook: Codebook, question: str = "") -> Row:
    (_, sentence), *_ = decisions
    extras = [extra_of(event, FORMAT) for event, _ in decisions]
    question = question or str(next((extra["question"] for extra in extras if "question" in extra), _QUESTIONS[0]))
    built: Row = {"id": sentence.id, "text": sentence.text}
    suggestion = next((event.suggestion for event, _ in decisions if event.suggestion is not None), None)
    if suggestion is not None:
        built[f"{question}.suggestion"] = _shape(suggestion, codebook)
    for extra, (event, _) in zip(extras, decisions, strict=True):
        built = with_foreign_fields(built, object_at(extra, "record", event.event_id))
    values = [extra.get("value", _value(event, codebook)) for extra, (event, _) in zip(extras, decisions, strict=True)]
    return built | {
        f"{question}.responses": values,
        f"{question}.responses.users": [event.annotator for event, _ in decisions],
        f"{question}.responses.status": [
            "discarded" if event.state == "skipped" else "submitted" for event, _ in decisions
        ],
        # Metadata of Argilla are words and numbers, no objects.
        KEY: json.dumps([native_stamp(event, sentence) for event, _ in decisions], ensure_ascii=False),
    }


def _value(event: Annotation, codebook: Codebook) -> Any:
    return None if event.state == "skipped" else _shape(event.labels, codebook)


def _shape(labels: Sequence[str], codebook: Codebook) -> Any:
    """A label question takes one name, a multi-label question a list."""
    if not codebook.exclusive:
        return list(labels)
    return labels[0] if labels else None
