"""What stands now: the fold of append-only events into standing decisions and adjudications."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from labels.records import Annotation


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

    An undo takes back the annotator's last standing event on that sentence, so that the one before it stands
    again; where nothing is left the sentence is unseen for that annotator and is not in the result.
    """
    left = [(key, entry) for key, stack in _stacks(events).items() for entry in stack]
    return Standing(
        annotations={key: event for key, (_, event) in left if event.event == "annotate"},
        adjudications={
            event.sentence_id: event
            for _, event in sorted((entry for _, entry in left), key=lambda entry: entry[0])
            if event.event == "adjudicate"
        },
    )


def kept_annotations(events: Iterable[Annotation]) -> list[list[Annotation]]:
    """The annotations that were not undone, in order, for each sentence and annotator that has any."""
    kept = ([event for _, event in stack if event.event == "annotate"] for stack in _stacks(events).values())
    return [annotations for annotations in kept if annotations]


def _stacks(events: Iterable[Annotation]) -> dict[tuple[str, str], list[tuple[int, Annotation]]]:
    """(sentence id, annotator) -> the events that no undo took back, each with its place in the log."""
    stacks: dict[tuple[str, str], list[tuple[int, Annotation]]] = {}
    for position, event in enumerate(events):
        stack = stacks.setdefault((event.sentence_id, event.annotator), [])
        if event.event != "undo":
            stack.append((position, event))
        elif stack:
            stack.pop()
    return stacks
