"""What the forms of other tools share: our ids in their records, and their records turned into native lines.

Each record that we write carries, under `KEY` in the place that its format has for metadata, the native line of its
decision (as it reads under the codebook in use) without the text: its *stamp*. A record whose state and labels are
still those of its stamp is that decision; one that was changed in the other tool is a new decision on the same
sentence, and an adjudication again where it was one; one without a stamp is a new decision on a new document. New
decisions get ids from their content and the decision that they change, so that a second import of the same record adds
nothing, and a change back to what was once said is a decision again.

The shape of a tool's record, and what it calls its fields, is its own module's business.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from labels.codebook.schema import Codebook
from labels.errors import CodebookError, DataError
from labels.exchange.jsonl import COLUMNS, format_line, parse_line
from labels.exchange.lines import Batch, Line
from labels.records import Annotation, Document, EventKind, Sentence, State
from labels.store import now
from labels.text.rows import Row
from labels.text.sentences import whole_sentence

KEY = "communique"
"""The key, or column, under which our ids travel in other tools' records."""

REPEATED = "records that say the same again"
"""How such are counted among what an import leaves out."""

_STAMP_COLUMNS = tuple(column for column in COLUMNS if column not in ("text", "extra"))
_PROVENANCE = ("url", "title", "date", "language")


@dataclass(frozen=True)
class ForeignDecision:
    """What a record of another tool says about one decision, in our words.

    `record` is the JSON value that tells this decision from others on the same text. `annotator` and `created_at` (ISO
    8601) are empty, `seconds` and `suggestion` None where the format does not say. `metadata` is where the text's
    source, url, title, date and language are looked for, `identifier` the tool's own name of the text. `stored_id` may
    be the id of a sentence of the store.
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


class Reader:
    """Turns what the records of one file tell into native lines.

    Args:
        path: the file, for messages and as the source of texts that name none.
        format: the name of the format.
        codebook: what the labels are checked against.
        annotator: whose decisions these are, where the records do not say.
        fallback: whose they are when `annotator` is not given either.
    """

    def __init__(self, path: Path, format: str, codebook: Codebook, annotator: str, fallback: str = "") -> None:
        self.codebook = codebook
        self._path = path
        self._format = format
        self._annotator = annotator
        self._fallback = fallback
        self._now = now()

    def line(self, decision: ForeignDecision, place: str, stamps: list[Row]) -> Line:
        """The line of one decision; its stamp, or that of the decision that it changes, is taken out of `stamps`.

        Raises:
            DataError: there is no text, nobody is named, a label is not in the codebook, a stamp was altered, or an
                adjudication was changed to skipped.
        """
        if not isinstance(decision.text, str) or not decision.text.strip():
            raise DataError(f"{place}: there is no text in this record. Fill `text` or remove the record.")
        if stamps:
            self._refuse_other_version(decision, stamps[0], place)
        own = next((stamp for stamp in stamps if self._is_of(stamp, decision)), None)
        if own is not None:
            stamps.remove(own)
            return self._parsed(own, decision, place)
        document, sentence = self._sentence(decision, place, stamps)
        line = self._parsed(self._new_row(decision, sentence, place, stamps), decision, place)
        line = replace(line, sentence=sentence, document=document, stored_id="" if stamps else decision.stored_id)
        if (changed := _changed(decision, stamps)) is not None:
            stamps.remove(changed)
        return line

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
        return _says(stamp, decision) and who in ("", stamp.get("annotator"))

    def _parsed(self, row: Row, decision: ForeignDecision, place: str) -> Line:
        return parse_line(
            row | {"text": decision.text if row.get("text") is None else row["text"]}, place, self.codebook
        )

    def _sentence(
        self, decision: ForeignDecision, place: str, stamps: Sequence[Row]
    ) -> tuple[Document | None, Sentence]:
        """The sentence of a new decision: that of the stamps, else the whole text as a document of its own."""
        if stamps:
            return None, self._parsed(stamps[0], decision, place).sentence
        given = {key: str(value) for key in _PROVENANCE if (value := decision.metadata.get(key)) not in (None, "")}
        named = (decision.metadata.get("source"), decision.metadata.get("document_id"))
        own = "" if decision.identifier in (None, "") else f"{self._format}:{decision.identifier}"
        source = next((str(name) for name in named if name not in (None, "")), own or self._path.name)
        canonical([source, given], place)
        document = Document(
            source,
            decision.text,
            url=given.get("url", ""),
            title=given.get("title", ""),
            date=given.get("date", ""),
            language=given.get("language", "en"),
        )
        return document, whole_sentence(document)

    def _new_row(self, decision: ForeignDecision, sentence: Sentence, place: str, stamps: Sequence[Row]) -> Row:
        annotator = decision.annotator or self._annotator or self._fallback
        if not annotator:
            raise DataError(f"{place}: this record does not say whose decision it is. Say so with --annotator NAME.")
        changed = _changed(decision, stamps)
        kind = _kind(decision, changed, place)
        verdict = [kind] if kind == "adjudicate" else []
        before = [] if changed is None else [changed.get("event_id")]
        content = canonical([self._format, annotator, sentence.id, decision.record, *verdict, *before], place)
        # A changed record still bears the time and the pace of the decision that it was exported from.
        stale = any(decision.created_at == stamp.get("created_at") for stamp in stamps)
        return {
            "event_id": hashlib.sha256(content.encode()).hexdigest()[:32],
            "sentence_id": sentence.id,
            "document_id": sentence.document_id,
            "start": sentence.start,
            "end": sentence.end,
            "text": sentence.text,
            "annotator": annotator,
            "event": kind,
            "state": decision.state,
            "labels": list(decision.labels),
            "note": decision.note,
            "seconds": None if stale else decision.seconds,
            "codebook_hash": self.codebook.hash,
            "suggestion": None if decision.suggestion is None else list(decision.suggestion),
            "created_at": self._now if stale or not decision.created_at else decision.created_at,
            "synthetic": sentence.synthetic,
        }


def _says(stamp: Row, decision: ForeignDecision) -> bool:
    return stamp.get("state") == decision.state and set(map(str, stamp["labels"])) == set(decision.labels)


def _changed(decision: ForeignDecision, stamps: Sequence[Row]) -> Row | None:
    """The stamp of the decision that this one was before it was changed; a decision of somebody else was none."""
    return next((stamp for stamp in stamps if decision.annotator in ("", stamp.get("annotator"))), None)


def _kind(decision: ForeignDecision, changed: Row | None, place: str) -> EventKind:
    """What a new decision is: an adjudication where it changes one, which an annotation would leave in force."""
    if changed is None or changed.get("event") != "adjudicate" or _says(changed, decision):
        return "annotate"
    if decision.state != "reviewed":
        raise DataError(
            f"{place}: an adjudication cannot become {decision.state}, which decides nothing. "
            "Give it labels or remove it."
        )
    return "adjudicate"


def canonical(value: Any, place: str) -> str:
    """JSON that is the same for equal values.

    Raises:
        DataError: a string cannot be written as UTF-8.
    """
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(f"{place}: a text contains an unpaired surrogate. Fix the record.") from None
    return text


def native_stamp(event: Annotation, sentence: Sentence) -> Row:
    """What a record bears of ours: the native line of the decision without text and extra."""
    row = format_line(Line(event, sentence))
    return {column: row[column] for column in _STAMP_COLUMNS}


def native_stamps(value: Any, place: str) -> list[Row]:
    """The stamps of a record: one, a list of them, either as JSON text, or none where the record is not ours.

    Raises:
        DataError: what stands there is no stamp.
    """
    if value in (None, ""):
        return []
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    stamps = found if isinstance(found, list) else [found]
    if not all(isinstance(entry, dict) and isinstance(entry.get("labels"), list) for entry in stamps):
        raise DataError(f"{place}: `{KEY}` is not what an export wrote there. Export again, or remove it.")
    return list(stamps)


def foreign_fields(record: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> Row:
    """What a record says beyond or otherwise than what we would write, without our stamp. See `with_foreign_fields`."""
    left: Row = {}
    for key, value in record.items():
        if key == KEY:
            continue
        if isinstance(value, dict):
            inner = foreign_fields(value, rebuilt[key] if isinstance(rebuilt.get(key), dict) else {})
            if inner or not (value or key in rebuilt):
                left[key] = inner
        elif key not in rebuilt or rebuilt[key] != value:
            left[key] = json_value(value)
    return left


def with_foreign_fields(rebuilt: Mapping[str, Any], extra: Mapping[str, Any]) -> Row:
    """The record that `foreign_fields` took `extra` from: what we write, with the tool's own words over it."""
    record = dict(rebuilt)
    for key, value in extra.items():
        both = isinstance(value, dict) and isinstance(record.get(key), dict)
        record[key] = with_foreign_fields(record[key], value) if both else value
    return record


def with_extra(line: Line, format: str, extra: Row) -> Line:
    """The line with what only its format says, if anything.

    Raises:
        DataError: as `canonical`.
    """
    canonical(extra, line.place)
    return replace(line, event=replace(line.event, extra={format: extra} if extra else None))


def extra_of(event: Annotation, format: str) -> Row:
    """What records of this format said beyond the decision; empty where nothing did."""
    extra = (event.extra or {}).get(format)
    return dict(extra) if isinstance(extra, dict) else {}


def json_value(value: Any) -> Any:
    """The value as JSON has it: dates and the like as text, numbers that are not finite as null."""
    if isinstance(value, dict):
        return {str(key): json_value(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def batch_of(path: Path, lines: Sequence[Line], left_out: Mapping[str, int]) -> Batch:
    """What was read, without the lines that say an event again (a record stands in a file twice); they are counted."""
    kept: dict[str, Line] = {}
    for line in lines:
        kept.setdefault(line.event.event_id, line)
    repeats = len(lines) - len(kept)
    return Batch(path, list(kept.values()), {**left_out, **({REPEATED: repeats} if repeats else {})})


def label_list(value: Any, place: str) -> list[str]:
    """Label names from one name or a list of them; null is none.

    Raises:
        DataError: anything else.
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
        DataError: something else stands there.
    """
    value = record.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DataError(f"{place}: `{key}` must be an object, not {type(value).__name__}. Fix the record.")
    return value
