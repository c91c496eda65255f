"""Flattened records of Argilla 2, as JSONL: one record per sentence, with lists of responses.

The nested form is rejected because it lacks the status of responses: discarded (skipped) and submitted responses would
look the same. Drafts are not decisions and are left out.

The question to read is `label`, `labels`, the only question, or the question named with `--control`. Answers that are
not label names (ratings, rankings, spans) are not decisions, unless their question is named with `--control`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.exchange import controls, fields, foreign
from labels.exchange.decisions import Decision, Selection
from labels.exchange.fields import KEY
from labels.exchange.foreign import ForeignDecision, LeftOut, Reader, Unseen
from labels.exchange.formats import Content, Format, Placed
from labels.exchange.lines import Line
from labels.records import Annotation
from labels.text.rows import Row

# The key for the responses to a question is the question's name with this suffix; the keys for their users and
# statuses have a further suffix.
_RESPONSES = ".responses"
_QUESTIONS = ("label", "labels")


class Argilla(Format):
    """Flattened records of Argilla."""

    name = "argilla"
    endings = (".jsonl",)
    carries = "decisions"
    skips_not_a_sentence = True
    not_written = (f"time, seconds, note and draw: kept only in the metadata `{KEY}`, which Argilla ignores",)
    options = (controls.OPTION,)
    not_read = (
        "drafts; the texts of unanswered records become unseen sentences",
        "questions other than `label` or `labels`, if one of these was asked, unless named with --control",
        "answers that are not label names, unless their question is named with --control",
    )

    def is_own(self, record: Row) -> bool:
        """Whether the record has responses."""
        return any(key.endswith(_RESPONSES) for key in record) or isinstance(record.get("responses"), dict | list)

    def parse(self, placed: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """Read the submitted and discarded responses."""
        # A question is chosen for the whole file: a record may lack the responses to it.
        placed = list(placed)
        chosen, named = _question(placed, reader)
        for place, record in placed:
            stamps = foreign.native_stamps(record.get(KEY), place)
            # We write each record with the question that its decisions came from.
            question = chosen if not stamps or chosen in _asked(record) else next(iter(_asked(record)), "")
            decided = []
            for response in _responses(record, question, place) if question else []:
                if reason := _undecided(response, ours=bool(stamps), named=named):
                    yield LeftOut(reason)
                else:
                    decided.append(response)
            if decided:
                yield from _lines(reader, record, question, decided, place, stamps, mapped=named or bool(stamps))
            else:
                answered = any(record.get(f"{name}{_RESPONSES}") for name in _asked(record) if name != question)
                reason = f"records without an answer to `{question}`" if answered else "unanswered records"
                yield reader.unseen(Unseen.of(record, reason), place, stamps)

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """Build one record per sentence."""
        return (_record(decisions, selection.codebook) for decisions in selection.by_sentence())


ARGILLA = Argilla()


class _Response(NamedTuple):
    value: Any
    user: str
    status: str


def _question(placed: Sequence[Placed], reader: Reader) -> tuple[str, bool]:
    """The question to read, and whether the user named it; the question is empty if none was asked."""
    asked: dict[str, str] = {}
    for place, record in placed:
        if isinstance(record.get("responses"), dict | list):
            raise DataError(
                f"{place}: this record is in the nested form, which lacks the status of responses. Export the "
                "flattened form: `dataset.records.to_list(flatten=True)`, one record per line."
            )
        if "annotation_agent" in record:
            raise DataError(
                f"{place}: this record is from Argilla 1. Move the dataset to Argilla 2, and export the flattened form."
            )
        if KEY not in record:
            asked |= _asked(record)
    wanted = controls.wanted_controls(reader.options.get(controls.OPTION, ""), asked, reader.path)
    if len(wanted) > 1:
        raise DataError(f"{reader.path}: --control must name one question, not several: {', '.join(wanted)}.")
    usual = next((name for name in _QUESTIONS if name in asked), "")
    return next(iter(wanted), "") or usual or controls.choose(asked, "questions", reader.path), bool(wanted)


def _asked(record: Row) -> dict[str, str]:
    return {key.removesuffix(_RESPONSES): "" for key in record if key.endswith(_RESPONSES)}


def _undecided(response: _Response, *, ours: bool, named: bool) -> str:
    """The reason why a response is not a decision on labels; empty if the response is a decision."""
    value, _, status = response
    # A draft may still change, and a pending response has no answer yet.
    if status in ("draft", "pending"):
        return "drafts"
    if status != "submitted":
        return ""
    # We write null for "reviewed, none" if the codebook is exclusive; Argilla has no such answer.
    if value in (None, "") and not ours:
        return "submitted responses without an answer"
    names = value if isinstance(value, list) else [value]
    if named or ours or all(name is None or isinstance(name, str) for name in names):
        return ""
    return "responses that are not label names"


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


def _lines(
    reader: Reader,
    record: Row,
    question: str,
    responses: Sequence[_Response],
    place: str,
    stamps: Sequence[Row],
    *,
    mapped: bool,
) -> Iterator[Line]:
    titles = reader.codebook.names_by_value

    def names(value: Any) -> list[str]:
        found = controls.names_in(value, place) if mapped else fields.label_list(value, place)
        return [titles.get(name, name) for name in found] if mapped else found

    decisions = [_foreign_decision(record, question, response, place, names) for response in responses]
    lines = reader.lines(decisions, place, stamps)
    built = _record([(line.event, line.sentence) for line in lines], reader.codebook, question)
    # Responses are rebuilt from the decisions; all other fields belong to the tool.
    rest = {key: entry for key, entry in record.items() if not key.startswith(f"{question}.responses")}
    extra: Row = {}
    if of_record := fields.foreign_fields(rest | {"text": built["text"]}, built):
        extra["record"] = of_record
    if question != _QUESTIONS[0]:
        extra["question"] = question
    for line, (value, _, _) in zip(lines, responses, strict=True):
        # Keep a value that we would write differently, such as a single name or labels in another order.
        own = {} if _value(line.event, reader.codebook) == value else {"value": fields.json_value(value)}
        yield reader.with_extra(line, extra | own)


def _foreign_decision(
    record: Row, question: str, response: _Response, place: str, names: Callable[[Any], list[str]]
) -> ForeignDecision:
    value, user, status = response
    if status not in ("submitted", "discarded"):
        raise DataError(
            f"{place}: the status of a response must be draft, submitted or discarded, not '{status}'. Fix the record."
        )
    suggestion = record.get(f"{question}.suggestion")
    return ForeignDecision.of(
        record,
        "reviewed" if status == "submitted" else "skipped",
        names(value) if status == "submitted" else (),
        record=[value, status],  # all responses share the record, so only the response identifies the decision
        annotator=user,
        suggestion=None if suggestion is None else names(suggestion),
    )


def _record(decisions: Sequence[Decision], codebook: Codebook, question: str = "") -> Row:
    (_, sentence), *_ = decisions  # all decisions are on the same sentence
    events = [event for event, _ in decisions]
    extras = [fields.extra_of(event, ARGILLA.name) for event in events]
    question = question or str(next((extra["question"] for extra in extras if "question" in extra), _QUESTIONS[0]))
    built: Row = {"id": sentence.id, "text": sentence.text}
    suggestion = next((event.suggestion for event in events if event.suggestion is not None), None)
    if suggestion is not None:
        built[f"{question}.suggestion"] = _shape(suggestion, codebook)
    # Decisions on one sentence may come from several files with different fields.
    for extra, event in zip(extras, events, strict=True):
        built = fields.with_foreign_fields(built, fields.object_at(extra, "record", event.event_id))
    values = [extra.get("value", _value(event, codebook)) for extra, event in zip(extras, events, strict=True)]
    return built | {
        f"{question}.responses": values,
        f"{question}.responses.users": [event.annotator for event in events],
        f"{question}.responses.status": ["submitted" if event.state == "reviewed" else "discarded" for event in events],
        # Argilla allows strings and numbers in metadata, but not objects.
        KEY: json.dumps([foreign.native_stamp(event, sentence) for event in events], ensure_ascii=False),
    }


def _value(event: Annotation, codebook: Codebook) -> Any:
    return _shape(event.labels, codebook) if event.state == "reviewed" else None


def _shape(labels: Sequence[str], codebook: Codebook) -> Any:
    """The value of a response: one name for a label question, a list for a multi-label question."""
    if not codebook.exclusive:
        return list(labels)
    return labels[0] if labels else None
