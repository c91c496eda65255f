"""doccano's JSONL, or CSV by the file's ending: one text a record with its labels, `A#B` in a cell of CSV.

Only the file's name tells the annotator (`ana.jsonl`; `all.jsonl` holds everyone's). An empty list of labels means
both "reviewed, none" and "never opened", so such records are left out unless they are our own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.exchange.decisions import Selection
from labels.exchange.formats import Content, Format, Placed
from labels.exchange.lines import Line
from labels.exchange.records import (
    KEY,
    ForeignDecision,
    Reader,
    extra_of,
    label_list,
    native_stamp,
    native_stamps,
    with_foreign_fields,
)
from labels.exchange.tables import UNLABELLED
from labels.records import Annotation, Sentence
from labels.text.rows import Row

_SEPARATOR = "#"
_EVERYONE = "all"


class Doccano(Format):
    """doccano's records."""

    name = "doccano"
    endings = (".jsonl", ".csv")
    carries = "gold"
    not_written = (f"time, seconds, suggestion and draw are only in `{KEY}`, which doccano ignores",)
    not_read = ("records with no labels, unless exported from here: they may never have been opened",)

    def default_annotator(self, path: Path) -> str:
        """The name of the file, unless it holds everyone's records."""
        return "" if path.stem == _EVERYONE else path.stem

    def columns(self, codebook: Codebook) -> Sequence[str]:
        """Those of doccano."""
        return ("text", "label")

    def parse(self, records: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """The decisions on labelled records."""
        for place, record in records:
            stamps = native_stamps(record.get(KEY), place)
            labels = _labels(record, place)
            if labels or stamps:
                yield _line(reader, record, labels, stamps, place)
            else:
                yield UNLABELLED

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """The gold labels, one sentence a record; in CSV joined, and comments only where there are any."""
        for event, sentence in selection.decisions:
            record = with_foreign_fields(_record(event, sentence), extra_of(event, self.name))
            record[KEY] = native_stamp(event, sentence)
            if ending == ".csv":
                record["label"] = _SEPARATOR.join(event.labels)
                if not record["Comments"]:
                    del record["Comments"]
            yield record


DOCCANO = Doccano()


def _labels(record: Row, place: str) -> list[str]:
    if "label" not in record:
        found = ", ".join(map(str, record))
        raise DataError(
            f"{place}: this record has no `label`. It has: {found}. Rename the one with the labels to `label`."
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
        record=record,
        note=_note(comments),
        identifier=record.get("id"),
        metadata=record,
    )
    line = reader.line(decision, place, stamps)
    parsed = {"Comments": comments} if "Comments" in record else {}
    return reader.with_record(line, record | parsed, _record(line.event, line.sentence))


def _comments(value: Any) -> Any:
    """The comments of a record; a cell of CSV holds the list as the JSON that we write."""
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
