"""Model predictions for the sentences of the store: probabilities, uncertainty, and embeddings.

Scores refer to sentences by number to save space: each model has one score for every sentence.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from labels.records import ScoringModel
from labels.store import tables
from labels.store.database import Part, count_rows, insert_new, rows_among

Score = tuple[int, Sequence[float], float, float, float]
"""A tuple of sentence number, probabilities, entropy, margin, and largest probability."""


@dataclass(frozen=True)
class Scorable:
    """A sentence that a model has not scored yet."""

    number: int
    id: str
    text: str


class Scores(Part):
    """The part of the store with model scores, by model id."""

    def add_model(self, model: ScoringModel) -> None:
        """Store the description of a model. A model that is already stored does not change."""
        with self._database.writing() as connection:
            insert_new(connection, tables.models, [asdict(model)])

    def models(self) -> list[ScoringModel]:
        """Return the models in the store, latest first."""
        table = tables.models
        return [
            ScoringModel(**row._mapping) for row in self._rows(sa.select(table).order_by(table.c.created_at.desc()))
        ]

    def unscored(self, model_id: str, limit: int = 2048, *, embeddings: bool = False) -> list[Scorable]:
        """Return up to `limit` sentences without a score (or embedding) from this model, boilerplate excluded."""
        sentences, table = tables.sentences, tables.embeddings if embeddings else tables.scores
        scored = sa.exists().where(table.c.model_id == model_id, table.c.sentence_number == sentences.c.number)
        last = sa.select(sa.func.coalesce(sa.func.max(table.c.sentence_number), 0)).where(table.c.model_id == model_id)
        query = sa.select(sentences.c.number, sentences.c.id, sentences.c.text).where(sentences.c.boilerplate == "")
        query = query.order_by(sentences.c.number).limit(limit)
        with self._database.reading() as connection:
            # Scores are written in the order of sentence numbers, so unscored sentences usually follow the last scored
            # sentence. An interrupted run can leave gaps; finding gaps reads every sentence, so it is tried second.
            beyond = connection.execute(query.where(sentences.c.number > connection.execute(last).scalar_one())).all()
            rows = beyond or connection.execute(query.where(~scored)).all()
        return [Scorable(*row) for row in rows]

    def count_unscored(self, model_id: str) -> int:
        """Return the number of sentences without a score from this model, boilerplate excluded."""
        with self._database.reading() as connection:
            # Totals are enough, because boilerplate is never scored. There is no need to look up each sentence.
            labellable = count_rows(connection, tables.sentences, tables.sentences.c.boilerplate == "")
            return labellable - count_rows(connection, tables.scores, tables.scores.c.model_id == model_id)

    def add(self, model_id: str, scores: Iterable[Score]) -> int:
        """Add scores that are not in the store yet; returns how many were inserted."""
        rows = [
            {
                "model_id": model_id,
                "sentence_number": number,
                "probabilities": struct.pack(f"<{len(probabilities)}f", *probabilities),
                "entropy": float(entropy),
                "margin": float(margin),
                "top": float(top),
            }
            for number, probabilities, entropy, margin, top in scores
        ]
        with self._database.writing() as connection:
            return insert_new(connection, tables.scores, rows)

    def add_embeddings(self, model_id: str, embeddings: Iterable[tuple[int, bytes]]) -> int:
        """Add embeddings that are not in the store yet; returns how many were inserted.

        Args:
            embeddings: pairs of sentence number and unit-length vector (float16, little-endian).
        """
        rows = [{"model_id": model_id, "sentence_number": number, "vector": vector} for number, vector in embeddings]
        with self._database.writing() as connection:
            return insert_new(connection, tables.embeddings, rows)

    def probabilities(self, model_id: str, sentence_id: str) -> tuple[float, ...] | None:
        """Return the probabilities of a sentence in the order of the model's labels; None if it has no score."""
        scores, sentences = tables.scores, tables.sentences
        query = (
            sa.select(scores.c.probabilities)
            .join(sentences, sentences.c.number == scores.c.sentence_number)
            .where(scores.c.model_id == model_id, sentences.c.id == sentence_id)
        )
        found = self._column(query)  # four bytes per label
        return struct.unpack(f"<{len(found[0]) // 4}f", found[0]) if found else None

    def all_probabilities(self, model_id: str) -> dict[int, bytes]:
        """Map the number of each scored sentence to its probabilities (float32, little-endian, in label order)."""
        table = tables.scores
        query = sa.select(table.c.sentence_number, table.c.probabilities).where(table.c.model_id == model_id)
        return {row.sentence_number: row.probabilities for row in self._rows(query)}

    def embeddings(self, model_id: str, ids: Iterable[str]) -> dict[str, bytes]:
        """Return the model's embeddings by sentence id. Sentences without an embedding are left out."""
        table, sentences = tables.embeddings, tables.sentences
        query = (
            sa.select(sentences.c.id, table.c.vector)
            .join(sentences, sentences.c.number == table.c.sentence_number)
            .where(table.c.model_id == model_id)
        )
        with self._database.reading() as connection:
            return {row.id: row.vector for row in rows_among(connection, query, sentences.c.id, ids)}

    def numbers_by_top(self, model_id: str, low: float, high: float) -> list[int]:
        """Return the numbers of the sentences whose largest probability is in [low, high); [low, 1] if `high` is 1."""
        table = tables.scores
        query = sa.select(table.c.sentence_number).where(table.c.model_id == model_id, table.c.top >= low)
        if high < 1:
            query = query.where(table.c.top < high)
        return self._column(query.order_by(table.c.sentence_number))
