"""What is to be labelled again: the queue that changes of a codebook and doubts fill."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from labels.store import schema
from labels.store.conditions import answers, held_by_another, labelled_again
from labels.store.database import Database, now


@dataclass(frozen=True)
class Relabelling:
    """A sentence that is to be labelled again, why, and the labels that it bore."""

    sentence_id: str
    reason: str
    previous: tuple[str, ...]


class RelabellingQueue(Database):
    """The part of the store that holds what is to be labelled again."""

    def queue_relabelling(self, entries: Iterable[tuple[str, str, tuple[str, ...]]], *, source: str) -> int:
        """Ask for sentences to be labelled again: (sentence id, reason, labels so far). How many were new.

        Whoever comes first with the strategy "relabel" gets them. An entry is done when a review so drawn stands; who
        passes over it leaves it to others.
        """
        table, events = schema.relabelling, schema.events
        with self._transaction("written") as connection:
            waiting = {entry.sentence_id for entry in self._open_relabelling(connection)}
            last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(events.c.seq), 0))).scalar_one()
            new = {identifier: (reason, labels) for identifier, reason, labels in entries if identifier not in waiting}
            rows = [
                {
                    "sentence_id": identifier,
                    "source": source,
                    "reason": reason,
                    "previous": list(labels),
                    "after_seq": last,
                    "created_at": now(),
                }
                for identifier, (reason, labels) in new.items()
            ]
            if rows:
                connection.execute(sa.insert(table), rows)
            return len(rows)

    def open_relabelling(self, annotator: str | None = None, limit: int | None = None) -> list[Relabelling]:
        """What is still to be labelled again, oldest first; with an `annotator`, without what others hold and what
        they themselves have passed over.
        """
        with self._transaction("read") as connection:
            return self._open_relabelling(connection, annotator, limit)

    def _open_relabelling(
        self, connection: sa.Connection, annotator: str | None = None, limit: int | None = None
    ) -> list[Relabelling]:
        table = schema.relabelling
        query = sa.select(table.c.sentence_id, table.c.reason, table.c.previous)
        query = query.where(~labelled_again()).order_by(table.c.seq)
        if annotator is not None:
            query = query.where(~held_by_another(table.c.sentence_id, annotator), answers(annotator) <= 0)
        if limit is not None:
            query = query.limit(limit)
        return [Relabelling(row.sentence_id, row.reason, tuple(row.previous)) for row in connection.execute(query)]
