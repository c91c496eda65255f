"""The session in which an annotator labels the sentences that were drawn for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from labels.annotate.items import Item, named
from labels.annotate.session import Session
from labels.codebook.schema import Codebook
from labels.errors import CodebookError
from labels.gold import ASKED_AGAIN, not_undone, standing
from labels.records import PLANTED, Annotation, Basis
from labels.sampling.drawing import DrawRequest
from labels.sampling.strategies import BLIND, Assignment, lease_end, next_assignment
from labels.sampling.suggestions import Suggester, Suggestion
from labels.store import Draw, DrawItem, Store

_ELSEWHERE = "You decided on this sentence in another window."
_SKIPPED = "You skipped this sentence. Decide now, or skip it again to leave it to others."


class LabellingSession(Session):
    """Hands out the sentences of an assignment one by one and records decisions.

    Args:
        store: an open store.
        codebook: the codebook with the labels to choose from.
        annotator: the name of the annotator.
        request: the draw to make if the annotator has no unfinished draw of this kind.
        suggester: makes suggestions, which are recorded with each decision; None for no suggestions.
        clock: function that returns a time in seconds, to measure how long each decision takes.

    Attributes:
        continues: whether the draw was made before and is unfinished.

    Raises:
        InputError: see `labels.sampling.strategies.next_assignment`.
    """

    def __init__(
        self,
        store: Store,
        codebook: Codebook,
        annotator: str,
        request: DrawRequest | None = None,
        *,
        suggester: Suggester | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        assignment = next_assignment(store, annotator, request or DrawRequest()) or Assignment((), frozenset())
        self._draws, self._items = _in_order(assignment)
        self.continues = assignment.continues
        self._suggester = suggester
        self._again: set[str] = set()
        ids = [draw.id for draw in assignment.draws]
        decisions = not_undone(store.events.of_draws(ids, annotator) if ids else [])
        # Decided sentences stay in the list so that the annotator can go back to them.
        shown = assignment.pending | {decision.sentence_id for decision in decisions}
        order = [key for key in self._items if key in shown]
        super().__init__(store, codebook, annotator, order=order, decisions=decisions, clock=clock)

    @property
    def task(self) -> str:
        """The strategies of the draws; overlap and planted are hidden, or annotators would take more care there."""
        found = {draw.strategy.removesuffix("-only") for draw in self._draws.values()} - {"overlap", PLANTED}
        return ", ".join(sorted(found)) or "random"

    def _first_undecided(self, places: Iterable[int]) -> int | None:
        """The first undecided place; at the end of the draw, the first skipped place not yet offered again."""
        places = list(places)
        found = super()._first_undecided(places)
        if found is not None:
            return found
        for place in sorted(places):
            identifier = self._order[place]
            # Whoever skips a sentence that is asked again keeps the earlier decision.
            asked_again = self._draws[identifier].strategy in ASKED_AGAIN
            if self._standing[identifier].state == "skipped" and identifier not in self._again and not asked_again:
                self._again.add(identifier)
                return place
        return None

    def _look_up(self, identifier: str) -> Item:
        drawn, draw = self._items[identifier], self._draws[identifier]
        elsewhere = self._look_elsewhere(identifier)
        suggestion = self._suggestion(identifier)
        decision = self._standing.get(identifier)
        offered = identifier in self._again and decision is not None and decision.state == "skipped"
        asked, kept = self._new_labels(identifier) if draw.strategy == "relabel" else ((), ())
        replaces = bool(asked) and self._codebook.exclusive
        item = self._make_item(identifier)
        return replace(
            item,
            asked=asked,
            kept=kept,
            replaces=replaces,
            question=_question(asked, kept, replaces),
            news=item.news or (_ELSEWHERE if elsewhere else _SKIPPED if offered else ""),
            suggestion=None if suggestion is None or suggestion.blind else suggestion,
            withheld=suggestion is not None and suggestion.blind,
            previous=drawn.previous,
            reason=drawn.stratum if draw.strategy == "relabel" else "",
        )

    def _look_elsewhere(self, identifier: str) -> bool:
        """Take up decisions that another window of the annotator made or undid; returns whether one stands."""
        draws = {draw.id for draw in self._draws.values()}
        events = self._store.events.all(annotator=self._annotator, sentence_ids=[identifier])
        found = not_undone(event for event in events if event.draw_id in draws)
        others = [one for one in self._decisions if one.sentence_id != identifier]
        self._remember(sorted([*others, *found], key=lambda one: one.created_at))
        return bool(found) and found[-1].event_id not in self._own | self._before

    def _new_labels(self, identifier: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The labels that the codebook added and that are undecided on a sentence, and the labels that stay.

        Both are empty if anything else is undecided, or if it is unclear which labels stay.
        """
        own = {draw.id for draw in self._draws.values()}
        events = [event for event in self._store.events.all(sentence_ids=[identifier]) if event.draw_id not in own]
        stands = standing(events)
        verdict = stands.adjudications.get(identifier) or stands.annotations.get((identifier, self._annotator))
        found = [verdict] if verdict is not None else list(stands.annotations.values())
        readings = {self._read(one) for one in found if one.state == "reviewed"}
        reading = readings.pop() if len(readings) == 1 else None
        if reading is None or not reading.undecided:
            return (), ()
        added = {name for one in found for name in self._reader.added(one.codebook_hash)}
        return (reading.undecided, reading.labels) if added.issuperset(reading.undecided) else ((), ())

    def review(self, labels: Iterable[str], note: str = "", *, basis: Basis = "") -> None:
        """Record `labels`, with the labels that stay if the task is only about new labels.

        Raises:
            CodebookError: see `Session.review`; also if a label is neither in `asked` nor in `kept`.
        """
        item = self.current()
        chosen = tuple(labels)
        if item is not None and item.asked:
            if others := set(chosen) - {*item.asked, *item.kept}:
                raise CodebookError(
                    f"This question is only about {named(item.asked)}; the other labels stay as they are "
                    f"({named(item.kept)}). Remove {named(sorted(others))}."
                )
            new = tuple(label for label in chosen if label in item.asked)
            chosen = new if new and item.replaces else (*item.kept, *new)
        super().review(chosen, note, basis=basis)

    def _suggestion(self, identifier: str) -> Suggestion | None:
        if self._suggester is None:
            return None
        return self._suggester.suggest(identifier, blind=self._draws[identifier].strategy in BLIND)

    def undo(self) -> bool:
        """Undo the last standing decision and reserve its sentence again; returns False if there is no decision."""
        if self._decisions:
            last = self._decisions[-1].sentence_id
            self._store.draws.reserve(last, self._annotator, self._draws[last].id, expires_at=lease_end())
        return super().undo()

    def _complete(self, event: Annotation) -> Annotation:
        """Return the event with its draw and the model's suggestion, shown or withheld."""
        suggestion = self._suggestion(event.sentence_id) if event.event == "annotate" else None
        return replace(
            event,
            draw_id=self._draws[event.sentence_id].id,
            suggestion=None if suggestion is None else suggestion.labels,
            blind=suggestion is not None and suggestion.blind,
        )


def _question(asked: tuple[str, ...], kept: tuple[str, ...], replaces: bool) -> str:
    """What to decide if the task is only about some labels; otherwise empty."""
    if replaces:
        return f"Does {named(asked)} fit better than {named(kept)}? Press n to keep {named(kept)}."
    return f"Decide on {named(asked)} only. These labels stay: {named(kept)}" if asked else ""


def _in_order(assignment: Assignment) -> tuple[dict[str, Draw], dict[str, DrawItem]]:
    """Two mappings in display order: sentence id -> draw, and sentence id -> item of the draw."""
    pairs = [(item, draw) for draw in assignment.draws for item in draw.items]
    # Draws made together (random and overlap) are interleaved by position.
    if all(item.position is not None for item, _ in pairs):
        pairs.sort(key=lambda pair: pair[0].position or 0)
    return {item.sentence_id: draw for item, draw in pairs}, {item.sentence_id: item for item, _ in pairs}
