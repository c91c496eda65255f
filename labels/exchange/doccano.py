"""doccano's JSONL, or CSV by the file's ending: one text a record with its labels, `A#B` in a cell of CSV.

Only the file's name tells the annotator (`ana.jsonl`; `all.jsonl` holds everyone's). An empty list of labels means
both "reviewed, none" and "never opened", so such records are left out unless they are our own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.exchange.decisions import Selection
from labels.exchange.formats import RecordFormat
from labels.exchange.records import KEY, ForeignDecision, LeftOut, Reader, label_list
from labels.exchange.tables import UNLABELLED
from labels.records import Annotation, Sentence
from labels.text.rows import Row

_SEPARATOR = "#"  # doccano's own, in cells of CSV
_EVERYONE = "all"


class Doccano(RecordFormat):
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

    def decide(self, record: Row, place: str, reader: Reader, *, ours: bool) -> ForeignDecision | LeftOut:
        """The decision on a labelled record."""
        labels = _labels(record, place)
        # With our stamp, someone decided that there is none.
        if not labels and not ours:
            return UNLABELLED
        return ForeignDecision.of(record, "reviewed", labels, note=_note(_comments(record.get("Comments"))))

    def record(self, event: Annotation, sentence: Sentence, codebook: Codebook) -> Row:
        """A record as doccano has it, with the note as comment."""
        comments = [event.note] if event.note else []
        return {"text": sentence.text, "label": list(event.labels), "Comments": comments}

    def beyond(self, record: Row, built: Row) -> Row:
        """What a record says beyond ours; comments in a cell are compared as a list."""
        return super().beyond({key: _comments(v) if key == "Comments" else v for key, v in record.items()}, built)

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """The gold labels, one sentence a record; in CSV joined, and comments only where there are any."""
        for record in super().build(selection, ending):
            if ending == ".csv":
                record["label"] = _SEPARATOR.join(record[KEY]["labels"])
                if comments := record.pop("Comments"):
                    record["Comments"] = comments  # after the tool's own columns
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


def _comments(value: Any) -> Any:
    """The comments of a record; a cell of CSV holds the list as the JSON that we write."""
    if not (isinstance(value, str) and value.startswith("[")):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    # Someone's note may look like JSON, such as "[1]"; only lists of texts are ours.
    return found if all(isinstance(comment, str) for comment in found) else value


def _note(comments: Any) -> str:
    if isinstance(comments, list):
        return "\n".join(str(comment) for comment in comments)
    return comments if isinstance(comments, str) else ""
