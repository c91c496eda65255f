"""Records of other tools: how they become native lines, and how what only the tool knows survives the round trip.

Each record that we write carries, under `KEY` in the place that its format has for metadata, its *stamp*: the native
line of the decision, as it reads under the codebook in use, without the text. On the way back, a record whose state
and labels still equal those of its stamp is that decision. A record that was changed in the other tool is a new
decision on the same sentence, or a new adjudication where the stamp was one. A record without a stamp is a new decision
on a new document.

New decisions get ids from their content and from the decision that they change. A second import of the same record
therefore adds nothing, while a change back to earlier labels is a decision again.

What a tool calls its fields is known to its own module only.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from labels.codebook.schema import Codebook
from labels.errors import CodebookError, DataError
from labels.exchange.lines import COLUMNS, Line, format_line, parse_line
from labels.records import Annotation, Document, EventKind, Sentence, State
from labels.store import now
from labels.text.rows import Row, is_unicode
from labels.text.sentences import whole_sentence

KEY = "communique"
"""The key, or column, under which our ids travel in records of other tools."""

_STAMP_COLUMNS = tuple(column for column in COLUMNS if column not in ("text", "extra"))
_PROVENANCE = ("url", "title", "date", "language")


@dataclass(frozen=True)
class LeftOut:
    """A record that is not a decision; it is counted by its `reason`, a plural such as "rows without labels"."""

    reason: str


@dataclass(frozen=True)
class ForeignDecision:
    """One decision as a record of another tool describes it, in our words.

    `record` is the JSON value that tells this decision from others on the same text. `annotator` and `created_at` (ISO
    8601) are empty, `seconds` and `suggestion` None where the format does not have them. The text's source, url, title,
    date and language are looked up in `metadata`; `identifier` is the tool's own name of the text. `stored_id` may be
    the id of a sentence of the store.
    """

    text: Any
    state: State
    labels: Sequence[str]
    record: Any
    annotator: str = ""
    created_at: str = ""
    seconds: Any = None
    note: str = ""
    suggestion: Sequence[str] | None = None
    identifier: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    stored_id: str = ""

    @classmethod
    def of(cls, record: Row, state: State, labels: Sequence[str], /, **more: Any) -> Self:
        """The decision of a flat record: its text is under `text`, the tool's own name of it under `id`.

        Args:
            more: other attributes, or those that are elsewhere in the record.
        """
        found: Row = {"text": record.get("text"), "identifier": record.get("id"), "record": record, "metadata": record}
        return cls(state=state, labels=labels, **found | more)


class Reader:
    """Turns the decisions of one file into native lines.

    Args:
        path: the file, for messages and as the source of texts that name none.
        format: the name of the format.
        codebook: what the labels are checked against.
        annotator: who decided, where the records do not say.
        fallback: who decided, where `annotator` is not given either.
        options: values of the format's own options, by name.
    """

    def __init__(
        self, path: Path, format: str, codebook: Codebook, annotator: str = "", fallback: str = "", **options: str
    ) -> None:
        self.path = path
        self.codebook = codebook
        self.options = options
        self._format = format
        self._annotator = annotator
        self._fallback = fallback
        self._now = now()

    def line(self, decision: ForeignDecision, place: str, stamps: Sequence[Row] = ()) -> Line:
        """The line of a record's only decision; see `lines`."""
        return self.lines([decision], place, stamps)[0]

    def lines(self, decisions: Sequence[ForeignDecision], place: str, stamps: Sequence[Row] = ()) -> list[Line]:
        """The lines of a record's decisions, all on the same text; `stamps` are those that the record carries.

        Raises:
            DataError: there is no text, no annotator is named, a label is not in the codebook, a stamp was altered, or
                an adjudication was changed to skipped; the message starts with `place`, the file and row.
        """
        left = list(stamps)  # each stamp is spent on one decision: two annotators may agree
        found = []
        for decision in decisions:
            # Decisions beyond the last stamp were added in the other tool. They are about our sentence too.
            line, used = self._line(decision, place, left or stamps)
            left = [stamp for stamp in left if stamp is not used]
            found.append(line)
        return found

    def with_extra(self, line: Line, extra: Row) -> Line:
        """The line with what only its format knows, if anything.

        Raises:
            DataError: a string cannot be written as UTF-8.
        """
        _canonical(extra, line.place)
        return replace(line, event=replace(line.event, extra={self._format: extra} if extra else None))

    def _line(self, decision: ForeignDecision, place: str, stamps: Sequence[Row]) -> tuple[Line, Row | None]:
        """The line of one decision, and the stamp that is spent on it."""
        if not isinstance(decision.text, str) or not decision.text.strip():
            raise DataError(f"{place}: this record has no text. Fill in `text` or remove the record.")
        # Any stamp will do: they were all written in one export, under one version.
        if stamps:
            self._refuse_other_version(decision, stamps[0], place)
        own = next((stamp for stamp in stamps if self._is_of(stamp, decision)), None)
        if own is not None:
            return self._parsed(own, decision, place), own
        document, sentence = self._sentence(decision, place, stamps)
        changed = next((stamp for stamp in stamps if decision.annotator in ("", stamp.get("annotator"))), None)
        line = self._parsed(self._new_row(decision, sentence, place, stamps, changed), decision, place)
        stored_id = "" if stamps else decision.stored_id
        return replace(line, sentence=sentence, document=document, stored_id=stored_id), changed

    def _refuse_other_version(self, decision: ForeignDecision, stamp: Row, place: str) -> None:
        """Where labels do not fit the codebook, name the version that they may have been exported under."""
        made = stamp.get("codebook_hash")
        try:
            if decision.state == "reviewed" and made != self.codebook.hash:
                self.codebook.check_labels(decision.labels, place)
        except CodebookError as error:
            raise DataError(
                f"{error} If the file was exported under another version, import it with `--codebook {made}`."
            ) from None

    def _is_of(self, stamp: Row, decision: ForeignDecision) -> bool:
        who = decision.annotator or self._annotator
        return _is_unchanged(stamp, decision) and who in ("", stamp.get("annotator"))

    def _parsed(self, row: Row, decision: ForeignDecision, place: str) -> Line:
        text = decision.text if row.get("text") is None else row["text"]
        return parse_line(row | {"text": text}, place, self.codebook)

    def _sentence(
        self, decision: ForeignDecision, place: str, stamps: Sequence[Row]
    ) -> tuple[Document | None, Sentence]:
        """The sentence of a new decision: that of the stamps, else the whole text as a document of its own."""
        if stamps:
            return None, self._parsed(stamps[0], decision, place).sentence
        given: dict[str, Any] = {
            key: str(value) for key in _PROVENANCE if (value := decision.metadata.get(key)) not in (None, "")
        }
        named = (decision.metadata.get("source"), decision.metadata.get("document_id"))
        # The data's own provenance comes first. A tool's number is unique only within the tool, hence its name.
        own = "" if decision.identifier in (None, "") else f"{self._format}:{decision.identifier}"
        source = next((str(name) for name in named if name not in (None, "")), own or self.path.name)
        _canonical([source, given], place)
        document = Document(source, decision.text, **given)
        return document, whole_sentence(document)

    def _new_row(
        self, decision: ForeignDecision, sentence: Sentence, place: str, stamps: Sequence[Row], changed: Row | None
    ) -> Row:
        annotator = decision.annotator or self._annotator or self._fallback
        if not annotator:
            raise DataError(f"{place}: this record does not name an annotator. Name one with --annotator NAME.")
        kind = _kind(decision, changed, place)
        verdict = [kind] if kind == "adjudicate" else []
        before = [] if changed is None else [changed.get("event_id")]
        # The id must not change from one release to the next, or a second import would add everything again.
        parts = [self._format, annotator, sentence.id, without_stamp(decision.record), *verdict, *before]
        content = _canonical(parts, place)
        # Other tools leave our time and seconds in a record that they change; they belong to the earlier decision.
        stale = any(decision.created_at == stamp.get("created_at") for stamp in stamps)
        event = Annotation(
            event_id=hashlib.sha256(content.encode()).hexdigest()[:32],
            sentence_id=sentence.id,
            annotator=annotator,
            event=kind,
            state=decision.state,
            labels=tuple(decision.labels),
            codebook_hash=self.codebook.hash,
            created_at=self._now if stale or not decision.created_at else decision.created_at,
            note=decision.note,
            seconds=None if stale else decision.seconds,
            suggestion=None if decision.suggestion is None else tuple(decision.suggestion),
        )
        # A row again: what a tool wrote has not been checked so far, and `parse_line` checks rows.
        return format_line(Line(event, sentence))


def _is_unchanged(stamp: Row, decision: ForeignDecision) -> bool:
    return stamp.get("state") == decision.state and set(map(str, stamp["labels"])) == set(decision.labels)


def _kind(decision: ForeignDecision, changed: Row | None, place: str) -> EventKind:
    """What a new decision is: an adjudication where it changes one, which an annotation would leave in force."""
    if changed is None or changed.get("event") != "adjudicate" or _is_unchanged(changed, decision):
        return "annotate"
    if decision.state != "reviewed":
        raise DataError(
            f"{place}: an adjudication cannot become {decision.state}, which decides nothing. "
            "Give it labels or remove it."
        )
    return "adjudicate"


def _canonical(value: Any, place: str) -> str:
    """JSON that is the same for equal values."""
    # Tools do not keep the order of keys.
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    if not is_unicode(text):
        raise DataError(f"{place}: a text contains an unpaired surrogate. Fix the record.")
    return text


def native_stamp(event: Annotation, sentence: Sentence) -> Row:
    """What a record carries of ours: the native line of the decision without text and extra."""
    row = format_line(Line(event, sentence))
    return {column: row[column] for column in _STAMP_COLUMNS}


def native_stamps(value: Any, place: str) -> list[Row]:
    """The stamps in a record: one or a list, as objects or as JSON text; none where the record is not ours.

    Raises:
        DataError: the value is not a stamp.
    """
    if value in (None, ""):
        return []
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        found = None
    # Labels are compared later, so that their type is checked here; `parse_line` checks the rest.
    stamps = found if isinstance(found, list) else [found]
    if not all(isinstance(entry, dict) and isinstance(entry.get("labels"), list) for entry in stamps):
        raise DataError(f"{place}: `{KEY}` is not what the export wrote there. Export again, or remove it.")
    return list(stamps)


def without_stamp(value: Any) -> Any:
    """A record without our stamp, however deep in its objects."""
    if not isinstance(value, dict):
        return value
    return {key: without_stamp(entry) for key, entry in value.items() if key != KEY}


def foreign_fields(record: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> Row:
    """What a record has beyond, or different from, the record that we would write. See `with_foreign_fields`."""
    left: Row = {}
    for key, value in record.items():
        if key == KEY:
            continue
        if isinstance(value, dict):
            inner = foreign_fields(value, rebuilt[key] if isinstance(rebuilt.get(key), dict) else {})
            # An empty object is kept too, unless we would write one there.
            if inner or not (value or key in rebuilt):
                left[key] = inner
        elif key not in rebuilt or rebuilt[key] != value:
            left[key] = json_value(value)
    return left


def with_foreign_fields(rebuilt: Mapping[str, Any], extra: Mapping[str, Any]) -> Row:
    """The record that `foreign_fields` took `extra` from: what we write, overlaid with the tool's own fields."""
    record = dict(rebuilt)
    for key, value in extra.items():
        both = isinstance(value, dict) and isinstance(record.get(key), dict)
        record[key] = with_foreign_fields(record[key], value) if both else value
    return record


def extra_of(event: Annotation, format: str) -> Row:
    """What records of this format said beyond the decision; empty where there is nothing."""
    extra = (event.extra or {}).get(format)
    return dict(extra) if isinstance(extra, dict) else {}


def json_value(value: Any) -> Any:
    """The value as JSON has it: dates and similar types as text, numbers that are not finite as null."""
    if isinstance(value, dict):
        return {str(key): json_value(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def label_list(value: Any, place: str) -> list[str]:
    """Label names from one name or a list of them; null is none.

    Raises:
        DataError: the value is anything else.
    """
    names = [value] if isinstance(value, str) else value
    if names is None:
        return []
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{place}: one label name or a list of them is expected, not {value!r:.80}. Fix the record.")
    return [name for name in names if name]


def object_at(record: Mapping[str, Any], key: str, place: str) -> Row:
    """The object at `key` of a record, empty where there is none.

    Raises:
        DataError: the value is not an object.
    """
    value = record.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DataError(f"{place}: `{key}` must be an object, not {type(value).__name__}. Fix the record.")
    return value
