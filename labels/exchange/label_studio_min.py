"""Label Studio's JSON_MIN: one array of flat records, one for each annotation that was not cancelled.

The whole tasks, with skipped ones and predictions, are `labels.exchange.label_studio`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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
    native_stamp,
    native_stamps,
    with_extra,
    with_foreign_fields,
)
from labels.exchange.label_studio import annotator_name, array, read_array
from labels.exchange.lines import Batch, Exported, Line, check_ending
from labels.files import write_whole
from labels.records import Annotation, Sentence
from labels.store import Store
from labels.text.rows import Row

FORMAT = "label-studio-min"
UNIT = "decisions"
LOST = (
    "skipped sentences: this form has no word for them",
    "decisions that were undone or replaced: only what stands is written",
    AS_READ_ALONE,
    "documents: a sentence goes without the text around it",
    "what records of other formats said beyond the decision",
    f"note, suggestion and draw stand only in `{KEY}`, where Label Studio does not look",
)


def read_file(path: Path, codebook: Codebook, annotator: str = "") -> Batch:
    """The decisions of a JSON_MIN file; records of no annotation are left out.

    The labels stand under `label`, or where no record has that, under the one key that holds `{"choices": [...]}`.

    Raises:
        DataError: no record has labels, or as `Reader.line`; the message names file and record.
    """
    records = read_array(path, FORMAT)
    key = _label_key(path, records) if records else "label"
    reader = Reader(path, FORMAT, codebook, annotator)
    left_out: Counter[str] = Counter()
    lines: list[Line] = []
    for number, record in enumerate(records, start=1):
        if key not in record and record.get("annotation_id") is None:
            left_out["tasks without annotation"] += 1
        else:
            lines.append(_line(reader, record, key, DataError.place(path, number)))
    return batch_of(path, lines, left_out)


def write_file(store: Store, path: Path, codebook: Codebook, annotator: str = "") -> Exported:
    """Write the reviewed decisions that stand (or one annotator's), one record each.

    Raises:
        DataError: the file cannot be written, or `annotator` decided nothing.
        CodebookError: as `labels.gold.resolve`.
    """
    check_ending(path, (".json",), FORMAT)
    selection = standing_decisions(store, codebook, annotator, skipped=False)
    write_whole(path, array(_written(event, sentence) for event, sentence in selection.decisions))
    return Exported(len(selection.decisions), selection.left_out)


def _label_key(path: Path, records: Sequence[Row]) -> str:
    if any("label" in record for record in records):
        return "label"
    keys = {
        key for record in records for key, value in record.items() if isinstance(value, dict) and "choices" in value
    }
    if len(keys) != 1:
        found = ", ".join(sorted(keys)) or "none"
        raise DataError(
            f"{path}: no record has a `label`, and the keys with `choices` are: {found}. Rename the one with the "
            "labels to `label`."
        )
    return keys.pop()


def _line(reader: Reader, record: Row, key: str, place: str) -> Line:
    decision = ForeignDecision(
        text=record.get("text"),
        state="reviewed",
        labels=_choices(record.get(key), place),
        record={name: value for name, value in record.items() if name != KEY},
        annotator=annotator_name(record.get("annotator")),
        created_at=str(record.get("created_at") or ""),
        seconds=record.get("lead_time"),
        identifier=record.get("id"),
        metadata=record,
    )
    line = reader.line(decision, place, native_stamps(record.get(KEY), place))
    built = _record(line.event, line.sentence)
    return with_extra(line, FORMAT, foreign_fields(record | {"text": line.sentence.text}, built))


def _choices(value: Any, place: str) -> list[str]:
    """Label names of "A", {"choices": ["A", "B"]}, or a list of these."""
    if isinstance(value, dict):
        value = value.get("choices")
    if value in (None, ""):
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [name for entry in value for name in _choices(entry, place)]
    raise DataError(f'{place}: labels are "A" or {{"choices": ["A", "B"]}}, not {value!r:.80}. Fix the record.')


def _written(event: Annotation, sentence: Sentence) -> Row:
    return with_foreign_fields(_record(event, sentence), extra_of(event, FORMAT)) | {KEY: native_stamp(event, sentence)}


def _record(event: Annotation, sentence: Sentence) -> Row:
    labels = list(event.labels)
    return {
        "text": sentence.text,
        "label": labels[0] if len(labels) == 1 else {"choices": labels},
        "annotator": event.annotator,
        "created_at": event.created_at,
        "lead_time": event.seconds,
    }
