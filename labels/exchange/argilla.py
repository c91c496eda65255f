"""Flattened records of Argilla 2, as JSONL: one record per sentence, with lists of responses.

The nested form is rejected because it lacks the status of responses: discarded (skipped) and submitted responses would
look the same. Drafts are not decisions and are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.exchange import foreign
from labels.exchange.decisions import Decision, Selection
from labels.exchange.foreign import KEY, ForeignDecision, LeftOut, Reader
from labels.exchange.formats import Content, Format, Placed
from labels.exchange.lines import Line
from labels.records import Annotation
from labels.text.rows import Row

# The key for the statuses of a question's responses is the question's name with this suffix.
_STATUS = ".responses.status"
_QUESTIONS = ("label", "labels")


class Argilla(Format):
    """Flattened records of Argilla."""

    name = "argilla"
    endings = (".jsonl",)
    carries = "decisions"
    not_written = (f"time, seconds, note and draw: they are only in the metadata `{KEY}`, which Argilla ignores",)
    not_read = (
        "drafts and unanswered records",
        "questions other than `label` or `labels`, if one of these was asked",
    )

    def parse(self, placed: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """Read the submitted and discarded responses."""
        for place, record in placed:
            question = _question(record, place)
            responses = _responses(record, question, place) if question else []
            if not responses:
                yield LeftOut("unanswered records")
            # A draft may still change, and a pending response has no answer yet.
            decided = [response for response in responses if response.status not in ("draft", "pending")]
            yield from (LeftOut("drafts") for _ in range(len(responses) - len(decided)))
            if decided:
                yield from _lines(reader, record, question, decided, place)

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """Build one record per sentence."""
        return (_record(decisions, selection.codebook) for decisions in selection.by_sentence())


ARGILLA = Argilla()


class _Response(NamedTuple):
    value: Any
    user: str
    status: str


def _question(record: Row, place: str) -> str:
    """The question to read: `label`, `labels`, or the only question; empty if no question was answered."""
    if isinstance(record.get("responses"), dict):
        raise DataError(
            f"{place}: this record is in the nested form, which lacks the status of responses. Export the flattened "
            "form: `dataset.records.to_list(flatten=True)`, one record per line."
        )
    names = [key.removesuffix(_STATUS) for key in record if key.endswith(_STATUS)]
    for name in _QUESTIONS:
        if name in names:
            return name
    if len(names) > 1:
        raise DataError(
            f"{place}: several questions were asked: {', '.join(names)}. Give the question that you want to "
            "import the name `label`."
        )
    return names[0] if names else ""


def _responses(record: Row, question: str, place: str) -> list[_Response]:
    # The three lists are parallel: value, user and status of each response.
    columns = [record.get(f"{question}.responses{part}") or [] for part in ("", ".users", ".status")]
    if not all(isinstance(column, list) for column in columns) or len({len(column) for column in columns}) != 1:
        raise DataError(
            f"{place}: `{question}.responses`, `.users` and `.status` must be lists of the same length. Fix the record."
        )
    return [
        _Response(value, "" if user is None else str(user), str(status))
        for value, user, status in zip(*columns, strict=True)
    ]


def _lines(reader: Reader, record: Row, question: str, responses: Sequence[_Response], place: str) -> Iterator[Line]:
    decisions = [_foreign_decision(record, question, response, place) for response in responses]
    lines = reader.lines(decisions, place, foreign.native_stamps(record.get(KEY), place))
    built = _record([(line.event, line.sentence) for line in lines], reader.codebook, question)
    # Responses are rebuilt from the decisions; all other fields belong to the tool.
    rest = {key: entry for key, entry in record.items() if not key.startswith(f"{question}.responses")}
    extra: Row = {}
    if fields := foreign.foreign_fields(rest | {"text": built["text"]}, built):
        extra["record"] = fields
    if question != _QUESTIONS[0]:
        extra["question"] = question
    for line, (value, _, _) in zip(lines, responses, strict=True):
        # Keep a value that we would write differently, such as a single name or labels in another order.
        own = {} if _value(line.event, reader.codebook) == value else {"value": foreign.json_value(value)}
        yield reader.with_extra(line, extra | own)


def _foreign_decision(record: Row, question: str, response: _Response, place: str) -> ForeignDecision:
    value, user, status = response
    if status not in ("submitted", "discarded"):
        raise DataError(
            f"{place}: the status of a response must be draft, submitted or discarded, not '{status}'. Fix the record."
        )
    suggestion = record.get(f"{question}.suggestion")
    return ForeignDecision.of(
        record,
        "reviewed" if status == "submitted" else "skipped",
        foreign.label_list(value, place) if status == "submitted" else (),
        record=[value, status],  # all responses share the record, so only the response identifies the decision
        annotator=user,
        suggestion=None if suggestion is None else foreign.label_list(suggestion, place),
    )


def _record(decisions: Sequence[Decision], codebook: Codebook, question: str = "") -> Row:
    (_, sentence), *_ = decisions  # all decisions are on the same sentence
    events = [event for event, _ in decisions]
    extras = [foreign.extra_of(event, ARGILLA.name) for event in events]
    question = question or str(next((extra["question"] for extra in extras if "question" in extra), _QUESTIONS[0]))
    built: Row = {"id": sentence.id, "text": sentence.text}
    suggestion = next((event.suggestion for event in events if event.suggestion is not None), None)
    if suggestion is not None:
        built[f"{question}.suggestion"] = _shape(suggestion, codebook)
    # Decisions on one sentence may come from several files with different fields.
    for extra, event in zip(extras, events, strict=True):
        built = foreign.with_foreign_fields(built, foreign.object_at(extra, "record", event.event_id))
    values = [extra.get("value", _value(event, codebook)) for extra, event in zip(extras, events, strict=True)]
    return built | {
        f"{question}.responses": values,
        f"{question}.responses.users": [event.annotator for event in events],
        f"{question}.responses.status": ["discarded" if event.state == "skipped" else "submitted" for event in events],
        # Argilla allows strings and numbers in metadata, but not objects.
        KEY: json.dumps([foreign.native_stamp(event, sentence) for event in events], ensure_ascii=False),
    }


def _value(event: Annotation, codebook: Codebook) -> Any:
    return None if event.state == "skipped" else _shape(event.labels, codebook)


def _shape(labels: Sequence[str], codebook: Codebook) -> Any:
    """The value of a response: one name for a label question, a list for a multi-label question."""
    if not codebook.exclusive:
        return list(labels)
    return labels[0] if labels else None
