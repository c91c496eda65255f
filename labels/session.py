"""One annotator's labelling session: where they are, and the decisions they make. No screen, no keyboard.

Every decision is in the store before the method that made it returns.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from labels.codebook import Codebook
from labels.history import standing
from labels.queue import lease_end, next_draw
from labels.records import Annotation, Sentence, State
from labels.store import Draw, Store, now


@dataclass(frozen=True)
class Item:
    """A sentence to be decided on, with its neighbours in the document (empty at the edges)."""

    sentence: Sentence
    before: str
    after: str
    title: str


class LabellingSession:
    """Hands out the sentences of a draw one by one and records decisions.

    Args:
        store: an open store.
        codebook: what may be decided.
        annotator: who decides.
        size: how many sentences to draw when nothing is unfinished.
        seed: of the draw.
        clock: seconds, for the time that a decision took.
    """

    def __init__(
        self,
        store: Store,
        codebook: Codebook,
        annotator: str,
        *,
        size: int = 100,
        seed: int = 13,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._codebook = codebook
        self._annotator = annotator
        self._clock = clock
        store.add_codebook(codebook)
        self._draw: Draw | None = next_draw(store, annotator, size=size, seed=seed)
        self._pending = [identifier for identifier, _ in self._draw.items] if self._draw else []
        self._decided: list[str] = self._earlier_decisions()
        self._shown = ""
        self._shown_at = clock()

    @property
    def remaining(self) -> int:
        """How many sentences of the draw are still to be decided."""
        return len(self._pending)

    @property
    def decided(self) -> int:
        """How many standing decisions this annotator has made on the draw."""
        return len(self._decided)

    def _earlier_decisions(self) -> list[str]:
        if self._draw is None:
            return []
        events = [event for event in self._store.events(annotator=self._annotator) if event.draw_id == self._draw.id]
        order = {event.sentence_id: position for position, event in enumerate(events)}
        return sorted((sentence for sentence, _ in standing(events).annotations), key=order.__getitem__)

    def current(self) -> Item | None:
        """The sentence to decide on now, None when the draw is done."""
        if not self._pending:
            return None
        sentence = self._store.sentences([self._pending[0]])[0]
        around = self._store.sentences(document_id=sentence.document_id)
        position = next(i for i, other in enumerate(around) if other.id == sentence.id)
        document = self._store.document(sentence.document_id)
        if self._shown != sentence.id:  # showing it again is still the same look
            self._shown, self._shown_at = sentence.id, self._clock()
        return Item(
            sentence,
            before=around[position - 1].text if position else "",
            after=around[position + 1].text if position + 1 < len(around) else "",
            title=document.title if document else "",
        )

    def review(self, labels: Iterable[str], note: str = "") -> None:
        """Record `labels` (empty: none applies) for the current sentence.

        Raises:
            CodebookError: a label is unknown or the set is not allowed.
        """
        self._record("reviewed", self._codebook.check_labels(labels, "this decision"), note)

    def skip(self, note: str = "") -> None:
        """Record that the annotator passed over the current sentence."""
        self._record("skipped", (), note)

    def undo(self) -> bool:
        """Take back the last standing decision and show its sentence again; False when there is none."""
        if not self._decided:
            return False
        sentence_id = self._decided.pop()
        if self._draw is not None:
            self._store.reserve(sentence_id, self._annotator, self._draw.id, expires_at=lease_end())
        self._store.append([self._event(sentence_id, "undo", None, (), "", None)])
        self._pending.insert(0, sentence_id)
        return True

    def _record(self, state: State, labels: tuple[str, ...], note: str) -> None:
        sentence_id = self._pending[0]
        seconds = round(self._clock() - self._shown_at, 3)
        self._store.append([self._event(sentence_id, "annotate", state, labels, note, seconds)])
        self._decided.append(self._pending.pop(0))
        self._shown = ""

    def _event(
        self,
        sentence_id: str,
        kind: str,
        state: State | None,
        labels: tuple[str, ...],
        note: str,
        seconds: float | None,
    ) -> Annotation:
        return Annotation(
            event_id=uuid.uuid4().hex,
            sentence_id=sentence_id,
            annotator=self._annotator,
            event="undo" if kind == "undo" else "annotate",
            state=state,
            labels=labels,
            codebook_hash=self._codebook.hash,
            created_at=now(),
            note=note,
            seconds=seconds,
            draw_id=self._draw.id if self._draw else "",
        )
