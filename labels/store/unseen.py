"""Which sentences are free to be drawn: nobody has decided on them or holds them reserved."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

import sqlalchemy as sa

from labels.store import schema
from labels.store.database import Part, batches, now
from labels.store.events import decided_by_anyone

Uncertainty = Literal["entropy", "margin"]
_ROUNDS = 5
"""How often numbers are guessed, twice as many as are wanted each time, before the free ones are listed."""


def free(sentence_id: sa.ColumnElement[str], at: str) -> tuple[sa.ColumnElement[bool], ...]:
    """Conditions: nobody has decided on the sentence or holds it reserved at a moment."""
    held = schema.reservations
    reserved = sa.exists().where(held.c.sentence_id == sentence_id, held.c.expires_at > at)
    return ~decided_by_anyone(sentence_id), ~reserved


def free_to_label(at: str) -> tuple[sa.ColumnElement[bool], ...]:
    """Conditions on `sentences`: text, on which nobody has decided and which nobody holds at a moment."""
    return schema.sentences.c.boilerplate == "", *free(schema.sentences.c.id, at)


@dataclass(frozen=True)
class Frame:
    """The sentences that a sample is drawn from: how many, and 16 hex digits that identify them in this store."""

    size: int
    hash: str


class Unseen(Part):
    """The part of the store that says which sentences are free."""

    def ids(self, *, at: str | None = None) -> list[str]:
        """Ids, sorted, of sentences that nobody has decided on or holds reserved at the time `at` (default: now)."""
        query = sa.select(schema.sentences.c.id).where(*free_to_label(at or now())).order_by(schema.sentences.c.id)
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def frame(self) -> Frame:
        """The unseen sentences as a frame."""
        sentences, decisions, held = schema.sentences, schema.decisions, schema.reservations
        count = sa.select(sa.func.count()).select_from(sentences).where(sentences.c.boilerplate == "")
        decided = sa.select(sa.func.count(decisions.c.sentence_id.distinct())).where(decisions.c.labellable)
        reserved = sa.select(held.c.sentence_id).where(held.c.expires_at > now()).distinct()
        with self._database.reading() as connection:
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
        with self._database.reading() as connection:
            last = connection.execute(sa.select(sa.func.max(schema.sentences.c.number))).scalar()
            seq = connection.execute(sa.select(sa.func.max(events.c.seq))).scalar()
            ids = sorted(connection.execute(reserved).scalars())
        return hashlib.sha256("\n".join([str(last), str(seq), *ids]).encode()).hexdigest()[:16]

    def random(self, count: int, generator: Random) -> list[str]:
        """Ids of `count` unseen sentences (all, if there are fewer), each set of that size as likely as any other."""
        table = schema.sentences
        with self._database.reading() as connection:
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

    def matching(self, words: Sequence[str], count: int) -> list[str]:
        """Ids of up to `count` unseen sentences that hold all `words` (or phrases), whatever their case."""
        table = schema.sentences
        holds = [table.c.text.icontains(word, autoescape=True) for word in words]
        # Ids are hashes: their order mixes the documents.
        query = sa.select(table.c.id).where(*free_to_label(now()), *holds).order_by(table.c.id).limit(count)
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def uncertain(self, model_id: str, by: Uncertainty, count: int) -> list[tuple[str, float]]:
        """Up to `count` unseen sentences that the model is least sure of, with that figure, the least sure first."""
        scores, sentences = schema.scores, schema.sentences
        column = scores.c[by]
        query = (
            sa.select(sentences.c.id, column)
            .join(sentences, sentences.c.number == scores.c.sentence_number)
            .where(scores.c.model_id == model_id, *free(sentences.c.id, now()))
            .order_by(column.asc() if by == "margin" else column.desc())
            .limit(count)
        )
        with self._database.reading() as connection:
            return [(identifier, float(value)) for identifier, value in connection.execute(query)]
