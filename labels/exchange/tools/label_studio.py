"""Label Studio's JSON, an array of tasks with annotations. Module `label_studio_min` has its flat form.

`was_cancelled` means skipped, an empty `result` means "reviewed, none", and a prediction is the suggestion that was
shown. An adjudication is written as an annotation with `ground_truth`.

The labels are the choices of one control (a tag of the project's configuration, `from_name` of a result). Results of
other controls are counted. An annotation that has only such results is not a decision: its annotator may never have
been asked for the labels. With `--control`, all controls can be read, and an annotation without a result of the named
control is "reviewed, none".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.exchange import controls, fields, foreign
from labels.exchange.decisions import Decision, Selection
from labels.exchange.fields import KEY
from labels.exchange.foreign import ForeignDecision, LeftOut, Reader, Unseen
from labels.exchange.formats import Content, Format, Note, Placed
from labels.exchange.lines import Line
from labels.exchange.stamps import Task, decoded, is_task
from labels.exchange.tools.label_studio_project import configuration, task_record
from labels.records import Annotation
from labels.text.rows import Row

_UNANNOTATED = "tasks without an annotation"
_OURS = "label"
"""Name of the control in exported files, and of the control of a result without a name."""


class LabelStudio(Format):
    """Label Studio's JSON of tasks."""

    name = "label-studio"
    endings = (".json",)
    carries = "decisions"
    options = (controls.OPTION,)
    takes_tasks = True
    skips_not_a_sentence = True
    not_written = (f"note and draw: kept only in `data.{KEY}`, which Label Studio ignores",)
    not_read = (
        "tasks without an annotation: their texts become unseen sentences",
        "results of types other than choices, unless their control is named with --control",
    )

    def is_own(self, record: Row) -> bool:
        """Whether the record is a task."""
        asked = is_task(decoded(self.stamp_in(record)))
        return isinstance(record.get("data"), dict) and (asked or "annotations" in record)

    def stamp_in(self, record: Row) -> Any:
        """The value of the stamp in the data of a task."""
        data = record.get("data")
        return data.get(KEY) if isinstance(data, dict) else None

    def origin(self, event: Annotation) -> str:
        """The annotation's id and time."""
        return origin_of(event)

    def parse(self, placed: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """Read the decisions of each task."""
        # All tasks are needed to find the controls, and the users whose emails are in some annotations only.
        tasks = [_task_at(place, record) for place, record in placed]
        project = _Project(tasks, reader)
        for task in tasks:
            yield from _contents(task, project, reader)

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """Build one task per sentence."""
        return map(_task, selection.by_sentence())

    def task(self, task: Task, codebook: Codebook) -> Row:
        """Build a task without annotations, with the sentences around the sentence."""
        return task_record(task)

    def project(self, codebook: Codebook) -> tuple[str, str]:
        """The labelling configuration of a project."""
        return "config.xml", configuration(codebook)


LABEL_STUDIO = LabelStudio()


def user_name(value: Any, emails: Mapping[str, str]) -> str:
    """The annotator: the email of the user who completed the annotation, or the user's id if the email is unknown."""
    if isinstance(value, dict):
        return str(value.get("email") or user_name(value.get("id"), emails))
    return "" if value is None else emails.get(str(value), str(value))


def origin_of(event: Annotation) -> str:
    """Id and time of the annotation, from a task or a flat record, that became `event`; empty if there was none."""
    annotation = fields.extra_of(event, "label-studio").get("annotation")
    number = annotation.get("id") if isinstance(annotation, dict) else None
    number = number or fields.extra_of(event, "label-studio-min").get("annotation_id")
    # Two servers can have the same number, but not at the same microsecond.
    return f"{number} {event.created_at}" if number else ""


def emails_of(users: Iterable[Any]) -> dict[str, str]:
    """User id -> email, from users in the file that are objects with an id and an email."""
    found: dict[str, set[str]] = {}
    for user in users:
        if isinstance(user, dict) and user.get("id") is not None and user.get("email"):
            found.setdefault(str(user["id"]), set()).add(str(user["email"]))
    # If files of two servers were joined, an id may have two emails.
    return {identifier: emails.pop() for identifier, emails in found.items() if len(emails) == 1}


# -- whole tasks


class _Task(NamedTuple):
    place: str
    record: Row
    data: Row
    annotations: list[Row]
    stamps: list[Row]


def _task_at(place: str, record: Row) -> _Task:
    data = fields.object_at(record, "data", place)
    if "completions" in record and "annotations" not in record:
        raise DataError(
            f"{place}: the key `completions` is from a version of Label Studio before 1.0. Load the file into a newer "
            "version, and export it again."
        )
    annotations = _objects(record.get("annotations"), "annotations", place)
    for annotation in annotations:
        if not isinstance(annotation.get("was_cancelled"), bool | None):
            raise DataError(f"{place}: `was_cancelled` must be true or false. Fix the task.")
    return _Task(place, record, data, annotations, foreign.native_stamps(data.get(KEY), place))


class _Project:
    """The controls and users of a file, found in its annotations.

    `named` are the controls that the user names; `read` are the controls from which labels are read.
    """

    def __init__(self, tasks: Sequence[_Task], reader: Reader) -> None:
        answered = [
            (task, _objects(annotation.get("result"), "result", task.place))
            for task in tasks
            for annotation in task.annotations
            if not annotation.get("was_cancelled")
        ]
        results = [result for task, found in answered for result in found if not _is_ours(result, task)]
        self.kinds: dict[str, str] = {}
        for result in results:
            self.kinds.setdefault(_control(result), _kind(result))
        self.named = controls.wanted_controls(reader.options.get(controls.OPTION, ""), self.kinds, reader.path)
        # Tasks that we exported may come from several projects; their annotations have one control each.
        mixed = [found for task, found in answered if not task.stamps or len(_choice_controls(found)) > 1]
        if not self.named:
            controls.choose(_choice_controls([result for found in mixed for result in found]), "controls", reader.path)
        self.read = self.named or tuple(_choice_controls(results))
        self.emails = emails_of(annotation.get("completed_by") for task in tasks for annotation in task.annotations)

    def labels(self, results: Sequence[Row], task: _Task) -> list[str] | None:
        """The label names in the results of an annotation or prediction; None if they do not concern labels."""
        chosen = [result for result in results if self.reads(result, task)]
        asked_others = self.kinds and not self.read and not task.stamps
        if not self.named and not chosen and (results or asked_others):
            return None
        names = controls.names_in if self.named else _choices
        return [name for result in chosen for name in names(result.get("value", result), task.place)]

    def reads(self, result: Row, task: _Task) -> bool:
        """Whether the labels are in this result."""
        return _is_ours(result, task) or (_control(result) in self.read and (bool(self.named) or _is_choice(result)))


def _is_ours(result: Row, task: _Task) -> bool:
    """Whether communique wrote the result: results from Label Studio have an id."""
    return bool(task.stamps) and "id" not in result and _control(result) == _OURS


def _control(result: Row) -> str:
    return str(result.get("from_name") or (_OURS if result.get("type") == "choices" else _kind(result)))


def _kind(result: Row) -> str:
    kind = str(result.get("type") or "result without type")
    return kind if kind != "choices" or _is_choice(result) else "choices for spans"


def _is_choice(result: Row) -> bool:
    value = result.get("value")
    # A choice for a span says nothing on the whole text.
    return result.get("type") == "choices" and not (isinstance(value, dict) and "start" in value)


def _choice_controls(results: Iterable[Row]) -> dict[str, str]:
    return {_control(result): "choices" for result in results if _is_choice(result)}


def _contents(task: _Task, project: _Project, reader: Reader) -> Iterator[Content]:
    decided: list[tuple[Row, ForeignDecision]] = []
    for annotation in task.annotations:
        cancelled = bool(annotation.get("was_cancelled"))
        results = [] if cancelled else _objects(annotation.get("result"), "result", task.place)
        for result in results:
            if not project.reads(result, task):
                yield LeftOut(f"results of {controls.listed({_control(result): _kind(result)})}")
        labels = [] if cancelled else project.labels(results, task)
        if labels is None:
            yield LeftOut("annotations without choices")
            yield Note(
                f"no labels were read from the controls {controls.listed(project.kinds)}. If one of these controls "
                "contains the labels, import the file again with `--control NAME`"
            )
        else:
            decided.append((annotation, _foreign_decision(task, annotation, labels, project)))
    if decided:
        yield from _task_lines(reader, task, decided)
    else:
        reason = "tasks without choices" if task.annotations else _UNANNOTATED
        unseen = Unseen(reason, task.data.get("text"), task.record.get("id"), task.data)
        yield reader.unseen(unseen, task.place, task.stamps)


def _task_lines(reader: Reader, task: _Task, decided: Sequence[tuple[Row, ForeignDecision]]) -> Iterator[Line]:
    # Lines first: the task's own fields are found by comparison with the task that we would write for all decisions.
    lines = reader.lines([decision for _, decision in decided], task.place, task.stamps)
    built = _task([(line.event, line.sentence) for line in lines])
    rest = {key: value for key, value in task.record.items() if key != "annotations"}
    of_task = fields.foreign_fields(rest | {"data": task.data | {"text": built["data"]["text"]}}, built)
    for line, (annotation, _) in zip(lines, decided, strict=True):
        user = annotation.get("completed_by")
        # A user known by email from another annotation must be recognised in the exported annotation, too.
        known = {} if isinstance(user, dict) or str(user) == line.event.annotator else {"completed_by": {"id": user}}
        of_annotation = fields.foreign_fields(annotation | known, _annotation(line.event))
        extras = {"task": of_task, "annotation": of_annotation}
        yield reader.with_extra(line, {name: extra for name, extra in extras.items() if extra})


def _foreign_decision(task: _Task, annotation: Row, labels: Sequence[str], project: _Project) -> ForeignDecision:
    return ForeignDecision(
        text=task.data.get("text"),
        state="skipped" if annotation.get("was_cancelled") else "reviewed",
        labels=labels,
        record=annotation,
        annotator=user_name(annotation.get("completed_by"), project.emails),
        created_at=str(annotation.get("created_at") or ""),
        seconds=annotation.get("lead_time"),
        suggestion=_suggestion(task, annotation, project),
        identifier=task.record.get("id"),
        metadata=task.data,
    )


def _suggestion(task: _Task, annotation: Row, project: _Project) -> list[str] | None:
    """The labels of the prediction that the annotation started from, or of the last prediction if the start is unknown.

    None if there is no prediction, or if it is not about the labels.
    """
    given = task.record.get("predictions") or []
    if not isinstance(given, list):
        raise DataError(f"{task.place}: `predictions` must be a list. Fix the task.")
    predictions = [entry for entry in given if isinstance(entry, dict)]  # some exports have only ids
    parent = annotation.get("parent_prediction")
    started_from = [entry for entry in predictions if parent is not None and entry.get("id") == parent]
    # Without a parent, the last prediction is probably the one that the annotator saw.
    for prediction in started_from or predictions[-1:]:
        return project.labels(_objects(prediction.get("result"), "result", task.place), task)
    return None


def _choices(value: Any, place: str) -> list[str]:
    chosen = fields.object_at({"value": value}, "value", place).get("choices", [])
    if not isinstance(chosen, list) or not all(isinstance(name, str) for name in chosen):
        raise DataError(f"{place}: `choices` must be a list of label names, not {chosen!r:.80}. Fix the task.")
    return chosen


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
    extras = [fields.extra_of(event, LABEL_STUDIO.name) for event, _ in decisions]
    for (event, _), extra in zip(decisions, extras, strict=True):
        built = fields.with_foreign_fields(built, fields.object_at(extra, "task", event.event_id))
    # Our own fields are set last, so fields kept from a record cannot replace them.
    built["data"][KEY] = [foreign.native_stamp(event, sentence) for event, _ in decisions]
    built["annotations"] = [
        fields.with_foreign_fields(_annotation(event), fields.object_at(extra, "annotation", event.event_id))
        for (event, _), extra in zip(decisions, extras, strict=True)
    ]
    return built


def _annotation(event: Annotation) -> Row:
    return {
        "completed_by": {"email": event.annotator},
        "result": _result(event.labels),
        "was_cancelled": event.state != "reviewed",
        "ground_truth": event.event == "adjudicate",
        "lead_time": event.seconds,
        "created_at": event.created_at,
    }


def _result(labels: Sequence[str]) -> list[Row]:
    if not labels:
        return []
    value = {"choices": list(labels)}
    return [{"from_name": "label", "to_name": "text", "type": "choices", "origin": "manual", "value": value}]
