"""doccano's JSONL, and CSV by the file's ending: one text a record with its labels, `A#B` in a cell of CSV.

The annotator is only in the file's name (`ana.jsonl`; `all.jsonl` says nobody's). An empty list of labels stands for a
text that bears none and for one that nobody opened alike, so such records are left out unless they are our own.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.exchange.decisions import AS_READ_ALONE, gold_decisions
from labels.exchange.foreign import (
    KEY,
    ForeignDecision,
    Reader,
    batch_of,
    extra_of,
    foreign_fields,
    label_list,
    native_stamp,
    native_stamps,
    with_extra,
    with_foreign_fields,
)
from labels.exchange.lines import Batch, Exported, Line, check_ending
from labels.exchange.tables import UNLABELLED, columns_of, write_csv
from labels.files import write_whole
from labels.records import Annotation, Sentence
from labels.store import Store
from labels.text.rows import Row, read_rows

FORMAT = "doccano"
UNIT = "decisions"
LOST = (
    "single annotations: a record is a sentence with its gold labels, or one annotator's with --annotator",
    "sentences that were skipped, or on which annotators differ: they have no gold",
    "decisions that were undone or replaced: only what stands is written",
    AS_READ_ALONE,
    "documents: a sentence goes without the text around it",
    "what records of other formats said beyond the decision",
    f"time, seconds, suggestion and draw stand only in `{KEY}`, where doccano does not look",
)
_ENDINGS = (".jsonl", ".csv")
_SEPARATOR = "#"
_EVERYBODY = "all"


def read_file(path: Path, codebook: Codebook, annotator: str = "") -> Batch:
    """The decisions of a doccano file, by `annotator` or the one that the file is named after.

    Raises:
        DataError: a record's labels are no names, or as `Reader.line`; the message names file and row.
    """
    check_ending(path, _ENDINGS, FORMAT)
    fallback = "" if path.stem == _EVERYBODY else path.stem
    reader = Reader(path, FORMAT, codebook, annotator, fallback)
    left_out: Counter[str] = Counter()
    lines: list[Line] = []
    for number, record in read_rows(path):
        place = DataError.place(path, number)
        stamps = native_stamps(record.get(KEY), place)
        labels = _labels(record, place)
        if not labels and not stamps:
            left_out[UNLABELLED] += 1
        else:
            lines.append(_line(reader, record, labels, stamps, place))
    return batch_of(path, lines, left_out)


def write_file(store: Store, path: Path, codebook: Codebook, annotator: str = "") -> Exported:
    """Write the gold labels, or those that one annotator decided on, one sentence a record.

    Raises:
        DataError: the file cannot be written, or `annotator` decided nothing.
        CodebookError: as `labels.gold.resolve`.
    """
    ending = check_ending(path, _ENDINGS, FORMAT)
    selection = gold_decisions(store, codebook, annotator)
    if ending == ".csv":
        rows = [_cells(event, sentence) for event, sentence in selection.decisions]
        write_csv(path, rows, columns_of(rows, ("text", "label")))
    else:
        records = (_written(event, sentence) for event, sentence in selection.decisions)
        write_whole(path, (json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    return Exported(len(selection.decisions), selection.left_out)


def _labels(record: Row, place: str) -> list[str]:
    if "label" not in record:
        found = ", ".join(map(str, record))
        raise DataError(
            f"{place}: there is no `label` in this record. It has: {found}. Rename the one with the labels."
        )
    value = record["label"]
    if isinstance(value, str):
        return [name.strip() for name in value.split(_SEPARATOR) if name.strip()]
    return label_list(value, place)


def _line(reader: Reader, record: Row, labels: list[str], stamps: list[Row], place: str) -> Line:
    comments = _comments(record.get("Comments"))
    decision = ForeignDecision(
        text=record.get("text"),
        state="reviewed",
        labels=labels,
        record={key: value for key, value in record.items() if key != KEY},
        note=_note(comments),
        identifier=record.get("id"),
        metadata=record,
    )
    line = reader.line(decision, place, stamps)
    said = record | {"text": line.sentence.text} | ({"Comments": comments} if "Comments" in record else {})
    return with_extra(line, FORMAT, foreign_fields(said, _record(line.event, line.sentence)))


def _comments(value: Any) -> Any:
    """The comments as they stand in a record, also where they stand in a cell of CSV: as the JSON that we write."""
    if not (isinstance(value, str) and value.startswith("[")):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return found if all(isinstance(comment, str) for comment in found) else value


def _note(comments: Any) -> str:
    if isinstance(comments, list):
        return "\n".join(str(comment) for comment in comments)
    return comments if isinstance(comments, str) else ""


def _record(event: Annotation, sentence: Sentence) -> Row:
    return {
        "text": sentence.text,
        "label": list(event.labels),
        "Comments": [event.note] if event.note else [],
    }


def _written(event: Annotation, sentence: Sentence) -> Row:
    return with_foreign_fields(_record(event, sentence), extra_of(event, FORMAT)) | {KEY: native_stamp(event, sentence)}


def _cells(event: Annotation, sentence: Sentence) -> Row:
    record = _written(event, sentence)
    comments = record.pop("Comments")
    cells = {"label": _SEPARATOR.join(event.labels), KEY: json.dumps(record[KEY], ensure_ascii=False)}
    return record | cells | ({"Comments": comments} if comments else {})
