"""Label Studio's JSON_MIN: one flat record per annotation that was not cancelled, with the controls as keys.

A single choice is a text, and therefore looks like a column of the data. The labels are read from the key `label`, from
the only key with `{"choices": [...]}`, or from the key named with `--control`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.exchange import controls, foreign
from labels.exchange.fields import KEY
from labels.exchange.foreign import ForeignDecision, Reader, Unseen
from labels.exchange.formats import Content, Placed, RecordFormat
from labels.exchange.tools.label_studio import emails_of, origin_of, user_name
from labels.records import Annotation, Sentence
from labels.text.cells import cell_values
from labels.text.rows import Row

_UNANNOTATED = "tasks without an annotation"
_OURS = "label"
"""The key for the labels in exported files."""
_KEPT_KEYS = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement", "text", KEY)
"""Keys that are not controls."""


class LabelStudioMin(RecordFormat):
    """Flat records. Labels are under `label` or, without that key, under the only key with `{"choices": [...]}`."""

    name = "label-studio-min"
    endings = (".json",)
    carries = "decisions"
    carries_skipped = False
    options = (controls.OPTION,)
    not_written = (f"note, suggestion and draw: kept only in `{KEY}`, which Label Studio ignores",)
    not_read = (
        "tasks without an annotation: their texts become unseen sentences",
        "results that are not under `label`, unless their key is named with --control",
    )

    def is_own(self, record: Row) -> bool:
        """Whether the record is a flat annotation."""
        # In a CSV file from Label Studio, which is read as a table, the numbers are text.
        return isinstance(record.get("annotation_id"), int) and "lead_time" in record

    def origin(self, event: Annotation) -> str:
        """The annotation's id and time."""
        return origin_of(event)

    def parse(self, placed: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """Find the key with the labels, then convert each record."""
        # A record without choices lacks this key, so all records are needed to find the key.
        placed = list(placed)
        project = _FlatProject([record for _, record in placed], reader)
        for place, record in placed:
            stamps = foreign.native_stamps(record.get(KEY), place)
            decision = project.decide(record, place, ours=bool(stamps))
            yield self.content(decision, record, place, reader, stamps)

    def decide(self, record: Row, place: str, reader: Reader, *, ours: bool) -> ForeignDecision | Unseen:
        """The decision of an annotation, as if its record were alone in a file."""
        return _FlatProject([record], reader).decide(record, place, ours=ours)

    def record(self, event: Annotation, sentence: Sentence, codebook: Codebook) -> Row:
        """Build a flat record: a single label is a name; no label or several labels are choices."""
        labels = list(event.labels)
        return {
            "text": sentence.text,
            "label": labels[0] if len(labels) == 1 else {"choices": labels},
            "annotator": event.annotator,
            "created_at": event.created_at,
            "lead_time": event.seconds,
        }


LABEL_STUDIO_MIN = LabelStudioMin()


class _FlatProject:
    """The key with the labels and the users of a file in JSON_MIN, found in its records."""

    def __init__(self, records: Sequence[Row], reader: Reader) -> None:
        # Records that we wrote have their labels under `label`, and possibly those of the tool under its own key.
        others = [record for record in records if KEY not in record]
        keys = {key: "" for record in others for key in record if key not in _KEPT_KEYS}
        named = controls.wanted_controls(reader.options.get(controls.OPTION, ""), keys, reader.path)
        self.named, self.keys = bool(named), named or (_label_key(reader.path, others, keys),)
        self.emails = emails_of(record.get("annotator") for record in records)
        self._names = reader.names
        # If the file has ids of annotations, a record without an id is a task that nobody annotated.
        self._has_ids = any(record.get("annotation_id") is not None for record in records)

    def decide(self, record: Row, place: str, *, ours: bool) -> ForeignDecision | Unseen:
        """The decision of an annotation. Without a choice, the decision is "reviewed, none"."""
        keys = [key for key in self.keys if key in record] or ([_OURS] if ours else [])
        annotated = ours or record.get("annotation_id") is not None
        if not annotated and (self._has_ids or not keys):
            return Unseen.of(record, _UNANNOTATED)
        if not keys and not self.named and self._has_other_label(record):
            return Unseen.of(record, "annotations with a label under another key")
        values = [record.get(key) for key in keys]
        if not ours and any(value in (None, "") for value in values):
            return Unseen.of(record, "records without a label")
        if not self.named and any(_is_other_result(value) for value in values):
            return Unseen.of(record, f"annotations whose `{keys[0]}` is not a choice")
        names = controls.names_in if self.named else _choices
        return ForeignDecision.of(
            record,
            "reviewed",
            [name for value in values for name in names(value, place)],
            annotator=user_name(record.get("annotator"), self.emails),
            created_at=str(record.get("created_at") or ""),
            seconds=record.get("lead_time"),
        )

    def _has_other_label(self, record: Row) -> bool:
        rest = [value for key, value in record.items() if key not in _KEPT_KEYS]
        return any(_has_choices(value) or (isinstance(value, str) and self._names.knows(value)) for value in rest)


def _label_key(path: Path, records: Sequence[Row], keys: Mapping[str, str]) -> str:
    """The key with the labels: `label`, or the only key with choices.

    Raises:
        DataError: there is no such key, or several.
    """
    found = {key: "choices" for record in records for key, value in record.items() if _has_choices(value)}
    if not records or any(_OURS in record for record in records):
        controls.choose({_OURS: "key", **found} if found else {}, "keys that may contain labels", path)
        return _OURS
    if key := controls.choose(found, "keys with choices", path):
        return key
    raise DataError(
        f"{path}: no record has the key `label`, and no other key has `choices`. Name the key with the labels with "
        f"`--control NAME`. Keys in this file: {controls.listed(keys)}."
    )


def _has_choices(value: Any) -> bool:
    """Whether a value is `{"choices": [...]}`, or a list with such a value."""
    entries = value if isinstance(value, list) else [value]
    return any(isinstance(entry, dict) and "choices" in entry and "start" not in entry for entry in entries)


def _is_other_result(value: Any) -> bool:
    """Whether a value comes from a control without choices, such as a rating or taxonomy, or from choices for spans."""
    entries = value if isinstance(value, list) else [value]
    return any(isinstance(entry, list) or (isinstance(entry, dict) and not _has_choices(entry)) for entry in entries)


def _choices(value: Any, place: str) -> Sequence[str]:
    """Label names from "A", {"choices": ["A", "B"]}, or a list of such values."""
    if isinstance(value, list):
        return [name for entry in value for name in _choices(entry, place)]
    return cell_values(value, place) or ()
