"""What labelling and adjudication sessions share: a list of sentences, a position in it, and decisions.

No screen, no keyboard. Every decision is in the store before the method that made it returns, and so are drafts: what
is typed and not confirmed yet.
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


@dataclass(frozen=True)
class Opinion:
    """What another annotator decided on a sentence.

    `labels` are theirs as the codebook in use reads them; if its changes leave some undecided, or no recorded change
    leads to it, they are as given. `reading` says which are sure and which undecided, None if no recorded change leads
    to the codebook.
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
    """A sentence to decide on, with what the annotator may see.

    `position` counts from 1 in the draw. `draft` is what the annotator typed and did not confirm, without labels that
    the codebook lacks. `decision` is their earlier decision on it in this draw; `reading` is how it reads under the
    codebook, None if no recorded change leads there. `suggestion` is None if there is no score or it is withheld.
    `previous` and `reason` are for sentences that are labelled again, `opinions` (what others decided, with their
    notes) for adjudication, `news` for what happened since the previous sentence was shown.
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


def named(labels: Iterable[str]) -> str:
    """The labels in words: their names, or `none`."""
    return ", ".join(labels) or "none"


def in_words(decision: Annotation | Opinion, reading: Reading | None) -> str:
    """A decision in words; if it reads differently under the codebook in use, also how it reads now."""
    said = "skipped" if decision.state == "skipped" else named(decision.labels)
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
        codebook: the labels that may be given.
        annotator: who decides.
        order: sentence ids, each once.
        decisions: those so far, the latest last; the last one on a sentence stands.
        clock: a clock in seconds, for the time that a decision took.

    Attributes:
        today: the annotator's decisions since midnight in any session, undone ones included.
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
        self._times: list[float] = []
        self.today = store.events.count_since(annotator, last_midnight())
        # Events refer to the codebook by its hash, so the store must hold it before the first of them.
        store.codebooks.add(codebook)

    @property
    @abstractmethod
    def task(self) -> str:
        """What the annotator is doing, in a few words for the screen."""

    @abstractmethod
    def _look_up(self, identifier: str) -> Item:
        """The item of a sentence, with what this kind of session shows."""

    def _complete(self, event: Annotation) -> Annotation:
        """The event with the fields that only this kind of session knows."""
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
        """The number of sentences still to decide."""
        return self.total - self.decided

    @property
    def seconds(self) -> float | None:
        """The median time per decision in this session, None before the first."""
        return median(self._times) if self._times else None

    def current(self) -> Item | None:
        """The sentence to decide on now, None when all are decided."""
        if self._cursor is None:
            return None
        identifier = self._order[self._cursor]
        if self._item is None or self._item.sentence.id != identifier:
            self._item = self._look_up(identifier)
        # Only the first look starts the clock: a note or a codebook page shows the same sentence again.
        if self._shown != identifier:
            self._shown, self._shown_at = identifier, self._clock()
        return self._item

    def _make_item(self, identifier: str) -> Item:
        """What every kind of session shows: the sentence in its context, the draft, the earlier decision."""
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
        # Places that were left behind come again once the end is reached.
        return self._first_undecided([*range(start, len(self._order)), *range(start)])

    def _first_undecided(self, places: Iterable[int]) -> int | None:
        return next((place for place in places if not self._is_decided(self._order[place])), None)

    def _is_decided(self, identifier: str) -> bool:
        return identifier in self._standing

    # -- moving

    def move(self, step: int) -> bool:
        """Go `step` sentences forward in the draw, backward if negative; False at either end."""
        place = (len(self._order) if self._cursor is None else self._cursor) + step
        return self.go_to(place + 1)

    def go_to(self, position: int) -> bool:
        """Go to a sentence by its position, counted from 1; False if there is no such sentence."""
        if not 1 <= position <= len(self._order):
            return False
        self._cursor, self._item = position - 1, None
        return True

    def go_on(self) -> None:
        """Go to the next undecided sentence."""
        self._cursor, self._item = self._next_undecided(self._cursor or 0), None

    def find(self, words: str) -> bool:
        """Go to the next sentence of the draw that contains `words` in any case; False if there is none."""
        # From the next sentence on: the current one may contain the words itself, so it comes last.
        start = 0 if self._cursor is None else self._cursor + 1
        texts = {sentence.id: sentence.text.casefold() for sentence in self._store.documents.sentences(self._order)}
        for place in [*range(start, len(self._order)), *range(start)]:
            if words.casefold() in texts[self._order[place]]:
                return self.go_to(place + 1)
        return False

    # -- deciding

    def keep_draft(self, labels: Iterable[str], note: str) -> None:
        """Save what is typed for the current sentence and not confirmed yet."""
        self._store.events.keep_draft(self._current_id(), self._annotator, Draft(tuple(labels), note))
        self._item = None

    def review(self, labels: Iterable[str], note: str = "") -> None:
        """Record `labels` for the current sentence; an empty set means that none applies.

        Raises:
            CodebookError: a label is unknown or the set is not allowed.
        """
        self._record("reviewed", self._codebook.check_labels(labels, "this decision"), note)

    def skip(self, note: str = "") -> None:
        """Record that the annotator skipped the current sentence."""
        self._record("skipped", (), note)

    def undo(self) -> bool:
        """Undo the last standing decision and show its sentence again; False if there is none."""
        if not self._decisions:
            return False
        identifier = self._decisions[-1].sentence_id
        self._store.events.add([self._complete(self._event(identifier, "undo"))])
        self._remember(self._decisions[:-1])
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
        # First the store: what it refuses was not decided.
        self._append(event)
        self._remember([*self._decisions, event])
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
