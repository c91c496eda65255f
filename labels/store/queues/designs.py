"""Probability samples in the store, and what is needed to list the frames that they were drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import sqlalchemy as sa

from labels.gold import standing_of_each
from labels.records import RANDOM_STRATEGIES, Draw
from labels.store import tables
from labels.store.database import Part
from labels.store.events import event_query
from labels.store.queues.draws import items_of

SAMPLES = (*RANDOM_STRATEGIES, "document", "audit")
"""Strategies that draw probability samples of the corpus, from which its shares can be estimated."""


class CorpusSentence(NamedTuple):
    """A sentence to label: its number, which increases with the time of its arrival, its id and its document."""

    number: int
    id: str
    document_id: str


class Decisions:
    """The log of decisions, from which the sentences that were decided at an earlier time can be listed."""

    def __init__(self, rows: Sequence[sa.Row[*tuple[Any, ...]]]) -> None:
        self._rows = rows

    def until(self, seq: int) -> set[str]:
        """Return the ids of the sentences with a decision after event number `seq`."""
        return {row.sentence_id for row in standing_of_each([row for row in self._rows if row.seq <= seq])}

    def before(self, moment: str) -> set[str]:
        """Return the ids of the sentences decided before `moment` (ISO 8601 in UTC), by the times of the events."""
        return {row.sentence_id for row in standing_of_each([row for row in self._rows if row.created_at < moment])}

    def listed(self, draw: Draw) -> Draw:
        """Return the draw with all sentences outside its frame listed, so that it can be read in another store.

        The numbers of this store mean nothing elsewhere.
        """
        if draw.frame_seq is None:
            return replace(draw, frame_last=None)
        outside = self.until(draw.frame_seq).union(draw.frame_held or ())
        return replace(draw, frame_last=None, frame_seq=0, frame_held=tuple(sorted(outside)))

    def reached(self) -> dict[str, set[str]]:
        """Map the id of each draw to the sentences on which there are events from this draw, skips included."""
        found: dict[str, set[str]] = {}
        for row in self._rows:
            found.setdefault(row.draw_id, set()).add(row.sentence_id)
        return found


class Designs(Part):
    """The part of the store with probability samples and their frames."""

    def samples(self, annotator: str = "") -> list[Draw]:
        """Return the draws by strategies in `SAMPLES` with known frame size, oldest first, with all items.

        Args:
            annotator: return only the draws of this annotator.
        """
        draws = tables.draws
        query = sa.select(draws).where(draws.c.strategy.in_(SAMPLES), draws.c.frame_size.is_not(None))
        if annotator:
            query = query.where(draws.c.annotator == annotator)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(draws.c.created_at, draws.c.id)).mappings().all()
            return [Draw(**row, items=items_of(connection, row["id"])) for row in rows]

    def corpus(self) -> list[CorpusSentence]:
        """Return all sentences to label, decided or not, in the order of their numbers."""
        table = tables.sentences
        query = sa.select(table.c.number, table.c.id, table.c.document_id).where(table.c.boilerplate == "")
        return [CorpusSentence(*row) for row in self._rows(query.order_by(table.c.number))]

    def count_set_aside(self) -> int:
        """Return the number of stored sentences that are not to label: boilerplate, removed or replaced."""
        table = tables.sentences
        (count,) = self._column(sa.select(sa.func.count()).where(table.c.boilerplate != ""))
        return count

    def decisions(self) -> Decisions:
        """Return the log of decisions, without those on documents that were removed."""
        with self._database.reading() as connection:
            return Decisions(decision_rows(connection))

    def document_facts(self) -> dict[str, Mapping[str, str]]:
        """Map the id of each document to its source, url, title, date and language."""
        table = tables.documents
        query = sa.select(*(table.c[name] for name in ("id", "source", "url", "title", "date", "language")))
        return {row["id"]: row for row in (dict(found._mapping) for found in self._rows(query))}

    def removed_since(self, moment: str) -> list[str]:
        """Return the ids of the documents that were removed at or after `moment` (ISO 8601 in UTC)."""
        table = tables.removals
        return self._column(sa.select(table.c.document_id).where(table.c.created_at >= moment))


def decision_rows(connection: sa.Connection) -> Sequence[sa.Row[*tuple[Any, ...]]]:
    """Return the log of decisions as rows, for `Decisions`, without those on documents that were removed."""
    events = tables.events
    columns = (events.c[name] for name in ("seq", "event_id", "sentence_id", "annotator", "event", "state"))
    query = event_query(*columns, events.c.draw_id, events.c.undoes, events.c.created_at)
    query = query.where(~tables.is_removed(events.c.sentence_id))
    return connection.execute(query.order_by(events.c.seq)).all()
