"""Prodigy's JSONL: one answer a line, of the `choice` interface or of the binary one.

Written are `choice` records. Read are both: `ignore` is skipped, `accept` with nothing chosen is "reviewed, none". A
rejected `choice` does not say what the labels are, so it counts as skipped. The binary records of one annotator on one
text become one decision: it is reviewed once any of them was accepted or rejected, its labels are those accepted, and
of two answers to the same label the later one counts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.exchange.decisions import AS_READ_ALONE, standing_decisions
from labels.exchange.foreign import (
    KEY,
    ForeignDecision,
    Reader,
    batch_of,
    extra_of,
    foreign_fields,
    json_value,
    native_stamp,
    native_stamps,
    object_at,
    with_extra,
    with_foreign_fields,
)
from labels.exchange.lines import Batch, Exported, Line, check_ending
from labels.files import write_whole
from labels.records import Annotation, Sentence
from labels.store import Store
from labels.text.rows import Row, read_rows

FORMAT = "prodigy"
UNIT = "decisions"
LOST = (
    "decisions that were undone or replaced: only what stands is written",
    AS_READ_ALONE,
    "documents: a sentence goes without the text around it",
    "what records of other formats said beyond the decision",
    f"note, seconds, suggestion and draw stand only in `meta.{KEY}`, where Prodigy does not look",
)
_ANSWERS = ("accept", "reject", "ignore")

Placed = tuple[str, Row]
"""A record with its file and line."""


def read_file(path: Path, codebook: Codebook, annotator: str = "") -> Batch:
    """The decisions of a Prodigy file; records without an answer are left out.

    Raises:
        DataError: a record is neither a choice nor a binary one, or as `Reader.line`; the message names file and line.
    """
    check_ending(path, (".jsonl",), FORMAT)
    reader = Reader(path, FORMAT, codebook, annotator)
    left_out: Counter[str] = Counter()
    groups: dict[tuple[Any, ...], list[Placed]] = {}
    for number, row in read_rows(path):
        place = DataError.place(path, number)
        if row.get("answer") is None:
            left_out["unanswered records"] += 1
            continue
        if row["answer"] not in _ANSWERS:
            raise DataError(f"{place}: `answer` is {', '.join(_ANSWERS)}, not {row['answer']!r}. Fix the record.")
        groups.setdefault(_group(row, number, place), []).append((place, row))
    lines = [_line(reader, records) for records in groups.values()]
    return batch_of(path, lines, left_out)


def write_file(store: Store, path: Path, codebook: Codebook, annotator: str = "") -> Exported:
    """Write the decisions that stand (or one annotator's) as choice records, binary ones as they came.

    Raises:
        DataError: the file cannot be written, or `annotator` decided nothing.
        CodebookError: as `labels.gold.resolve`.
    """
    check_ending(path, (".jsonl",), FORMAT)
    selection = standing_decisions(store, codebook, annotator)
    rows = (row for event, sentence in selection.decisions for row in _records(event, sentence, codebook))
    write_whole(path, (json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return Exported(len(selection.decisions), selection.left_out)


def _is_choice(row: Row) -> bool:
    return "options" in row or "accept" in row


def _group(row: Row, number: int, place: str) -> tuple[Any, ...]:
    """What binary records share that are about the same text by the same annotator; a choice stands alone."""
    if _is_choice(row):
        return (number,)
    if not isinstance(row.get("label"), str):
        raise DataError(f"{place}: there is neither `accept` nor `label` in this record. Fix or remove it.")
    stamps = native_stamps(object_at(row, "meta", place).get(KEY), place)
    text = stamps[0].get("sentence_id") if stamps else row.get("_input_hash") or row.get("text")
    return (_annotator(row), str(text))


def _line(reader: Reader, records: Sequence[Placed]) -> Line:
    place, first = records[0]
    meta = object_at(first, "meta", place)
    choice = _is_choice(first)
    rows = [row for _, row in records]
    answers = {row["answer"] for row in rows}
    reviewed = answers == {"accept"} if choice else answers != {"ignore"}
    labels = _chosen(first, reader.codebook, place) if choice else _accepted(rows)
    decision = ForeignDecision(
        text=first.get("text"),
        state="reviewed" if reviewed else "skipped",
        labels=labels if reviewed else (),
        record=[_without_stamp(row) for row in rows],
        annotator=_annotator(first),
        created_at=max(_time(row) for row in rows),
        identifier=first.get("_input_hash"),
        metadata=meta,
    )
    line = reader.line(decision, place, native_stamps(meta.get(KEY), place))
    if choice:
        built = _choice(line.event, line.sentence, reader.codebook)
        return with_extra(line, FORMAT, foreign_fields(first | {"text": built["text"]}, built))
    binary = [{key: json_value(value) for key, value in _without_stamp(row).items() if key != "text"} for row in rows]
    return with_extra(line, FORMAT, {"binary": binary})


def _without_stamp(row: Row) -> Row:
    meta = row.get("meta")
    if not isinstance(meta, dict) or KEY not in meta:
        return row
    return row | {"meta": {key: value for key, value in meta.items() if key != KEY}}


def _annotator(row: Row) -> str:
    names = (row.get("_annotator_id"), row.get("_session_id"))
    return next((str(name) for name in names if name not in (None, "")), "")


def _chosen(row: Row, codebook: Codebook, place: str) -> list[str]:
    """Label names of the accepted options, whose ids may be numbers: then the option's text is the name or title."""
    accepted, options = row.get("accept") or [], row.get("options") or []
    if not isinstance(accepted, list) or not isinstance(options, list):
        raise DataError(f"{place}: `accept` and `options` must be lists. Fix the record.")
    titles = {label.title: label.name for label in codebook.labels if label.title}
    names = dict.fromkeys(codebook.label_names)
    found: dict[str, str] = {}
    for option in options:
        if not isinstance(option, dict) or "id" not in option:
            raise DataError(f"{place}: an option must be an object with an `id`, not {option!r:.80}. Fix the record.")
        identifier, text = str(option["id"]), str(option.get("text", option["id"]))
        found[identifier] = identifier if identifier in names else titles.get(text, text)
    return [found.get(str(identifier), str(identifier)) for identifier in accepted]


def _accepted(rows: Sequence[Row]) -> list[str]:
    answers = {row["label"]: row["answer"] for row in rows if row["answer"] != "ignore"}
    return [label for label, answer in answers.items() if answer == "accept"]


def _time(row: Row) -> str:
    """The record's time, ISO 8601 in UTC; empty where it has none."""
    seconds = row.get("_timestamp")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return ""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
    except (OverflowError, ValueError, OSError):
        return ""


def _timestamp(created_at: str) -> int | None:
    try:
        moment = datetime.fromisoformat(created_at)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _records(event: Annotation, sentence: Sentence, codebook: Codebook) -> Iterator[Row]:
    extra = extra_of(event, FORMAT)
    ours = {"meta": {KEY: native_stamp(event, sentence)}}
    if isinstance(extra.get("binary"), list):
        for record in extra["binary"]:
            yield with_foreign_fields({"text": sentence.text, "_annotator_id": event.annotator} | record, ours)
    else:
        yield with_foreign_fields(with_foreign_fields(_choice(event, sentence, codebook), extra), ours)


def _choice(event: Annotation, sentence: Sentence, codebook: Codebook) -> Row:
    timestamp = _timestamp(event.created_at)
    return {
        "text": sentence.text,
        "options": [{"id": label.name, "text": label.title or label.name} for label in codebook.labels],
        "accept": list(event.labels),
        "answer": "ignore" if event.state == "skipped" else "accept",
        "config": {"choice_style": "single" if codebook.exclusive else "multiple"},
        "_view_id": "choice",
        "_annotator_id": event.annotator,
        **({} if timestamp is None else {"_timestamp": timestamp}),
        "meta": {},
    }
