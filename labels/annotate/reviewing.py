"""The session in which annotators look at their own decisions and correct them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from labels.annotate.items import Item, Opinion, in_words
from labels.annotate.session import Session
from labels.codebook.schema import Codebook
from labels.errors import InputError, did_you_mean
from labels.gold import not_undone, standing
from labels.records import PLANTED, Annotation, Basis, State
from labels.sampling.drawing import search_terms
from labels.store import Store
from labels.unicode import search_form

NONE = "none"
"""The filter for reviews in which no label applies; no label has this name."""


@dataclass(frozen=True)
class Filters:
    """Which of their decisions annotators want to see; empty values filter nothing.

    - `label`: a label of the codebook in use, or `NONE`
    - `noted`: only decisions with a note
    - `words`: words and quoted phrases that the sentence or the note contains
    - `since`: only decisions made at this time or later, ISO 8601 in UTC
    """

    label: str = ""
    state: State | None = None
    noted: bool = False
    words: str = ""
    since: str = ""


@dataclass(frozen=True)
class Row:
    """A decision in the printed list, in words, and the others' decisions on the sentence, if they may be seen."""

    position: int
    created_at: str
    said: str
    note: str
    text: str
    others: tuple[str, ...] = ()


class ReviewSession(Session):
    """Shows an annotator's own standing decisions, the latest first. A correction is a new event.

    A correction belongs to the draw of the decision that it corrects, so that inclusion probabilities stay. Only
    corrections made in this session can be undone.

    Args:
        store: an open store.
        codebook: the codebook under which decisions are read and corrected.
        annotator: the name of the annotator.
        filters: which decisions to show.
        unblind: also show others' decisions on sentences that the annotator has decided (a skip does not count); the
            store then marks the annotator's later decisions on these sentences.
        clock: function that returns a time in seconds, to measure how long each decision takes.

    Raises:
        InputError: the codebook does not have the label of the filters.
    """

    def __init__(
        self,
        store: Store,
        codebook: Codebook,
        annotator: str,
        filters: Filters | None = None,
        *,
        unblind: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        filters = filters or Filters()
        _check(filters, codebook)
        self._unblind, self._news = unblind, ""
        self._store, self._codebook = store, codebook
        decided = sorted(_own(store, annotator), key=lambda decision: decision.created_at)
        texts = {one.id: one.text for one in store.documents.sentences(one.sentence_id for one in decided)}
        found = [one for one in decided if self._matches(one, texts[one.sentence_id], filters)]
        order = [decision.sentence_id for decision in reversed(found)]
        super().__init__(store, codebook, annotator, order=order, decisions=found, clock=clock)

    @property
    def task(self) -> str:
        """The annotator's task, in a few words for the screen."""
        return "reviewing"

    def rows(self) -> list[Row]:
        """All decisions, for a printed list."""
        sentences = {one.id: one for one in self._store.documents.sentences(self._order)}
        return [self._row(place, sentences[key].text, key) for place, key in enumerate(self._order, start=1)]

    def _row(self, position: int, text: str, identifier: str) -> Row:
        one = self._standing[identifier]
        others = tuple(f"{opinion.role}: {in_words(opinion, opinion.reading)}" for opinion in self._others(identifier))
        return Row(position, one.created_at, in_words(one, self._read(one)), one.note, " ".join(text.split()), others)

    @property
    def corrected(self) -> int:
        """The number of sentences whose decision was corrected in this session, without undone corrections."""
        return sum(decision.event_id not in self._before for decision in self._standing.values())

    def undo(self) -> bool:
        """Undo the last correction of this session; returns False if there is none."""
        self._news = ""
        return super().undo()

    def _to_undo(self) -> Annotation | None:
        found = super()._to_undo()
        return found if found is not None and found.event_id in self._own else None

    def go_to(self, position: int) -> bool:
        """Go to the sentence at a position, counted from 1; returns False if there is no such position."""
        self._news = ""
        return super().go_to(position)

    def _record(self, state: State, labels: tuple[str, ...], note: str, basis: Basis = "") -> None:
        """Record a correction; a decision that stays as it is is not recorded again."""
        before = self._standing[self._current_id()]
        reading = self._read(before)
        as_before = reading is not None and not reading.undecided and set(reading.labels) == set(labels)
        if not as_before or (before.state, before.note) != (state, note):
            super()._record(state, labels, note, basis)
            self._news = "Corrected."
            return
        self.keep_draft((), "")
        self._news = "Nothing changed: this is your decision as it stands."

    def _next_undecided(self, start: int) -> int | None:
        """Stay at the sentence: all are decided, and the screen shows the correction."""
        return start if self._order else None

    def _look_up(self, identifier: str) -> Item:
        return replace(self._make_item(identifier), opinions=self._others(identifier), news=self._news)

    def _others(self, identifier: str) -> tuple[Opinion, ...]:
        """The others' decisions, if they may be seen; the store records that they were."""
        if not self._unblind or self._standing[identifier].state == "skipped":
            return ()
        stands = standing(self._store.events.all(sentence_ids=[identifier]))
        verdict = stands.adjudications.get(identifier)
        annotations = [one for (_, name), one in sorted(stands.annotations.items()) if name != self._annotator]
        seen = [*annotations, *([verdict] if verdict and verdict.annotator != self._annotator else [])]
        if seen:
            self._store.events.unblind(self._annotator, [identifier])
        return tuple(map(self._opinion, seen))

    def _complete(self, event: Annotation) -> Annotation:
        """Return the event with the draw and the suggestion of the decision that it corrects."""
        before = self._standing[event.sentence_id]
        return replace(
            event,
            draw_id=before.draw_id,
            strategy=before.strategy,
            inclusion_probability=before.inclusion_probability,
            suggestion=before.suggestion if event.event == "annotate" else None,
            blind=before.blind and event.event == "annotate",
        )

    def _matches(self, decision: Annotation, text: str, filters: Filters) -> bool:
        if filters.noted and not decision.note:
            return False
        if decision.created_at < filters.since or filters.state not in (None, decision.state):
            return False
        if filters.label and not self._has_label(decision, filters.label):
            return False
        searched = search_form(f"{text}\n{decision.note}")
        return all(search_form(term) in searched for term in search_terms(filters.words))

    def _has_label(self, decision: Annotation, label: str) -> bool:
        reading = self._read(decision)
        labels = decision.labels if reading is None else (*reading.labels, *reading.undecided)
        return decision.state == "reviewed" and (label in labels if label != NONE else not labels)


def _own(store: Store, annotator: str) -> Iterable[Annotation]:
    """The annotator's decisions that stand, and those on planted sentences.

    Decisions on planted sentences never stand, but whoever misses them in the list knows which sentences were planted.
    """
    events = store.events.all(annotator=annotator)
    found = {one.sentence_id: one for one in not_undone(events) if one.strategy == PLANTED}
    return (found | {sentence: one for (sentence, _), one in standing(events).annotations.items()}).values()


def _check(filters: Filters, codebook: Codebook) -> None:
    known = (*codebook.label_names, NONE)
    if filters.label and filters.label not in known:
        hint = did_you_mean(filters.label, known)
        raise InputError(
            f"--label: codebook '{codebook.name}' has no label '{filters.label}'{hint}. Use one of {', '.join(known)}."
        )
