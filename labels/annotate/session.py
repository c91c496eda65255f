"""The common base of labelling and adjudication sessions: a list of sentences, a position in the list, and decisions.

This module knows nothing about the screen or the keyboard. Every decision and every draft (an unconfirmed choice) is
in the store before the method that makes it returns.
"""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median

from labels.codebook.reading import Reading, VersionReader
from labels.codebook.schema import Codebook
from labels.errors import CodebookError
from labels.records import Annotation, EventKind, Sentence, State
from labels.sampling.suggestions import Suggestion
from labels.store import Context, Draft, Store, last_midnight, now
from labels.unicode.typography import search_form


@dataclass(frozen=True)
class Opinion:
    """Another annotator's decision on a sentence.

    `labels` are the annotator's labels as read under the codebook in use. They are the labels as originally assigned
    if the codebook's changes leave some labels undecided, or if no recorded change leads to the codebook. `reading`
    lists the sure and the undecided labels; it is None if no recorded change leads to the codebook.
    """

    annotator: str
    event: EventKind
    state: State | None
    labels: tuple[str, ...]
    note: str = ""
    reading: Reading | None = None

    @property
    def role(self) -> str:
        """The annotator's name, marked if they adjudicated."""
        return f"{self.annotator}, adjudicating" if self.event == "adjudicate" else self.annotator


@dataclass(frozen=True)
class Item:
    """A sentence to decide on, with the information that the annotator may see.

    `breaks` has one value for each gap between consecutive sentences of the context: True if a new paragraph begins
    there. `position` counts from 1 in the draw. `draft` is the annotator's unconfirmed choice, without labels that the
    codebook does not have. `decision` is the annotator's earlier decision on the sentence in this draw. `reading` is
    that decision under the codebook in use; it is None if there is no decision or no recorded change leads to the
    codebook. `suggestion` is None if the sentence has no score or the suggestion is withheld. `previous` (the earlier
    labels) and `reason` are set for sentences that are labelled again, `opinions` (the others' decisions and notes)
    for adjudication. `news` reports events since the previous sentence was shown. `undone` is true if the annotator
    undid their last decision: the draft is shown, even an empty one, and not the decision that stands again. `asked`
    are the only labels to decide on if the codebook added labels, and `kept` the labels that stay; without `asked`, all
    labels are to be decided.
    """

    sentence: Sentence
    context: Context
    breaks: tuple[bool, ...]
    position: int
    draft: Draft
    decision: Annotation | None = None
    reading: Reading | None = None
    suggestion: Suggestion | None = None
    previous: tuple[str, ...] | None = None
    reason: str = ""
    opinions: tuple[Opinion, ...] = ()
    news: str = ""
    undone: bool = False
    asked: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def named(labels: Iterable[str]) -> str:
    """The labels in words: their names, or `none`."""
    return ", ".join(labels) or "none"


_STATES = {"skipped": "skipped", "not_a_sentence": "not a sentence"}
"""The states of decisions without labels, in words."""


def in_words(decision: Annotation | Opinion, reading: Reading | None) -> str:
    """A decision in words, followed by its current reading if the codebook in use changes it."""
    said = _STATES.get(decision.state or "", named(decision.labels))
    if reading is None or decision.state != "reviewed":
        return said
    if reading.undecided:
        sure = f"{', '.join(reading.labels)}; " if reading.labels else ""
        return f"{said}, now {sure}undecided: {', '.join(reading.undecided)}"
    return said if set(reading.labels) == set(decision.labels) else f"{said}, now {named(reading.labels)}"


class Session(ABC):
    """A list of sentences, a position in it, and the decisions of one annotator on them.

    Args:
        store: an open store.
        codebook: the codebook with the labels to choose from.
        annotator: the name of the annotator.
        order: sentence ids without duplicates.
        decisions: the decisions so far, the latest last; the last decision on a sentence is the standing decision.
        clock: function that returns a time in seconds, to measure how long each decision takes.

    Attributes:
        today: the number of the annotator's decisions since midnight in all sessions, including undone decisions.
    """

    _kind: EventKind = "annotate"

    def __init__(
        self,
        store: Store,
        codebook: Codebook,
        annotator: str,
        *,
        order: list[str],
        decisions: Sequence[Annotation] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._codebook = codebook
        self._annotator = annotator
        self._clock = clock
        self._order = order
        self._remember(decisions)
        self._cursor = self._next_undecided(0)
        self._shown, self._shown_at = "", clock()
        self._item: Item | None = None
        self._undone: set[str] = set()
        self._times: list[float] = []
        self.today = store.events.count_since(annotator, last_midnight())
        # Events refer to the codebook by its hash, so the store must have the codebook before the first event.
        store.codebooks.add(codebook)

    @property
    @abstractmethod
    def task(self) -> str:
        """The annotator's task, in a few words for the screen."""

    @abstractmethod
    def _look_up(self, identifier: str) -> Item:
        """Return the item for a sentence, with the information that this kind of session shows."""

    def _complete(self, event: Annotation) -> Annotation:
        """Return the event with the fields that are specific to this kind of session."""
        return event

    # -- how far

    @property
    def total(self) -> int:
        """The number of sentences in the draw."""
        return len(self._order)

    @property
    def decided(self) -> int:
        """The number of sentences with a decision."""
        return sum(map(self._is_decided, self._order))

    @property
    def remaining(self) -> int:
        """The number of undecided sentences."""
        return self.total - self.decided

    @property
    def drafts(self) -> int:
        """The number of sentences with choices or a note that the annotator has not confirmed."""
        return self._store.events.count_drafts(self._annotator, self._order)

    @property
    def seconds(self) -> float | None:
        """The median time per decision in this session, in seconds; None before the first decision."""
        return median(self._times) if self._times else None

    def current(self) -> Item | None:
        """Return the sentence to decide on now, or None if there is no further sentence."""
        if self._cursor is None:
            return None
        identifier = self._order[self._cursor]
        if self._item is None or self._item.sentence.id != identifier:
            self._item = self._look_up(identifier)
        # Only the first call per sentence starts the clock: notes and codebook pages show the same sentence again.
        if self._shown != identifier:
            self._shown, self._shown_at = identifier, self._clock()
        return self._item

    def _make_item(self, identifier: str) -> Item:
        """Return the item with the fields that all sessions show: sentence, context, draft, earlier decision."""
        sentence = self._store.documents.sentences([identifier])[0]
        context = self._store.documents.context(sentence)
        around = [*context.before, sentence, *context.after]
        decision = self._standing.get(identifier)
        draft = self._store.events.draft(identifier, self._annotator)
        return Item(
            sentence,
            context,
            tuple(self._store.documents.paragraph_breaks(around)),
            self._order.index(identifier) + 1,
            # A draft may be older than the codebook in use.
            Draft(tuple(label for label in draft.labels if label in self._codebook.label_names), draft.note),
            decision=decision,
            reading=None if decision is None else self._read(decision),
            undone=identifier in self._undone,
        )

    @cached_property
    def _reader(self) -> VersionReader:
        return VersionReader(self._codebook, self._store.codebooks.history())

    def _read(self, decision: Annotation) -> Reading | None:
        try:
            return self._reader.read(decision)
        except CodebookError:
            return None

    def _opinion(self, decision: Annotation) -> Opinion:
        reading = self._read(decision)
        labels = decision.labels if reading is None or reading.undecided else reading.labels
        return Opinion(decision.annotator, decision.event, decision.state, labels, decision.note, reading)

    def _next_undecided(self, start: int) -> int | None:
        """The first undecided position from `start` on, then from the beginning."""
        # Sentences that were left undecided come again after the last sentence.
        return self._first_undecided([*range(start, len(self._order)), *range(start)])

    def _first_undecided(self, places: Iterable[int]) -> int | None:
        return next((place for place in places if not self._is_decided(self._order[place])), None)

    def _is_decided(self, identifier: str) -> bool:
        return identifier in self._standing

    # -- moving

    def move(self, step: int) -> bool:
        """Go `step` sentences forward in the draw, or backward if negative; returns False at either end."""
        place = (len(self._order) if self._cursor is None else self._cursor) + step
        return self.go_to(place + 1)

    def go_to(self, position: int) -> bool:
        """Go to the sentence at a position, counted from 1; returns False if there is no such position."""
        if not 1 <= position <= len(self._order):
            return False
        self._cursor, self._item = position - 1, None
        return True

    def go_on(self) -> None:
        """Go to the next undecided sentence."""
        self._cursor, self._item = self._next_undecided(self._cursor or 0), None

    def find(self, words: str) -> bool:
        """Go to the next sentence that contains `words`, ignoring case and typography; returns False if none does."""
        # The search starts after the current sentence, which may contain the words itself and so comes last.
        start = 0 if self._cursor is None else self._cursor + 1
        wanted = search_form(words)
        texts = {sentence.id: sentence.text for sentence in self._store.documents.sentences(self._order)}
        for place in [*range(start, len(self._order)), *range(start)]:
            if wanted and wanted in search_form(texts[self._order[place]]):
                return self.go_to(place + 1)
        return False

    # -- deciding

    def keep_draft(self, labels: Iterable[str], note: str) -> None:
        """Save the unconfirmed labels and note for the current sentence."""
        self._store.events.keep_draft(self._current_id(), self._annotator, Draft(tuple(labels), note))
        self._item = None

    def review(self, labels: Iterable[str], note: str = "") -> None:
        """Record `labels` for the current sentence; no labels means that none applies.

        Raises:
            CodebookError: a label is unknown, or the codebook does not allow this set of labels.
        """
        self._record("reviewed", self._codebook.check_labels(labels, "this decision"), note)

    def skip(self, note: str = "") -> None:
        """Record that the annotator skipped the current sentence."""
        self._record("skipped", (), note)

    def mark_not_a_sentence(self, note: str = "") -> None:
        """Record that the current span is not a sentence, so that it does not belong to the corpus."""
        self._record("not_a_sentence", (), note)

    def undo(self) -> bool:
        """Undo the last standing decision and go back to its sentence; returns False if there is no decision.

        The labels and note of the decision are now the draft, and the decision that stood before stands again.
        """
        if not self._decisions:
            return False
        undone = self._decisions[-1]
        identifier = undone.sentence_id
        self._store.events.add([self._complete(self._event(identifier, "undo"))])
        # The decision becomes a draft again, so that a slip of the finger costs one key.
        labels = tuple(label for label in undone.labels if label in self._codebook.label_names)
        self._store.events.keep_draft(identifier, self._annotator, Draft(labels, undone.note))
        self._remember(self._decisions[:-1])
        self._undone.add(identifier)
        self._cursor, self._item, self._shown = self._order.index(identifier), None, ""
        return True

    def _current_id(self) -> str:
        assert self._cursor is not None, "there is no current sentence"
        return self._order[self._cursor]

    def _record(self, state: State, labels: tuple[str, ...], note: str) -> None:
        identifier = self._current_id()
        seconds = round(self._clock() - self._shown_at, 3)
        event = self._event(identifier, self._kind)
        event = self._complete(replace(event, state=state, labels=labels, note=note, seconds=seconds))
        # The store comes first: if it refuses the event, there is no decision.
        self._append(event)
        self._remember([*self._decisions, event])
        self._undone.discard(identifier)
        self._times.append(seconds)
        self.today += 1
        self._cursor = self._next_undecided(self._order.index(identifier))
        self._item, self._shown = None, ""

    def _append(self, decision: Annotation) -> None:
        self._store.events.add([decision])

    def _remember(self, decisions: Sequence[Annotation]) -> None:
        self._decisions = decisions
        self._standing = {decision.sentence_id: decision for decision in decisions}

    def _event(self, sentence_id: str, kind: EventKind) -> Annotation:
        return Annotation(
            event_id=uuid.uuid4().hex,
            sentence_id=sentence_id,
            annotator=self._annotator,
            event=kind,
            state=None,
            labels=(),
            codebook_hash=self._codebook.hash,
            created_at=now(),
        )
