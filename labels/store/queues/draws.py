"""Draws and reservations.

`labels.sampling.strategies` chooses a sample. This module stores samples and ensures that two annotators never get the
same sentence, unless the strategy shares sentences.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import sqlalchemy as sa

from labels.records import PLANTED, RANDOM_STRATEGIES, RETESTS, Draw, DrawItem
from labels.store import tables
from labels.store.database import Part, batches, count_rows, insert_new, now, rows_among
from labels.store.events import insert_draw
from labels.store.queues.relabelling import asked_of_several, count_standing, held_by_another, labelled_again
from labels.store.queues.waiting import decided_on
from labels.store.texts.overlaps import is_replaced

SHARED = frozenset({"overlap", "also-by", "skipped", "audit", PLANTED, *RETESTS, "relabel", "disputed-by"})
"""Strategies that may give an annotator a sentence that another annotator has already decided on."""

ALONE = frozenset({"skipped", "relabel"})
"""Shared strategies that give a sentence to one annotator at a time."""


class Held(NamedTuple):
    """The reservations of an annotator: how many sentences, until when (ISO 8601 in UTC), and the kind of draw."""

    annotator: str
    sentences: int
    until: str
    strategy: str
    query: str


class Draws(Part):
    """The part of the store with draws and reservations."""

    def overlap_candidates(self, annotator: str = "", *, coders: int = 2) -> list[DrawItem]:
        """Return the sentences of overlap draws that fewer than `coders` annotators have received.

        Sentences that `annotator` has received or decided on are left out; an empty name leaves out none.
        """
        draws, items, decisions = tables.draws, tables.draw_items, tables.decisions
        mine = sa.exists().where(decisions.c.sentence_id == items.c.sentence_id, decisions.c.annotator == annotator)
        receiver = _receiver()
        own = sa.case((receiver == annotator, 1), else_=0)
        # Count annotators, not draws: one annotator may have received the sentence in two draws.
        receivers = sa.func.count(receiver.distinct())
        query = (
            sa.select(items.c.sentence_id, sa.func.max(items.c.inclusion_probability))
            .join(draws, draws.c.id == items.c.draw_id)
            .where(draws.c.strategy == "overlap", draws.c.annotator != "", ~mine)
            .where(~tables.is_removed(items.c.sentence_id), ~is_replaced(items.c.sentence_id))
            .group_by(items.c.sentence_id)
            .having(receivers > 0, receivers < coders, sa.func.sum(own) == 0)
            .order_by(items.c.sentence_id)
        )
        return [DrawItem(*row) for row in self._rows(query)]

    def decided_by(self, annotator: str) -> list[str]:
        """Return the sorted ids of the sentences to label that the annotator has decided on, without skips."""
        decisions = tables.decisions
        query = (
            sa.select(decisions.c.sentence_id)
            .where(decisions.c.annotator == annotator, decisions.c.event == "annotate", decisions.c.labellable)
            .where(decisions.c.state != "skipped")
            .order_by(decisions.c.sentence_id)
        )
        return self._column(query)

    def seen_by(self, annotator: str) -> set[str]:
        """Return the ids of the sentences on which a decision or a skip of the annotator stands."""
        decisions = tables.decisions
        own = (decisions.c.annotator == annotator, decisions.c.event == "annotate")
        return set(self._column(sa.select(decisions.c.sentence_id).where(*own)))

    def own_decisions(self, annotator: str, *, before: str) -> list[str]:
        """Return the ids of the sentences that the annotator last reviewed before `before` (ISO 8601 in UTC).

        Only sentences from random draws are included, because a second reading of typical sentences measures how
        consistent the annotator is. Sentences that were already tested are left out.
        """
        events, decisions, draws = tables.events, tables.decisions, tables.draws
        again, tests = events.alias("again"), draws.alias("tests")
        tested = (
            sa.exists()
            .where(again.c.sentence_id == events.c.sentence_id, again.c.annotator == annotator)
            .where(again.c.state == "reviewed")
            .where(tests.c.id == again.c.draw_id, tests.c.strategy.in_(RETESTS))
        )
        query = (
            sa.select(events.c.sentence_id)
            .join(decisions, decisions.c.seq == events.c.seq)
            .join(draws, draws.c.id == events.c.draw_id)
            .where(events.c.annotator == annotator, events.c.state == "reviewed", events.c.event == "annotate")
            .where(draws.c.strategy.in_(RANDOM_STRATEGIES), events.c.created_at < before, ~tested)
            .order_by(events.c.sentence_id)
        )
        return self._column(query)

    def add(
        self, draws: Sequence[Draw], *, expires_at: str, second_readings: Collection[str] = (), coders: int = 2
    ) -> bool:
        """Store draws of one annotator and reserve their sentences until `expires_at`.

        A sample is chosen before this transaction begins, and another annotator may take its sentences in the meantime.
        This method therefore checks that the sentences are still free while no other process can write.

        Args:
            second_readings: sentences of an overlap draw that another annotator has already received. Sentences of
                other shared strategies (`SHARED`) are not checked.
            coders: number of annotators who receive each sentence of an overlap draw.

        Returns:
            False, with nothing written, if in the meantime a sentence was reserved or decided on, enough annotators
            received one of the `second_readings`, or another annotator received a sentence of a draw in `ALONE`.
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
            if _taken(connection, fresh) or _fully_coded(connection, second_readings, coders):
                return False
            if any(_held_by_others(connection, draw) for draw in draws if draw.strategy in ALONE):
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
        """Return the ids of the sentences that are currently reserved for other annotators."""
        held = tables.reservations
        query = sa.select(held.c.sentence_id).where(held.c.annotator != annotator, held.c.expires_at > now())
        return set(self._column(query))

    def holders(self, ids: Iterable[str] | None = None, *, decided: bool = False) -> list[Held]:
        """Return the annotators for whom sentences are reserved, in descending order of sentences.

        Args:
            ids: count only reservations of these sentences.
            decided: also count reservations of decided sentences.
        """
        held, draws = tables.reservations, tables.draws
        query = (
            sa.select(held.c.sentence_id, held.c.annotator, held.c.expires_at, draws.c.strategy, draws.c.query)
            .join(draws, draws.c.id == held.c.draw_id)
            .where(held.c.expires_at > now())
        )
        if not decided:
            query = query.where(~tables.decided_by_anyone(held.c.sentence_id))
        with self._database.reading() as connection:
            found = rows_among(connection, query, held.c.sentence_id, ids) if ids is not None else None
            rows = list(found if found is not None else connection.execute(query))
        own: dict[str, list[sa.Row[Any]]] = {}
        for row in rows:
            own.setdefault(row.annotator, []).append(row)
        holders = [
            Held(name, len(held), max(row.expires_at for row in held), held[0].strategy, held[0].query)
            for name, held in own.items()
        ]
        return sorted(holders, key=lambda one: (-one.sentences, one.annotator))

    def items(self, draw_id: str) -> list[str]:
        """Return the ids of a draw's sentences in order; empty if there is no such draw."""
        with self._database.reading() as connection:
            return [item.sentence_id for item in items_of(connection, draw_id)]

    def annotators(self) -> list[str]:
        """Return the sorted names of all annotators with draws."""
        column = tables.draws.c.annotator
        return self._column(sa.select(column).where(column != "").distinct().order_by(column))

    def among(self, ids: Iterable[str]) -> set[str]:
        """Return the ids among `ids` of draws in the store."""
        column = tables.draws.c.id
        with self._database.reading() as connection:
            return {row.id for row in rows_among(connection, sa.select(column), column, ids)}

    def release(self, annotator: str) -> int:
        """End the annotator's open draws; returns how many reserved sentences are free again. Decisions stay."""
        draws, held = tables.draws, tables.reservations
        with self._database.writing() as connection:
            gone = (held.c.annotator == annotator, held.c.draw_id != "")
            released = count_rows(connection, held, *gone, held.c.expires_at > now())
            connection.execute(sa.delete(held).where(*gone))
            open_ = (draws.c.annotator == annotator, draws.c.released_at.is_(None))
            connection.execute(sa.update(draws).where(*open_).values(released_at=now()))
            return released

    def last(
        self,
        annotator: str,
        strategies: Sequence[str],
        *,
        query: str = "",
        model_id: str | None = None,
        before: str | None = None,
    ) -> list[Draw]:
        """Return the annotator's latest draws by these strategies, with all items. They have the same creation time.

        The sentences planted in them, if any, are another of these draws.

        Args:
            before: ignore draws made at or after this time (ISO 8601 in UTC).
        """
        draws = tables.draws
        wanted = sa.select(draws).where(draws.c.annotator == annotator, draws.c.strategy.in_(strategies))
        wanted = wanted.where(draws.c.released_at.is_(None))
        wanted = wanted.where(draws.c.query == query)
        if model_id is not None:
            wanted = wanted.where(draws.c.model_id == model_id)
        if before is not None:
            wanted = wanted.where(draws.c.created_at < before)
        with self._database.reading() as connection:
            last = connection.execute(wanted.order_by(draws.c.created_at.desc()).limit(1)).mappings().first()
            if last is None:
                return []
            together = sa.select(draws).where(
                draws.c.annotator == annotator,
                draws.c.created_at == last["created_at"],
                draws.c.strategy.in_([*strategies, PLANTED]),
            )
            rows = connection.execute(together.where(draws.c.released_at.is_(None)).order_by(draws.c.id))
            return [Draw(**row, items=items_of(connection, row["id"])) for row in rows.mappings().all()]

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
                ids = pending_of(connection, draw)
                _renew(connection, ids, draw.annotator, draw.id, expires_at)
                pending.update(ids)
        return pending


def _taken(connection: sa.Connection, ids: Iterable[str]) -> bool:
    """Return whether one of the sentences is reserved or decided on."""
    ids = list(ids)
    held, decided = tables.reservations.c.sentence_id, tables.decisions.c.sentence_id
    return any(_any_among(connection, sa.select(column), column, ids) for column in (held, decided))


def _held_by_others(connection: sa.Connection, draw: Draw) -> bool:
    """Return whether a sentence of the draw is reserved for another annotator."""
    held = tables.reservations
    query = sa.select(held.c.sentence_id).where(held.c.annotator != draw.annotator)
    if draw.strategy == "relabel":
        query = query.where(~asked_of_several(held.c.sentence_id))
    return _any_among(connection, query, held.c.sentence_id, (item.sentence_id for item in draw.items))


def _fully_coded(connection: sa.Connection, ids: Iterable[str], coders: int) -> bool:
    """Return whether `coders` annotators have received one of the sentences in overlap draws."""
    draws, items = tables.draws, tables.draw_items
    query = (
        sa.select(items.c.sentence_id)
        .join(draws, draws.c.id == items.c.draw_id)
        .where(draws.c.strategy == "overlap", draws.c.annotator != "")
        .group_by(items.c.sentence_id)
        .having(sa.func.count(_receiver().distinct()) >= coders)
    )
    return _any_among(connection, query, items.c.sentence_id, ids)


def _receiver() -> sa.Case[str]:
    """Build an expression for a draw's annotator; null if they ended the draw without deciding on the sentence."""
    draws, items, decisions = tables.draws, tables.draw_items, tables.decisions
    decided = sa.exists().where(
        decisions.c.sentence_id == items.c.sentence_id, decisions.c.annotator == draws.c.annotator
    )
    return sa.case((sa.or_(draws.c.released_at.is_(None), decided), draws.c.annotator))


def _any_among(
    connection: sa.Connection, query: sa.Select[Any], column: sa.ColumnElement[str], ids: Iterable[str]
) -> bool:
    return next(rows_among(connection, query.limit(1), column, ids), None) is not None


def items_of(connection: sa.Connection, draw_id: str) -> tuple[DrawItem, ...]:
    """Return the items of a draw in order."""
    items = tables.draw_items
    columns = (items.c[field.name] for field in fields(DrawItem))
    query = sa.select(*columns).where(items.c.draw_id == draw_id).order_by(items.c.position)
    return tuple(DrawItem(*row) for row in connection.execute(query))


def pending_of(connection: sa.Connection, draw: Draw) -> list[str]:
    """Return the ids of the draw's sentences that its annotator can still decide on."""
    items, events = tables.draw_items, tables.events
    # Count only in this draw: a retest repeats sentences that the annotator decided on in an earlier draw.
    balance = (
        sa.select(count_standing())
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
        query = query.where(sa.exists().where(entries.c.sentence_id == items.c.sentence_id, ~labelled_again()))
    if draw.strategy == "skipped":
        query = query.where(~decided_on(items.c.sentence_id))
    if draw.strategy not in SHARED - ALONE:
        free = ~held_by_another(items.c.sentence_id, draw.annotator)
        query = query.where(sa.or_(free, asked_of_several(items.c.sentence_id)) if draw.strategy == "relabel" else free)
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
