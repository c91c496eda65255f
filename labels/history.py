"""What stands now: the fold of append-only events into standing decisions and adjudications."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

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
    """The place of the last event of the undo's own draw, which is what a desk shows; of the last event if none is."""
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
