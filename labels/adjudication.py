"""Adjudicating: sentences on which annotators differ are decided by one more reader, beside what they said."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from labels.codebook import Codebook
from labels.desk import Desk, Item
from labels.history import standing
from labels.records import Annotation, EventKind
from labels.resolve import resolve
from labels.store import Store
from labels.versions import history_of


class AdjudicationSession(Desk):
    """Hands out the disputed sentences one by one with all opinions; decisions become events `adjudicate`.

    The annotations stay as they were. Passing over a sentence records nothing: it stays disputed.

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
        events = store.events(sentence_ids=store.shared_sentences())
        self._opinions = _opinions(events)
        disputed = resolve(events, codebook, history_of(store)).disputed
        order = [sentence.id for sentence in store.sentences(disputed)]
        super().__init__(store, codebook, adjudicator, order=order, decisions={}, history=[], clock=clock)

    @property
    def task(self) -> str:
        """What is being done."""
        return "adjudicating"

    def skip(self, note: str = "") -> None:
        """Leave the current sentence disputed and go to the next that is; after the last of them there is none."""
        later = range(self._order.index(self._current_id()) + 1, self.total)
        self._cursor = next((place for place in later if not self._decisions.get(self._order[place])), None)
        self._item = None

    def _look_up(self, identifier: str) -> Item:
        return replace(self._make_item(identifier), opinions=self._opinions[identifier])


def _opinions(events: Sequence[Annotation]) -> dict[str, tuple[Annotation, ...]]:
    """Sentence id -> what each annotator's standing decision on it is, skips included."""
    found: dict[str, list[Annotation]] = {}
    for (sentence, _), annotation in sorted(standing(events).annotations.items()):
        found.setdefault(sentence, []).append(annotation)
    return {sentence: tuple(annotations) for sentence, annotations in found.items()}
