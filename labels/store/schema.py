"""The tables of the label store, as SQLAlchemy Core describes them; the migrations under `versions/` create them."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()
_ID = String(64)

documents = Table(
    "documents",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("source", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("date", String(40), nullable=False),
    Column("language", String(16), nullable=False),
    Column("text", Text, nullable=False),
    Column("synthetic", Boolean, nullable=False),
)

sentences = Table(
    "sentences",
    metadata,
    Column("id", _ID, primary_key=True),
    # No foreign key: annotations may be imported for documents that cannot be shared.
    Column("document_id", _ID, nullable=False, index=True),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("splitter", String(80), nullable=False),
    Column("boilerplate", String(40), nullable=False),
    Column("synthetic", Boolean, nullable=False),
)

codebooks = Table(
    "codebooks",
    metadata,
    Column("hash", _ID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("content", Text, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("event_id", _ID, nullable=False, unique=True),
    Column("sentence_id", _ID, nullable=False),
    Column("annotator", String(200), nullable=False),
    Column("event", String(16), nullable=False),
    Column("state", String(16)),
    Column("labels", JSON, nullable=False),
    Column("codebook_hash", _ID, nullable=False),
    Column("draw_id", _ID, nullable=False),
    Column("suggestion", JSON(none_as_null=True)),
    Column("blind", Boolean, nullable=False),
    Column("seconds", Float),
    Column("note", Text, nullable=False),
    Column("created_at", String(40), nullable=False),
    Index("events_by_sentence", "sentence_id", "annotator"),
)

draws = Table(
    "draws",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("strategy", String(80), nullable=False),
    Column("annotator", String(200), nullable=False),
    Column("frame_hash", _ID, nullable=False),
    Column("frame_size", Integer),
    Column("model_id", _ID, nullable=False),
    Column("seed", Integer),
    Column("created_at", String(40), nullable=False),
)

draw_items = Table(
    "draw_items",
    metadata,
    Column("draw_id", _ID, primary_key=True),
    Column("sentence_id", _ID, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("stratum", String(80), nullable=False),
    Column("inclusion_probability", Float),
)

reservations = Table(
    "reservations",
    metadata,
    Column("sentence_id", _ID, primary_key=True),
    Column("annotator", String(200), nullable=False),
    Column("draw_id", _ID, nullable=False),
    Column("expires_at", String(40), nullable=False),
)

scores = Table(
    "scores",
    metadata,
    Column("model_id", _ID, primary_key=True),
    Column("sentence_id", _ID, primary_key=True),
    Column("label", String(200), primary_key=True),
    Column("probability", Float, nullable=False),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("model_id", _ID, primary_key=True),
    Column("sentence_id", _ID, primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)
