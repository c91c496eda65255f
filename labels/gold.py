"""What stands now: the fold of append-only events into standing decisions and adjudications.

Annotations -> gold: what the annotators agree on, or an adjudicator decided. No annotation is altered.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from labels.codebook.reading import CodebookHistory, Reading, VersionReader
from labels.codebook.schema import Codebook
from labels.records import Annotation

ASKED_AGAIN = frozenset({"retest", "relabel"})
"""Strategies that ask a person for what they may have decided already."""


class _Event(Protocol):
    """What is folded: an annotation, or a row with as much of one."""

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
    """`annotations` maps (sentence id, annotator) to the decision that stands, `adjudications` sentence id to the last
    one.
    """

    annotations: dict[tuple[str, str], Annotation]
    adjudications: dict[str, Annotation]

    @property
    def event_ids(self) -> set[str]:
        """The ids of both."""
        return {event.event_id for event in (*self.annotations.values(), *self.adjudications.values())}


def standing(events: Iterable[Annotation]) -> Standing:
    """Fold events in the order in which they were appended.

    An undo takes back the annotator's last standing event on that sentence in the undo's own draw (an adjudication
    has none), so that the one before it stands again; where nothing is left the sentence is unseen for that annotator
    and is not in the result. Who passes over a sentence that they are asked for again (`ASKED_AGAIN`) leaves what they
    decided before as it was.
    """
    stacks = _stacks(events)
    left = (entry for stack in stacks.values() for entry in stack)
    return Standing(
        annotations={key: kept[-1] for key, stack in stacks.items() if (kept := _kept(stack))},
        adjudications={
            event.sentence_id: event
            for _, event in sorted(left, key=lambda entry: entry[0])
            if event.event == "adjudicate"
        },
    )


def standing_of_each(events: Iterable[Event]) -> list[Event]:
    """As `standing`, but the last adjudication of each annotator stands, also where another has overruled it."""
    found: list[Event] = []
    for stack in _stacks(events).values():
        found += [*_kept(stack)[-1:], *_of_kind("adjudicate", stack)[-1:]]
    return found


def kept_annotations(events: Iterable[Annotation]) -> list[list[Annotation]]:
    """The annotations that were not undone, in order, for each sentence and annotator that has any; without draws that
    asked again and were passed over, unless there is nothing else.
    """
    return [kept for stack in _stacks(events).values() if (kept := _kept(stack))]


def _stacks(events: Iterable[Event]) -> dict[tuple[str, str], list[tuple[int, Event]]]:
    """(sentence id, annotator) -> the events that no undo took back, each with its place in the log."""
    stacks: dict[tuple[str, str], list[tuple[int, Event]]] = {}
    for position, event in enumerate(events):
        stack = stacks.setdefault((event.sentence_id, event.annotator), [])
        if event.event != "undo":
            stack.append((position, event))
        elif stack:
            del stack[_taken_back(event, stack)]
    return stacks


def _taken_back(undo: Event, stack: Sequence[tuple[int, Event]]) -> int:
    """The place of the last event of the undo's own draw, which the session showed; else of the last event."""
    own = (place for place in reversed(range(len(stack))) if _draw(stack[place][1]) == _draw(undo))
    return next(own, len(stack) - 1)


def _draw(event: Event) -> Hashable:
    """What events of one draw have in common, those that were imported without its id too."""
    return event.draw_id, event.strategy, event.inclusion_probability


def _kept(stack: Sequence[tuple[int, Event]]) -> list[Event]:
    """The annotations of a stack but for what a draw that asked again had of them when it was passed over."""
    annotations = _of_kind("annotate", stack)
    kept: list[Event] = []
    passed_over: set[Hashable] = set()
    for event in reversed(annotations):
        if event.state == "skipped" and event.strategy in ASKED_AGAIN:
            passed_over.add(_draw(event))
        if _draw(event) not in passed_over:
            kept.append(event)
    return kept[::-1] or annotations


def _of_kind(kind: str, stack: Sequence[tuple[int, Event]]) -> list[Event]:
    return [event for _, event in stack if event.event == kind]


Labels = tuple[str, ...]


@dataclass(frozen=True)
class Resolution:
    """Gold label sets, and the sentences that have none yet.

    `gold` maps sentence id -> labels in codebook order (empty: reviewed, none). `disputed` are sentences whose
    reviewers differ with no adjudication, `skipped` those that every annotator skipped, `undecided` those whose
    annotations were made under a version of the codebook that does not decide them under this one. `migrated`
    annotations were read through recorded changes of labels, `reworded` ones were made under another wording of the
    same labels.
    """

    gold: dict[str, Labels]
    disputed: tuple[str, ...]
    skipped: tuple[str, ...]
    undecided: tuple[str, ...]
    migrated: int
    reworded: int


def resolve(events: Iterable[Annotation], codebook: Codebook, history: CodebookHistory | None = None) -> Resolution:
    """Resolve each sentence to its adjudication, else to the label set that all of its reviewers gave.

    Annotations of other versions of `history` are read under `codebook`. One that is left undecided gives no gold; it
    gives way to a complete one that was made under a nearer version, that is, with the labels in view that it lacks.

    Raises:
        CodebookError: an annotation bears a label that `codebook` lacks, or was made under a version with other labels
            from which no recorded change leads to `codebook`.
    """
    stands = standing(events)
    reviewed = [annotation for annotation in stands.annotations.values() if annotation.state == "reviewed"]
    reader = VersionReader(codebook, history or CodebookHistory())
    reader.check_readable([*reviewed, *stands.adjudications.values()])
    given: dict[str, list[Reading]] = {sentence: [] for sentence, _ in stands.annotations}
    for annotation in reviewed:
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
    """What still counts: the verdict alone, or, if that is undecided, with what was said under nearer versions.

    Those of its own version and before stay overruled.
    """
    if not verdict.undecided:
        return [verdict]
    return [verdict, *(reading for reading in readings if reading.changes < verdict.changes)]


def _decided(readings: Sequence[Reading]) -> set[Labels] | None:
    """The different label sets that count, None where an undecided reading has none to give way to.

    Nearness is what counts, not time: a set of the same old version that happens to be decided (none at all, where
    another annotator gave the label that was split) is one side of a dispute and must not win it.
    """
    complete = [reading for reading in readings if not reading.undecided]
    nearest = min((reading.changes for reading in complete), default=None)
    for reading in readings:
        if reading.undecided and (nearest is None or reading.changes <= nearest):
            return None
    return {reading.labels for reading in complete}
