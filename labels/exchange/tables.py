"""Formats that are tables, one element a row: plain CSV and ActiveTigger's, and what Hugging Face datasets share.

*csv* has one decision a row, labels joined by `|`. Any table with `text` and `labels` (or `label`) can be imported.
Without a column `state`, an empty cell of labels does not say whether anyone looked, and the row is left out.

*activetigger* tables are CSV or Parquet, one sentence a row with its gold labels as `a|b`. The tool asks which column
is which; here they are `id`, `text`, and `label` (exclusive codebooks) or `labels`. It may drop the other columns, so
an `id` that equals a sentence's id in the store is taken for that sentence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from labels.codebook.schema import Codebook
from labels.errors import DataError, did_you_mean
from labels.exchange.decisions import Selection
from labels.exchange.formats import Content, Format, Placed
from labels.exchange.lines import Line
from labels.exchange.records import (
    KEY,
    ForeignDecision,
    LeftOut,
    Reader,
    extra_of,
    json_value,
    label_list,
    native_stamp,
    native_stamps,
)
from labels.records import Annotation, Sentence, State
from labels.text.examples import SEPARATOR, label_column
from labels.text.rows import Row

UNLABELLED = LeftOut("rows without labels")
"""An empty cell does not say whether anyone looked."""

_NOT_READ = ("rows without labels, unless exported from here: an empty cell does not say whether anyone looked",)
_STATES = ("reviewed", "skipped", "unseen")


class PlainTable(Format):
    """CSV for spreadsheets and scripts."""

    name = "csv"
    endings = (".csv",)
    carries = "decisions"
    not_read = _NOT_READ

    def columns(self, codebook: Codebook) -> Sequence[str]:
        """What a decision has in each row."""
        return (
            *("text", "labels", "state", "annotator", "note", "seconds", "created_at", "suggestion"),
            *("document_id", "sentence_id"),
        )

    def parse(self, records: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """The decisions; rows that no annotator looked at are left out."""
        for place, row in records:
            state = _state(row, place)
            yield UNLABELLED if state == "unseen" else _decided_line(reader, row, cast(State, state), place)

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """One decision a row."""
        for event, sentence in selection.decisions:
            yield with_foreign_columns(_decision_row(event, sentence), event, sentence, self.name)


class GoldTable(Format):
    """A table with one sentence a row: `text`, `label` or `labels`, the ids that splits need, and other columns."""

    carries = "gold"
    not_read = _NOT_READ

    def columns(self, codebook: Codebook) -> Sequence[str]:
        """`label` for exclusive codebooks, else `labels`."""
        return ("text", "label" if codebook.exclusive else "labels", "document_id", "sentence_id")

    def parse(self, records: Iterable[Placed], reader: Reader) -> Iterator[Content]:
        """The decisions; rows without labels are left out, an empty list of labels is "reviewed, none"."""
        for place, row in records:
            stamps = native_stamps(row.get(KEY), place)
            value = row[label_column(row, place)]
            if is_blank(value) and not stamps:
                yield UNLABELLED
            else:
                yield _gold_line(reader, row, split_labels(value, place), stamps, place)

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """The gold labels, one sentence a row."""
        for event, sentence in selection.decisions:
            row = _gold_row(event, sentence, exclusive=selection.codebook.exclusive)
            yield with_foreign_columns(row, event, sentence, self.name)


class ActiveTigger(GoldTable):
    """ActiveTigger's tables."""

    name = "activetigger"
    endings = (".csv", ".parquet")

    def columns(self, codebook: Codebook) -> Sequence[str]:
        """As other gold tables, after the column that the tool takes for the id."""
        return ("id", *super().columns(codebook))

    def build(self, selection: Selection, ending: str) -> Iterator[Row]:
        """As other gold tables, with joined labels; the tool's own ids are kept where it gave some."""
        for row in super().build(selection, ending):
            labels = {"labels": SEPARATOR.join(row["labels"])} if "labels" in row else {}
            yield {"id": row["sentence_id"]} | row | labels


CSV, ACTIVETIGGER = PlainTable(), ActiveTigger()


def is_blank(value: Any) -> bool:
    """Whether a cell says nothing: null, or white space only; an empty list says "none"."""
    return value is None or (isinstance(value, str) and not value.strip())


def split_labels(value: Any, place: str) -> list[str]:
    """Label names of a cell: `a|b`, one name or number, or a list.

    Raises:
        DataError: the value is anything else.
    """
    if isinstance(value, str):
        return [name.strip() for name in value.split(SEPARATOR) if name.strip()]
    if isinstance(value, int) and not isinstance(value, bool):
        return [str(value)]
    return label_list(value, place)


def with_foreign_columns(built: Row, event: Annotation, sentence: Sentence, format: str) -> Row:
    """The row with the tool's own columns, and the stamp of its decision as JSON text."""
    extra = {key: value for key, value in extra_of(event, format).items() if key not in built or key == "id"}
    return built | extra | {KEY: json.dumps(native_stamp(event, sentence), ensure_ascii=False)}


def _foreign_columns(row: Mapping[str, Any], built: Mapping[str, Any], sentence: Sentence) -> Row:
    """The columns of a row that we have no word for, and the tool's own id; empty cells say nothing."""
    ours = {*built, KEY, "label", "labels"}
    rest = {key: json_value(value) for key, value in row.items() if key not in ours and value not in (None, "")}
    return {key: value for key, value in rest.items() if value is not None and (key, value) != ("id", sentence.id)}


def _state(row: Row, place: str) -> str:
    """The state that a row gives; labels without a state were given by an annotator."""
    state = str(row.get("state") or "").strip()
    if not state:
        return "unseen" if is_blank(row[label_column(row, place)]) else "reviewed"
    if state not in _STATES:
        near = did_you_mean(state, _STATES)
        raise DataError(f"{place}: `state` must be {' or '.join(_STATES)}, not '{state}'{near}. Fix the row.")
    return state


def _decided_line(reader: Reader, row: Row, state: State, place: str) -> Line:
    suggestion = row.get("suggestion")
    decision = ForeignDecision(
        text=row.get("text"),
        state=state,
        labels=split_labels(row[label_column(row, place)], place),
        record=row,
        annotator=row.get("annotator") or "",
        created_at=row.get("created_at") or "",
        seconds=_seconds(row, place),
        note=row.get("note") or "",
        suggestion=None if is_blank(suggestion) else split_labels(suggestion, place),
        identifier=row.get("id"),
        metadata=row,
        stored_id=row.get("sentence_id") or "",
    )
    line = reader.line(decision, place, native_stamps(row.get(KEY), place))
    built = _decision_row(line.event, line.sentence)
    return reader.with_extra(line, _foreign_columns(row, built, line.sentence))


def _seconds(row: Row, place: str) -> float | None:
    value = row.get("seconds") or ""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise DataError(f"{place}: `seconds` must be a number, not '{value}'. Fix the row or empty the cell.")
    return seconds


def _decision_row(event: Annotation, sentence: Sentence) -> Row:
    return {
        "text": sentence.text,
        "labels": SEPARATOR.join(event.labels),
        "state": event.state,
        "annotator": event.annotator,
        "note": event.note,
        "seconds": event.seconds,
        "created_at": event.created_at,
        "suggestion": SEPARATOR.join(event.suggestion or ()),
        "document_id": sentence.document_id,
        "sentence_id": sentence.id,
    }


def _gold_line(reader: Reader, row: Row, labels: list[str], stamps: list[Row], place: str) -> Line:
    identifier = row.get("id")
    decision = ForeignDecision(
        text=row.get("text"),
        state="reviewed",
        labels=labels,
        record=json_value(row),
        identifier=identifier,
        metadata=row,
        stored_id=str(row.get("sentence_id") or identifier or ""),
    )
    line = reader.line(decision, place, stamps)
    built = _gold_row(line.event, line.sentence, exclusive=False)
    return reader.with_extra(line, _foreign_columns(row, built, line.sentence))


def _gold_row(event: Annotation, sentence: Sentence, *, exclusive: bool) -> Row:
    """One name or null under `label`, or a list under `labels`."""
    labels: Row = {"labels": list(event.labels)}
    if exclusive:
        labels = {"label": event.labels[0] if event.labels else None}
    return {"text": sentence.text} | labels | {"document_id": sentence.document_id, "sentence_id": sentence.id}
