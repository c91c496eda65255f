"""Events -> standing decisions -> gold.

Two steps, both pure. Folding: events are append-only, so what an annotator decided on a sentence is what their undos
leave of them (`standing`). Resolving: the gold labels of a sentence are those that its annotators agree on, or those
of an adjudicator (`resolve`). No annotation is altered by either.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from labels.records import Annotation

if TYPE_CHECKING:
    from labels.codebook.reading import CodebookHistory, Reading
    from labels.codebook.schema import Codebook

ASKED_AGAIN = frozenset({"retest", "relabel"})
"""Strategies that show an annotator a sentence on which they may have decided already."""

# -- folding


class _Event(Protocol):
    """What folding needs: an annotation has it, and so has a row of the store's events."""

    @property
    def sentence_id(self) -> str: ...
    @property
    def annotator(self) -> str: ...
    @property
    def event(self) -> str: ...
    @property
    def state(self) -> str | None: ...
    @property
    def strategy(self) -> str | None: ...
    @property
    def draw_id(self) -> str: ...
    @property
    def inclusion_probability(self) -> float | None: ...


Event = TypeVar("Event", bound=_Event)


@dataclass(frozen=True)
class Standing:
    """The decisions that stand.

    `annotations` maps (sentence id, annotator) to that annotator's decision, `adjudications` sentence id to the last
    adjudication of any annotator.
    """

    annotations: dict[tuple[str, str], Annotation]
    adjudications: dict[str, Annotation]

    @property
    def event_ids(self) -> set[str]:
        """The ids of all of them."""
        return {event.event_id for event in (*self.annotations.values(), *self.adjudications.values())}

    @property
    def with_labels(self) -> list[Annotation]:
        """The reviews and adjudications, whose label sets (possibly empty) count; not the skipped sentences."""
        reviews = [annotation for annotation in self.annotations.values() if annotation.state == "reviewed"]
        return [*reviews, *self.adjudications.values()]


def standing(events: Iterable[Annotation]) -> Standing:
    """Fold events, given in the order in which they were appended, into the decisions that stand.

    An undo takes back the annotator's last standing event on that sentence in the same draw, so that the one before it
    stands again. Where none is left, the sentence is unseen for that annotator and not in the result. An annotator who
    skips a sentence that is shown again (`ASKED_AGAIN`) keeps the decision from before.
    """
    stacks = _stacks(events)
    return Standing(
        annotations={key: kept[-1] for key, stack in stacks.items() if (kept := _kept(stack))},
        # In the order of the log: an adjudicator may overrule another one's adjudication.
        adjudications={event.sentence_id: event for event in _in_order(stacks) if event.event == "adjudicate"},
    )


def standing_of_each(events: Iterable[Event]) -> list[Event]:
    """As `standing`, in one list, with the last adjudication of each annotator, even if another has overruled it."""
    found: list[Event] = []
    for stack in _stacks(events).values():
        found += [*_kept(stack)[-1:], *_of_kind("adjudicate", stack)[-1:]]
    return found


def not_undone(events: Iterable[Event]) -> list[Event]:
    """The events that no undo took back, in order."""
    return _in_order(_stacks(events))


def kept_annotations(events: Iterable[Annotation]) -> list[list[Annotation]]:
    """For each sentence and annotator, the annotations that were not undone, in order.

    Without those of draws that showed the sentence again only to be skipped, unless there is nothing else.
    """
    return [kept for stack in _stacks(events).values() if (kept := _kept(stack))]


_Stack = list[tuple[int, Event]]
"""Events that no undo took back, each with its place in the log."""


def _stacks(events: Iterable[Event]) -> dict[tuple[str, str], _Stack[Event]]:
    """(Sentence id, annotator) -> what their undos leave of their events."""
    stacks: dict[tuple[str, str], _Stack[Event]] = {}
    for position, event in enumerate(events):
        stack = stacks.setdefault((event.sentence_id, event.annotator), [])
        if event.event != "undo":
            stack.append((position, event))
        elif stack:
            del stack[_taken_back(event, stack)]
    return stacks


def _in_order(stacks: Mapping[tuple[str, str], _Stack[Event]]) -> list[Event]:
    """The events of all stacks in the order of the log."""
    entries = (entry for stack in stacks.values() for entry in stack)
    return [event for _, event in sorted(entries, key=lambda entry: entry[0])]


def _taken_back(undo: Event, stack: _Stack[Event]) -> int:
    """The place in the stack of the last event of the undo's draw, or of the last event if there is none.

    An annotator undoes what the screen shows, which is one draw: with two draws open at once, the last event may belong
    to the other.
    """
    own = (place for place in reversed(range(len(stack))) if _draw(stack[place][1]) == _draw(undo))
    return next(own, len(stack) - 1)


def _draw(event: Event) -> Hashable:
    """What the events of one draw share; imported ones have no draw id, but a strategy and a probability."""
    return event.draw_id, event.strategy, event.inclusion_probability


def _kept(stack: _Stack[Event]) -> list[Event]:
    """The annotations of a stack, less those of draws that ended in skipping a sentence shown again."""
    annotations = _of_kind("annotate", stack)
    kept: list[Event] = []
    skipped: set[Hashable] = set()
    # From the last to the first: skipping takes back what the same draw had decided before it.
    for event in reversed(annotations):
        if event.state == "skipped" and event.strategy in ASKED_AGAIN:
            skipped.add(_draw(event))
        if _draw(event) not in skipped:
            kept.append(event)
    return kept[::-1] or annotations


def _of_kind(kind: str, stack: _Stack[Event]) -> list[Event]:
    return [event for _, event in stack if event.event == kind]


# -- resolving

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Resolution:
    """Gold label sets, and the sentences that have none yet.

    - `gold`: sentence id -> labels in codebook order (empty: reviewed, none)
    - `disputed`: sentences whose reviewers differ, without an adjudication
    - `skipped`: sentences that every annotator skipped
    - `undecided`: sentences whose annotations were made under another version of the codebook and do not decide them
      under this one
    - `migrated`: how many annotations were read through recorded changes of labels
    - `reworded`: how many were made under another wording of the same labels
    """

    gold: dict[str, Labels]
    disputed: tuple[str, ...]
    skipped: tuple[str, ...]
    undecided: tuple[str, ...]
    migrated: int
    reworded: int


def resolve(events: Iterable[Annotation], codebook: Codebook, history: CodebookHistory | None = None) -> Resolution:
    """Resolve each sentence to its adjudication, else to the label set that all of its reviewers gave.

    Annotations made under other versions of `history` are read under `codebook`. One that leaves labels undecided gives
    no gold; it gives way to a complete one made under a nearer version, whose annotator saw the labels that it lacks.

    Raises:
        CodebookError: an annotation has a label that `codebook` lacks, or was made under a version with other labels
            from which no recorded change leads to `codebook`.
    """
    # Imported here: the store folds events, and would load pydantic with the codebooks that folding does not need.
    from labels.codebook.reading import CodebookHistory, VersionReader

    stands = standing(events)
    reader = VersionReader(codebook, history or CodebookHistory())
    reader.check_readable(stands.with_labels)
    given: dict[str, list[Reading]] = {sentence: [] for sentence, _ in stands.annotations}
    for annotation in stands.annotations.values():
        if annotation.state == "reviewed":
            given[annotation.sentence_id].append(reader.read(annotation))
    read = [reading for readings in given.values() for reading in readings]
    for sentence, adjudication in stands.adjudications.items():
        verdict = reader.read(adjudication)
        given[sentence] = _after_adjudication(verdict, given.get(sentence, []))
        read.append(verdict)
    sets = {sentence: _decided(readings) for sentence, readings in given.items()}
    return Resolution(
        gold={sentence: next(iter(found)) for sentence, found in sets.items() if found is not None and len(found) == 1},
        disputed=tuple(sentence for sentence, found in sets.items() if found is not None and len(found) > 1),
        skipped=tuple(sentence for sentence, found in sets.items() if found is not None and not found),
        undecided=tuple(sentence for sentence, found in sets.items() if found is None),
        migrated=sum(reading.changes > 0 for reading in read),
        reworded=sum(reading.reworded for reading in read),
    )


def _after_adjudication(verdict: Reading, readings: Sequence[Reading]) -> list[Reading]:
    """What still counts: the adjudication alone, or, if it is undecided, also what was read from nearer versions.

    Readings from the adjudication's own version and from versions farther away stay overruled.
    """
    if not verdict.undecided:
        return [verdict]
    return [verdict, *(reading for reading in readings if reading.changes < verdict.changes)]


def _decided(readings: Sequence[Reading]) -> set[Labels] | None:
    """The different label sets that count; None where an undecided reading has no nearer one to give way to.

    Nearness counts, not time. Of two annotators under one old version, one may have given a label that was split later
    (undecided) and the other none (complete): these are two sides of a dispute, which the complete one must not win.
    """
    complete = [reading for reading in readings if not reading.undecided]
    nearest = min((reading.changes for reading in complete), default=None)
    for reading in readings:
        if reading.undecided and (nearest is None or reading.changes <= nearest):
            return None
    return {reading.labels for reading in complete}
