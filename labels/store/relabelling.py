"""What is to be labelled again: the queue that changes of a codebook and doubts fill.

Conditions on sentences and entries that several parts of the store ask for: free, held, labelled again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from labels.store import schema
from labels.store.database import Database, now
from labels.store.events import decided_by_anyone


def free(sentence_id: sa.ColumnElement[str], at: str) -> tuple[sa.ColumnElement[bool], ...]:
    """Conditions: nobody has decided on the sentence or holds it reserved at a moment."""
    held = schema.reservations
    reserved = sa.exists().where(held.c.sentence_id == sentence_id, held.c.expires_at > at)
    return ~decided_by_anyone(sentence_id), ~reserved


def free_to_label(at: str) -> tuple[sa.ColumnElement[bool], ...]:
    """Conditions on `sentences`: text, on which nobody has decided and which nobody holds at a moment."""
    return schema.sentences.c.boilerplate == "", *free(schema.sentences.c.id, at)


def held_by_another(sentence_id: sa.ColumnElement[str], annotator: str) -> sa.Exists:
    """Condition: someone else holds the sentence reserved now."""
    held = schema.reservations
    return sa.exists().where(
        held.c.sentence_id == sentence_id, held.c.annotator != annotator, held.c.expires_at > now()
    )


def labelled_again() -> sa.Exists:
    """Condition on an entry of `relabelling`: a review of a later draw "relabel" stands on its sentence."""
    entries, decisions, events, draws = schema.relabelling, schema.decisions, schema.events, schema.draws
    return (
        sa.exists()
        .where(decisions.c.sentence_id == entries.c.sentence_id, decisions.c.seq > entries.c.after_seq)
        .where(events.c.seq == decisions.c.seq, draws.c.id == events.c.draw_id, draws.c.strategy == "relabel")
        .where(decisions.c.state == "reviewed")
        .correlate(entries)
    )


def answers(annotator: str) -> sa.ScalarSelect[int]:
    """How many answers of the annotator to an entry of `relabelling`, passing over it included, were not undone."""
    entries, events, draws = schema.relabelling, schema.events, schema.draws
    return (
        sa.select(count_standing())
        .where(events.c.sentence_id == entries.c.sentence_id, events.c.annotator == annotator)
        .where(events.c.seq > entries.c.after_seq, draws.c.id == events.c.draw_id, draws.c.strategy == "relabel")
        .correlate(entries)
        .scalar_subquery()
    )


def count_standing() -> sa.ColumnElement[int]:
    """Of the events selected, how many decisions were not undone."""
    return sa.func.coalesce(sa.func.sum(sa.case((schema.events.c.event == "undo", -1), else_=1)), 0)


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
