"""What models predict for the store's sentences: probabilities, their uncertainty, and embeddings.

Sentences are known by number here: a store of a million sentences has as many scores for each model.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from labels.records import ScoringModel
from labels.store import schema
from labels.store.database import Part, count_rows, insert_new, rows_among

Score = tuple[int, Sequence[float], float, float, float]
"""Sentence number, probabilities, entropy, margin, largest probability."""


@dataclass(frozen=True)
class Scorable:
    """A sentence that a model has not scored."""

    number: int
    id: str
    text: str


class Scores(Part):
    """The part of the store that holds models' scores under the models' ids."""

    def add_model(self, model: ScoringModel) -> None:
        """Keep what a model's scores mean; a model in the store already stays as it is."""
        with self._database.writing() as connection:
            insert_new(connection, schema.models, [asdict(model)])

    def models(self) -> list[ScoringModel]:
        """The models that have scores here, the latest first."""
        table = schema.models
        return [
            ScoringModel(**row._mapping) for row in self._rows(sa.select(table).order_by(table.c.created_at.desc()))
        ]

    def unscored(self, model_id: str, limit: int = 2048, *, embeddings: bool = False) -> list[Scorable]:
        """Up to `limit` sentences, boilerplate aside, that have no score (or embedding) of this model yet."""
        sentences, table = schema.sentences, schema.embeddings if embeddings else schema.scores
        scored = sa.exists().where(table.c.model_id == model_id, table.c.sentence_number == sentences.c.number)
        last = sa.select(sa.func.coalesce(sa.func.max(table.c.sentence_number), 0)).where(table.c.model_id == model_id)
        query = sa.select(sentences.c.number, sentences.c.id, sentences.c.text).where(sentences.c.boilerplate == "")
        query = query.order_by(sentences.c.number).limit(limit)
        with self._database.reading() as connection:
            # Scores are written in the order of numbers, so that almost always all that is missing comes after the
            # last. The search for gaps, left by a run that was cut off, reads every sentence: it comes second.
            beyond = connection.execute(query.where(sentences.c.number > connection.execute(last).scalar_one())).all()
            rows = beyond or connection.execute(query.where(~scored)).all()
        return [Scorable(*row) for row in rows]

    def count_unscored(self, model_id: str) -> int:
        """How many sentences, boilerplate aside, have no score of this model."""
        with self._database.reading() as connection:
            # Totals: boilerplate is never scored, so that no sentence has to be looked up.
            labellable = count_rows(connection, schema.sentences, schema.sentences.c.boilerplate == "")
            return labellable - count_rows(connection, schema.scores, schema.scores.c.model_id == model_id)

    def add(self, model_id: str, scores: Iterable[Score]) -> int:
        """Add scores; those in the store already stay as they are. How many were new."""
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
            return insert_new(connection, schema.scores, rows)

    def add_embeddings(self, model_id: str, embeddings: Iterable[tuple[int, bytes]]) -> int:
        """Add embeddings (sentence number, little-endian float16 vector of length 1). How many were new."""
        rows = [{"model_id": model_id, "sentence_number": number, "vector": vector} for number, vector in embeddings]
        with self._database.writing() as connection:
            return insert_new(connection, schema.embeddings, rows)

    def probabilities(self, model_id: str, sentence_id: str) -> tuple[float, ...] | None:
        """The model's probabilities for a sentence, in the order of its labels; None if it has not scored it."""
        scores, sentences = schema.scores, schema.sentences
        query = (
            sa.select(scores.c.probabilities)
            .join(sentences, sentences.c.number == scores.c.sentence_number)
            .where(scores.c.model_id == model_id, sentences.c.id == sentence_id)
        )
        found = self._column(query)  # four bytes for each label
        return struct.unpack(f"<{len(found[0]) // 4}f", found[0]) if found else None

    def embeddings(self, model_id: str, ids: Iterable[str]) -> dict[str, bytes]:
        """Sentence id -> the model's embedding, for those of the sentences that have one."""
        table, sentences = schema.embeddings, schema.sentences
        query = (
            sa.select(sentences.c.id, table.c.vector)
            .join(sentences, sentences.c.number == table.c.sentence_number)
            .where(table.c.model_id == model_id)
        )
        with self._database.reading() as connection:
            return {row.id: row.vector for row in rows_among(connection, query, sentences.c.id, ids)}

    def numbers_by_top(self, model_id: str, low: float, high: float) -> list[int]:
        """Numbers of the sentences whose largest probability by the model is in [low, high), or [low, 1] for high 1."""
        table = schema.scores
        query = sa.select(table.c.sentence_number).where(table.c.model_id == model_id, table.c.top >= low)
        if high < 1:
            query = query.where(table.c.top < high)
        return self._column(query.order_by(table.c.sentence_number))
