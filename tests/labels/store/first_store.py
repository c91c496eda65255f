"""All tables of the first store, revision 0001, as the code of that time made them with Alembic's operations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

ID = sa.String(64)


def make_tables() -> None:
    """Create them, in `Operations.context`."""
    _texts()
    _annotations()
    _draws()
    _models()


def _texts() -> None:
    op.create_table(
        "documents",
        sa.Column("id", ID, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("date", sa.String(40), nullable=False),
        sa.Column("language", sa.String(16), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("synthetic", sa.Boolean, nullable=False),
    )
    op.create_table(
        "sentences",
        sa.Column("id", ID, primary_key=True),
        sa.Column("document_id", ID, nullable=False, index=True),
        sa.Column("start", sa.Integer, nullable=False),
        sa.Column("end", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("splitter", sa.String(80), nullable=False),
        sa.Column("boilerplate", sa.String(40), nullable=False),
        sa.Column("synthetic", sa.Boolean, nullable=False),
    )


def _annotations() -> None:
    op.create_table(
        "codebooks",
        sa.Column("hash", ID, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("event_id", ID, nullable=False, unique=True),
        sa.Column("sentence_id", ID, nullable=False),
        sa.Column("annotator", sa.String(200), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16)),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("codebook_hash", ID, nullable=False),
        sa.Column("draw_id", ID, nullable=False),
        sa.Column("suggestion", sa.JSON(none_as_null=True)),
        sa.Column("blind", sa.Boolean, nullable=False),
        sa.Column("seconds", sa.Float),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("created_at", sa.String(40), nullable=False),
    )
    op.create_index("events_by_sentence", "events", ["sentence_id", "annotator"])


def _draws() -> None:
    op.create_table(
        "draws",
        sa.Column("id", ID, primary_key=True),
        sa.Column("strategy", sa.String(80), nullable=False),
        sa.Column("annotator", sa.String(200), nullable=False),
        sa.Column("frame_hash", ID, nullable=False),
        sa.Column("frame_size", sa.Integer),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("seed", sa.Integer),
        sa.Column("created_at", sa.String(40), nullable=False),
    )
    op.create_table(
        "draw_items",
        sa.Column("draw_id", ID, primary_key=True),
        sa.Column("sentence_id", ID, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("stratum", sa.String(80), nullable=False),
        sa.Column("inclusion_probability", sa.Float),
    )
    op.create_table(
        "reservations",
        sa.Column("sentence_id", ID, primary_key=True),
        sa.Column("annotator", sa.String(200), nullable=False),
        sa.Column("draw_id", ID, nullable=False),
        sa.Column("expires_at", sa.String(40), nullable=False),
    )


def _models() -> None:
    op.create_table(
        "scores",
        sa.Column("model_id", ID, primary_key=True),
        sa.Column("sentence_id", ID, primary_key=True),
        sa.Column("label", sa.String(200), primary_key=True),
        sa.Column("probability", sa.Float, nullable=False),
    )
    op.create_table(
        "embeddings",
        sa.Column("model_id", ID, primary_key=True),
        sa.Column("sentence_id", ID, primary_key=True),
        sa.Column("vector", sa.LargeBinary, nullable=False),
    )
