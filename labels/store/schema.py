"""The tables of the label store in SQLAlchemy Core. A new store is made from them; `upgrades` brings an old one here.

A test compares the two. Moments are ISO 8601 in UTC with microseconds, so that they sort as text.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Float, Index, Integer, LargeBinary, String, Table, Text

from labels.records import DATE_LENGTH, LANGUAGE_LENGTH

metadata = sa.MetaData()
_ID, _NAME, _MOMENT, _WORD = String(64), String(200), String(40), String(16)


class _Tuple(sa.TypeDecorator[tuple[Any, ...]]):
    """A JSON array that is read as a tuple, as our records have it."""

    impl = sa.JSON
    cache_ok = True

    def process_result_value(self, value: Any, _: object) -> tuple[Any, ...] | None:
        """The value of a row."""
        return None if value is None else tuple(value)


def keys(**types: Any) -> list[Column[Any]]:
    """The columns of a primary key, by name."""
    return [Column(name, kind, primary_key=True) for name, kind in types.items()]


def filled(**types: Any) -> list[Column[Any]]:
    """Columns that are never null, by name."""
    return [Column(name, kind, nullable=False) for name, kind in types.items()]


def optional(**types: Any) -> list[Column[Any]]:
    """Columns that may be null, by name."""
    return [Column(name, kind) for name, kind in types.items()]


# The revision of a database, in a table as Alembic keeps it. Apart from the others: it holds nothing of the user's.
revisions = Table("alembic_version", sa.MetaData(), *keys(version_num=String(32)))

documents = Table(
    "documents",
    metadata,
    *keys(id=_ID),
    *filled(source=Text, url=Text, title=Text, date=String(DATE_LENGTH), language=String(LANGUAGE_LENGTH)),
    *filled(text=Text, synthetic=Boolean),
)

sentences = Table(
    "sentences",
    metadata,
    # From 1 without a gap, given by the store: a sample is drawn by number, without listing a million ids.
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("id", _ID, nullable=False, unique=True),
    # Not a foreign key: sentences and annotations are also imported without documents that may not be shared.
    *filled(document_id=_ID, start=Integer, end=Integer, text=Text),
    *filled(splitter=String(80), boilerplate=String(40), synthetic=Boolean),
    Index("sentences_by_document", "document_id", "start"),
    Index("sentences_by_boilerplate", "boilerplate"),
)

codebooks = Table("codebooks", metadata, *keys(hash=_ID), *filled(name=Text, version=Text, content=Text))

events = Table(
    "events",
    metadata,
    *keys(seq=Integer),
    Column("event_id", _ID, nullable=False, unique=True),
    *filled(sentence_id=_ID, annotator=_NAME, event=_WORD, labels=_Tuple, codebook_hash=_ID, draw_id=_ID),
    *filled(blind=Boolean, note=Text, created_at=_MOMENT),
    *optional(state=_WORD, seconds=Float, suggestion=_Tuple(none_as_null=True), extra=sa.JSON(none_as_null=True)),
    Index("events_by_sentence", "sentence_id", "annotator"),
)

# The decisions that stand. Derived from `events` in the same transaction, so that counting them needs no folding.
decisions = Table(
    "decisions",
    metadata,
    *keys(sentence_id=_ID, annotator=_NAME, event=_WORD),
    *filled(seq=Integer),
    *optional(state=_WORD),
    # Whether the sentence is in the store and not boilerplate, so that what is left to label is counted without a join.
    *filled(labellable=Boolean),
)

# What an annotator has typed on a sentence and not confirmed yet.
drafts = Table("drafts", metadata, *keys(sentence_id=_ID, annotator=_NAME), *filled(labels=_Tuple, note=Text))

codebook_migrations = Table(
    "codebook_migrations", metadata, *keys(old_hash=_ID, new_hash=_ID), *filled(steps=_Tuple, created_at=_MOMENT)
)

draws = Table(
    "draws",
    metadata,
    *keys(id=_ID),
    *filled(strategy=String(80), annotator=_NAME, frame_hash=_ID, model_id=_ID, created_at=_MOMENT),
    *optional(frame_size=Integer, seed=Integer),
    Column("query", Text, nullable=False, server_default=""),
)

draw_items = Table(
    "draw_items",
    metadata,
    *keys(draw_id=_ID, sentence_id=_ID),
    *filled(position=Integer, stratum=Text),
    *optional(inclusion_probability=Float, previous=_Tuple(none_as_null=True)),
    Index("draw_items_by_sentence", "sentence_id"),
)

# An entry waits until a review from a draw "relabel", later than the event `after_seq`, stands on its sentence.
relabelling = Table(
    "relabelling",
    metadata,
    *keys(seq=Integer),
    Column("sentence_id", _ID, nullable=False, index=True),
    *filled(source=String(40), reason=Text, previous=_Tuple, after_seq=Integer, created_at=_MOMENT),
)

reservations = Table(
    "reservations", metadata, *keys(sentence_id=_ID, annotator=_NAME), *filled(draw_id=_ID, expires_at=_MOMENT)
)

models = Table(
    "models",
    metadata,
    *keys(id=_ID),
    *filled(kind=String(80), labels=_Tuple, thresholds=_Tuple, exclusive=Boolean),
    *filled(codebook_hash=_ID, encoder=Text, created_at=_MOMENT),
)

scores = Table(
    "scores",
    metadata,
    *keys(model_id=_ID, sentence_number=Integer),
    # float32, little-endian, in the order of the model's labels.
    *filled(probabilities=LargeBinary, entropy=Float, margin=Float, top=Float),
    *(Index(f"scores_by_{name}", "model_id", name) for name in ("entropy", "margin", "top")),
)

embeddings = Table(
    "embeddings",
    metadata,
    *keys(model_id=_ID, sentence_number=Integer),
    # float16, little-endian, of length 1.
    *filled(vector=LargeBinary),
)
