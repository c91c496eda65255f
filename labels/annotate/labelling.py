"""One annotator's labelling session over the sentences drawn for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from labels.annotate.session import Item, Session
from labels.codebook.schema import Codebook
from labels.records import Annotation
from labels.sampling.strategies import BLIND, Assignment, DrawRequest, lease_end, next_assignment
from labels.sampling.suggestions import Suggester, Suggestion
from labels.store import Draw, DrawItem, Store


class LabellingSession(Session):
    """Hands out the sentences of an assignment one by one and records decisions.

    Args:
        store: an open store.
        codebook: the labels that may be given.
        annotator: who decides.
        request: what to draw if no draw of this kind is unfinished.
        suggester: makes suggestions, which are recorded with each decision; None for no suggestions.
        clock: a clock in seconds, for the time that a decision took.

    Raises:
        InputError: as `labels.sampling.strategies.next_assignment`.
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
        self._suggester = suggester
        ids = [draw.id for draw in assignment.draws]
        decisions, history = _decisions_so_far(store.events.of_draws(ids, annotator) if ids else [])
        order = [key for key in self._items if key in assignment.pending or decisions.get(key)]
        super().__init__(store, codebook, annotator, order=order, decisions=decisions, history=history, clock=clock)

    @property
    def task(self) -> str:
        """How the sentences were drawn. Overlap is not shown: annotators might label those sentences with more care."""
        found = {draw.strategy for draw in self._draws.values()} - {"overlap"}
        return ", ".join(sorted(found)) or "random"

    def _look_up(self, identifier: str) -> Item:
        drawn, draw = self._items[identifier], self._draws[identifier]
        suggestion = self._suggestion(identifier)
        return replace(
            self._make_item(identifier),
            suggestion=None if suggestion is None or suggestion.blind else suggestion,
            previous=drawn.previous,
            reason=drawn.stratum if draw.strategy == "relabel" else "",
        )

    def _suggestion(self, identifier: str) -> Suggestion | None:
        if self._suggester is None:
            return None
        return self._suggester.suggest(identifier, blind=self._draws[identifier].strategy in BLIND)

    def undo(self) -> bool:
        """Undo the last standing decision, reserve its sentence again, and show it; False if there is none."""
        if self._history:
            last = self._history[-1]
            self._store.draws.reserve(last, self._annotator, self._draws[last].id, expires_at=lease_end())
        return super().undo()

    def _complete(self, event: Annotation) -> Annotation:
        """The event with its draw and the model's suggestion, whether that was shown or withheld."""
        suggestion = self._suggestion(event.sentence_id) if event.event == "annotate" else None
        return replace(
            event,
            draw_id=self._draws[event.sentence_id].id,
            suggestion=None if suggestion is None else suggestion.labels,
            blind=suggestion is not None and suggestion.blind,
        )


def _decisions_so_far(events: Sequence[Annotation]) -> tuple[dict[str, list[Annotation]], list[str]]:
    """The standing decisions of each sentence, and the sentence ids in the order of the decisions."""
    decisions: dict[str, list[Annotation]] = {}
    history: list[str] = []
    for event in events:
        if event.event == "annotate":
            decisions.setdefault(event.sentence_id, []).append(event)
            history.append(event.sentence_id)
        elif event.event == "undo" and decisions.get(event.sentence_id):
            decisions[event.sentence_id].pop()
            # An undo takes back the last decision on its own sentence, not the last of all.
            del history[len(history) - 1 - history[::-1].index(event.sentence_id)]
    return decisions, history


def _in_order(assignment: Assignment) -> tuple[dict[str, Draw], dict[str, DrawItem]]:
    """Sentence id -> its draw, and sentence id -> its item, in the order in which they are shown."""
    pairs = [(item, draw) for draw in assignment.draws for item in draw.items]
    # Draws made together (random and overlap) are mixed by position.
    if all(item.position is not None for item, _ in pairs):
        pairs.sort(key=lambda pair: pair[0].position or 0)
    return {item.sentence_id: draw for item, draw in pairs}, {item.sentence_id: item for item, _ in pairs}
