"""Derive standing decisions from events, and gold labels from standing decisions.

There are two steps, and neither alters an annotation. Folding (`standing`) applies undos: events are append-only, so an
annotator's decision on a sentence is the last event that was not undone. Resolving (`resolve`) chooses the gold labels
of a sentence: the labels that all of its annotators gave, or the labels that an adjudicator chose.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from labels.records import PLANTED, RETESTS, Annotation

if TYPE_CHECKING:
    from labels.codebook.reading import CodebookHistory, Reading
    from labels.codebook.schema import Codebook

ASKED_AGAIN = frozenset({*RETESTS, "relabel", "disputed-by"})
"""Strategies that may show annotators a sentence that they have already decided on."""

MEASURING = frozenset({"retest-only", PLANTED})
"""Strategies whose decisions measure the annotator and change neither decisions nor gold."""

MODEL_CODER = "llm:"
"""The prefix of model coders' names, which no person may use. Their answers are events of the kind "model" and never
count as decisions: they are neither gold nor part of the agreement between people, and are shown only on request."""


def coder_name(name: str) -> str:
    """Return the name of a model coder as recorded in the store, with the prefix `MODEL_CODER`."""
    return MODEL_CODER + name.removeprefix(MODEL_CODER)


# -- folding


class _Event(Protocol):
    """The attributes that folding needs; both an `Annotation` and an event row of the store have them."""

    @property
    def event_id(self) -> str: ...
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
    @property
    def undoes(self) -> str: ...


Event = TypeVar("Event", bound=_Event)


@dataclass(frozen=True)
class Standing:
    """The standing decisions.

    - `annotations`: (sentence id, annotator) -> the annotator's decision
    - `adjudications`: sentence id -> the last adjudication by any annotator
    """

    annotations: dict[tuple[str, str], Annotation]
    adjudications: dict[str, Annotation]

    @property
    def event_ids(self) -> set[str]:
        """The ids of all standing events."""
        return {event.event_id for event in (*self.annotations.values(), *self.adjudications.values())}

    @property
    def with_labels(self) -> list[Annotation]:
        """All reviews and adjudications in state "reviewed", including those with an empty label set."""
        both = (*self.annotations.values(), *self.adjudications.values())
        return [event for event in both if event.state == "reviewed"]


def standing(events: Iterable[Annotation]) -> Standing:
    """Fold events, given in the order in which they were appended, into standing decisions.

    An undo cancels the annotator's last standing event on the sentence in the same draw, which restores the event
    before it; an undo of an import (`withdrawn`) cancels the event that it names. If no event is left, the sentence is
    unseen by the annotator and not in the result. Annotators who skip a sentence that is shown again (`ASKED_AGAIN`)
    keep their earlier decision. Decisions from draws that only measure the annotator (`MEASURING`) never stand.
    """
    stacks = _stacks(events)
    return Standing(
        annotations={key: kept[-1] for key, stack in stacks.items() if (kept := _lasting(stack))},
        # In the order of the log: an adjudicator may overrule another adjudicator.
        adjudications={event.sentence_id: event for event in _in_order(stacks) if event.event == "adjudicate"},
    )


def standing_of_each(events: Iterable[Event]) -> list[Event]:
    """Like `standing`, as one list that includes each annotator's last adjudication, even if it was overruled later."""
    found: list[Event] = []
    for stack in _stacks(events).values():
        found += [*_lasting(stack)[-1:], *_of_kind("adjudicate", stack)[-1:]]
    return found


def not_undone(events: Iterable[Event]) -> list[Event]:
    """Return the events that were not undone, in order."""
    return _in_order(_stacks(events))


def reverts(undo: Annotation, event_id: str, events: Sequence[Annotation]) -> bool:
    """Whether an undo that names no event would revert just this event, if it were made after these events."""
    drawn = next((one for one in events if one.event_id == event_id), undo)
    # In the log, an undo has the strategy and the probability of its draw.
    same = replace(undo, strategy=drawn.strategy, inclusion_probability=drawn.inclusion_probability)
    left = {one.event_id for one in not_undone([*events, same])}
    return [one.event_id for one in not_undone(events) if one.event_id not in left] == [event_id]


def kept_annotations(events: Iterable[Annotation]) -> list[list[Annotation]]:
    """Return one list per sentence and annotator: the annotations that were not undone, in order.

    Annotations from draws in which a sentence was shown again and skipped are left out, unless there are no others.
    """
    return [kept for stack in _stacks(events).values() if (kept := _kept(stack))]


def withdrawn(events: Iterable[Event]) -> set[str]:
    """Ids of the events that an undo with their id has withdrawn: they count as if they had never been made.

    An undo can be withdrawn too, by a later undo, which brings back what it withdrew.
    """
    gone: set[str] = set()
    for event in reversed([one for one in events if one.undoes]):
        if event.event_id not in gone:
            gone.add(event.undoes)
    return gone


_Stack = list[tuple[int, Event]]
"""Events that were not undone, each with its position in the log."""


def _stacks(events: Iterable[Event]) -> dict[tuple[str, str], _Stack[Event]]:
    """Return the events that were not undone, by sentence id and annotator."""
    events = list(events)
    gone = withdrawn(events)
    stacks: dict[tuple[str, str], _Stack[Event]] = {}
    for position, event in enumerate(events):
        if event.undoes or event.event_id in gone:
            continue
        stack = stacks.setdefault((event.sentence_id, event.annotator), [])
        if event.event != "undo":
            stack.append((position, event))
        elif stack:
            del stack[_taken_back(event, stack)]
    return stacks


def _in_order(stacks: Mapping[tuple[str, str], _Stack[Event]]) -> list[Event]:
    """Return the events of all stacks in the order of the log."""
    entries = (entry for stack in stacks.values() for entry in stack)
    return [event for _, event in sorted(entries, key=lambda entry: entry[0])]


def _taken_back(undo: Event, stack: _Stack[Event]) -> int:
    """Return the position in the stack of the event that an undo reverts: the last one from its draw, if there is one.

    Otherwise it is the last event. Annotators undo what the screen shows, and a screen shows one draw. If two draws
    are open at once, the last event may belong to the other draw.
    """
    own = (place for place in reversed(range(len(stack))) if _draw(stack[place][1]) == _draw(undo))
    return next(own, len(stack) - 1)


def _draw(event: Event) -> Hashable:
    """Return a key for the draw of an event. Imported events have no draw id, but a strategy and a probability."""
    return event.draw_id, event.strategy, event.inclusion_probability


def _kept(stack: _Stack[Event]) -> list[Event]:
    """Return the annotations in a stack, without draws in which a sentence was shown again and finally skipped."""
    annotations = _of_kind("annotate", stack)
    kept: list[Event] = []
    skipped: set[Hashable] = set()
    # From the last to the first: a skip cancels earlier decisions in the same draw.
    for event in reversed(annotations):
        if event.state == "skipped" and event.strategy in ASKED_AGAIN:
            skipped.add(_draw(event))
        if _draw(event) not in skipped:
            kept.append(event)
    return kept[::-1] or annotations


def _lasting(stack: _Stack[Event]) -> list[Event]:
    """Return the annotations in a stack that can stand: `_kept`, without those that only measure the annotator."""
    return _kept([entry for entry in stack if entry[1].strategy not in MEASURING])


def _of_kind(kind: str, stack: _Stack[Event]) -> list[Event]:
    return [event for _, event in stack if event.event == kind]


# -- resolving

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Resolution:
    """Gold label sets, and the sentences that do not have gold labels yet.

    - `gold`: sentence id -> labels in codebook order (empty: reviewed, none)
    - `disputed`: sentences whose annotators disagree and that have no adjudication
    - `skipped`: sentences that every annotator skipped
    - `not_sentences`: sentences that all annotators, or an adjudicator, marked as not a sentence
    - `undecided`: sentences whose annotations were made under another codebook version and do not determine the labels
      under this version
    - `migrated`: number of annotations read through recorded label changes
    - `reworded`: number of annotations made under another wording of the same labels
    """

    gold: dict[str, Labels]
    disputed: tuple[str, ...]
    skipped: tuple[str, ...]
    undecided: tuple[str, ...]
    migrated: int
    reworded: int
    not_sentences: tuple[str, ...] = ()


def resolve(events: Iterable[Annotation], codebook: Codebook, history: CodebookHistory | None = None) -> Resolution:
    """Resolve each sentence to its adjudication, or to the label set that all of its reviewers gave.

    A sentence that some annotators reviewed and others marked as not a sentence is disputed. Annotations made under
    other versions in `history` are read under `codebook`. An annotation that leaves labels undecided gives no gold
    labels. It is ignored if there is a complete annotation from a nearer version, whose annotator could choose them.

    Raises:
        CodebookError: an annotation has a label that `codebook` lacks, or was made under a version with other labels
            and without a recorded path of changes to `codebook`.
    """
    # Imported here: the store folds events, which needs no codebooks and should not load pydantic for them.
    from labels.codebook.reading import CodebookHistory, VersionReader

    stands = standing(events)
    reader = VersionReader(codebook, history or CodebookHistory())
    reader.check_readable(stands.with_labels)
    given: dict[str, list[Reading]] = {sentence: [] for sentence, _ in stands.annotations}
    for annotation in stands.annotations.values():
        if annotation.state == "reviewed":
            given[annotation.sentence_id].append(reader.read(annotation))
    read = [reading for readings in given.values() for reading in readings]
    outside = {sentence for (sentence, _), one in stands.annotations.items() if one.state == "not_a_sentence"}
    for sentence, adjudication in stands.adjudications.items():
        outside.discard(sentence)
        if adjudication.state == "not_a_sentence":
            given[sentence] = []
            outside.add(sentence)
            continue
        verdict = reader.read(adjudication)
        given[sentence] = _after_adjudication(verdict, given.get(sentence, []))
        read.append(verdict)
    sets = {sentence: _decided(readings) for sentence, readings in given.items()}
    # Each answer is a label set, or None for "not a sentence".
    answers = {
        sentence: found | ({None} if sentence in outside else set())
        for sentence, found in sets.items()
        if found is not None
    }
    single = {sentence: next(iter(found)) for sentence, found in answers.items() if len(found) == 1}
    return Resolution(
        gold={sentence: labels for sentence, labels in single.items() if labels is not None},
        disputed=tuple(sentence for sentence, found in answers.items() if len(found) > 1),
        skipped=tuple(sentence for sentence, found in answers.items() if not found),
        undecided=tuple(sentence for sentence, found in sets.items() if found is None),
        migrated=sum(reading.changes > 0 for reading in read),
        reworded=sum(reading.reworded for reading in read),
        not_sentences=tuple(sentence for sentence, labels in single.items() if labels is None),
    )


def _after_adjudication(verdict: Reading, readings: Sequence[Reading]) -> list[Reading]:
    """Return the readings that count: the adjudication or, if it is undecided, also readings from nearer versions.

    Readings from the version of the adjudication and from more distant versions remain overruled.
    """
    if not verdict.undecided:
        return [verdict]
    return [verdict, *(reading for reading in readings if reading.changes < verdict.changes)]


def _decided(readings: Sequence[Reading]) -> set[Labels] | None:
    """Return the distinct label sets that count; None if no nearer complete reading replaces an undecided one.

    Nearness counts, not time. Suppose that two annotators worked under the same old version: one gave a label that was
    split later (undecided), the other gave no label (complete). They disagree, and the complete reading must not win.
    """
    complete = [reading for reading in readings if not reading.undecided]
    nearest = min((reading.changes for reading in complete), default=None)
    for reading in readings:
        if reading.undecided and (nearest is None or reading.changes <= nearest):
            return None
    return {reading.labels for reading in complete}
