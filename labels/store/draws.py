"""Draws in the store: which sentences are free, and who holds which.

How a sample is chosen is `labels.sampling.strategies`'s business; here it is kept, without two people getting the
same sentence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import sqlalchemy as sa

from labels.records import RANDOM_STRATEGIES, Draw, DrawItem
from labels.store import schema
from labels.store.database import Database, batches, now
from labels.store.events import decided_by_anyone, draw_rows
from labels.store.relabelling import count_standing, free_to_label, held_by_another, labelled_again

SHARED = frozenset({"overlap", "audit", "retest", "relabel"})
"""Strategies that may hand out a sentence on which someone else has decided."""
_ROUNDS = 5
"""How often numbers are guessed, twice as many as are wanted each time, before the free ones are listed."""


@dataclass(frozen=True)
class Frame:
    """The sentences that a sample is drawn from: how many, and 16 hex digits that identify them in this store."""

    size: int
    hash: str


class Draws(Database):
    """The part of the store that holds draws and reservations."""

    # -- what is free

    def unseen(self, *, at: str | None = None) -> list[str]:
        """Ids, sorted, of sentences that nobody has decided on or holds reserved at the time `at` (default: now)."""
        query = sa.select(schema.sentences.c.id).where(*free_to_label(at or now())).order_by(schema.sentences.c.id)
        with self._transaction("read") as connection:
            return list(connection.execute(query).scalars())

    def frame(self) -> Frame:
        """The unseen sentences as a frame."""
        sentences, decisions, held = schema.sentences, schema.decisions, schema.reservations
        count = sa.select(sa.func.count()).select_from(sentences).where(sentences.c.boilerplate == "")
        decided = sa.select(sa.func.count(decisions.c.sentence_id.distinct())).where(decisions.c.labellable)
        reserved = sa.select(held.c.sentence_id).where(held.c.expires_at > now()).distinct()
        with self._transaction("read") as connection:
            size = connection.execute(count).scalar_one() - connection.execute(decided).scalar_one()
            for batch in batches(connection.execute(reserved).scalars().all()):
                undecided = (sentences.c.id.in_(batch), ~decided_by_anyone(sentences.c.id))
                # Joined to an empty text, so that the few ids lead the search and not the index of boilerplate.
                labellable = sentences.c.boilerplate + "" == ""
                size -= connection.execute(
                    sa.select(sa.func.count()).select_from(sentences).where(*undecided, labellable)
                ).scalar_one()
        return Frame(int(size), self.frame_hash())

    def frame_hash(self) -> str:
        """16 hex digits of what decides which sentences are unseen: the last one, the last event, what is reserved."""
        events, held = schema.events, schema.reservations
        reserved = sa.select(held.c.sentence_id).where(held.c.expires_at > now()).distinct()
        with self._transaction("read") as connection:
            last = connection.execute(sa.select(sa.func.max(schema.sentences.c.number))).scalar()
            seq = connection.execute(sa.select(sa.func.max(events.c.seq))).scalar()
            ids = sorted(connection.execute(reserved).scalars())
        return hashlib.sha256("\n".join([str(last), str(seq), *ids]).encode()).hexdigest()[:16]

    def random_unseen(self, count: int, generator: Random) -> list[str]:
        """Ids of `count` unseen sentences (all, if there are fewer), each set of that size as likely as any other."""
        table = schema.sentences
        with self._transaction("read") as connection:
            last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.number), 0))).scalar_one()
            found = self._guessed(connection, count, int(last), generator)
            if found is not None:
                return found
            query = sa.select(table.c.id).where(*free_to_label(now())).order_by(table.c.number)
            ids = list(connection.execute(query).scalars())
        return generator.sample(ids, min(count, len(ids)))

    def _guessed(self, connection: sa.Connection, count: int, last: int, generator: Random) -> list[str] | None:
        """Numbers at random until enough of them are free: a simple random sample, without listing all that are.

        None where too few guesses are free: listing is quicker then.
        """
        table = schema.sentences
        query = sa.select(table.c.number, table.c.id).where(*free_to_label(now()))
        found: list[str] = []
        tried: set[int] = set()
        for _ in range(_ROUNDS):
            drawn = (generator.randint(1, last) for _ in range(2 * count) if last)
            guesses = [number for number in dict.fromkeys(drawn) if number not in tried]
            tried.update(guesses)
            free = {
                number: identifier
                for batch in batches(guesses)
                for number, identifier in connection.execute(query.where(table.c.number.in_(batch)))
            }
            found += [free[number] for number in guesses if number in free]
            if len(found) >= count:
                return found[:count]
        return None

    def matching_unseen(self, words: Sequence[str], count: int) -> list[str]:
        """Ids of up to `count` unseen sentences that hold all `words` (or phrases), whatever their case."""
        table = schema.sentences
        holds = [table.c.text.icontains(word, autoescape=True) for word in words]
        # Ids are hashes: their order mixes the documents.
        query = sa.select(table.c.id).where(*free_to_label(now()), *holds).order_by(table.c.id).limit(count)
        with self._transaction("read") as connection:
            return list(connection.execute(query).scalars())

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
        with self._transaction("read") as connection:
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
        with self._transaction("read") as connection:
            return list(connection.execute(query).scalars())

    # -- draws and reservations

    def add_draws(self, draws: Sequence[Draw], *, expires_at: str, second_readings: Collection[str] = ()) -> bool:
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
        with self._transaction("written") as connection:
            connection.execute(sa.delete(table).where(table.c.expires_at <= now()))
            if self._taken(connection, fresh) or self._twice_taken(connection, list(second_readings)):
                return False
            if self._held_by_others(connection, [draw for draw in draws if draw.strategy == "relabel"]):
                return False
            for draw in draws:
                self._renew(connection, [item.sentence_id for item in draw.items], draw.annotator, draw.id, expires_at)
                row, items = draw_rows(draw)
                self._insert_new(connection, schema.draws, [row])
                self._insert_new(connection, schema.draw_items, items)
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
        with self._transaction("written") as connection:
            self._renew(connection, [sentence_id], annotator, draw_id, expires_at)

    def held_by_others(self, annotator: str) -> set[str]:
        """Ids of the sentences that others hold reserved now."""
        held = schema.reservations
        query = sa.select(held.c.sentence_id).where(held.c.annotator != annotator, held.c.expires_at > now())
        with self._transaction("read") as connection:
            return set(connection.execute(query).scalars())

    def last_draws(
        self, annotator: str, strategies: Sequence[str], *, query: str = "", model_id: str | None = None
    ) -> list[Draw]:
        """The annotator's draws of these strategies that were made last, at one moment, with all of their items."""
        draws = schema.draws
        wanted = sa.select(draws).where(draws.c.annotator == annotator, draws.c.strategy.in_(strategies))
        wanted = wanted.where(draws.c.query == query)
        if model_id is not None:
            wanted = wanted.where(draws.c.model_id == model_id)
        with self._transaction("read") as connection:
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
        with self._transaction("written") as connection:
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
        self._insert_new(connection, table, rows)


def _item_of(row: sa.RowMapping) -> DrawItem:
    values: dict[str, Any] = {key: value for key, value in row.items() if key != "draw_id"}
    return DrawItem(**{**values, "previous": None if values["previous"] is None else tuple(values["previous"])})
