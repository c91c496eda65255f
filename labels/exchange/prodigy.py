"""Prodigy's JSONL: one answer per line, from the `choice` interface or the binary interface.

We write `choice` records and read both kinds. `ignore` means skipped; `accept` without a choice means "reviewed, none".
A rejected `choice` does not show the correct labels, so it counts as skipped. All binary records by one annotator on
one text become one decision. The decision is reviewed if any record was accepted or rejected, and its labels are the
accepted labels. A later answer to the same label replaces the earlier answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.exchange import foreign
from labels.exchange.decisions import Selection
from labels.exchange.foreign import KEY, ForeignDecision, LeftOut, Reader
from labels.exchange.formats import Content, Format, Placed
from labels.exchange.lines import Line
from labels.records import Annotation, Sentence
from labels.text.rows import Row

_ANSWERS = ("accept", "reject", "ignore")


class Prodigy(Format):
    """Answers from Prodigy."""

    name = "prodigy"
    endings = (".jsonl",)
    carries = "decisions"
    not_written = (f"note, seconds, suggestion and draw: they are only in `meta.{KEY}`, which Prodigy ignores",)
    not_read = ("records without an answer", "labels of rejected choices: such decisions count as skipped")

    def parse(self, placed: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """Read the decisions; records without an answer are left out."""
        # Binary answers on one text can be anywhere in the file, so all records are read first.
        groups: dict[tuple[str, ...], list[Placed]] = {}
        for place, row in placed:
            if row.get("answer") is None:
                yield LeftOut("unanswered records")
                continue
            if row["answer"] not in _ANSWERS:
                answers = " or ".join(_ANSWERS)
                raise DataError(f"{place}: `answer` must be {answers}, not {row['answer']!r}. Fix the record.")
            groups.setdefault(_group(row, place), []).append((place, row))
        for group in groups.values():
            yield _line(reader, group)

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """Build one choice record per decision; decisions imported from binary records become binary records again."""
        for event, sentence in selection.decisions:
            extra = foreign.extra_of(event, self.name)
            binary = extra.get("binary")
            if isinstance(binary, list):
                # Each binary record has its own label and answer; one choice record cannot store them all.
                shared = {"text": sentence.text, "_annotator_id": event.annotator}
                built = [shared | record for record in binary]
            else:
                built = [foreign.with_foreign_fields(_choice(event, sentence, selection.codebook), extra)]
            ours = {"meta": {KEY: foreign.native_stamp(event, sentence)}}
            yield from (foreign.with_foreign_fields(record, ours) for record in built)


PRODIGY = Prodigy()


def _is_choice(row: Row) -> bool:
    return "options" in row or "accept" in row


def _group(row: Row, place: str) -> tuple[str, ...]:
    """The key that groups binary records by annotator and text; each choice record is a separate group."""
    if _is_choice(row):
        return (place,)
    if not isinstance(row.get("label"), str):
        raise DataError(f"{place}: this record has neither `accept` nor `label`. Fix or remove the record.")
    stamps = foreign.native_stamps(foreign.object_at(row, "meta", place).get(KEY), place)
    # Two documents can have equal texts. The stamp distinguishes them; without a stamp, use Prodigy's hash.
    text = stamps[0].get("sentence_id") if stamps else row.get("_input_hash") or row.get("text")
    return (_annotator(row), str(text))


def _line(reader: Reader, group: Sequence[Placed]) -> Line:
    place, first = group[0]
    meta = foreign.object_at(first, "meta", place)
    choice = _is_choice(first)
    rows = [row for _, row in group]
    answers = {row["answer"] for row in rows}
    # A rejected choice leaves the correct labels unknown; a rejected binary label is a decision on that label.
    reviewed = answers == {"accept"} if choice else answers != {"ignore"}
    labels = _chosen(first, reader.codebook, place) if choice else _accepted(rows)
    decision = ForeignDecision(
        text=first.get("text"),
        state="reviewed" if reviewed else "skipped",
        labels=labels if reviewed else (),
        record=[foreign.without_stamp(row) for row in rows],
        annotator=_annotator(first),
        # The decision was complete with the last answer.
        created_at=max(_time(row) for row in rows),
        identifier=first.get("_input_hash"),
        metadata=meta,
    )
    line = reader.line(decision, place, foreign.native_stamps(meta.get(KEY), place))
    if choice:
        built = _choice(line.event, line.sentence, reader.codebook)
        return reader.with_extra(line, foreign.foreign_fields(first | {"text": built["text"]}, built))
    binary = [
        {key: foreign.json_value(value) for key, value in foreign.without_stamp(row).items() if key != "text"}
        for row in rows
    ]
    return reader.with_extra(line, {"binary": binary})


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


def _time(row: Row) -> str:
    """The record's time, ISO 8601 in UTC; empty if the record has no time."""
    seconds = row.get("_timestamp")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return ""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
    except (OverflowError, ValueError, OSError):  # the number is not a valid time: use the time of the import
        return ""


def _timestamp(created_at: str) -> int | None:
    try:
        moment = datetime.fromisoformat(created_at)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _choice(event: Annotation, sentence: Sentence, codebook: Codebook) -> Row:
    timestamp = _timestamp(event.created_at)
    return {
        "text": sentence.text,
        "options": [{"id": label.name, "text": label.title or label.name} for label in codebook.labels],
        "accept": list(event.labels),
        "answer": "ignore" if event.state == "skipped" else "accept",
        "config": {"choice_style": "single" if codebook.exclusive else "multiple"},
        "_view_id": "choice",
        "_annotator_id": event.annotator,
        **({} if timestamp is None else {"_timestamp": timestamp}),
        "meta": {},
    }
