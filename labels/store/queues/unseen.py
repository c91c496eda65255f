"""The sentences that are free to be drawn: neither decided on nor reserved."""

from __future__ import annotations

import hashlib
import heapq
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any, Literal

import sqlalchemy as sa

from labels.store import tables
from labels.store.database import Part, count_rows, now, rows_among
from labels.store.texts.overlaps import replaced_state
from labels.unicode import search_form

Uncertainty = Literal["entropy", "margin"]
"""The measure of uncertainty. More uncertainty means a higher entropy, but a smaller margin of the two best labels."""

_PAGE = 1000
"""Number of scored sentences that are read at once while the best are looked for."""
_ROUNDS = 5
"""Number of times that `Unseen.random` guesses sentence numbers before it lists all free sentences instead.

Each round guesses twice as many numbers as requested.
"""


@dataclass(frozen=True)
class Frame:
    """A sampling frame, described so that it can be listed again (`labels.sampling.combination`).

    - `size`: number of sentences
    - `hash`: 16 hex digits that identify the sentences in this store
    - `last`: the highest number of a sentence at that time; later sentences are outside the frame
    - `seq`: the number of the last event at that time: sentences decided by then are outside the frame; None if decided
      sentences belong to the frame
    - `held`: ids of the sentences that were reserved at that time, which are outside the frame
    """

    size: int
    hash: str
    last: int | None = field(default=None, compare=False)
    seq: int | None = field(default=None, compare=False)
    held: tuple[str, ...] | None = field(default=None, compare=False)


class Unseen(Part):
    """The part of the store that finds free sentences."""

    def ids(self, *, at: str | None = None) -> list[str]:
        """Return the sorted ids of the sentences that are free at the time `at` (ISO 8601 in UTC; default: now)."""
        query = sa.select(tables.sentences.c.id).where(*_free_to_label(at or now())).order_by(tables.sentences.c.id)
        return self._column(query)

    def frame(self) -> Frame:
        """Return the free sentences as a sampling frame.

        The size is computed from totals (all sentences minus decided and reserved sentences), because testing each
        sentence takes seconds in a store with a million sentences.
        """
        sentences, decisions = tables.sentences, tables.decisions
        decided = sa.select(sa.func.count(decisions.c.sentence_id.distinct())).where(decisions.c.labellable)
        # Adding "" keeps the query planner from using the index of boilerplate, which would read every sentence. The
        # planner starts from the few reserved ids instead.
        labellable = sentences.c.boilerplate + "" == ""
        held = sa.select(sentences.c.id).where(labellable, ~tables.decided_by_anyone(sentences.c.id))
        with self._database.reading() as connection:
            size = count_rows(connection, sentences, sentences.c.boilerplate == "")
            size -= int(connection.execute(decided).scalar_one())
            reserved = [row.id for row in rows_among(connection, held, sentences.c.id, _reserved(connection))]
            last, seq = _last_numbers(connection)
        return Frame(size - len(reserved), self.frame_hash(), last, seq, tuple(sorted(reserved)))

    def whole(self) -> Frame:
        """Return all sentences to label, decided or not, as a sampling frame."""
        table = tables.sentences
        with self._database.reading() as connection:
            size = count_rows(connection, table, table.c.boilerplate == "")
            last, _ = _last_numbers(connection)
        return Frame(size, self.frame_hash(), last)

    def frame_hash(self) -> str:
        """Return a hash (16 hex digits) that identifies the free sentences.

        The hash covers the last sentence, the last event, the reservations, the removed documents and the replaced
        sentences. Sentences and events are only added, so their last numbers represent all of them.
        """
        with self._database.reading() as connection:
            removed = sorted(connection.execute(sa.select(tables.removals.c.document_id)).scalars())
            last, seq = _last_numbers(connection)
            ids = sorted(_reserved(connection))
            replaced = replaced_state(connection)
        parts = [str(last or None), str(seq or None), *ids, *removed, *([replaced] if replaced else [])]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def random(self, count: int, generator: Random, *, decided: bool = False, last: int | None = None) -> list[str]:
        """Draw a simple random sample of `count` free sentences, or of all if there are fewer, and return their ids.

        Args:
            decided: draw from all sentences to label, including decided and reserved sentences.
            last: the highest number of a sentence to draw; None for all.
        """
        table = tables.sentences
        conditions = [table.c.boilerplate == ""] if decided else [*_free_to_label(now())]
        if last is not None:
            conditions.append(table.c.number <= last)
        with self._database.reading() as connection:
            highest, _ = _last_numbers(connection)
            found = _guessed(connection, count, highest if last is None else last, generator, conditions)
            if found is not None:
                return found
            query = sa.select(table.c.id).where(*conditions).order_by(table.c.number)
            ids = list(connection.execute(query).scalars())
        return generator.sample(ids, min(count, len(ids)))

    def by_document(self) -> dict[str, int]:
        """Document id -> number of its free sentences, for documents that have any; sorted by id."""
        table = tables.sentences
        query = sa.select(table.c.document_id, sa.func.count()).where(*_free_to_label(now()))
        return {
            row[0]: int(row[1]) for row in self._rows(query.group_by(table.c.document_id).order_by(table.c.document_id))
        }

    def of_documents(self, document_ids: Sequence[str]) -> list[str]:
        """Ids of the free sentences of documents: in the order of `document_ids`, and of the text."""
        table = tables.sentences
        query = sa.select(table.c.id, table.c.document_id, table.c.start).where(*_free_to_label(now()))
        places = {document: place for place, document in enumerate(document_ids)}
        with self._database.reading() as connection:
            found = list(rows_among(connection, query, table.c.document_id, document_ids))
        return [row.id for row in sorted(found, key=lambda row: (places[row.document_id], row.start))]

    def matching(self, words: Sequence[str], count: int | None) -> list[str]:
        """Return the ids of up to `count` free sentences that contain all `words`, ignoring case and typography.

        If `count` is None, the result has all sentences to label that contain the words, including decided and
        reserved sentences. Phrases count as words.
        """
        table = tables.sentences
        contains = [tables.SearchForm(table.c.text).contains(search_form(word), autoescape=True) for word in words]
        # Ids are hashes, so ordering by id mixes the documents.
        among = (table.c.boilerplate == "",) if count is None else _free_to_label(now())
        query = sa.select(table.c.id).where(*among, *contains).order_by(table.c.id).limit(count)
        return self._column(query)

    def uncertain(
        self, model_id: str, by: Uncertainty, count: int, *, without: Collection[str] = ()
    ) -> list[tuple[str, float]]:
        """Return the `count` most uncertain free sentences as pairs of id and `by` value, most uncertain first.

        Args:
            without: ids of documents whose sentences are left out.
        """
        column = tables.scores.c[by]
        order = column.asc() if by == "margin" else column.desc()
        with self._database.reading() as connection:
            rows = _scored(connection, model_id, column, order, None if without else count)
            found = ((row.id, float(row.value)) for row in rows if row.document_id not in without)
            return list(islice(found, count))

    def likely(
        self, model_id: str, position: int, count: int, *, without: Collection[str] = ()
    ) -> list[tuple[str, float]]:
        """Return the `count` free sentences likeliest to have a label as pairs of id and probability, likeliest first.

        Args:
            position: the position of the label among the model's labels.
            without: ids of documents whose sentences are left out.
        """
        scores = tables.scores
        best: list[tuple[float, str]] = []  # a heap: the least likely of the likeliest comes first
        with self._database.reading() as connection:
            for row in _scored(connection, model_id, scores.c.top, scores.c.top.desc(), None, scores.c.probabilities):
                # No label is likelier than the likeliest label, by which the rows are ordered, so none that follow can
                # belong to the best (Fagin's threshold algorithm with one list). Rounding: probabilities are float32.
                if len(best) == count and row.value + 1e-6 < best[0][0]:
                    break
                if row.document_id not in without:
                    found = (struct.unpack_from("<f", row.probabilities, 4 * position)[0], row.id)
                    (heapq.heappush if len(best) < count else heapq.heappushpop)(best, found)
        return [(identifier, probability) for probability, identifier in sorted(best, reverse=True)]


def _scored(
    connection: sa.Connection,
    model_id: str,
    column: sa.ColumnElement[float],
    order: sa.ColumnElement[float],
    count: int | None,
    *more: sa.ColumnElement[Any],
) -> Iterator[sa.Row[Any]]:
    """Yield the free sentences with a score, in pages: id, document, the column as `value`, and further columns."""
    scores, sentences = tables.scores, tables.sentences
    query = (
        sa.select(sentences.c.id, sentences.c.document_id, column.label("value"), *more)
        .join(sentences, sentences.c.number == scores.c.sentence_number)
        # Boilerplate has no scores, so the extra condition of `_free_to_label` is not needed.
        .where(scores.c.model_id == model_id, *_free(sentences.c.id, now()))
        .order_by(order)
        .limit(count)
    )
    return iter(connection.execute(query.execution_options(yield_per=_PAGE)))


def _guessed(
    connection: sa.Connection,
    count: int,
    last: int,
    generator: Random,
    conditions: Sequence[sa.ColumnElement[bool]],
) -> list[str] | None:
    """Draw sentence numbers until enough sentences meet the conditions; None if too few do.

    Numbers are dense, and numbers of other sentences are rejected. The result is a simple random sample without
    replacement (rejection sampling). The time does not depend on the size of the store.
    """
    table = tables.sentences
    query = sa.select(table.c.number, table.c.id).where(*conditions)
    found: list[str] = []
    tried: set[int] = set()
    for _ in range(_ROUNDS):
        drawn = (generator.randint(1, last) for _ in range(2 * count) if last)
        guesses = [number for number in dict.fromkeys(drawn) if number not in tried]
        tried.update(guesses)
        free = {row.number: row.id for row in rows_among(connection, query, table.c.number, guesses)}
        # Keep the order of the guesses, because the order of the database would favour old documents.
        found += [free[number] for number in guesses if number in free]
        if len(found) >= count:
            return found[:count]
    return None


def _free(sentence_id: sa.ColumnElement[str], at: str) -> tuple[sa.ColumnElement[bool], ...]:
    """Conditions: no decision stands on the sentence, and it is not reserved at the time `at`."""
    held = tables.reservations
    reserved = sa.exists().where(held.c.sentence_id == sentence_id, held.c.expires_at > at)
    return ~tables.decided_by_anyone(sentence_id), ~reserved


def _free_to_label(at: str) -> tuple[sa.ColumnElement[bool], ...]:
    """Conditions on `sentences`: not boilerplate, and free at the time `at`."""
    return tables.sentences.c.boilerplate == "", *_free(tables.sentences.c.id, at)


def _last_numbers(connection: sa.Connection) -> tuple[int, int]:
    """Return the highest number of a sentence, and the number of the last event; 0 if there are none."""
    columns = (tables.sentences.c.number, tables.events.c.seq)
    last, seq = (connection.execute(sa.select(sa.func.coalesce(sa.func.max(one), 0))).scalar_one() for one in columns)
    return int(last), int(seq)


def _reserved(connection: sa.Connection) -> list[str]:
    """Return the ids of the sentences that are currently reserved."""
    held = tables.reservations
    query = sa.select(held.c.sentence_id).where(held.c.expires_at > now()).distinct()
    return list(connection.execute(query).scalars())
