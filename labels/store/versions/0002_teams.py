"""What teams need: numbered sentences, standing decisions, drafts, relabelling, codebook migrations, wide scores."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ID = sa.String(64)


def upgrade() -> None:
    _number_sentences()
    _extend_events()
    _fold_events()
    _extend_draws()
    _codebooks()
    _models()


def _number_sentences() -> None:
    """Make the table again with a number for each sentence, without a gap, as the primary key."""
    op.drop_index("ix_sentences_document_id", "sentences")
    op.rename_table("sentences", "old_sentences")
    op.create_table(
        "sentences",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("id", ID, nullable=False, unique=True),
        sa.Column("document_id", ID, nullable=False),
        sa.Column("start", sa.Integer, nullable=False),
        sa.Column("end", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("splitter", sa.String(80), nullable=False),
        sa.Column("boilerplate", sa.String(40), nullable=False),
        sa.Column("synthetic", sa.Boolean, nullable=False),
    )
    columns = 'id, document_id, start, "end", text, splitter, boilerplate, synthetic'
    op.execute(
        f"INSERT INTO sentences (number, {columns}) "  # noqa: S608  # names of our own columns
        f"SELECT row_number() OVER (ORDER BY document_id, start, id), {columns} FROM old_sentences"
    )
    op.drop_table("old_sentences")
    op.create_index("sentences_by_document", "sentences", ["document_id", "start"])
    op.create_index("sentences_by_boilerplate", "sentences", ["boilerplate"])


def _extend_events() -> None:
    op.add_column("events", sa.Column("extra", sa.JSON(none_as_null=True)))
    op.create_table(
        "decisions",
        sa.Column("sentence_id", ID, primary_key=True),
        sa.Column("annotator", sa.String(200), primary_key=True),
        sa.Column("event", sa.String(16), primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16)),
        sa.Column("labellable", sa.Boolean, nullable=False),
    )
    op.create_table(
        "drafts",
        sa.Column("sentence_id", ID, primary_key=True),
        sa.Column("annotator", sa.String(200), primary_key=True),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )


def _fold_events() -> None:
    """Fill `decisions`: an undo takes back the annotator's last standing event on the sentence.

    A copy of the folding of that time: `labels.gold` may change, this revision may not.
    """
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT seq, sentence_id, annotator, event, state FROM events ORDER BY seq"))
    stacks: dict[tuple[str, str], list[sa.Row[tuple[int, str, str, str, str]]]] = {}
    for row in rows:
        stack = stacks.setdefault((row.sentence_id, row.annotator), [])
        if row.event != "undo":
            stack.append(row)
        elif stack:
            stack.pop()
    standing = {(*key, row.event): row for key, stack in stacks.items() for row in stack}
    columns = ("sentence_id", "annotator", "event", "seq", "state", "labellable")
    decisions = sa.table("decisions", *(sa.column(name) for name in columns))
    labellable = set(connection.execute(sa.text("SELECT id FROM sentences WHERE boilerplate = ''")).scalars())
    values = [
        dict(zip(columns, (*key, row.seq, row.state, row.sentence_id in labellable), strict=True))
        for key, row in standing.items()
    ]
    if values:
        connection.execute(sa.insert(decisions), values)


def _extend_draws() -> None:
    op.add_column("draws", sa.Column("query", sa.Text, nullable=False, server_default=""))
    with op.batch_alter_table("draw_items") as items:
        # Also the reason why a sentence is labelled again, which has no limit in length.
        items.alter_column("stratum", type_=sa.Text(), existing_type=sa.String(80), existing_nullable=False)
        items.add_column(sa.Column("previous", sa.JSON(none_as_null=True)))
    op.create_index("draw_items_by_sentence", "draw_items", ["sentence_id"])
    op.create_table(
        "relabelling",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("sentence_id", ID, nullable=False, index=True),
        sa.Column("source", sa.String(40), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("previous", sa.JSON, nullable=False),
        sa.Column("after_seq", sa.Integer, nullable=False),
        sa.Column("created_at", sa.String(40), nullable=False),
    )
    op.rename_table("reservations", "old_reservations")
    op.create_table(
        "reservations",
        sa.Column("sentence_id", ID, primary_key=True),
        sa.Column("annotator", sa.String(200), primary_key=True),
        sa.Column("draw_id", ID, nullable=False),
        sa.Column("expires_at", sa.String(40), nullable=False),
    )
    op.execute("INSERT INTO reservations SELECT sentence_id, annotator, draw_id, expires_at FROM old_reservations")
    op.drop_table("old_reservations")


def _codebooks() -> None:
    op.create_table(
        "codebook_migrations",
        sa.Column("old_hash", ID, primary_key=True),
        sa.Column("new_hash", ID, primary_key=True),
        sa.Column("steps", sa.JSON, nullable=False),
        sa.Column("created_at", sa.String(40), nullable=False),
    )


def _models() -> None:
    """The tables for scores were never written to before this revision."""
    op.drop_table("scores")
    op.drop_table("embeddings")
    op.create_table(
        "models",
        sa.Column("id", ID, primary_key=True),
        sa.Column("kind", sa.String(80), nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("thresholds", sa.JSON, nullable=False),
        sa.Column("exclusive", sa.Boolean, nullable=False),
        sa.Column("codebook_hash", ID, nullable=False),
        sa.Column("encoder", sa.Text, nullable=False),
        sa.Column("created_at", sa.String(40), nullable=False),
    )
    op.create_table(
        "scores",
        sa.Column("model_id", ID, primary_key=True),
        sa.Column("sentence_number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("probabilities", sa.LargeBinary, nullable=False),
        sa.Column("entropy", sa.Float, nullable=False),
        sa.Column("margin", sa.Float, nullable=False),
        sa.Column("top", sa.Float, nullable=False),
    )
    for column in ("entropy", "margin", "top"):
        op.create_index(f"scores_by_{column}", "scores", ["model_id", column])
    op.create_table(
        "embeddings",
        sa.Column("model_id", ID, primary_key=True),
        sa.Column("sentence_number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
    )
