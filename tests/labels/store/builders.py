"""Records that the tests of the store and of what stands on it are made of."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from labels.records import Annotation, Document, EventKind, Sentence
from labels.store import Draw, DrawItem, ScoringModel, Store, now, tables
from tests.labels.store import first_store

PAST, FUTURE = "2001-01-01T00:00:00.000000+00:00", "2999-01-01T00:00:00.000000+00:00"
_ids = count()


def sentences(n: int, document: str = "d1", **more: Any) -> list[Sentence]:
    """Sentences of one document, in its order."""
    return [Sentence(document, 10 * i, 10 * i + 9, f"Text {i:04d}", **more) for i in range(n)]


def added(store: Store, n: int, document: str = "d1", **more: Any) -> list[str]:
    """Ids of sentences that are now in the store."""
    rows = sentences(n, document, **more)
    store.add_annotated(rows, [])
    return [row.id for row in rows]


def decision(sentence: str, annotator: str = "ana", kind: EventKind = "annotate", **more: Any) -> Annotation:
    """An event; a review with no label unless told otherwise."""
    values: dict[str, Any] = {
        "state": None if kind == "undo" else "reviewed",
        "labels": (),
        "codebook_hash": "hash",
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    return Annotation(f"e{next(_ids)}", sentence, annotator, kind, **(values | more))


def draw(annotator: str, ids: Iterable[str], **more: Any) -> Draw:
    """A draw of sentences, each with probability 0.5; at random unless told otherwise."""
    values: dict[str, Any] = {"strategy": "random", "frame_hash": "f", "frame_size": 10, "seed": 1, "created_at": now()}
    values["items"] = tuple(DrawItem(identifier, 0.5) for identifier in ids)
    return Draw(f"draw{next(_ids)}", annotator=annotator, **(values | more))


def model(identifier: str = "m", **more: Any) -> ScoringModel:
    """A model of two labels."""
    values: dict[str, Any] = {
        "kind": "tfidf",
        "labels": ("aid", "truce"),
        "thresholds": (0.5, 0.5),
        "exclusive": False,
        "codebook_hash": "hash",
        "created_at": now(),
    }
    return ScoringModel(identifier, **(values | more))


def score_all(store: Store, tops: Sequence[float], model_id: str = "m") -> dict[str, float]:
    """Score the store's unscored sentences with these largest probabilities in turn; by sentence id.

    The nearer the probability to 0.5, the less sure: entropy is largest, margin smallest there.
    """
    store.scores.add_model(model(model_id))
    found = store.scores.unscored(model_id, 10_000)
    by_id = {sentence.id: tops[position % len(tops)] for position, sentence in enumerate(found)}
    store.scores.add(model_id, [_score(sentence.number, by_id[sentence.id]) for sentence in found])
    return by_id


def _score(number: int, top: float) -> tuple[int, tuple[float, ...], float, float, float]:
    return number, (top, 0.0), 0.5 - abs(top - 0.5), abs(2 * top - 1), top


def vector(*numbers: float) -> bytes:
    """An embedding."""
    return struct.pack(f"<{len(numbers)}e", *numbers)


def embed_all(store: Store, vectors: Sequence[bytes], model_id: str = "m") -> dict[str, bytes]:
    """Embed the store's sentences with these vectors in turn; by sentence id."""
    found = store.scores.unscored(model_id, 10_000, embeddings=True)
    by_id = {sentence.id: vectors[position % len(vectors)] for position, sentence in enumerate(found)}
    store.scores.add_embeddings(model_id, [(sentence.number, by_id[sentence.id]) for sentence in found])
    return by_id


def stored_document(url: str, document_id: str) -> Document:
    """What another connection to the database finds of a document."""
    table = tables.documents
    (row,) = rows_of(url, sa.select(table).where(table.c.id == document_id))
    return Document(**{key: value for key, value in row._mapping.items() if key not in ("id", "version_of")})


def rows_of(url: str, query: sa.Select[Any]) -> list[sa.Row[Any]]:
    """What another connection to the database finds."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        rows = list(connection.execute(query).all())
    engine.dispose()
    return rows


def make_first_store(engine: sa.Engine) -> None:
    """Make an empty store as the first version of the code made it, of revision 0001."""
    with engine.begin() as connection:
        with Operations.context(MigrationContext.configure(connection)):
            first_store.make_tables()
        tables.revisions.create(connection)
        connection.execute(sa.insert(tables.revisions).values(version_num="0001"))
