"""The common base of labelling and adjudication sessions: a list of sentences, a position in the list, and decisions.

This module knows nothing about the screen or the keyboard. Every decision and every draft (an unconfirmed choice) is
in the store before the method that makes it returns.
"""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from statistics import median

from labels.annotate.article import Article, article_around
from labels.annotate.items import Entry, Item, Opinion, in_words
from labels.codebook.reading import Reading, VersionReader
from labels.codebook.schema import Codebook
from labels.errors import CodebookError
from labels.records import Annotation, Basis, EventKind, State
from labels.store import Draft, Store, last_midnight, now
from labels.unicode import search_form

_MARKS = {"reviewed": "✓", "skipped": "s", "not_a_sentence": "–"}


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
        today: the number of the annotator's decisions since midnight in all sessions, without undone decisions.
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
        self._before = {decision.event_id for decision in decisions}
        self._remember(decisions)
        self._cursor = self._next_undecided(0)
        self._shown, self._shown_at = "", clock()
        self._item: Item | None = None
        self._undone: dict[str, str] = {}
        self._own: set[str] = set()
        self._times: list[float] = []
        self._midnight = last_midnight()
        self.today = self._store.events.count_since(self._annotator, self._midnight)

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
    def skipped(self) -> int:
        """The number of sentences of which a skip is the last decision."""
        return sum(decision.state == "skipped" for decision in self._standing.values())

    @property
    def drafts(self) -> int:
        """The number of sentences with choices or a note that the annotator has not confirmed."""
        return len(self._store.events.drafted(self._annotator, self._order))

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
            news=self._undone.get(identifier, ""),
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

    def find(self, words: str, *, back: bool = False) -> bool:
        """Go to the next or, if `back`, the previous sentence that contains `words`; returns False if none does.

        Case and typography are ignored. The search goes round and ends with the current sentence.
        """
        places = list(range(len(self._order)))
        here = (len(places) if back else -1) if self._cursor is None else self._cursor
        ahead = [*places[:here][::-1], *places[here:][::-1]] if back else [*places[here + 1 :], *places[: here + 1]]
        wanted = search_form(words)
        texts = {sentence.id: sentence.text for sentence in self._store.documents.sentences(self._order)}
        for place in ahead:
            if wanted and wanted in search_form(texts[self._order[place]]):
                return self.go_to(place + 1)
        return False

    # -- looking around

    def entries(self) -> list[Entry]:
        """All sentences of the session in order, with the annotator's own decisions."""
        drafted = self._store.events.drafted(self._annotator, self._order)
        return list(self._entries(self._order, drafted))

    def recent(self, count: int) -> list[Entry]:
        """The annotator's last decisions in this session that stand, the latest first."""
        last = dict.fromkeys(one.sentence_id for one in reversed(self._decisions))
        return list(self._entries(list(last)[:count], set()))

    def _entries(self, ids: Sequence[str], drafted: set[str]) -> Iterator[Entry]:
        sentences = {one.id: one for one in self._store.documents.sentences(ids)}
        places = {identifier: place for place, identifier in enumerate(self._order, start=1)}
        for identifier in ids:
            decision = self._standing.get(identifier)
            mark, said = (
                (_MARKS[decision.state or ""], in_words(decision, self._read(decision))) if decision else ("", "")
            )
            if identifier in drafted:
                mark, said = "…", f"{said} (not confirmed)".lstrip()
            yield Entry(places[identifier], sentences[identifier], mark, said)

    def article(self) -> Article | None:
        """The whole document of the current sentence; None if there is no current sentence."""
        item = self.current()
        return None if item is None else article_around(item.sentence, item.context, self._store)

    # -- deciding

    def keep_draft(self, labels: Iterable[str], note: str) -> None:
        """Save the unconfirmed labels and note for the current sentence."""
        self._store.events.keep_draft(self._current_id(), self._annotator, Draft(tuple(labels), note))
        self._item = None

    def review(self, labels: Iterable[str], note: str = "", *, basis: Basis = "") -> None:
        """Record `labels` for the current sentence; no labels means that none applies.

        Raises:
            CodebookError: a label is unknown, or the codebook does not allow this set of labels.
        """
        self._record("reviewed", self._codebook.check_labels(labels, "this decision"), note, basis)

    def accept(self, note: str = "") -> bool:
        """Record the labels that the model suggests, as accepted; returns False if no suggestion is shown."""
        item = self.current()
        if item is None or item.suggestion is None:
            return False
        asked = item.asked or self._codebook.label_names
        self.review([label for label in item.suggestion.labels if label in asked], note, basis="accepted")
        return True

    def take(self, opinion: Opinion, note: str = "") -> None:
        """Record the whole answer of another annotator as the decision on the current sentence."""
        if opinion.state == "not_a_sentence":
            self.mark_not_a_sentence(note)
        else:
            self.review(opinion.labels, note)

    def skip(self, note: str = "") -> None:
        """Record that the annotator skipped the current sentence."""
        self._record("skipped", (), note)

    def mark_not_a_sentence(self, note: str = "") -> None:
        """Record that the current span is not a sentence, so that it does not belong to the corpus."""
        self._record("not_a_sentence", (), note)

    def undo(self) -> bool:
        """Undo a standing decision and go back to its sentence; returns False if there is none to undo.

        This is the last decision of this session or else, as the item's news then says, the last one made before it
        began; never one that another window makes meanwhile. The labels and note of the decision are now the draft, and
        the decision that stood before stands again.
        """
        undone = self._to_undo()
        if undone is None:
            return False
        identifier = undone.sentence_id
        stood = self._store.events.undo(self._complete(self._event(identifier, "undo")), undone.event_id)
        # The decision becomes a draft again, so that a slip of the finger costs one key.
        labels = tuple(label for label in undone.labels if label in self._codebook.label_names)
        self._store.events.keep_draft(identifier, self._annotator, Draft(labels, undone.note))
        self._remember([one for one in self._decisions if one.event_id != undone.event_id])
        news = "" if undone.event_id in self._own else _earlier(undone)
        self._undone[identifier] = news if stood else "This decision was already undone in another window."
        self.today = self._store.events.count_since(self._annotator, self._midnight)
        self._cursor, self._item, self._shown = self._order.index(identifier), None, ""
        return True

    def _to_undo(self) -> Annotation | None:
        own, earlier = ([one for one in self._decisions if one.event_id in ids] for ids in (self._own, self._before))
        return next(reversed(own or earlier), None)

    def _current_id(self) -> str:
        assert self._cursor is not None, "there is no current sentence"
        return self._order[self._cursor]

    def _record(self, state: State, labels: tuple[str, ...], note: str, basis: Basis = "") -> None:
        identifier = self._current_id()
        seconds = round(self._clock() - self._shown_at, 3)
        event = self._event(identifier, self._kind)
        event = self._complete(replace(event, state=state, labels=labels, note=note, seconds=seconds, basis=basis))
        # Events refer to the codebook by its hash, so the store must have the codebook before the first event.
        if not self._own:
            self._store.codebooks.add(self._codebook)
        # The store comes first: if it refuses the event, there is no decision.
        self._append(event)
        self._own.add(event.event_id)
        self._remember([*self._decisions, event])
        self._undone.pop(identifier, None)
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


def _earlier(decision: Annotation) -> str:
    """The news of an undo that concerns a decision from before the session began."""
    moment = datetime.fromisoformat(decision.created_at).astimezone()
    return f"Undone: your decision of {moment:%Y-%m-%d %H:%M}, made before this window was opened."
