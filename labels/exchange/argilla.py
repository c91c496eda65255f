"""Argilla 2's records in their flattened form, as JSONL: one record a sentence, with lists of responses.

The nested form does not give a response's status, so it is refused: discarded (skipped) and submitted would look the
same. Drafts are not decisions and are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.exchange import records
from labels.exchange.decisions import Decision, Selection
from labels.exchange.formats import Content, Format, Placed
from labels.exchange.lines import Line
from labels.exchange.records import KEY, ForeignDecision, LeftOut, Reader
from labels.records import Annotation
from labels.text.rows import Row

# The statuses of a question's responses are under a key with this ending, whatever the question's name.
_STATUS = ".responses.status"
_QUESTIONS = ("label", "labels")


class Argilla(Format):
    """Argilla's flattened records."""

    name = "argilla"
    endings = (".jsonl",)
    carries = "decisions"
    not_written = (f"time, seconds, note and draw are only in the metadata `{KEY}`, which Argilla ignores",)
    not_read = (
        "drafts and unanswered records",
        "other questions than `label` or `labels`, where one of these was asked",
    )

    def parse(self, placed: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """The submitted and discarded responses."""
        for place, record in placed:
            question = _question(record, place)
            responses = _responses(record, question, place) if question else []
            if not responses:
                yield LeftOut("unanswered records")
            # A draft may still change, and a pending response has not been given.
            decided = [response for response in responses if response.status not in ("draft", "pending")]
            yield from (LeftOut("drafts") for _ in range(len(responses) - len(decided)))
            if decided:
                yield from _lines(reader, record, question, decided, place)

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """One record a sentence."""
        return (_record(decisions, selection.codebook) for decisions in selection.by_sentence())


ARGILLA = Argilla()


class _Response(NamedTuple):
    value: Any
    user: str
    status: str


def _question(record: Row, place: str) -> str:
    """The question whose responses are read: `label`, `labels`, or the only one; empty where none was answered."""
    if isinstance(record.get("responses"), dict):
        raise DataError(
            f"{place}: this is the nested form, which does not say what was submitted. Export the flattened one: "
            "`dataset.records.to_list(flatten=True)`, one record a line."
        )
    names = [key.removesuffix(_STATUS) for key in record if key.endswith(_STATUS)]
    for name in _QUESTIONS:
        if name in names:
            return name
    if len(names) > 1:
        raise DataError(
            f"{place}: several questions were asked: {', '.join(names)}. Rename the one to read to `label`."
        )
    return names[0] if names else ""


def _responses(record: Row, question: str, place: str) -> list[_Response]:
    # The three lists belong together by position: value, user and status of each response.
    columns = [record.get(f"{question}.responses{part}") or [] for part in ("", ".users", ".status")]
    if not all(isinstance(column, list) for column in columns) or len({len(column) for column in columns}) != 1:
        raise DataError(
            f"{place}: `{question}.responses`, `.users` and `.status` must be lists of one length. Fix the record."
        )
    return [
        _Response(value, "" if user is None else str(user), str(status))
        for value, user, status in zip(*columns, strict=True)
    ]


def _lines(reader: Reader, record: Row, question: str, responses: Sequence[_Response], place: str) -> Iterator[Line]:
    decisions = [_foreign_decision(record, question, response, place) for response in responses]
    lines = reader.lines(decisions, place, records.native_stamps(record.get(KEY), place))
    built = _record([(line.event, line.sentence) for line in lines], reader.codebook, question)
    # Responses are rebuilt from the decisions; the rest of the record belongs to the tool.
    rest = {key: entry for key, entry in record.items() if not key.startswith(f"{question}.responses")}
    extra: Row = {}
    if fields := records.foreign_fields(rest | {"text": built["text"]}, built):
        extra["record"] = fields
    if question != _QUESTIONS[0]:
        extra["question"] = question
    for line, (value, _, _) in zip(lines, responses, strict=True):
        # A value that we would write differently goes back as it came: a single name, labels in another order.
        own = {} if _value(line.event, reader.codebook) == value else {"value": records.json_value(value)}
        yield reader.with_extra(line, extra | own)


def _foreign_decision(record: Row, question: str, response: _Response, place: str) -> ForeignDecision:
    value, user, status = response
    if status not in ("submitted", "discarded"):
        raise DataError(f"{place}: a response must be draft, submitted or discarded, not '{status}'. Fix the record.")
    suggestion = record.get(f"{question}.suggestion")
    return ForeignDecision.of(
        record,
        "reviewed" if status == "submitted" else "skipped",
        records.label_list(value, place) if status == "submitted" else (),
        record=[value, status],  # the record is shared, so only the response identifies the decision
        annotator=user,
        suggestion=None if suggestion is None else records.label_list(suggestion, place),
    )


def _record(decisions: Sequence[Decision], codebook: Codebook, question: str = "") -> Row:
    (_, sentence), *_ = decisions  # all are on the same sentence
    events = [event for event, _ in decisions]
    extras = [records.extra_of(event, ARGILLA.name) for event in events]
    question = question or str(next((extra["question"] for extra in extras if "question" in extra), _QUESTIONS[0]))
    built: Row = {"id": sentence.id, "text": sentence.text}
    suggestion = next((event.suggestion for event in events if event.suggestion is not None), None)
    if suggestion is not None:
        built[f"{question}.suggestion"] = _shape(suggestion, codebook)
    # Decisions of one sentence may come from several files, each with fields of its own.
    for extra, event in zip(extras, events, strict=True):
        built = records.with_foreign_fields(built, records.object_at(extra, "record", event.event_id))
    values = [extra.get("value", _value(event, codebook)) for extra, event in zip(extras, events, strict=True)]
    return built | {
        f"{question}.responses": values,
        f"{question}.responses.users": [event.annotator for event in events],
        f"{question}.responses.status": ["discarded" if event.state == "skipped" else "submitted" for event in events],
        # Argilla's metadata can be words and numbers, but not objects.
        KEY: json.dumps([records.native_stamp(event, sentence) for event in events], ensure_ascii=False),
    }


def _value(event: Annotation, codebook: Codebook) -> Any:
    return None if event.state == "skipped" else _shape(event.labels, codebook)


def _shape(labels: Sequence[str], codebook: Codebook) -> Any:
    """A label question takes one name, a multi-label question a list."""
    if not codebook.exclusive:
        return list(labels)
    return labels[0] if labels else None
