"""The tables of the label store in SQLAlchemy Core, for queries. The revisions under `versions/` create them.

A test compares the two. Moments are ISO 8601 in UTC with microseconds, so that they sort as text.
"""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text

from labels.records import DATE_LENGTH, LANGUAGE_LENGTH

metadata = MetaData()
_ID = String(64)

documents = Table(
    "documents",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("source", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("date", String(DATE_LENGTH), nullable=False),
    Column("language", String(LANGUAGE_LENGTH), nullable=False),
    Column("text", Text, nullable=False),
    Column("synthetic", Boolean, nullable=False),
)

sentences = Table(
    "sentences",
    metadata,
    # From 1 without a gap, given by the store: a sample is drawn by number, without listing a million ids.
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("id", _ID, nullable=False, unique=True),
    # Not a foreign key: sentences and annotations are also imported without documents that may not be shared.
    Column("document_id", _ID, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("splitter", String(80), nullable=False),
    Column("boilerplate", String(40), nullable=False),
    Column("synthetic", Boolean, nullable=False),
    Index("sentences_by_document", "document_id", "start"),
    Index("sentences_by_boilerplate", "boilerplate"),
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
    Column("extra", JSON(none_as_null=True)),
    Index("events_by_sentence", "sentence_id", "annotator"),
)

decisions = Table(
    "decisions",
    metadata,
    # The decisions that stand. Derived from `events` in the same transaction, so that counting them needs no folding.
    Column("sentence_id", _ID, primary_key=True),
    Column("annotator", String(200), primary_key=True),
    Column("event", String(16), primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("state", String(16)),
    # Whether the sentence is in the store and not boilerplate, so that what is left to label is counted without a join.
    Column("labellable", Boolean, nullable=False),
)

drafts = Table(
    "drafts",
    metadata,
    # What an annotator has typed on a sentence and not confirmed yet.
    Column("sentence_id", _ID, primary_key=True),
    Column("annotator", String(200), primary_key=True),
    Column("labels", JSON, nullable=False),
    Column("note", Text, nullable=False),
)

codebook_migrations = Table(
    "codebook_migrations",
    metadata,
    Column("old_hash", _ID, primary_key=True),
    Column("new_hash", _ID, primary_key=True),
    Column("steps", JSON, nullable=False),
    Column("created_at", String(40), nullable=False),
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
    Column("query", Text, nullable=False, server_default=""),
)

draw_items = Table(
    "draw_items",
    metadata,
    Column("draw_id", _ID, primary_key=True),
    Column("sentence_id", _ID, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("stratum", Text, nullable=False),
    Column("inclusion_probability", Float),
    Column("previous", JSON(none_as_null=True)),
    Index("draw_items_by_sentence", "sentence_id"),
)

relabelling = Table(
    "relabelling",
    metadata,
    # An entry waits until a review from a draw "relabel", later than the event `after_seq`, stands on its sentence.
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("sentence_id", _ID, nullable=False, index=True),
    Column("source", String(40), nullable=False),
    Column("reason", Text, nullable=False),
    Column("previous", JSON, nullable=False),
    Column("after_seq", Integer, nullable=False),
    Column("created_at", String(40), nullable=False),
)

reservations = Table(
    "reservations",
    metadata,
    Column("sentence_id", _ID, primary_key=True),
    Column("annotator", String(200), primary_key=True),
    Column("draw_id", _ID, nullable=False),
    Column("expires_at", String(40), nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("kind", String(80), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("thresholds", JSON, nullable=False),
    Column("exclusive", Boolean, nullable=False),
    Column("codebook_hash", _ID, nullable=False),
    Column("encoder", Text, nullable=False),
    Column("created_at", String(40), nullable=False),
)

scores = Table(
    "scores",
    metadata,
    Column("model_id", _ID, primary_key=True),
    Column("sentence_number", Integer, primary_key=True, autoincrement=False),
    # float32, little-endian, in the order of the model's labels.
    Column("probabilities", LargeBinary, nullable=False),
    Column("entropy", Float, nullable=False),
    Column("margin", Float, nullable=False),
    Column("top", Float, nullable=False),
    Index("scores_by_entropy", "model_id", "entropy"),
    Index("scores_by_margin", "model_id", "margin"),
    Index("scores_by_top", "model_id", "top"),
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("model_id", _ID, primary_key=True),
    Column("sentence_number", Integer, primary_key=True, autoincrement=False),
    # float16, little-endian, of length 1.
    Column("vector", LargeBinary, nullable=False),
)
