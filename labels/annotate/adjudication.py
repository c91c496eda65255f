"""The session in which disputed sentences are adjudicated one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

from labels.annotate.items import Item, Opinion, named
from labels.annotate.keyboard import answer_keys
from labels.annotate.session import Session
from labels.codebook.schema import Codebook
from labels.errors import DecidedMeanwhileError
from labels.gold import resolve, standing
from labels.records import Annotation, EventKind
from labels.sampling.strategies import lease_end
from labels.store import Store

LOOK = timedelta(minutes=10)
"""Time for which a sentence shown to one adjudicator stays last in the queue of other adjudicators."""


class AdjudicationSession(Session):
    """Hands out the disputed sentences one by one with all opinions; decisions become events of kind `adjudicate`.

    The annotations do not change. Skipping a sentence records nothing: the sentence stays disputed. Several people can
    adjudicate at the same time: a sentence decided by one adjudicator is no longer handed to the others, and a sentence
    that an adjudicator is looking at comes last for the others. Going to a decided sentence shows the decision, which
    can then be overruled.

    Args:
        store: an open store.
        codebook: the codebook version under which annotations are compared.
        adjudicator: the name of the adjudicator.
        blind: show the annotators under numbers, in an order that changes from sentence to sentence.
        clock: function that returns a time in seconds, to measure how long each decision takes.

    Raises:
        CodebookError: an annotation has a label that the codebook does not have.
    """

    _kind: EventKind = "adjudicate"

    def __init__(
        self,
        store: Store,
        codebook: Codebook,
        adjudicator: str,
        *,
        blind: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._blind = blind
        events = store.events.all(sentence_ids=store.events.shared_sentences())
        stands = standing(events)
        self._annotations: dict[str, list[Annotation]] = {}
        for (sentence, _), annotation in sorted(stands.annotations.items()):
            self._annotations.setdefault(sentence, []).append(annotation)
        self._earlier = {verdict.event_id for verdict in stands.adjudications.values()}
        self._by_others: dict[str, Annotation] = {}
        self._news = ""
        disputed = resolve(events, codebook, store.codebooks.history()).disputed
        order = [sentence.id for sentence in store.documents.sentences(disputed)]
        super().__init__(store, codebook, adjudicator, order=order, clock=clock)

    @property
    def task(self) -> str:
        """The annotator's task, in a few words for the screen."""
        return "adjudicating"

    @property
    def decided_by_others(self) -> int:
        """The number of sentences that only others have decided since the session began, if the session noticed it."""
        return len(self._by_others.keys() - self._standing.keys())

    def skip(self, note: str = "") -> None:
        """Leave the current sentence disputed and go to the next disputed sentence, if there is one."""
        self._cursor = self._first_undecided(range(self._order.index(self._current_id()) + 1, self.total))
        self._item = None

    def go_to(self, position: int) -> bool:
        """Go to the sentence at a position, even if others have decided it or are looking at it."""
        there = super().go_to(position)
        if there:
            self._news = ""
            self._by_another(self._current_id())
        return there

    def _look_up(self, identifier: str) -> Item:
        # A hint to the other adjudicators, not a lock: they can still go to this sentence.
        self._store.draws.reserve(identifier, self._annotator, "", expires_at=lease_end(LOOK))
        verdict = self._by_others.get(identifier)
        # The annotations are not resolved here: the adjudicator sees every annotator's decision.
        opinions = (*self._coders(identifier), *(map(self._opinion, [verdict] if verdict else [])))
        answers = answer_keys(opinions, self._codebook)
        item = self._make_item(identifier)
        return replace(item, opinions=opinions, news=self._news or item.news, answers=answers)

    def _coders(self, identifier: str) -> Sequence[Opinion]:
        """The annotators' decisions, sorted by name or, without names, in an order that only the sentence decides."""
        opinions = list(map(self._opinion, self._annotations[identifier]))
        if not self._blind:
            return opinions
        Random(f"{identifier}\n{self._annotator}").shuffle(opinions)
        return [replace(one, annotator=f"coder {number}") for number, one in enumerate(opinions, start=1)]

    def _first_undecided(self, places: Iterable[int]) -> int | None:
        """The first undecided place; places that other adjudicators are looking at come last.

        Sentences that others have decided since the session began are skipped and reported in the next item's news.
        """
        held = self._store.draws.held_by_others(self._annotator)
        undecided = [place for place in places if not self._is_decided(self._order[place])]
        passed: list[Annotation] = []
        self._news = ""
        # False sorts before True: places that no other adjudicator is looking at come first.
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
        """The standing adjudication if another adjudicator made it since this session began, else None."""
        return self._newer_verdict(identifier, self._store.events.all(sentence_ids=[identifier]))

    def _newer_verdict(self, identifier: str, events: Iterable[Annotation]) -> Annotation | None:
        """Like `_by_another`, but from given events on the sentence; stores the result in `_by_others`."""
        verdict = standing(events).adjudications.get(identifier)
        if verdict is None or verdict.annotator == self._annotator or verdict.event_id in self._earlier:
            self._by_others.pop(identifier, None)
            return None
        self._by_others[identifier] = verdict
        return verdict

    def _append(self, decision: Annotation) -> None:
        """Append a decision, unless another adjudicator made a decision that was not shown yet.

        Raises:
            DecidedMeanwhileError: there is another decision. Deciding again overrules it.
        """
        identifier = decision.sentence_id
        shown = self._by_others.get(identifier)

        def is_foreseen(events: Iterable[Annotation]) -> bool:
            return self._newer_verdict(identifier, events) in (None, shown)

        # Checked in the transaction that writes: otherwise a decision could come between the check and the write.
        if not self._store.events.add([decision], only_if=is_foreseen):
            self._item = None
            verdict = self._opinion(self._by_others[identifier])
            raise DecidedMeanwhileError(
                f"{verdict.annotator} decided this sentence in the meantime: {named(verdict.labels)}. "
                "Your decision was not recorded. Decide again to overrule this decision, or press s to keep it."
            )


def _news(passed: list[Annotation]) -> str:
    names = ", ".join(sorted({verdict.annotator for verdict in passed}))
    return f"Disputed sentences that {names} decided in the meantime: {len(passed)}. They are not shown again."
