"""Prodigy's JSONL: one answer per line, from the `choice` interface or the binary interface.

An export has `choice` records; an import reads both kinds. `ignore` means skipped; `accept` without a choice means
"reviewed, none". A rejected `choice` does not show the correct labels, so it counts as skipped. All binary records by
one annotator on one text become one decision. The decision is reviewed if any record was accepted or rejected, and its
labels are the accepted labels. A later answer to the same label replaces the earlier answer.

Records of other interfaces (spans, relations, text fields) are not decisions on labels, unless the key with the labels
is named with `--control`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from labels.codebook.schema import Codebook
from labels.errors import DataError, counted
from labels.exchange import controls, fields, foreign
from labels.exchange.decisions import Selection
from labels.exchange.fields import KEY
from labels.exchange.foreign import ForeignDecision, Reader, Unseen
from labels.exchange.formats import Content, Format, Note, Placed
from labels.exchange.lines import Line
from labels.exchange.stamps import Task, decoded, is_task
from labels.records import Annotation, Sentence
from labels.text.rows import Row
from labels.unicode import clean

_ANSWERS = ("accept", "reject", "ignore")
_NO_CONTROLS = ("text", "answer", "meta", "config", "options", "tokens", "priority", "score", "html", "style")
"""Keys that never have the labels, like all keys that begin with `_`."""
_START_TIME = re.compile(r"(.*-)?\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")
"""The name that Prodigy gives to a session without a name."""


class Prodigy(Format):
    """Answers from Prodigy."""

    name = "prodigy"
    endings = (".jsonl",)
    carries = "decisions"
    not_written = (f"note, seconds, suggestion and draw: kept only in `meta.{KEY}`, which Prodigy ignores",)
    options = (controls.OPTION,)
    takes_tasks = True
    skips_not_a_sentence = True
    not_read = (
        "records without an answer: their texts become unseen sentences",
        "records without `accept` or `label`, such as spans, unless their key is named with --control",
        "labels of rejected choices: such decisions count as skipped",
    )

    def is_own(self, record: Row) -> bool:
        """Whether the record has an answer or a hash from Prodigy, or is a task for it."""
        asked = "options" in record and is_task(decoded(self.stamp_in(record)))
        return asked or record.get("answer") in _ANSWERS or "_task_hash" in record or "_input_hash" in record

    def stamp_in(self, record: Row) -> Any:
        """The value of the stamp in the metadata of a record."""
        meta = record.get("meta")
        return meta.get(KEY) if isinstance(meta, dict) else None

    def parse(self, placed: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """Read the decisions; the texts of records without a decision are unseen."""
        # Binary answers on one text can be anywhere in the file, so all records are read first.
        placed = list(placed)
        control = _control([row for _, row in placed], reader)
        groups: dict[tuple[str, ...], list[Placed]] = {}
        for place, row in placed:
            if reason := _undecided(row, control, place):
                meta = fields.object_at(row, "meta", place)
                unseen = Unseen(reason, row.get("text"), row.get("_input_hash"), meta)
                yield reader.unseen(unseen, place, foreign.native_stamps(meta.get(KEY), place))
            else:
                groups.setdefault((place,) if control else _group(row, place), []).append((place, row))
        for group in groups.values():
            yield _line(reader, group, control)
        yield from _notes([[row for _, row in group] for group in groups.values()], control, reader)

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """Build one choice record per decision; decisions imported from binary records become binary records again."""
        for event, sentence in selection.decisions:
            extra = fields.extra_of(event, self.name)
            binary = extra.get("binary")
            if isinstance(binary, list):
                # Each binary record has its own label and answer; one choice record cannot store them all.
                shared = {"text": sentence.text, "_annotator_id": event.annotator}
                built = [shared | record for record in binary]
            else:
                built = [fields.with_foreign_fields(_choice(event, sentence, selection.codebook), extra)]
            ours = {"meta": {KEY: foreign.native_stamp(event, sentence)}}
            yield from (fields.with_foreign_fields(record, ours) for record in built)

    def task(self, task: Task, codebook: Codebook) -> Row:
        """Build a choice record without an answer."""
        return {"text": task.sentence.text, **_asked(codebook), "meta": task.meta}

    def project(self, codebook: Codebook) -> tuple[str, str]:
        """The list of labels, one a line, for recipes that ask for it. The tasks have them as options."""
        return "labels.txt", "".join(f"{name}\n" for name in codebook.label_names)


PRODIGY = Prodigy()


def _control(rows: Sequence[Row], reader: Reader) -> str:
    """The key with the labels that the user names; empty for `accept` and `label`, which are always read."""
    found = {key: "" for row in rows for key in row if key[:1] != "_" and key not in _NO_CONTROLS}
    named = controls.wanted_controls(reader.options.get(controls.OPTION, ""), found, reader.path)
    if len(named) > 1:
        raise DataError(f"{reader.path}: --control must name one key of the records, not several: {', '.join(named)}.")
    return "" if not named or named[0] in ("accept", "label") else named[0]


def _undecided(row: Row, control: str, place: str) -> str:
    """The reason why a record is not a decision on labels; empty if the record is a decision."""
    answer, label = row.get("answer"), row.get("label")
    if answer is None:
        return "unanswered records"
    if answer not in _ANSWERS:
        raise DataError(f"{place}: `answer` must be {' or '.join(_ANSWERS)}, not {answer!r}. Fix the record.")
    if control:
        return f"records without `{control}`" if answer == "accept" and row.get(control) is None else ""
    if _is_choice(row):
        return "choice records without `accept`" if answer == "accept" and row.get("accept") is None else ""
    if label is None:
        view = row.get("_view_id")
        return f"records of the interface {view}" if view else "records without `accept` or `label`"
    if not isinstance(label, str):
        raise DataError(f"{place}: `label` must be a label name, not {label!r:.80}. Fix or remove the record.")
    return ""


def _notes(groups: Sequence[Sequence[Row]], control: str, reader: Reader) -> Iterator[Note]:
    binary = [rows for rows in groups if not (control or _is_choice(rows[0]) or _skipped(rows))]
    names = set(reader.codebook.label_names)
    if partly := sum(not names <= {str(row["label"]) for row in rows} for rows in binary):
        yield Note(
            f"binary records: for {partly} of {counted(len(binary), 'text')}, annotators were not asked about "
            "every label. Labels "
            "without a question count as not assigned"
        )
    if not reader.annotator and any(_START_TIME.fullmatch(_annotator(row)) for rows in groups for row in rows):
        yield Note(
            "sessions without a name are recorded under their start time, each as a separate annotator. To record "
            "these sessions under one name, import the file with --annotator NAME"
        )


def _skipped(rows: Sequence[Row]) -> bool:
    return all(row["answer"] == "ignore" for row in rows)


def _is_choice(row: Row) -> bool:
    return "options" in row or "accept" in row


def _group(row: Row, place: str) -> tuple[str, ...]:
    """The key that groups binary records by annotator and text; each choice record is a separate group."""
    if _is_choice(row):
        return (place,)
    stamps = foreign.native_stamps(fields.object_at(row, "meta", place).get(KEY), place)
    # Two documents can have equal texts. The stamp distinguishes them; without a stamp, use Prodigy's hash.
    text = stamps[0].get("sentence_id") if stamps else row.get("_input_hash") or row.get("text")
    return (_annotator(row), str(text))


def _line(reader: Reader, group: Sequence[Placed], control: str) -> Line:
    place, first = group[0]
    meta = fields.object_at(first, "meta", place)
    choice = bool(control) or _is_choice(first)
    rows = [row for _, row in group]
    answers = {row["answer"] for row in rows}
    # A rejected choice leaves the correct labels unknown; a rejected binary label is a decision on that label.
    reviewed = answers == {"accept"} if choice else answers != {"ignore"}
    named = _annotator(first)
    stamps = foreign.native_stamps(meta.get(KEY), place)
    if reader.annotator and _START_TIME.fullmatch(named):
        named = reader.annotator if stamps else ""
    decision = ForeignDecision(
        text=first.get("text"),
        state="reviewed" if reviewed else "skipped",
        labels=_labels(rows, control, reader, place) if reviewed else (),
        record=[fields.without_stamp(row) for row in rows],
        annotator=named,
        # The decision was complete with the last answer.
        created_at=max(_time(row, at) for at, row in group),
        identifier=first.get("_input_hash"),
        metadata=meta,
    )
    line = reader.line(decision, place, stamps)
    # If the option replaces the name of a session, the name in the exported record must be the new name.
    replaced = bool(own := _annotator(first)) and clean(own) != line.event.annotator
    known = {"_annotator_id": line.event.annotator} if replaced else {}
    if choice:
        built = _choice(line.event, line.sentence, reader.codebook)
        return reader.with_extra(line, fields.foreign_fields(first | known | {"text": built["text"]}, built))
    binary = [
        {key: fields.json_value(value) for key, value in fields.without_stamp(row | known).items() if key != "text"}
        for row in rows
    ]
    return reader.with_extra(line, {"binary": binary})


def _labels(rows: Sequence[Row], control: str, reader: Reader, place: str) -> list[str]:
    if control:
        titles = reader.codebook.names_by_value
        return [titles.get(name, name) for name in controls.names_in(rows[0].get(control), place)]
    return _chosen(rows[0], reader.codebook, place) if _is_choice(rows[0]) else _accepted(rows)


def _annotator(row: Row) -> str:
    names = (row.get("_annotator_id"), row.get("_session_id"))
    return next((str(name) for name in names if name not in (None, "")), "")


def _chosen(row: Row, codebook: Codebook, place: str) -> list[str]:
    """Label names of the accepted options. If ids are numbers, the option's text is the label's name or title."""
    accepted, options = row.get("accept") or [], row.get("options") or []
    if not isinstance(accepted, list) or not isinstance(options, list):
        raise DataError(f"{place}: `accept` and `options` must be lists. Fix the record.")
    # We write titles as option texts, and other projects number their options: convert both to label names.
    titles = {label.title: label.name for label in codebook.labels if label.title}
    found: dict[str, str] = {}
    for option in options:
        if not isinstance(option, dict) or "id" not in option:
            raise DataError(f"{place}: an option must be an object with an `id`, not {option!r:.80}. Fix the record.")
        identifier, text = str(option["id"]), str(option.get("text", option["id"]))
        found[identifier] = identifier if identifier in codebook.label_names else titles.get(text, text)
    return [found.get(str(identifier), str(identifier)) for identifier in accepted]


def _accepted(rows: Sequence[Row]) -> list[str]:
    # A later answer to the same label replaces the earlier answer; `ignore` replaces no answer.
    answers = {row["label"]: row["answer"] for row in rows if row["answer"] != "ignore"}
    return [label for label, answer in answers.items() if answer == "accept"]


def _time(row: Row, place: str) -> str:
    """The record's time, ISO 8601 in UTC; empty if the record has no time."""
    seconds = row.get("_timestamp")
    if seconds is None:
        return ""
    try:
        if isinstance(seconds, int | float) and not isinstance(seconds, bool):
            return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
    except (OverflowError, ValueError, OSError):
        pass  # the number is not a valid time
    raise DataError(
        f"{place}: `_timestamp` must be a time in seconds since 1970, not {seconds!r:.40}. Fix or remove the value."
    )


def _timestamp(created_at: str) -> int | None:
    try:
        moment = datetime.fromisoformat(created_at)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _asked(codebook: Codebook) -> Row:
    """The question that a choice record asks."""
    return {
        "options": [{"id": label.name, "text": label.title or label.name} for label in codebook.labels],
        "config": {"choice_style": "single" if codebook.exclusive else "multiple"},
    }


def _choice(event: Annotation, sentence: Sentence, codebook: Codebook) -> Row:
    timestamp = _timestamp(event.created_at)
    return {
        "text": sentence.text,
        **_asked(codebook),
        "accept": list(event.labels),
        "answer": "accept" if event.state == "reviewed" else "ignore",
        "_view_id": "choice",
        "_annotator_id": event.annotator,
        **({} if timestamp is None else {"_timestamp": timestamp}),
        "meta": {},
    }
