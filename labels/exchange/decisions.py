"""Select what to export: all events, the standing decisions, or the gold labels, with their sentences.

Other tools support only one version of a codebook. Decisions made under other versions are therefore converted to the
version in use: they get its labels and its hash, but keep their own ids, by which this store recognizes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from labels.codebook.reading import Reading, VersionReader
from labels.codebook.schema import Codebook
from labels.errors import DataError, did_you_mean
from labels.gold import resolve, standing
from labels.records import Annotation, CodebookMigration, Draw, Sentence, State
from labels.store import Store

Carries = Literal["events", "decisions", "gold"]
"""The content of a format's records: all events, including undone and replaced events; the standing decisions; or the
sentences with gold labels."""

COLUMN_FORMATS = ("csv", "activetigger", "huggingface")
"""Formats that keep extra data in columns separate from the labels. In other formats, extra data may repeat the labels
under the tool's own names."""

Decision = tuple[Annotation, Sentence]


@dataclass(frozen=True)
class Selection:
    """The decisions to export, in the order in which they were made.

    `left_out` counts decisions or sentences that are not exported, by reason. With events, `versions` has the codebook
    versions of the store if there are several, `migrations` has the recorded changes between versions, and `draws` has
    the samples with known probabilities, with all their sentences.
    """

    decisions: list[Decision]
    left_out: Mapping[str, int]
    codebook: Codebook
    versions: Sequence[Codebook] = ()
    migrations: Sequence[CodebookMigration] = ()
    draws: Sequence[Draw] = ()

    def by_sentence(self) -> list[list[Decision]]:
        """The decisions grouped by sentence, in the order of each sentence's first decision."""
        groups: dict[str, list[Decision]] = {}
        for event, sentence in self.decisions:
            groups.setdefault(sentence.id, []).append((event, sentence))
        return list(groups.values())


def select(
    store: Store,
    codebook: Codebook,
    carries: Carries,
    annotator: str = "",
    *,
    states: Collection[State] = get_args(State),
) -> Selection:
    """Select what to export in a format that carries events, decisions or gold.

    Args:
        annotator: export only the decisions of this annotator; empty for all annotators.
        states: the states of the standing decisions to include.

    Raises:
        CodebookError: for decisions and gold, as for `labels.gold.resolve`.
        DataError: `annotator` has no decisions or, for decisions and gold, no standing decisions.
    """
    if carries == "events":
        return _all_events(store, codebook, annotator)
    if carries == "gold":
        return _gold(store, codebook, annotator)
    return _standing_decisions(store, codebook, annotator, states)


def _all_events(store: Store, codebook: Codebook, annotator: str) -> Selection:
    events = store.events.all(annotator=annotator or None)
    if annotator and not events:
        raise _nothing_decided(annotator, store.events.all())
    versions, migrations = store.codebooks.all(), store.codebooks.migrations()
    used = {event.codebook_hash for event in events} & versions.keys()
    # A file with one version does not need its codebook: the import command specifies a codebook.
    several = len(used) > 1 or bool(migrations)
    # Draws of earlier releases have no more to say than the lines of their events.
    samples = store.designs.samples(annotator)
    recorded = [draw for draw in samples if any(item.stratum_size is not None for item in draw.items)]
    decided = store.designs.decisions() if recorded else None
    draws = [decided.listed(draw) for draw in recorded] if decided else []
    known = {draw.id for draw in draws}
    kept = [event if event.draw_id in known else replace(event, draw_id="") for event in events]
    listed = list(versions.values()) if several else []
    return Selection(_with_sentences(store, kept), {}, codebook, listed, migrations, draws)


def _standing_decisions(store: Store, codebook: Codebook, annotator: str, states: Collection[State]) -> Selection:
    events = _standing_events(store, annotator)
    kept = [event for event in events if event.state in states]
    lost = Counter(event.state for event in events if event.state not in states)
    read = [event for event, _ in _read(kept, VersionReader(codebook, store.codebooks.history()))]
    left_out = {
        "skipped decisions": lost["skipped"],
        "decisions that a span is not a sentence": lost["not_a_sentence"],
        "decisions that cannot be converted after a codebook change": len(kept) - len(read),
    }
    return Selection(_with_sentences(store, read), _counts(left_out), codebook)


def _gold(store: Store, codebook: Codebook, annotator: str) -> Selection:
    """Select one decision with the gold labels for each sentence that has gold.

    The decision is the adjudication or, without an adjudication, the first annotation made under the nearest version.
    If an annotator is given, only their decisions count: their adjudication takes precedence over their annotation.
    """
    events, history = _standing_events(store, annotator), store.codebooks.history()
    # A record with gold takes its id, annotator and note from one event.
    resolution = resolve(events, codebook, history)
    reviewed = [event for event in events if event.state == "reviewed"]
    agreeing: dict[str, list[tuple[Annotation, Reading]]] = {}
    for event, reading in _read(reviewed, VersionReader(codebook, history)):
        if resolution.gold.get(event.sentence_id) == reading.labels:
            agreeing.setdefault(event.sentence_id, []).append((event, reading))
    # Sentences without gold are counted by reason.
    left_out = {
        "disputed sentences": len(resolution.disputed),
        "skipped sentences": len(resolution.skipped),
        "spans that are not sentences": len(resolution.not_sentences),
        "sentences that a change of the codebook left undecided": len(resolution.undecided),
    }
    gold = [min(found, key=_distance)[0] for found in agreeing.values()]
    return Selection(_with_sentences(store, gold), _counts(left_out), codebook)


def _distance(read: tuple[Annotation, Reading]) -> tuple[bool, int]:
    """Sort key for events that agree with the gold: adjudications first, then annotations by distance in versions."""
    event, reading = read
    return event.event != "adjudicate", reading.changes


def _read(events: Sequence[Annotation], reader: VersionReader) -> list[tuple[Annotation, Reading]]:
    """The events read under the reader's version; events that are undecided under that version are left out."""
    reader.check_readable(event for event in events if event.state == "reviewed")
    read = ((event, _reading(event, reader)) for event in events)
    return [(_as_read(event, reading, reader), reading) for event, reading in read if not reading.undecided]


def _reading(event: Annotation, reader: VersionReader) -> Reading:
    # Without labels to read, a decision still has a distance in versions.
    if event.state != "reviewed":
        return Reading((), changes=len(reader.route(event.codebook_hash) or ()))
    return reader.read(event)


def _as_read(event: Annotation, reading: Reading, reader: VersionReader) -> Annotation:
    if not reading.changes:
        return event
    suggestion = reader.read_suggestion(event)
    changed = replace(event, labels=reading.labels, suggestion=suggestion, codebook_hash=reader.codebook.hash)
    if (changed.labels, changed.suggestion) == (event.labels, event.suggestion) or event.extra is None:
        return changed
    # The tool's own record would bring back the old label names.
    return replace(changed, extra={name: own for name, own in event.extra.items() if name in COLUMN_FORMATS} or None)


def _standing_events(store: Store, annotator: str) -> list[Annotation]:
    """The standing decisions of one or all annotators, in the order in which they were made."""
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
        f"'{annotator}' has no decisions in this store{did_you_mean(annotator, names)}. "
        f"Annotators in the store: {', '.join(names) or 'none'}."
    )


def _with_sentences(store: Store, events: list[Annotation]) -> list[Decision]:
    sentences = {
        sentence.id: sentence for sentence in store.documents.sentences({event.sentence_id for event in events})
    }
    return [(event, sentences[event.sentence_id]) for event in events]
