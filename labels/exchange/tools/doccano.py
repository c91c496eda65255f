"""doccano's JSONL or CSV, chosen by file extension: one text per record with its labels (`A#B` in a CSV cell).

Only the file name identifies the annotator (`ana.jsonl`; `all.jsonl` has the records of all annotators). An empty list
of labels can mean "reviewed, none" or "never opened", so the texts of unlabelled records are unseen unless communique
wrote the records. Spans, relations and texts are not labels, unless their key is named with `--control`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.exchange import controls
from labels.exchange.decisions import Selection
from labels.exchange.fields import KEY
from labels.exchange.foreign import ForeignDecision, Reader, Unseen
from labels.exchange.formats import Content, Note, Placed, RecordFormat
from labels.exchange.stamps import Task, decoded, is_task
from labels.records import Annotation, Sentence
from labels.text.cells import cell_values
from labels.text.rows import Row, csv_notes

_SEPARATOR = "#"  # doccano's separator of labels in CSV cells
_KEYS = frozenset("0123456789abcdefghijklmnopqrstuvwxyz")  # all that doccano allows as shortcuts
_COLOURS = ("#1f5fa8", "#c2570c", "#3d7a3d", "#8a3ffc", "#a2191f", "#00677f", "#6f5a00", "#525252")
_NOBODY = ("all", "unknown")
"""Names of files with the records of all annotators, and with the records that nobody labelled."""


class Doccano(RecordFormat):
    """Records of doccano."""

    name = "doccano"
    endings = (".jsonl", ".csv")
    carries = "gold"
    not_written = (f"time, seconds, suggestion and draw: kept only in `{KEY}`, which doccano ignores",)
    options = (controls.OPTION,)
    takes_tasks = True
    not_read = (
        "records without labels, unless exported by communique: their texts become unseen sentences",
        "spans, relations and texts, unless their key is named with --control",
    )

    def default_annotator(self, path: Path) -> str:
        """The stem of the file name; empty for a file that is not named after an annotator."""
        return "" if path.stem in _NOBODY else path.stem

    def is_own(self, record: Row) -> bool:
        """Whether the record has the comments of doccano, or is a task for it."""
        if "label" not in record:
            return False
        is_listed = isinstance(record["label"], list) and is_task(decoded(self.stamp_in(record)))
        return is_listed or isinstance(record.get("Comments"), list)

    def parse(self, placed: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """Convert each record, and say if the annotator is taken from the name of the file."""
        records = list(placed)
        key = reader.options.get(controls.OPTION) or "label"
        if any(key in record for _, record in records):
            # Nobody decided on a record without the key, if other records have the key.
            others = {KEY, "labels"}
            records = [(place, {key: None} | one if others.isdisjoint(one) else one) for place, one in records]
        yield from super().parse(records, reader)
        yield from map(Note, csv_notes(reader.path))
        if reader.used_fallback:
            name = self.default_annotator(reader.path)
            yield Note(
                f"the annotator '{name}' was taken from the name of the file. To record another name, use "
                "--annotator NAME"
            )

    def columns(self, codebook: Codebook) -> Sequence[str]:
        """The columns of doccano."""
        return ("text", "label")

    def decide(self, record: Row, place: str, reader: Reader, *, ours: bool) -> ForeignDecision | Unseen:
        """The decision in a labelled record."""
        control = reader.options.get(controls.OPTION, "")
        value = record[_key(record, control, place)]
        if not control and _is_span(value):
            return Unseen.of(record, "records with spans")
        labels = controls.names_in(value, place) if control else _labels(value, place)
        # A stamp shows that an annotator decided on no label.
        if not labels and not ours:
            return Unseen.of(record, "rows without labels")
        return ForeignDecision.of(record, "reviewed", labels, note=_note(_comments(record.get("Comments"))))

    def record(self, event: Annotation, sentence: Sentence, codebook: Codebook) -> Row:
        """Build a doccano record, with the note as a comment."""
        comments = [event.note] if event.note else []
        return {"text": sentence.text, "label": list(event.labels), "Comments": comments}

    def task(self, task: Task, codebook: Codebook) -> Row:
        """Build a record without labels."""
        return {"text": task.sentence.text, "label": [], **task.meta}

    def project(self, codebook: Codebook) -> tuple[str, str]:
        """The label types of a project, for its page of labels. `none` is one: doccano has no other answer for it."""
        keys = {label.name: label.key for label in codebook.labels if label.key in _KEYS}
        kinds = [
            {"text": name, "suffix_key": keys.get(name), "background_color": colour, "text_color": "#ffffff"}
            for name, colour in zip((*codebook.label_names, "none"), cycle(_COLOURS), strict=False)
        ]
        return "labels.json", json.dumps(kinds, ensure_ascii=False, indent=1) + "\n"

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


def _key(record: Row, control: str, place: str) -> str:
    key = control or "label"
    # A record that we wrote has its labels under `label`.
    key = key if key in record or KEY not in record else "label"
    if key not in record:
        raise DataError(
            f"{place}: this record has no key `{key}`. Its keys: {', '.join(map(str, record))}. Name the key with "
            "the labels: `--control NAME`."
        )
    return key


def _is_span(value: Any) -> bool:
    """Whether a value is a list of spans, [start, end, name]."""
    return isinstance(value, list) and bool(value) and all(isinstance(entry, list) for entry in value)


def _labels(value: Any, place: str) -> Sequence[str]:
    # Lists written as text, such as ["A", "B"], have another separator.
    joined = isinstance(value, str) and value.strip()[:1] not in ("[", "{")
    return cell_values(value.split(_SEPARATOR) if joined else value, place) or ()


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
