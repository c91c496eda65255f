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


def _key(name: str, kind: Any = _ID) -> Column[Any]:
    return Column(name, kind, primary_key=True)


def _filled(kind: Any, *names: str) -> list[Column[Any]]:
    """Columns of one type that are never null."""
    return [Column(name, kind, nullable=False) for name in names]


# The revision of a database, in a table as Alembic keeps it. Apart from the others: it holds nothing of the user's.
revisions = Table("alembic_version", sa.MetaData(), _key("version_num", String(32)))

documents = Table(
    "documents",
    metadata,
    _key("id"),
    *_filled(Text, "source", "url", "title", "text"),
    *_filled(String(DATE_LENGTH), "date"),
    *_filled(String(LANGUAGE_LENGTH), "language"),
    *_filled(Boolean, "synthetic"),
)

sentences = Table(
    "sentences",
    metadata,
    # From 1 without a gap, given by the store: a sample is drawn by number, without listing a million ids.
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("id", _ID, nullable=False, unique=True),
    # Not a foreign key: sentences and annotations are also imported without documents that may not be shared.
    *_filled(_ID, "document_id"),
    *_filled(Integer, "start", "end"),
    *_filled(Text, "text"),
    *_filled(String(80), "splitter"),
    *_filled(String(40), "boilerplate"),
    *_filled(Boolean, "synthetic"),
    Index("sentences_by_document", "document_id", "start"),
    Index("sentences_by_boilerplate", "boilerplate"),
)

codebooks = Table("codebooks", metadata, _key("hash"), *_filled(Text, "name", "version", "content"))

events = Table(
    "events",
    metadata,
    _key("seq", Integer),
    Column("event_id", _ID, nullable=False, unique=True),
    *_filled(_ID, "sentence_id", "codebook_hash", "draw_id"),
    *_filled(_NAME, "annotator"),
    *_filled(_WORD, "event"),
    Column("state", _WORD),
    *_filled(_Tuple, "labels"),
    Column("suggestion", _Tuple(none_as_null=True)),
    *_filled(Boolean, "blind"),
    Column("seconds", Float),
    *_filled(Text, "note"),
    *_filled(_MOMENT, "created_at"),
    Column("extra", sa.JSON(none_as_null=True)),
    Index("events_by_sentence", "sentence_id", "annotator"),
)

# The decisions that stand. Derived from `events` in the same transaction, so that counting them needs no folding.
decisions = Table(
    "decisions",
    metadata,
    _key("sentence_id"),
    _key("annotator", _NAME),
    _key("event", _WORD),
    *_filled(Integer, "seq"),
    Column("state", _WORD),
    # Whether the sentence is in the store and not boilerplate, so that what is left to label is counted without a join.
    *_filled(Boolean, "labellable"),
)

# What an annotator has typed on a sentence and not confirmed yet.
drafts = Table(
    "drafts",
    metadata,
    _key("sentence_id"),
    _key("annotator", _NAME),
    *_filled(_Tuple, "labels"),
    *_filled(Text, "note"),
)

codebook_migrations = Table(
    "codebook_migrations",
    metadata,
    _key("old_hash"),
    _key("new_hash"),
    *_filled(_Tuple, "steps"),
    *_filled(_MOMENT, "created_at"),
)

draws = Table(
    "draws",
    metadata,
    _key("id"),
    *_filled(String(80), "strategy"),
    *_filled(_NAME, "annotator"),
    *_filled(_ID, "frame_hash", "model_id"),
    Column("frame_size", Integer),
    Column("seed", Integer),
    *_filled(_MOMENT, "created_at"),
    Column("query", Text, nullable=False, server_default=""),
)

draw_items = Table(
    "draw_items",
    metadata,
    _key("draw_id"),
    _key("sentence_id"),
    *_filled(Integer, "position"),
    *_filled(Text, "stratum"),
    Column("inclusion_probability", Float),
    Column("previous", _Tuple(none_as_null=True)),
    Index("draw_items_by_sentence", "sentence_id"),
)

# An entry waits until a review from a draw "relabel", later than the event `after_seq`, stands on its sentence.
relabelling = Table(
    "relabelling",
    metadata,
    _key("seq", Integer),
    Column("sentence_id", _ID, nullable=False, index=True),
    *_filled(String(40), "source"),
    *_filled(Text, "reason"),
    *_filled(_Tuple, "previous"),
    *_filled(Integer, "after_seq"),
    *_filled(_MOMENT, "created_at"),
)

reservations = Table(
    "reservations",
    metadata,
    _key("sentence_id"),
    _key("annotator", _NAME),
    *_filled(_ID, "draw_id"),
    *_filled(_MOMENT, "expires_at"),
)

models = Table(
    "models",
    metadata,
    _key("id"),
    *_filled(String(80), "kind"),
    *_filled(_Tuple, "labels", "thresholds"),
    *_filled(Boolean, "exclusive"),
    *_filled(_ID, "codebook_hash"),
    *_filled(Text, "encoder"),
    *_filled(_MOMENT, "created_at"),
)

scores = Table(
    "scores",
    metadata,
    _key("model_id"),
    Column("sentence_number", Integer, primary_key=True, autoincrement=False),
    # float32, little-endian, in the order of the model's labels.
    *_filled(LargeBinary, "probabilities"),
    *_filled(Float, "entropy", "margin", "top"),
    *(Index(f"scores_by_{name}", "model_id", name) for name in ("entropy", "margin", "top")),
)

embeddings = Table(
    "embeddings",
    metadata,
    _key("model_id"),
    Column("sentence_number", Integer, primary_key=True, autoincrement=False),
    # float16, little-endian, of length 1.
    *_filled(LargeBinary, "vector"),
)
