"""What is handed out: draws, reservations, and the queue of sentences to be labelled again.

How a sample is chosen is the business of `labels.sampling.strategies`; here it is kept, so that two people never get
the same sentence unless a strategy shares it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from labels.records import RANDOM_STRATEGIES, Draw, DrawItem
from labels.store import schema
from labels.store.database import Part, batches, insert_new, now
from labels.store.events import decided_by_anyone, draw_rows

SHARED = frozenset({"overlap", "audit", "retest", "relabel"})
"""Strategies that may hand out a sentence on which someone else has decided."""


class Draws(Part):
    """The part of the store that holds draws and reservations."""

    def overlap_candidates(self, annotator: str) -> list[DrawItem]:
        """Sentences drawn for overlap that one other person has been given and `annotator` has not seen."""
        draws, items, decisions = schema.draws, schema.draw_items, schema.decisions
        mine = sa.exists().where(decisions.c.sentence_id == items.c.sentence_id, decisions.c.annotator == annotator)
        query = (
            sa.select(items.c.sentence_id, sa.func.max(items.c.inclusion_probability))
            .join(draws, draws.c.id == items.c.draw_id)
            .where(draws.c.strategy == "overlap", draws.c.annotator != "", ~mine)
            .group_by(items.c.sentence_id)
            .having(sa.func.count(draws.c.annotator.distinct()) == 1, sa.func.max(draws.c.annotator) != annotator)
            .order_by(items.c.sentence_id)
        )
        with self._database.reading() as connection:
            return [DrawItem(identifier, probability) for identifier, probability in connection.execute(query)]

    def own_decisions(self, annotator: str, *, before: str) -> list[str]:
        """Ids of sentences whose standing decision the annotator made by themselves at random before a moment, and
        has not repeated since.
        """
        events, decisions, draws = schema.events, schema.decisions, schema.draws
        query = (
            sa.select(events.c.sentence_id)
            .join(decisions, decisions.c.seq == events.c.seq)
            .join(draws, draws.c.id == events.c.draw_id)
            .where(events.c.annotator == annotator, events.c.state == "reviewed", events.c.event == "annotate")
            .where(draws.c.strategy.in_(RANDOM_STRATEGIES), events.c.created_at < before)
            .order_by(events.c.sentence_id)
        )
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def add(self, draws: Sequence[Draw], *, expires_at: str, second_readings: Collection[str] = ()) -> bool:
        """Keep draws of one annotator and reserve their sentences until `expires_at`.

        Args:
            second_readings: sentences of an overlap draw that someone else has been given already; those of other
                shared strategies (`SHARED`) may be anybody's.

        Returns:
            False, with nothing written, when a sentence is reserved by someone or decided on by now, when a second
            reader for one of the `second_readings` was found meanwhile, or someone else who labels a sentence again.
        """
        fresh = [
            item.sentence_id
            for draw in draws
            for item in draw.items
            if draw.strategy not in SHARED - {"overlap"} and item.sentence_id not in second_readings
        ]
        table = schema.reservations
        with self._database.writing() as connection:
            connection.execute(sa.delete(table).where(table.c.expires_at <= now()))
            if self._taken(connection, fresh) or self._twice_taken(connection, list(second_readings)):
                return False
            if self._held_by_others(connection, [draw for draw in draws if draw.strategy == "relabel"]):
                return False
            for draw in draws:
                self._renew(connection, [item.sentence_id for item in draw.items], draw.annotator, draw.id, expires_at)
                row, items = draw_rows(draw)
                insert_new(connection, schema.draws, [row])
                insert_new(connection, schema.draw_items, items)
            return True

    def _taken(self, connection: sa.Connection, ids: Sequence[str]) -> bool:
        """Whether someone holds or has decided on one of the sentences."""
        held, decided = schema.reservations.c.sentence_id, schema.decisions.c.sentence_id
        return any(
            connection.execute(sa.select(column).where(column.in_(batch)).limit(1)).first() is not None
            for batch in batches(ids)
            for column in (held, decided)
        )

    def _held_by_others(self, connection: sa.Connection, draws: Sequence[Draw]) -> bool:
        """Whether someone else holds a sentence of the draws."""
        held = schema.reservations
        return any(
            connection.execute(
                sa.select(held.c.sentence_id)
                .where(held.c.sentence_id.in_(batch), held.c.annotator != draw.annotator)
                .limit(1)
            ).first()
            is not None
            for draw in draws
            for batch in batches(item.sentence_id for item in draw.items)
        )

    def _twice_taken(self, connection: sa.Connection, ids: Sequence[str]) -> bool:
        """Whether two people have been given one of the sentences for overlap."""
        draws, items = schema.draws, schema.draw_items
        query = (
            sa.select(items.c.sentence_id)
            .join(draws, draws.c.id == items.c.draw_id)
            .where(draws.c.strategy == "overlap", draws.c.annotator != "")
            .group_by(items.c.sentence_id)
            .having(sa.func.count(draws.c.annotator.distinct()) > 1)
            .limit(1)
        )
        return any(
            connection.execute(query.where(items.c.sentence_id.in_(batch))).first() is not None
            for batch in batches(ids)
        )

    def reserve(self, sentence_id: str, annotator: str, draw_id: str, *, expires_at: str) -> None:
        """Keep a sentence for its annotator again, after an undo; or, with `draw_id` empty, one to be adjudicated."""
        with self._database.writing() as connection:
            self._renew(connection, [sentence_id], annotator, draw_id, expires_at)

    def held_by_others(self, annotator: str) -> set[str]:
        """Ids of the sentences that others hold reserved now."""
        held = schema.reservations
        query = sa.select(held.c.sentence_id).where(held.c.annotator != annotator, held.c.expires_at > now())
        with self._database.reading() as connection:
            return set(connection.execute(query).scalars())

    def last(
        self, annotator: str, strategies: Sequence[str], *, query: str = "", model_id: str | None = None
    ) -> list[Draw]:
        """The annotator's draws of these strategies that were made last, at one moment, with all of their items."""
        draws = schema.draws
        wanted = sa.select(draws).where(draws.c.annotator == annotator, draws.c.strategy.in_(strategies))
        wanted = wanted.where(draws.c.query == query)
        if model_id is not None:
            wanted = wanted.where(draws.c.model_id == model_id)
        with self._database.reading() as connection:
            last = connection.execute(wanted.order_by(draws.c.created_at.desc()).limit(1)).mappings().first()
            if last is None:
                return []
            rows = connection.execute(wanted.where(draws.c.created_at == last["created_at"]).order_by(draws.c.id))
            return [Draw(**row, items=self._items(connection, row["id"])) for row in rows.mappings().all()]

    def _items(self, connection: sa.Connection, draw_id: str) -> tuple[DrawItem, ...]:
        items = schema.draw_items
        query = sa.select(items).where(items.c.draw_id == draw_id).order_by(items.c.position)
        return tuple(_item_of(row) for row in connection.execute(query).mappings())

    def hold_pending(self, draws: Sequence[Draw], *, expires_at: str) -> set[str]:
        """Ids of the draws' sentences that their annotator has not decided on and nobody else has taken; they are
        reserved anew until `expires_at`.
        """
        pending: set[str] = set()
        with self._database.writing() as connection:
            for draw in draws:
                ids = self._pending(connection, draw)
                self._renew(connection, ids, draw.annotator, draw.id, expires_at)
                pending.update(ids)
        return pending

    def _pending(self, connection: sa.Connection, draw: Draw) -> list[str]:
        items, events = schema.draw_items, schema.events
        balance = (
            sa.select(count_standing())
            .where(events.c.sentence_id == items.c.sentence_id, events.c.annotator == draw.annotator)
            .where(events.c.draw_id == items.c.draw_id)
            .scalar_subquery()
        )
        query = sa.select(items.c.sentence_id).where(items.c.draw_id == draw.id, balance <= 0)
        if draw.strategy not in SHARED:
            query = query.where(~decided_by_anyone(items.c.sentence_id))
        if draw.strategy == "relabel":
            entries = schema.relabelling
            query = query.where(sa.exists().where(entries.c.sentence_id == items.c.sentence_id, ~labelled_again()))
        if draw.strategy not in SHARED - {"relabel"}:
            query = query.where(~held_by_another(items.c.sentence_id, draw.annotator))
        return list(connection.execute(query).scalars())

    def _renew(
        self, connection: sa.Connection, ids: Sequence[str], annotator: str, draw_id: str, expires_at: str
    ) -> None:
        """Reserve sentences for an annotator, or reserve them anew."""
        table = schema.reservations
        for batch in batches(ids):
            connection.execute(sa.delete(table).where(table.c.sentence_id.in_(batch), table.c.annotator == annotator))
        rows = [
            {"sentence_id": identifier, "annotator": annotator, "draw_id": draw_id, "expires_at": expires_at}
            for identifier in ids
        ]
        insert_new(connection, table, rows)


def _item_of(row: sa.RowMapping) -> DrawItem:
    values: dict[str, Any] = {key: value for key, value in row.items() if key != "draw_id"}
    return DrawItem(**{**values, "previous": None if values["previous"] is None else tuple(values["previous"])})


@dataclass(frozen=True)
class QueuedSentence:
    """A sentence that is to be labelled again, why, and the labels that it bore."""

    sentence_id: str
    reason: str
    previous: tuple[str, ...]


class Relabelling(Part):
    """The part of the store that holds what is to be labelled again."""

    def add(self, entries: Iterable[tuple[str, str, tuple[str, ...]]], *, source: str) -> int:
        """Ask for sentences to be labelled again: (sentence id, reason, labels so far). How many were new.

        Whoever comes first with the strategy "relabel" gets them. An entry is done when a review so drawn stands; who
        passes over it leaves it to others.
        """
        table, events = schema.relabelling, schema.events
        with self._database.writing() as connection:
            waiting = {entry.sentence_id for entry in self._waiting(connection)}
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

    def waiting(self, annotator: str | None = None, limit: int | None = None) -> list[QueuedSentence]:
        """What is still to be labelled again, oldest first; with an `annotator`, without what others hold and what
        they themselves have passed over.
        """
        with self._database.reading() as connection:
            return self._waiting(connection, annotator, limit)

    def _waiting(
        self, connection: sa.Connection, annotator: str | None = None, limit: int | None = None
    ) -> list[QueuedSentence]:
        table = schema.relabelling
        query = sa.select(table.c.sentence_id, table.c.reason, table.c.previous)
        query = query.where(~labelled_again()).order_by(table.c.seq)
        if annotator is not None:
            query = query.where(~held_by_another(table.c.sentence_id, annotator), answers(annotator) <= 0)
        if limit is not None:
            query = query.limit(limit)
        return [QueuedSentence(row.sentence_id, row.reason, tuple(row.previous)) for row in connection.execute(query)]


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
