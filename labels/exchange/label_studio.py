"""Label Studio's JSON: one array of tasks, each with its annotations and predictions.

`was_cancelled` is skipped, an empty `result` "reviewed, none", a prediction the suggestion that was shown. An
adjudication is written as the annotation with `ground_truth`. The flat form is `labels.exchange.label_studio_min`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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
from labels.text.rows import Row

FORMAT = "label-studio"
UNIT = "decisions"
LOST = (
    "decisions that were undone or replaced: only what stands is written",
    AS_READ_ALONE,
    "documents: a sentence goes without the text around it",
    "what records of other formats said beyond the decision",
    f"note and draw stand only in `data.{KEY}`, where Label Studio does not look",
)


def read_file(path: Path, codebook: Codebook, annotator: str = "") -> Batch:
    """The decisions of a Label Studio file; tasks that nobody annotated are left out.

    Raises:
        DataError: the file is no array of tasks, or as `Reader.line`; the message names file and task.
    """
    reader = Reader(path, FORMAT, codebook, annotator)
    left_out: Counter[str] = Counter()
    lines: list[Line] = []
    for number, task in enumerate(read_array(path, FORMAT), start=1):
        found = _task_lines(reader, task, DataError.place(path, number))
        if not found:
            left_out["tasks without annotation"] += 1
        lines += found
    return batch_of(path, lines, left_out)


def write_file(store: Store, path: Path, codebook: Codebook, annotator: str = "") -> Exported:
    """Write the decisions that stand (or one annotator's), those on the same sentence in one task.

    Raises:
        DataError: the file cannot be written, or `annotator` decided nothing.
        CodebookError: as `labels.gold.resolve`.
    """
    check_ending(path, (".json",), FORMAT)
    selection = standing_decisions(store, codebook, annotator)
    write_whole(path, array(_task(decisions) for decisions in selection.by_sentence()))
    return Exported(len(selection.decisions), selection.left_out)


def read_array(path: Path, format: str) -> list[Row]:
    """The records of a JSON file that holds one array of objects.

    Raises:
        DataError: the file is missing, not JSON, or holds something else.
    """
    check_ending(path, (".json",), format)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: this file is not JSON ({error.msg}). Export it again.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: a number in this file is too long, or it is nested too deeply. Fix it.") from error
    if not isinstance(content, list):
        raise DataError(f"{path}: an array of records is expected, not {type(content).__name__}. Export it again.")
    for number, record in enumerate(content, start=1):
        if not isinstance(record, dict):
            raise DataError(f"{path}:{number}: an object is expected, not {type(record).__name__}. Fix the record.")
    return content


def array(rows: Iterable[Row]) -> Iterator[str]:
    """The pieces of a JSON array, one record a line."""
    before = "[\n"
    for row in rows:
        yield before + json.dumps(row, ensure_ascii=False)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def annotator_name(value: Any) -> str:
    """Who completed an annotation: the email, or the number of the user; empty where nobody is named."""
    if isinstance(value, dict):
        return str(value.get("email") or value.get("id") or "")
    return "" if value is None else str(value)


def _task_lines(reader: Reader, task: Row, place: str) -> list[Line]:
    data = object_at(task, "data", place)
    stamps = native_stamps(data.get(KEY), place)
    annotations = _objects(task.get("annotations"), "annotations", place)
    lines: list[Line] = []
    for annotation in annotations:
        # Further decisions than there are stamps are still about that sentence.
        left = stamps or native_stamps(data.get(KEY), place)
        lines.append(reader.line(_foreign_decision(task, data, annotation, place), place, left))
    if not lines:
        return []
    built = _task([(line.event, line.sentence) for line in lines])
    rest = {key: value for key, value in task.items() if key != "annotations"}
    of_task = foreign_fields(rest | {"data": data | {"text": built["data"]["text"]}}, built)
    return [
        _with_extra(line, of_task, foreign_fields(annotation, _annotation(line.event)))
        for line, annotation in zip(lines, annotations, strict=True)
    ]


def _with_extra(line: Line, task: Row, annotation: Row) -> Line:
    parts = {"task": task, "annotation": annotation}
    return with_extra(line, FORMAT, {name: extra for name, extra in parts.items() if extra})


def _foreign_decision(task: Row, data: Row, annotation: Row, place: str) -> ForeignDecision:
    cancelled = annotation.get("was_cancelled") is True
    return ForeignDecision(
        text=data.get("text"),
        state="skipped" if cancelled else "reviewed",
        labels=() if cancelled else _choices(annotation.get("result"), place),
        record=annotation,
        annotator=annotator_name(annotation.get("completed_by")),
        created_at=str(annotation.get("created_at") or ""),
        seconds=annotation.get("lead_time"),
        suggestion=_suggestion(task, annotation, place),
        identifier=task.get("id"),
        metadata=data,
    )


def _suggestion(task: Row, annotation: Row, place: str) -> list[str] | None:
    """What the prediction says that the annotation grew from, else the last prediction."""
    given = task.get("predictions") or []
    if not isinstance(given, list):
        raise DataError(f"{place}: `predictions` must be a list. Fix the task.")
    predictions = [entry for entry in given if isinstance(entry, dict)]  # some exports name them by number only
    parent = annotation.get("parent_prediction")
    grown = [entry for entry in predictions if parent is not None and entry.get("id") == parent]
    for prediction in grown or predictions[-1:]:
        return _choices(prediction.get("result"), place)
    return None


def _choices(result: Any, place: str) -> list[str]:
    """The names chosen in all results of type `choices`."""
    names: list[str] = []
    for entry in _objects(result, "result", place):
        if entry.get("type") == "choices":
            chosen = object_at(entry, "value", place).get("choices", [])
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
    suggestions = dict.fromkeys(event.suggestion for event, _ in decisions if event.suggestion is not None)
    built: Row = {
        "data": {"text": sentence.text},
        "annotations": [],
        "predictions": [{"model_version": "shown", "result": _result(names)} for names in suggestions],
    }
    for event, _ in decisions:
        built = with_foreign_fields(built, object_at(extra_of(event, FORMAT), "task", event.event_id))
    built["data"][KEY] = [native_stamp(event, sentence) for event, _ in decisions]
    built["annotations"] = [
        with_foreign_fields(_annotation(event), object_at(extra_of(event, FORMAT), "annotation", event.event_id))
        for event, _ in decisions
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
