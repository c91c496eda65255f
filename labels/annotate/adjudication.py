"""Adjudicating: sentences on which annotators differ are decided by one more reader, beside what they said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta

from labels.annotate.session import Item, Session
from labels.codebook.schema import Codebook
from labels.errors import DecidedMeanwhileError
from labels.gold import Standing, resolve, standing
from labels.records import Annotation, EventKind
from labels.sampling.strategies import lease_end
from labels.store import Store

LOOK = timedelta(minutes=10)
"""How long others are rather handed another sentence than one that somebody looks at."""


class AdjudicationSession(Session):
    """Hands out the disputed sentences one by one with all opinions; decisions become events `adjudicate`.

    The annotations stay as they were. Passing over a sentence records nothing: it stays disputed. Several people can
    adjudicate at once: what one has decided the others are not handed any more, and what one looks at they are handed
    last. Who goes to it all the same sees what was decided and may overrule it.

    Args:
        store: an open store.
        codebook: the version under which annotations are compared.
        adjudicator: who decides.
        clock: seconds, for the time that a decision took.

    Raises:
        CodebookError: an annotation bears a label that the codebook lacks.
    """

    _kind: EventKind = "adjudicate"

    def __init__(
        self, store: Store, codebook: Codebook, adjudicator: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        events = store.events.all(sentence_ids=store.events.shared_sentences())
        stands = standing(events)
        self._annotations = _by_sentence(stands)
        self._earlier = {verdict.event_id for verdict in stands.adjudications.values()}
        self._by_others: dict[str, Annotation] = {}
        self._news = ""
        disputed = resolve(events, codebook, store.codebooks.history()).disputed
        order = [sentence.id for sentence in store.documents.sentences(disputed)]
        super().__init__(store, codebook, adjudicator, order=order, decisions={}, history=[], clock=clock)

    @property
    def task(self) -> str:
        """What is being done."""
        return "adjudicating"

    @property
    def decided_by_others(self) -> int:
        """How many sentences somebody else alone has decided on since the session began, as far as was seen."""
        return sum(not self._decisions.get(identifier) for identifier in self._by_others)

    def skip(self, note: str = "") -> None:
        """Leave the current sentence disputed and go to the next that is; after the last of them there is none."""
        self._cursor = self._first_undecided(range(self._order.index(self._current_id()) + 1, self.total))
        self._item = None

    def go_to(self, position: int) -> bool:
        """As every session, whoever has decided on the sentence or looks at it."""
        there = super().go_to(position)
        if there:
            self._news = ""
            self._by_another(self._current_id())
        return there

    def _look_up(self, identifier: str) -> Item:
        self._store.draws.reserve(identifier, self._annotator, "", expires_at=lease_end(LOOK))
        verdict = self._by_others.get(identifier)
        decisions = (*self._annotations[identifier], *([verdict] if verdict else []))
        opinions = tuple(map(self._opinion, decisions))
        return replace(self._make_item(identifier), opinions=opinions, news=self._news)

    def _first_undecided(self, places: Iterable[int]) -> int | None:
        """What others have decided on since is told and passed over, what they look at comes last."""
        held = self._store.draws.held_by_others(self._annotator)
        undecided = [place for place in places if not self._is_decided(self._order[place])]
        passed: list[Annotation] = []
        self._news = ""
        for place in sorted(undecided, key=lambda place: self._order[place] in held):
            verdict = self._by_another(self._order[place])
            if verdict is None:
                return place
            passed.append(verdict)
            self._news = _news(passed)
        return None

    def _is_decided(self, identifier: str) -> bool:
        return super()._is_decided(identifier) or identifier in self._by_others

    def _by_another(self, identifier: str) -> Annotation | None:
        """The adjudication that stands, if somebody else has made it since this session began."""
        return self._newer_verdict(identifier, self._store.events.all(sentence_ids=[identifier]))

    def _newer_verdict(self, identifier: str, events: Iterable[Annotation]) -> Annotation | None:
        """The same, from the events on the sentence; kept in `_by_others`."""
        verdict = standing(events).adjudications.get(identifier)
        if verdict is None or verdict.annotator == self._annotator or verdict.event_id in self._earlier:
            self._by_others.pop(identifier, None)
            return None
        self._by_others[identifier] = verdict
        return verdict

    def _append(self, decision: Annotation) -> None:
        """Append a decision, unless somebody else has made one that was not shown.

        Raises:
            DecidedMeanwhileError: somebody has; the next decision counts.
        """
        identifier = decision.sentence_id
        shown = self._by_others.get(identifier)

        def is_foreseen(events: Iterable[Annotation]) -> bool:
            return self._newer_verdict(identifier, events) in (None, shown)

        if not self._store.events.add([decision], only_if=is_foreseen):
            self._item = None
            verdict = self._opinion(self._by_others[identifier])
            raise DecidedMeanwhileError(
                f"{verdict.annotator} has decided this sentence meanwhile: {', '.join(verdict.labels) or 'none'}. "
                "Nothing was recorded. Decide again to overrule that; s leaves it as it is."
            )


def _news(passed: list[Annotation]) -> str:
    names = ", ".join(sorted({verdict.annotator for verdict in passed}))
    return f"Decided meanwhile by {names} and passed over: {len(passed)} of the disputes."


def _by_sentence(stands: Standing) -> dict[str, tuple[Annotation, ...]]:
    """Sentence id -> what each annotator's standing decision on it is, skips included."""
    found: dict[str, list[Annotation]] = {}
    for (sentence, _), annotation in sorted(stands.annotations.items()):
        found.setdefault(sentence, []).append(annotation)
    return {sentence: tuple(annotations) for sentence, annotations in found.items()}
