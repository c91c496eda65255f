"""Label Studio's JSON, an array of tasks with annotations, and its flat form JSON_MIN.

In tasks, `was_cancelled` means skipped, an empty `result` means "reviewed, none", and a prediction is the suggestion
that was shown. An adjudication is written as an annotation with `ground_truth`. JSON_MIN has one flat record per
annotation that was not cancelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.exchange import foreign
from labels.exchange.decisions import Decision, Selection
from labels.exchange.foreign import KEY, ForeignDecision, LeftOut, Reader
from labels.exchange.formats import Content, Format, Placed, RecordFormat
from labels.exchange.lines import Line
from labels.records import Annotation, Sentence
from labels.text.rows import Row

# Used for both forms: JSON_MIN also lists tasks that were never annotated.
_UNANNOTATED = LeftOut("tasks without annotation")


class LabelStudio(Format):
    """Label Studio's JSON of tasks."""

    name = "label-studio"
    endings = (".json",)
    carries = "decisions"
    not_written = (f"note and draw: they are only in `data.{KEY}`, which Label Studio ignores",)
    not_read = ("tasks without annotation", "results of types other than choices")

    def parse(self, placed: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """Read the decisions of each task."""
        for place, task in placed:
            annotations = _objects(task.get("annotations"), "annotations", place)
            data = foreign.object_at(task, "data", place)
            if annotations:
                yield from _task_lines(reader, task, data, annotations, place)
            else:
                yield _UNANNOTATED

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """Build one task per sentence."""
        return map(_task, selection.by_sentence())


class LabelStudioMin(RecordFormat):
    """Flat foreign. Labels are under `label` or, without that key, under the only key with `{"choices": [...]}`."""

    name = "label-studio-min"
    endings = (".json",)
    carries = "decisions"
    carries_skipped = False
    not_written = (f"note, suggestion and draw: they are only in `{KEY}`, which Label Studio ignores",)
    not_read = ("tasks without annotation", "choices that are not under `label`")

    def parse(self, placed: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """Find the key with the labels, then convert each record."""
        # A record without choices lacks this key, so all records are needed to find the key.
        placed = list(placed)
        reader.options["control"] = _label_key(reader.path, [record for _, record in placed])
        yield from super().parse(placed, reader)

    def decide(self, record: Row, place: str, reader: Reader, *, ours: bool) -> ForeignDecision | LeftOut:
        """The decision of an annotation; without labels, the decision is "reviewed, none"."""
        key = reader.options["control"]
        # An annotation without a choice lacks the key but has an `annotation_id`: it is "reviewed, none".
        if key not in record and record.get("annotation_id") is None:
            return _UNANNOTATED
        return ForeignDecision.of(
            record,
            "reviewed",
            _flat_choices(record.get(key), place),
            annotator=_annotator_name(record.get("annotator")),
            created_at=str(record.get("created_at") or ""),
            seconds=record.get("lead_time"),
        )

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


LABEL_STUDIO, LABEL_STUDIO_MIN = LabelStudio(), LabelStudioMin()


def _annotator_name(value: Any) -> str:
    """The annotator: the email or the id of the user who completed the annotation; empty if there is no user."""
    if isinstance(value, dict):
        return str(value.get("email") or value.get("id") or "")
    return "" if value is None else str(value)


# -- whole tasks


def _task_lines(reader: Reader, task: Row, data: Row, annotations: Sequence[Row], place: str) -> Iterator[Line]:
    # Lines first: the task's own fields are found by comparison with the task that we would write for all decisions.
    decisions = [_foreign_decision(task, data, annotation, place) for annotation in annotations]
    lines = reader.lines(decisions, place, foreign.native_stamps(data.get(KEY), place))
    built = _task([(line.event, line.sentence) for line in lines])
    rest = {key: value for key, value in task.items() if key != "annotations"}
    of_task = foreign.foreign_fields(rest | {"data": data | {"text": built["data"]["text"]}}, built)
    for line, annotation in zip(lines, annotations, strict=True):
        extras = {"task": of_task, "annotation": foreign.foreign_fields(annotation, _annotation(line.event))}
        yield reader.with_extra(line, {name: extra for name, extra in extras.items() if extra})


def _foreign_decision(task: Row, data: Row, annotation: Row, place: str) -> ForeignDecision:
    cancelled = annotation.get("was_cancelled") is True
    return ForeignDecision(
        text=data.get("text"),
        state="skipped" if cancelled else "reviewed",
        labels=() if cancelled else _choices(annotation.get("result"), place),
        record=annotation,
        annotator=_annotator_name(annotation.get("completed_by")),
        created_at=str(annotation.get("created_at") or ""),
        seconds=annotation.get("lead_time"),
        suggestion=_suggestion(task, annotation, place),
        identifier=task.get("id"),
        metadata=data,
    )


def _suggestion(task: Row, annotation: Row, place: str) -> list[str] | None:
    """The labels of the prediction that the annotation started from, or of the last prediction if that is unknown."""
    given = task.get("predictions") or []
    if not isinstance(given, list):
        raise DataError(f"{place}: `predictions` must be a list. Fix the task.")
    predictions = [entry for entry in given if isinstance(entry, dict)]  # some exports have only ids
    parent = annotation.get("parent_prediction")
    started_from = [entry for entry in predictions if parent is not None and entry.get("id") == parent]
    # Without a parent, the last prediction is probably the one that the annotator saw.
    for prediction in started_from or predictions[-1:]:
        return _choices(prediction.get("result"), place)
    return None


def _choices(result: Any, place: str) -> list[str]:
    """The label names chosen in all results of type `choices`."""
    names: list[str] = []
    for entry in _objects(result, "result", place):
        if entry.get("type") == "choices":
            chosen = foreign.object_at(entry, "value", place).get("choices", [])
            if not isinstance(chosen, list) or not all(isinstance(name, str) for name in chosen):
                raise DataError(f"{place}: `choices` must be a list of label names, not {chosen!r:.80}. Fix the task.")
            names += chosen
    return names


def _objects(value: Any, key: str, place: str) -> list[Row]:
    entries = [] if value is None else value
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{place}: `{key}` must be a list of objects. Fix the task.")
    return entries


def _task(decisions: Sequence[Decision]) -> Row:
    (_, sentence), *_ = decisions
    # One prediction per distinct suggestion; a dict keeps the order and removes duplicates.
    suggestions = dict.fromkeys(event.suggestion for event, _ in decisions if event.suggestion is not None)
    built: Row = {
        "data": {"text": sentence.text},
        "annotations": [],
        "predictions": [{"model_version": "shown", "result": _result(names)} for names in suggestions],
    }
    extras = [foreign.extra_of(event, LABEL_STUDIO.name) for event, _ in decisions]
    for (event, _), extra in zip(decisions, extras, strict=True):
        built = foreign.with_foreign_fields(built, foreign.object_at(extra, "task", event.event_id))
    # Our own fields are set last, so fields kept from a record cannot replace them.
    built["data"][KEY] = [foreign.native_stamp(event, sentence) for event, _ in decisions]
    built["annotations"] = [
        foreign.with_foreign_fields(_annotation(event), foreign.object_at(extra, "annotation", event.event_id))
        for (event, _), extra in zip(decisions, extras, strict=True)
    ]
    return built


def _annotation(event: Annotation) -> Row:
    return {
        "completed_by": {"email": event.annotator},
        "result": _result(event.labels),
        "was_cancelled": event.state == "skipped",
        "ground_truth": event.event == "adjudicate",
        "lead_time": event.seconds,
        "created_at": event.created_at,
    }


def _result(labels: Sequence[str]) -> list[Row]:
    if not labels:
        return []
    value = {"choices": list(labels)}
    return [{"from_name": "label", "to_name": "text", "type": "choices", "origin": "manual", "value": value}]


# -- flat records


def _label_key(path: Path, rows: Sequence[Row]) -> str:
    if not rows or any("label" in row for row in rows):
        return "label"
    keys = {key for row in rows for key, value in row.items() if isinstance(value, dict) and "choices" in value}
    if len(keys) != 1:
        found = ", ".join(sorted(keys)) or "none"
        raise DataError(
            f"{path}: no record has the key `label`, and the keys with `choices` are: {found}. Rename the key with the "
            "labels to `label`."
        )
    return keys.pop()


def _flat_choices(value: Any, place: str) -> list[str]:
    """Label names from "A", {"choices": ["A", "B"]}, or a list of such values."""
    if isinstance(value, dict):
        value = value.get("choices")
    if value in (None, ""):
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [name for entry in value for name in _flat_choices(entry, place)]
    raise DataError(f'{place}: labels must be "A" or {{"choices": ["A", "B"]}}, not {value!r:.80}. Fix the record.')
