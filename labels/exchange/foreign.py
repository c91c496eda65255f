"""Conversion of other tools' records to native lines, and preservation of the tools' own fields in the round trip.

Each exported record has a *stamp*, under `KEY` in the metadata of its format: the native line of the decision, read
under the codebook in use, without the text. On import, a record whose state and labels still equal the state and labels
of its stamp is the same decision. A record changed in the other tool is a new decision on the same sentence, or a new
adjudication if the stamp is an adjudication. A record without a stamp is a decision on a document, which the text and
the provenance in the record identify (see `labels.records`). Numbers that a tool gives to its own records, such as the
task ids of Label Studio, are not provenance: they differ between two projects over the same texts.

The id of a new decision depends on its content and on the decision that it changes. Importing the same record again
therefore adds nothing, but a change back to earlier labels is a new decision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from labels.codebook.schema import Codebook
from labels.errors import CodebookError, DataError

# Part of the interface for plug-ins, which import these names from this module.
from labels.exchange.fields import KEY as KEY
from labels.exchange.fields import Texts, check_text, check_unicode, without_stamp
from labels.exchange.fields import extra_of as extra_of
from labels.exchange.fields import foreign_fields as foreign_fields
from labels.exchange.fields import json_value as json_value
from labels.exchange.fields import label_list as label_list
from labels.exchange.fields import object_at as object_at
from labels.exchange.fields import with_foreign_fields as with_foreign_fields
from labels.exchange.lines import Line, UnseenLine, check_measures, event_id, format_line, parse_line
from labels.exchange.stamps import asked_by
from labels.exchange.stamps import native_stamp as native_stamp
from labels.exchange.stamps import native_stamps as native_stamps
from labels.records import Annotation, Document, EventKind, Sentence, State
from labels.store import now
from labels.text.cells import LabelNames, without_none
from labels.text.rows import Row, is_unicode
from labels.text.sentences import whole_sentence
from labels.unicode import clean, is_missing, person_name


@dataclass(frozen=True)
class LeftOut:
    """A record that is not a decision, counted by `reason`, a plural phrase such as "drafts"; see also `Unseen`."""

    reason: str


@dataclass(frozen=True)
class Unseen:
    """A text on which nobody decided, counted by `reason`, a plural phrase. The text becomes an unseen sentence.

    The other attributes have the same meaning as in `ForeignDecision`.
    """

    reason: str
    text: Any
    identifier: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    stored_id: str = ""

    @classmethod
    def of(cls, record: Row, reason: str, stored_id: str = "") -> Self:
        """Create an unseen text from a flat record with its text under `text` and the tool's own id under `id`."""
        return cls(reason, record.get("text"), record.get("id"), record, stored_id)


@dataclass(frozen=True)
class ForeignDecision:
    """One decision from a record of another tool, converted to the terms of communique.

    - `record`: the JSON value that distinguishes this decision from other decisions on the same text
    - `annotator`, `created_at` (ISO 8601): empty if the format does not have them; white space around the annotator's
      name is removed
    - `seconds`, `suggestion`: None if the format does not have them
    - `metadata`: may contain the ids (`labels.records.ID_COLUMNS`), source, url, title, date and language of the text
    - `identifier`: the tool's own id of the text; shown as its source if `metadata` has neither a source nor an id
    - `stored_id`: possibly the id of a sentence in the store
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
        """Create a decision from a flat record with its text under `text` and the tool's own id under `id`.

        Args:
            more: further attributes, which override values found in the record.
        """
        found: Row = {"text": record.get("text"), "identifier": record.get("id"), "record": record, "metadata": record}
        return cls(state=state, labels=labels, **found | more)


class Reader:
    """Converter from the decisions of one file to native lines.

    Args:
        path: the file, for messages and as the source that is shown for texts without a source.
        format: the name of the format.
        codebook: the codebook that labels are checked against.
        annotator: annotator to record if a record does not name one.
        fallback: annotator to record if `annotator` is empty too.
        options: values of the format's own options, by name.

    `names` finds the labels of the codebook. `used_fallback` is true if `fallback` was recorded for a decision.
    `spellings` counts the values that differ from the name of the label that they mean: titles, and names with other
    case or white space. `answered` has the names that the file gives to the answers to tasks, by the annotator for whom
    the tasks were drawn; "" for answers without a name. `hides_outside` is true if the tool shows spans that are not
    sentences as skipped.
    """

    def __init__(
        self, path: Path, format: str, codebook: Codebook, annotator: str = "", fallback: str = "", **options: str
    ) -> None:
        self.path = path
        self.codebook = codebook
        self.options = options
        self._format = format
        self.annotator = person_name(annotator, "--annotator") if annotator else ""
        self.fallback = clean(fallback)
        self.used_fallback = False
        self.spellings: Counter[tuple[str, str]] = Counter()
        self.answered: dict[str, set[str]] = {}
        self.hides_outside = False
        self.names = LabelNames(codebook)
        self._now = now()
        self._texts = Texts(format, path.name)

    def line(self, decision: ForeignDecision, place: str, stamps: Sequence[Row] = ()) -> Line:
        """Convert the only decision of a record to a line; see `lines`."""
        return self.lines([decision], place, stamps)[0]

    def lines(self, decisions: Sequence[ForeignDecision], place: str, stamps: Sequence[Row] = ()) -> list[Line]:
        """Convert the decisions of a record, all on the same text, to lines.

        Args:
            place: the file and row, for messages.
            stamps: the stamps in the record.

        Raises:
            DataError: the text or the annotator is missing, a label is not in the codebook, the time is invalid, the
                seconds are negative, a stamp was altered, or an adjudication was changed to skipped; the message
                starts with `place`.
        """
        left = list(stamps)  # each stamp is used for one decision only: two annotators may agree
        found = []
        decisions = [replace(one, annotator=self._named(one.annotator, place, stamps)) for one in decisions]
        decisions = [replace(one, state=self._state(one, stamps)) for one in decisions]
        is_new = not stamps and asked_by(stamps) is None
        document = self._document(decisions[0], place, *map(self._annotator_of, decisions)) if is_new else None
        for decision in decisions:
            # Decisions without a stamp of their own were added in the other tool, on the same sentence.
            line, used = self._line(decision, place, left or stamps, document)
            left = [stamp for stamp in left if stamp is not used]
            found.append(line)
        return found

    def unseen(self, unseen: Unseen, place: str, stamps: Sequence[Row] = ()) -> UnseenLine | LeftOut:
        """Convert a text without a decision to a sentence; a record without a text is left out.

        Raises:
            DataError: the text is not a string or cannot be encoded as UTF-8; the message starts with `place`.
        """
        text = unseen.text
        # Our own records may have any text.
        if text is None or (isinstance(text, str) and (not text.strip() or (not stamps and is_missing(text)))):
            return LeftOut("records without text or decision")
        if not isinstance(text, str) or not is_unicode(text):
            raise DataError(f"{place}: the text of this record is not a valid string. Fix or remove the record.")
        if (asked := asked_by(stamps)) is not None:
            return UnseenLine(unseen.reason, asked.sentence(text), place=place)
        document = None if stamps else self._document(unseen, place, self.annotator or self.fallback)
        sentence = whole_sentence(document) if document else self._parsed(stamps[0], unseen, place).sentence
        return UnseenLine(unseen.reason, sentence, document, place, "" if stamps else unseen.stored_id)

    def with_extra(self, line: Line, extra: Row) -> Line:
        """A copy of the line with its format's own data, if there is any.

        Raises:
            DataError: a string cannot be encoded as UTF-8.
        """
        check_unicode(extra, line.place)
        return replace(line, event=replace(line.event, extra={self._format: extra} if extra else None))

    def _document(self, decision: ForeignDecision | Unseen, place: str, *annotators: str) -> Document:
        return self._texts.document(decision.text, decision.metadata, decision.identifier, place, *annotators)

    def _named(self, annotator: Any, place: str, stamps: Sequence[Row]) -> str:
        """The annotator's name; the answers to tasks that were drawn for --annotator are recorded under that name."""
        name, asked = _named(annotator, place), asked_by(stamps)
        if asked is None or not asked.annotator:
            return name
        self.answered.setdefault(clean(asked.annotator), set()).add(name)
        return self.annotator if name and clean(asked.annotator) == self.annotator else name

    def _state(self, decision: ForeignDecision, stamps: Sequence[Row]) -> State:
        """The state, if a tool that cannot mark a span as not a sentence shows it as skipped."""
        own = (stamp for stamp in stamps if decision.annotator in ("", _annotator_of(stamp)))
        hidden = self.hides_outside and decision.state == "skipped"
        return (
            "not_a_sentence" if hidden and any(one.get("state") == "not_a_sentence" for one in own) else decision.state
        )

    def _annotator_of(self, decision: ForeignDecision) -> str:
        return decision.annotator or self.annotator or self.fallback

    def _line(
        self, decision: ForeignDecision, place: str, stamps: Sequence[Row], document: Document | None
    ) -> tuple[Line, Row | None]:
        """The line of one decision, and the stamp used for it."""
        check_text(decision.text, place)
        # Checking one stamp is enough: all stamps were written in one export, under one version.
        if stamps:
            self._refuse_other_version(decision, stamps[0], place)
        own = next((stamp for stamp in stamps if self._is_of(stamp, decision)), None)
        if own is not None:
            return self._parsed(own, decision, place), own
        asked = asked_by(stamps)
        if asked is not None:
            sentence = asked.sentence(decision.text)
        else:
            sentence = whole_sentence(document) if document else self._parsed(stamps[0], decision, place).sentence
        changed = next((stamp for stamp in stamps if decision.annotator in ("", _annotator_of(stamp))), None)
        row, parts = self._new_row(decision, sentence, place, stamps, changed)
        stored_id = "" if stamps else decision.stored_id
        line = self._parsed(row, decision, place)
        check_measures(line.event, place)
        line = replace(line, sentence=sentence, document=document, stored_id=stored_id, event_parts=parts)
        if asked is not None:
            line = replace(line, event=asked.drawn(line.event), asked_at=decision.created_at or asked.created_at)
        return line, changed

    def _refuse_other_version(self, decision: ForeignDecision, stamp: Row, place: str) -> None:
        """If labels are not in the codebook, report the version that the file may have been exported under."""
        made = stamp.get("codebook_hash")
        try:
            if decision.state == "reviewed" and made != self.codebook.hash:
                self.codebook.check_labels(self._labels(decision.labels, place), place)
        except CodebookError as error:
            raise DataError(
                f"{error} If the file was exported with another codebook version, import it with `--codebook {made}`."
            ) from None

    def _is_of(self, stamp: Row, decision: ForeignDecision) -> bool:
        who = decision.annotator or self.annotator
        return _is_unchanged(stamp, decision) and who in ("", _annotator_of(stamp))

    def _parsed(self, row: Row, decision: ForeignDecision | Unseen, place: str) -> Line:
        text = decision.text if row.get("text") is None else row["text"]
        return parse_line(row | {"text": text}, place, self.codebook)

    def _new_row(
        self, decision: ForeignDecision, sentence: Sentence, place: str, stamps: Sequence[Row], changed: Row | None
    ) -> tuple[Row, tuple[Any, ...]]:
        """The native row of a new decision, and the parts of its id."""
        annotator = self._annotator_of(decision)
        self.used_fallback = self.used_fallback or not (decision.annotator or self.annotator)
        if not annotator:
            raise DataError(f"{place}: this record does not name an annotator. Give a name with --annotator NAME.")
        annotator = person_name(annotator, place)
        kind = _kind(decision, changed, place)
        verdict = [kind] if kind == "adjudicate" else []
        before = [] if changed is None else [changed.get("event_id")]
        parts = (self._format, annotator, without_stamp(decision.record), *verdict, *before)
        check_unicode(parts, place)
        labels = self._labels(decision.labels, place)
        named = ((value, name) for value in decision.labels if (name := self._find(value)) != value)
        self.spellings.update(named)
        # A record changed in another tool may still have our time and seconds, which belong to the earlier decision.
        stale = any(decision.created_at == stamp.get("created_at") for stamp in stamps)
        event = Annotation(
            event_id=event_id(sentence.id, parts),
            sentence_id=sentence.id,
            annotator=annotator,
            event=kind,
            state=decision.state,
            labels=labels,
            codebook_hash=self.codebook.hash,
            created_at=self._now if stale or not decision.created_at else decision.created_at,
            note=decision.note,
            seconds=None if stale else decision.seconds,
            suggestion=None if decision.suggestion is None else self._labels(decision.suggestion, place),
        )
        # Convert back to a row, because `parse_line` validates rows and the tool's values are still unchecked.
        return format_line(Line(event, sentence)), parts

    def _labels(self, labels: Sequence[str], place: str) -> tuple[str, ...]:
        """The labels by name; values that the codebook does not have are unchanged, and `none` is the empty set."""
        names = tuple(map(self._find, labels))
        return without_none(names, place) if all(isinstance(name, str) for name in names) else names

    def _find(self, label: Any) -> Any:
        # A value of another type is refused later, with its place.
        return (self.names.find(label) or label) if isinstance(label, str) else label


def _named(annotator: Any, place: str) -> str:
    """The name of an annotator, who may be known by a number."""
    if not isinstance(annotator, str | int) or isinstance(annotator, bool):
        raise DataError(f"{place}: the annotator must be a name or a number, not {annotator!r:.80}. Fix the record.")
    return clean(str(annotator))


def _annotator_of(stamp: Row) -> str:
    return clean(str(stamp.get("annotator")))


def _is_unchanged(stamp: Row, decision: ForeignDecision) -> bool:
    return stamp.get("state") == decision.state and set(map(str, stamp["labels"])) == set(decision.labels)


def _kind(decision: ForeignDecision, changed: Row | None, place: str) -> EventKind:
    """The kind of a new decision: an adjudication if it changes an adjudication, otherwise an annotation.

    An annotation would leave the earlier adjudication in force.
    """
    if changed is None or changed.get("event") != "adjudicate" or _is_unchanged(changed, decision):
        return "annotate"
    if decision.state == "skipped":
        raise DataError(
            f"{place}: an adjudication cannot be changed to {decision.state}. Add labels to the record, or remove it."
        )
    return "adjudicate"
