"""Draws, reservations, and the queue of sentences to be labelled again.

`labels.sampling.strategies` chooses a sample. This module stores samples and ensures that two annotators never get the
same sentence, unless the strategy shares sentences.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import sqlalchemy as sa

from labels.records import RANDOM_STRATEGIES, Draw, DrawItem
from labels.store import tables
from labels.store.database import Part, batches, insert_new, now, rows_among
from labels.store.events import insert_draw
from labels.store.texts.overlaps import is_replaced

SHARED = frozenset({"overlap", "audit", "retest", "relabel"})
"""Strategies that may give an annotator a sentence that another annotator has already decided on."""


class Draws(Part):
    """The part of the store with draws and reservations."""

    def overlap_candidates(self, annotator: str) -> list[DrawItem]:
        """Sentences of overlap draws that one other annotator has received and `annotator` has not decided on."""
        draws, items, decisions = tables.draws, tables.draw_items, tables.decisions
        mine = sa.exists().where(decisions.c.sentence_id == items.c.sentence_id, decisions.c.annotator == annotator)
        query = (
            sa.select(items.c.sentence_id, sa.func.max(items.c.inclusion_probability))
            .join(draws, draws.c.id == items.c.draw_id)
            .where(draws.c.strategy == "overlap", draws.c.annotator != "", ~mine)
            .where(~tables.is_removed(items.c.sentence_id), ~is_replaced(items.c.sentence_id))
            .group_by(items.c.sentence_id)
            # Count annotators, not draws: one annotator may have received the sentence in two draws.
            .having(sa.func.count(draws.c.annotator.distinct()) == 1, sa.func.max(draws.c.annotator) != annotator)
            .order_by(items.c.sentence_id)
        )
        return [DrawItem(*row) for row in self._rows(query)]

    def own_decisions(self, annotator: str, *, before: str) -> list[str]:
        """Ids of the sentences whose latest review by the annotator is older than `before` (ISO 8601 in UTC).

        Only sentences from random draws are included: a second reading of them measures how consistent the annotator is
        on typical sentences.
        """
        events, decisions, draws = tables.events, tables.decisions, tables.draws
        query = (
            sa.select(events.c.sentence_id)
            .join(decisions, decisions.c.seq == events.c.seq)
            .join(draws, draws.c.id == events.c.draw_id)
            .where(events.c.annotator == annotator, events.c.state == "reviewed", events.c.event == "annotate")
            .where(draws.c.strategy.in_(RANDOM_STRATEGIES), events.c.created_at < before)
            .order_by(events.c.sentence_id)
        )
        return self._column(query)

    def add(self, draws: Sequence[Draw], *, expires_at: str, second_readings: Collection[str] = ()) -> bool:
        """Store draws of one annotator and reserve their sentences until `expires_at`.

        A sample is chosen before this transaction begins, and another annotator may take its sentences in the meantime.
        This method therefore checks that the sentences are still free while no other process can write.

        Args:
            second_readings: sentences of an overlap draw that another annotator has already received. Sentences of
                other shared strategies (`SHARED`) are not checked.

        Returns:
            False, with nothing written, if in the meantime a sentence was reserved or decided on, one of the
            `second_readings` went to a second annotator, or another annotator began to label a sentence again.
        """
        fresh = [
            item.sentence_id
            for draw in draws
            for item in draw.items
            if draw.strategy not in SHARED - {"overlap"} and item.sentence_id not in second_readings
        ]
        table = tables.reservations
        with self._database.writing() as connection:
            # Expired reservations are deleted here because the lock is held anyway; queries ignore them by time.
            connection.execute(sa.delete(table).where(table.c.expires_at <= now()))
            if _taken(connection, fresh) or _twice_taken(connection, second_readings):
                return False
            if any(_held_by_others(connection, draw) for draw in draws if draw.strategy == "relabel"):
                return False
            for draw in draws:
                _renew(connection, [item.sentence_id for item in draw.items], draw.annotator, draw.id, expires_at)
                insert_draw(connection, draw)
            return True

    def reserve(self, sentence_id: str, annotator: str, draw_id: str, *, expires_at: str) -> None:
        """Reserve one sentence again after an undo or, with an empty `draw_id`, for an adjudicator."""
        with self._database.writing() as connection:
            _renew(connection, [sentence_id], annotator, draw_id, expires_at)

    def held_by_others(self, annotator: str) -> set[str]:
        """Ids of the sentences that are currently reserved for other annotators."""
        held = tables.reservations
        query = sa.select(held.c.sentence_id).where(held.c.annotator != annotator, held.c.expires_at > now())
        return set(self._column(query))

    def last(
        self, annotator: str, strategies: Sequence[str], *, query: str = "", model_id: str | None = None
    ) -> list[Draw]:
        """The annotator's latest draws by these strategies, with all items. The draws have the same creation time."""
        draws = tables.draws
        wanted = sa.select(draws).where(draws.c.annotator == annotator, draws.c.strategy.in_(strategies))
        wanted = wanted.where(draws.c.query == query)
        if model_id is not None:
            wanted = wanted.where(draws.c.model_id == model_id)
        with self._database.reading() as connection:
            last = connection.execute(wanted.order_by(draws.c.created_at.desc()).limit(1)).mappings().first()
            if last is None:
                return []
            rows = connection.execute(wanted.where(draws.c.created_at == last["created_at"]).order_by(draws.c.id))
            return [Draw(**row, items=_items(connection, row["id"])) for row in rows.mappings().all()]

    def hold_pending(self, draws: Sequence[Draw], *, expires_at: str) -> set[str]:
        """Reserve undecided sentences of the draws again, until `expires_at`.

        Sentences that the annotator has decided on, or that another annotator took after a reservation expired, are
        left out.

        Returns:
            The ids of the reserved sentences.
        """
        pending: set[str] = set()
        with self._database.writing() as connection:
            for draw in draws:
                ids = _pending(connection, draw)
                _renew(connection, ids, draw.annotator, draw.id, expires_at)
                pending.update(ids)
        return pending


def _taken(connection: sa.Connection, ids: Iterable[str]) -> bool:
    """Whether one of the sentences is reserved or decided on."""
    ids = list(ids)
    held, decided = tables.reservations.c.sentence_id, tables.decisions.c.sentence_id
    return any(_any_among(connection, sa.select(column), column, ids) for column in (held, decided))


def _held_by_others(connection: sa.Connection, draw: Draw) -> bool:
    """Whether a sentence of the draw is reserved for another annotator."""
    held = tables.reservations
    query = sa.select(held.c.sentence_id).where(held.c.annotator != draw.annotator)
    return _any_among(connection, query, held.c.sentence_id, (item.sentence_id for item in draw.items))


def _twice_taken(connection: sa.Connection, ids: Iterable[str]) -> bool:
    """Whether two annotators have received one of the sentences in overlap draws."""
    draws, items = tables.draws, tables.draw_items
    query = (
        sa.select(items.c.sentence_id)
        .join(draws, draws.c.id == items.c.draw_id)
        .where(draws.c.strategy == "overlap", draws.c.annotator != "")
        .group_by(items.c.sentence_id)
        .having(sa.func.count(draws.c.annotator.distinct()) > 1)
    )
    return _any_among(connection, query, items.c.sentence_id, ids)


def _any_among(
    connection: sa.Connection, query: sa.Select[Any], column: sa.ColumnElement[str], ids: Iterable[str]
) -> bool:
    return next(rows_among(connection, query.limit(1), column, ids), None) is not None


def _items(connection: sa.Connection, draw_id: str) -> tuple[DrawItem, ...]:
    items = tables.draw_items
    columns = (items.c[field.name] for field in fields(DrawItem))
    query = sa.select(*columns).where(items.c.draw_id == draw_id).order_by(items.c.position)
    return tuple(DrawItem(*row) for row in connection.execute(query))


def _pending(connection: sa.Connection, draw: Draw) -> list[str]:
    """Ids of the draw's sentences that its annotator can still decide on."""
    items, events = tables.draw_items, tables.events
    # Count only in this draw: a retest repeats sentences that the annotator decided on in an earlier draw.
    balance = (
        sa.select(_count_standing())
        .where(events.c.sentence_id == items.c.sentence_id, events.c.annotator == draw.annotator)
        .where(events.c.draw_id == items.c.draw_id)
        .scalar_subquery()
    )
    query = sa.select(items.c.sentence_id).where(items.c.draw_id == draw.id, balance <= 0)
    query = query.where(~tables.is_removed(items.c.sentence_id), ~is_replaced(items.c.sentence_id))
    if draw.strategy not in SHARED:
        query = query.where(~tables.decided_by_anyone(items.c.sentence_id))
    if draw.strategy == "relabel":
        entries = tables.relabelling
        query = query.where(sa.exists().where(entries.c.sentence_id == items.c.sentence_id, ~_labelled_again()))
    # Of the shared strategies, only "relabel" gives a sentence to one annotator at a time.
    if draw.strategy not in SHARED - {"relabel"}:
        query = query.where(~_held_by_another(items.c.sentence_id, draw.annotator))
    return list(connection.execute(query).scalars())


def _renew(connection: sa.Connection, ids: Sequence[str], annotator: str, draw_id: str, expires_at: str) -> None:
    """Reserve sentences for an annotator, replacing the annotator's earlier reservations of these sentences."""
    table = tables.reservations
    for batch in batches(ids):
        connection.execute(sa.delete(table).where(table.c.sentence_id.in_(batch), table.c.annotator == annotator))
    rows = [
        {"sentence_id": identifier, "annotator": annotator, "draw_id": draw_id, "expires_at": expires_at}
        for identifier in ids
    ]
    insert_new(connection, table, rows)


# -- to be labelled again


class QueuedSentence(NamedTuple):
    """A sentence to be labelled again, with the reason and its previous labels."""

    sentence_id: str
    reason: str
    previous: tuple[str, ...]


class Relabelling(Part):
    """The part of the store with the queue of sentences to be labelled again."""

    def add(self, entries: Iterable[tuple[str, str, tuple[str, ...]]], *, source: str) -> int:
        """Queue sentences (id, reason, current labels) that are not waiting yet.

        The first annotator who draws with the strategy "relabel" gets the sentences. An entry is done once its
        sentence has a standing review from a "relabel" draw; a skipped sentence is left for other annotators.

        Args:
            source: name of the process that queues the sentences, such as "migrate".

        Returns:
            The number of sentences added to the queue.
        """
        table, events = tables.relabelling, tables.events
        with self._database.writing() as connection:
            waiting = {entry.sentence_id for entry in _waiting(connection)}
            # Only a later review completes the entry: the sentence may have been labelled again before.
            last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(events.c.seq), 0))).scalar_one()
            new = {entry[0]: QueuedSentence(*entry) for entry in entries if entry[0] not in waiting}
            shared = {"source": source, "after_seq": last, "created_at": now()}
            rows = [entry._asdict() | shared for entry in new.values()]
            if rows:
                connection.execute(sa.insert(table), rows)
            return len(rows)

    def waiting(self, annotator: str | None = None, limit: int | None = None) -> list[QueuedSentence]:
        """Sentences that are still waiting to be labelled again, oldest first.

        If `annotator` is given, sentences reserved for other annotators or skipped by this annotator are left out.
        """
        with self._database.reading() as connection:
            return _waiting(connection, annotator, limit)


def _waiting(connection: sa.Connection, annotator: str | None = None, limit: int | None = None) -> list[QueuedSentence]:
    table = tables.relabelling
    query = sa.select(table.c.sentence_id, table.c.reason, table.c.previous)
    query = query.where(~_labelled_again(), ~tables.is_removed(table.c.sentence_id)).order_by(table.c.seq)
    if annotator is not None:
        query = query.where(~_held_by_another(table.c.sentence_id, annotator), _answers(annotator) <= 0)
    if limit is not None:
        query = query.limit(limit)
    return [QueuedSentence(*row) for row in connection.execute(query)]


# -- conditions


def _held_by_another(sentence_id: sa.ColumnElement[str], annotator: str) -> sa.Exists:
    """Condition: the sentence is currently reserved for another annotator."""
    held = tables.reservations
    return sa.exists().where(
        held.c.sentence_id == sentence_id, held.c.annotator != annotator, held.c.expires_at > now()
    )


def _labelled_again() -> sa.Exists:
    """Condition on an entry of `relabelling`: a later review from a "relabel" draw stands on its sentence."""
    entries, decisions, events, draws = tables.relabelling, tables.decisions, tables.events, tables.draws
    return (
        sa.exists()
        .where(decisions.c.sentence_id == entries.c.sentence_id, decisions.c.seq > entries.c.after_seq)
        .where(events.c.seq == decisions.c.seq, draws.c.id == events.c.draw_id, draws.c.strategy == "relabel")
        .where(decisions.c.state == "reviewed")
        .correlate(entries)
    )


def _answers(annotator: str) -> sa.ScalarSelect[int]:
    """The number of the annotator's decisions on an entry of `relabelling` that were not undone, skips included."""
    entries, events, draws = tables.relabelling, tables.events, tables.draws
    return (
        sa.select(_count_standing())
        .where(events.c.sentence_id == entries.c.sentence_id, events.c.annotator == annotator)
        .where(events.c.seq > entries.c.after_seq, draws.c.id == events.c.draw_id, draws.c.strategy == "relabel")
        .correlate(entries)
        .scalar_subquery()
    )


def _count_standing() -> sa.ColumnElement[int]:
    """The number of selected decisions that were not undone: each undo reverts one decision."""
    return sa.func.coalesce(sa.func.sum(sa.case((tables.events.c.event == "undo", -1), else_=1)), 0)
