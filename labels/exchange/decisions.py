"""What there is to export: the decisions that stand, or the gold that they resolve to, each with its sentence.

Other tools know one version of a codebook, so decisions of other versions go as they read under the one in use: with
its labels, under its hash, and with their own ids, by which this store knows them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from labels.codebook.reading import Reading, VersionReader
from labels.codebook.schema import Codebook
from labels.errors import DataError, did_you_mean
from labels.gold import resolve, standing
from labels.records import Annotation, Sentence
from labels.store import Store

AS_READ = "labels of other versions of the codebook: decisions go as they read under the one in use"
AS_READ_ALONE = f"{AS_READ}, without what the tool's own record said beyond them"
"""What formats lose by that."""

Decision = tuple[Annotation, Sentence]

_COLUMNS = ("csv", "activetigger", "huggingface")
"""Formats whose extra is columns beside the labels; that of others may say the labels again, in the tool's words."""


@dataclass(frozen=True)
class Selection:
    """Decisions in the order in which they were made, and what was left out, by kind."""

    decisions: list[Decision]
    left_out: Mapping[str, int]

    def by_sentence(self) -> list[list[Decision]]:
        """The decisions of each sentence together, in order of the first."""
        groups: dict[str, list[Decision]] = {}
        for event, sentence in self.decisions:
            groups.setdefault(sentence.id, []).append((event, sentence))
        return list(groups.values())


def events_of(store: Store, annotator: str = "") -> list[Annotation]:
    """Every event in the order in which they were appended, or those of one annotator.

    Raises:
        DataError: `annotator` has no event.
    """
    events = store.events.all(annotator=annotator or None)
    if annotator and not events:
        raise _nothing_decided(annotator, store.events.all())
    return events


def standing_decisions(store: Store, codebook: Codebook, annotator: str = "", *, skipped: bool = True) -> Selection:
    """Every decision that stands, adjudications included, or those of one annotator; `skipped`: with skipped ones.

    Raises:
        CodebookError: as `labels.gold.resolve`.
        DataError: `annotator` decided nothing that stands.
    """
    events = _standing_events(store, annotator)
    kept = [event for event in events if skipped or event.state == "reviewed"]
    read = [event for event, _ in _read(kept, VersionReader(codebook, store.codebooks.history()))]
    left_out = {
        "skipped decisions": len(events) - len(kept),
        "decisions that a change of the codebook left undecided": len(kept) - len(read),
    }
    return Selection(_with_sentences(store, read), _counts(left_out))


def gold_decisions(store: Store, codebook: Codebook, annotator: str = "") -> Selection:
    """One decision for each sentence with gold, and with its labels: the adjudication, else the first of the
    annotations made under the nearest version. With `annotator`, the same of what that one alone decided: who
    annotated a sentence and adjudicated it too has the last word once.

    Raises:
        CodebookError: as `labels.gold.resolve`.
        DataError: as `standing_decisions`.
    """
    events, history = _standing_events(store, annotator), store.codebooks.history()
    resolution = resolve(events, codebook, history)
    reviewed = [event for event in events if event.state == "reviewed"]
    saying: dict[str, list[tuple[Annotation, Reading]]] = {}
    for event, reading in _read(reviewed, VersionReader(codebook, history)):
        if resolution.gold.get(event.sentence_id) == reading.labels:
            saying.setdefault(event.sentence_id, []).append((event, reading))
    left_out = {
        "disputed sentences": len(resolution.disputed),
        "skipped sentences": len(resolution.skipped),
        "sentences that a change of the codebook left undecided": len(resolution.undecided),
    }
    gold = [min(found, key=_distance)[0] for found in saying.values()]
    return Selection(_with_sentences(store, gold), _counts(left_out))


def _distance(read: tuple[Annotation, Reading]) -> tuple[bool, int]:
    """How far from deciding the gold an event is: adjudications come first, then annotations by their version."""
    event, reading = read
    return event.event != "adjudicate", reading.changes


def _read(events: Sequence[Annotation], reader: VersionReader) -> list[tuple[Annotation, Reading]]:
    """The events as they read under the reader's version, without those that are undecided there."""
    reader.check_readable(event for event in events if event.state == "reviewed")
    read = ((event, _reading(event, reader)) for event in events)
    return [(_as_read(event, reading, reader), reading) for event, reading in read if not reading.undecided]


def _reading(event: Annotation, reader: VersionReader) -> Reading:
    if event.state == "skipped":
        return Reading((), changes=len(reader.route(event.codebook_hash) or ()))
    return reader.read(event)


def _as_read(event: Annotation, reading: Reading, reader: VersionReader) -> Annotation:
    if not reading.changes:
        return event
    suggestion = reader.read_suggestion(event)
    told = replace(event, labels=reading.labels, suggestion=suggestion, codebook_hash=reader.codebook.hash)
    if (told.labels, told.suggestion) == (event.labels, event.suggestion) or event.extra is None:
        return told
    return replace(told, extra={name: own for name, own in event.extra.items() if name in _COLUMNS} or None)


def _standing_events(store: Store, annotator: str) -> list[Annotation]:
    """What stands, in the order in which it was decided, or what of it is one annotator's."""
    events = store.events.all()
    kept = standing(events).event_ids
    everybodys = [event for event in events if event.event_id in kept]
    found = [event for event in everybodys if annotator in ("", event.annotator)]
    if annotator and not found:
        raise _nothing_decided(annotator, everybodys)
    return found


def _counts(kinds: Mapping[str, int]) -> dict[str, int]:
    return {kind: number for kind, number in kinds.items() if number}


def _nothing_decided(annotator: str, events: Iterable[Annotation]) -> DataError:
    names = sorted({event.annotator for event in events})
    return DataError(
        f"'{annotator}' has decided nothing in this store{did_you_mean(annotator, names)}. "
        f"Its annotators: {', '.join(names) or 'none'}."
    )


def _with_sentences(store: Store, events: list[Annotation]) -> list[Decision]:
    sentences = {
        sentence.id: sentence for sentence in store.documents.sentences({event.sentence_id for event in events})
    }
    return [(event, sentences[event.sentence_id]) for event in events]
