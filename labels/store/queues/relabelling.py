"""The queue of sentences to be labelled again, and the conditions that it shares with draws."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import sqlalchemy as sa

from labels.store import tables
from labels.store.database import Part, now


class QueuedSentence(NamedTuple):
    """A sentence to be labelled again, with the reason and its previous labels."""

    sentence_id: str
    reason: str
    previous: tuple[str, ...]


class Relabelling(Part):
    """The part of the store with the queue of sentences to be labelled again."""

    def add(self, entries: Iterable[tuple[str, str, tuple[str, ...]]], *, source: str, coders: int = 1) -> int:
        """Queue sentences (id, reason, current labels) that are not waiting yet.

        The first annotator who draws with the strategy "relabel" gets the sentences. An entry is done once its
        sentence has a standing review from a "relabel" draw; a skipped sentence is left for other annotators.

        Args:
            source: the name of the process that queues the sentences, such as "migrate".
            coders: the number of annotators who label each sentence again, independently of each other.

        Returns:
            The number of sentences added to the queue.
        """
        table, events = tables.relabelling, tables.events
        with self._database.writing() as connection:
            waiting = {entry.sentence_id for entry in _waiting(connection)}
            # Only a later review completes the entry: the sentence may have been labelled again before.
            last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(events.c.seq), 0))).scalar_one()
            new = {entry[0]: QueuedSentence(*entry) for entry in entries if entry[0] not in waiting}
            shared = {"source": source, "after_seq": last, "created_at": now(), "coders": coders}
            rows = [entry._asdict() | shared for entry in new.values()]
            if rows:
                connection.execute(sa.insert(table), rows)
            return len(rows)

    def waiting(self, annotator: str | None = None, limit: int | None = None) -> list[QueuedSentence]:
        """Return the sentences that are still waiting to be labelled again, oldest first.

        If `annotator` is given, sentences reserved for other annotators or skipped by this annotator are left out.
        """
        with self._database.reading() as connection:
            return _waiting(connection, annotator, limit)

    def labelled_under(self, codebook_hashes: Collection[str]) -> set[str]:
        """Return the sentences with a standing decision of a "relabel" draw, without skips, under these versions."""
        decisions, events, draws = tables.decisions, tables.events, tables.draws
        query = (
            sa.select(decisions.c.sentence_id)
            .join(events, events.c.seq == decisions.c.seq)
            .join(draws, draws.c.id == events.c.draw_id)
            .where(draws.c.strategy == "relabel", decisions.c.state != "skipped")
            .where(events.c.codebook_hash.in_(codebook_hashes))
        )
        return set(self._column(query))


def _waiting(connection: sa.Connection, annotator: str | None = None, limit: int | None = None) -> list[QueuedSentence]:
    table = tables.relabelling
    query = sa.select(table.c.sentence_id, table.c.reason, table.c.previous)
    query = query.where(~labelled_again(), ~tables.is_removed(table.c.sentence_id)).order_by(table.c.seq)
    if annotator is not None:
        free = sa.or_(table.c.coders > 1, ~held_by_another(table.c.sentence_id, annotator))
        query = query.where(free, _answers(annotator) <= 0)
    if limit is not None:
        query = query.limit(limit)
    return [QueuedSentence(*row) for row in connection.execute(query)]


# -- conditions


def held_by_another(sentence_id: sa.ColumnElement[str], annotator: str) -> sa.Exists:
    """Condition: the sentence is currently reserved for another annotator."""
    held = tables.reservations
    return sa.exists().where(
        held.c.sentence_id == sentence_id, held.c.annotator != annotator, held.c.expires_at > now()
    )


def labelled_again() -> sa.ColumnElement[bool]:
    """Condition on an entry of `relabelling`: enough later decisions from "relabel" draws stand, without skips."""
    entries, decisions, events, draws = tables.relabelling, tables.decisions, tables.events, tables.draws
    coders = (
        sa.select(sa.func.count(decisions.c.annotator.distinct()))
        .where(decisions.c.sentence_id == entries.c.sentence_id, decisions.c.seq > entries.c.after_seq)
        .where(events.c.seq == decisions.c.seq, draws.c.id == events.c.draw_id, draws.c.strategy == "relabel")
        .where(decisions.c.state != "skipped")
        .correlate(entries)
        .scalar_subquery()
    )
    return coders >= entries.c.coders


def asked_of_several(sentence_id: sa.ColumnElement[str]) -> sa.Exists:
    """Condition: several annotators must label the queued sentence again, possibly at the same time."""
    entries = tables.relabelling
    return sa.exists().where(entries.c.sentence_id == sentence_id, entries.c.coders > 1)


def _answers(annotator: str) -> sa.ScalarSelect[int]:
    """Count the annotator's decisions on an entry of `relabelling` that were not undone, skips included."""
    entries, events, draws = tables.relabelling, tables.events, tables.draws
    return (
        sa.select(count_standing())
        .where(events.c.sentence_id == entries.c.sentence_id, events.c.annotator == annotator)
        .where(events.c.seq > entries.c.after_seq, draws.c.id == events.c.draw_id, draws.c.strategy == "relabel")
        .correlate(entries)
        .scalar_subquery()
    )


def count_standing() -> sa.ColumnElement[int]:
    """Count the selected decisions that were not undone; each undo reverts one decision, or an earlier undo."""
    events, target = tables.events, tables.events.alias("target")
    restores = sa.exists().where(target.c.event_id == events.c.undoes, target.c.event == "undo")
    reverts = (events.c.event == "undo") & ~restores
    return sa.func.coalesce(sa.func.sum(sa.case((reverts, -1), else_=1)), 0)
