"""What there is to export: all events, the standing decisions, or the gold labels, each with its sentence.

Other tools know one version of a codebook. Decisions that were made under other versions are therefore written as they
read under the one in use: with its labels and its hash, but with their own ids, by which this store recognises them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from labels.codebook.reading import Reading, VersionReader
from labels.codebook.schema import Codebook
from labels.errors import DataError, did_you_mean
from labels.gold import resolve, standing
from labels.records import Annotation, CodebookMigration, Sentence
from labels.store import Store

Carries = Literal["events", "decisions", "gold"]
"""What a format has records for: every event, undone and replaced ones too; each standing decision; or each sentence
with gold labels."""

COLUMN_FORMATS = ("csv", "activetigger", "huggingface")
"""Formats whose extra is columns beside the labels; the extra of others may repeat the labels, in the tool's words."""

Decision = tuple[Annotation, Sentence]


@dataclass(frozen=True)
class Selection:
    """What to write: decisions in the order in which they were made, and a count of what was left out, by reason.

    `versions` and `migrations` go along with events: the codebook versions of the store, where there are several, and
    the recorded changes between them.
    """

    decisions: list[Decision]
    left_out: Mapping[str, int]
    codebook: Codebook
    versions: Sequence[Codebook] = ()
    migrations: Sequence[CodebookMigration] = ()

    def by_sentence(self) -> list[list[Decision]]:
        """The decisions of each sentence together, in order of the first."""
        groups: dict[str, list[Decision]] = {}
        for event, sentence in self.decisions:
            groups.setdefault(sentence.id, []).append((event, sentence))
        return list(groups.values())


def select(
    store: Store, codebook: Codebook, carries: Carries, annotator: str = "", *, skipped: bool = True
) -> Selection:
    """What a format that carries events, decisions or gold has to write, of one annotator if one is named.

    Args:
        skipped: whether skipped decisions are among the decisions.

    Raises:
        CodebookError: as `labels.gold.resolve`, for decisions and gold.
        DataError: `annotator` decided nothing, or nothing that still stands.
    """
    if carries == "events":
        return _all_events(store, codebook, annotator)
    if carries == "gold":
        return _gold(store, codebook, annotator)
    return _standing_decisions(store, codebook, annotator, skipped=skipped)


def _all_events(store: Store, codebook: Codebook, annotator: str) -> Selection:
    events = store.events.all(annotator=annotator or None)
    if annotator and not events:
        raise _nothing_decided(annotator, store.events.all())
    versions, migrations = store.codebooks.all(), store.codebooks.migrations()
    used = {event.codebook_hash for event in events} & versions.keys()
    # A file of one version needs no codebook in it: the importing command names one.
    several = len(used) > 1 or bool(migrations)
    return Selection(
        _with_sentences(store, events), {}, codebook, list(versions.values()) if several else [], migrations
    )


def _standing_decisions(store: Store, codebook: Codebook, annotator: str, *, skipped: bool) -> Selection:
    events = _standing_events(store, annotator)
    kept = [event for event in events if skipped or event.state == "reviewed"]
    read = [event for event, _ in _read(kept, VersionReader(codebook, store.codebooks.history()))]
    left_out = {
        "skipped decisions": len(events) - len(kept),
        "decisions that a change of the codebook left undecided": len(kept) - len(read),
    }
    return Selection(_with_sentences(store, read), _counts(left_out), codebook)


def _gold(store: Store, codebook: Codebook, annotator: str) -> Selection:
    """One decision for each sentence with gold, and with its labels: the adjudication, else the first of the
    annotations made under the nearest version. With an annotator, the same of what that one alone decided: where they
    annotated a sentence and adjudicated it too, their adjudication counts.
    """
    events, history = _standing_events(store, annotator), store.codebooks.history()
    # A record needs one event to carry the gold: its id, annotator and note.
    resolution = resolve(events, codebook, history)
    reviewed = [event for event in events if event.state == "reviewed"]
    agreeing: dict[str, list[tuple[Annotation, Reading]]] = {}
    for event, reading in _read(reviewed, VersionReader(codebook, history)):
        if resolution.gold.get(event.sentence_id) == reading.labels:
            agreeing.setdefault(event.sentence_id, []).append((event, reading))
    # Sentences without gold are counted by why they have none.
    left_out = {
        "disputed sentences": len(resolution.disputed),
        "skipped sentences": len(resolution.skipped),
        "sentences that a change of the codebook left undecided": len(resolution.undecided),
    }
    gold = [min(found, key=_distance)[0] for found in agreeing.values()]
    return Selection(_with_sentences(store, gold), _counts(left_out), codebook)


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
    # A skipped decision has no labels to read, only a distance in versions.
    if event.state == "skipped":
        return Reading((), changes=len(reader.route(event.codebook_hash) or ()))
    return reader.read(event)


def _as_read(event: Annotation, reading: Reading, reader: VersionReader) -> Annotation:
    if not reading.changes:
        return event
    suggestion = reader.read_suggestion(event)
    changed = replace(event, labels=reading.labels, suggestion=suggestion, codebook_hash=reader.codebook.hash)
    if (changed.labels, changed.suggestion) == (event.labels, event.suggestion) or event.extra is None:
        return changed
    # A tool's own record would bring the old label names back.
    return replace(changed, extra={name: own for name, own in event.extra.items() if name in COLUMN_FORMATS} or None)


def _standing_events(store: Store, annotator: str) -> list[Annotation]:
    """What stands, in the order in which it was decided, or what of it is one annotator's."""
    events = store.events.all()
    kept = standing(events).event_ids
    everyones = [event for event in events if event.event_id in kept]
    found = [event for event in everyones if annotator in ("", event.annotator)]
    if annotator and not found:
        raise _nothing_decided(annotator, everyones)
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
