"""doccano's JSONL or CSV, chosen by file extension: one text per record with its labels (`A#B` in a CSV cell).

Only the file name identifies the annotator (`ana.jsonl`; `all.jsonl` has the records of all annotators). An empty list
of labels can mean "reviewed, none" or "never opened", so unlabelled records are left out unless communique wrote them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.exchange.decisions import Selection
from labels.exchange.foreign import KEY, ForeignDecision, LeftOut, Reader, label_list
from labels.exchange.formats import RecordFormat
from labels.exchange.tabular import UNLABELLED
from labels.records import Annotation, Sentence
from labels.text.rows import Row

_SEPARATOR = "#"  # doccano's separator of labels in CSV cells
_EVERYONE = "all"


class Doccano(RecordFormat):
    """Records of doccano."""

    name = "doccano"
    endings = (".jsonl", ".csv")
    carries = "gold"
    not_written = (f"time, seconds, suggestion and draw: they are only in `{KEY}`, which doccano ignores",)
    not_read = ("records without labels, unless exported by communique: they may never have been opened",)

    def default_annotator(self, path: Path) -> str:
        """The stem of the file name; empty for a file with the records of all annotators."""
        return "" if path.stem == _EVERYONE else path.stem

    def columns(self, codebook: Codebook) -> Sequence[str]:
        """The columns of doccano."""
        return ("text", "label")

    def decide(self, record: Row, place: str, reader: Reader, *, ours: bool) -> ForeignDecision | LeftOut:
        """The decision in a labelled record."""
        labels = _labels(record, place)
        # A stamp shows that an annotator decided on no label.
        if not labels and not ours:
            return UNLABELLED
        return ForeignDecision.of(record, "reviewed", labels, note=_note(_comments(record.get("Comments"))))

    def record(self, event: Annotation, sentence: Sentence, codebook: Codebook) -> Row:
        """Build a doccano record, with the note as a comment."""
        comments = [event.note] if event.note else []
        return {"text": sentence.text, "label": list(event.labels), "Comments": comments}

    def beyond(self, record: Row, built: Row) -> Row:
        """The fields that differ from `built`; comments in a CSV cell are compared as a list."""
        return super().beyond({key: _comments(v) if key == "Comments" else v for key, v in record.items()}, built)

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """Build one record per sentence with its gold labels.

        In CSV, labels are joined, and the column of comments is only written if there are comments.
        """
        for record in super().build(selection, ending):
            if ending == ".csv":
                record["label"] = _SEPARATOR.join(record[KEY]["labels"])
                if comments := record.pop("Comments"):
                    record["Comments"] = comments  # placed after the tool's own columns
            yield record


DOCCANO = Doccano()


def _labels(record: Row, place: str) -> list[str]:
    if "label" not in record:
        found = ", ".join(map(str, record))
        raise DataError(
            f"{place}: this record has no key `label`, only: {found}. Rename the key with the labels to `label`."
        )
    value = record["label"]
    if isinstance(value, str):
        return [name.strip() for name in value.split(_SEPARATOR) if name.strip()]
    return label_list(value, place)


def _comments(value: Any) -> Any:
    """The comments of a record; in a CSV cell, the comments are a list in JSON."""
    if not (isinstance(value, str) and value.startswith("[")):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    # A note may look like JSON, such as "[1]"; only lists of strings are comments that we wrote.
    return found if all(isinstance(comment, str) for comment in found) else value


def _note(comments: Any) -> str:
    if isinstance(comments, list):
        return "\n".join(str(comment) for comment in comments)
    return comments if isinstance(comments, str) else ""
