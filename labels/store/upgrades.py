"""What brings a store that an older version of communique wrote to the newest revision.

Each revision is one function of `REVISIONS`, run with Alembic's operations in the caller's transaction. It is a record
of its time: code that it shares with the store may change, the revision may not.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from labels.store.schema import filled, keys, optional

_ID, _NAME, _MOMENT, _WORD = sa.String(64), sa.String(200), sa.String(40), sa.String(16)


# -- 0002


def _to_0002() -> None:
    """What teams need: numbered sentences, standing decisions, drafts, relabelling, codebook changes, wide scores."""
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
        sa.Column("id", _ID, nullable=False, unique=True),
        *filled(document_id=_ID, start=sa.Integer, end=sa.Integer, text=sa.Text),
        *filled(splitter=sa.String(80), boilerplate=sa.String(40), synthetic=sa.Boolean),
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
        *keys(sentence_id=_ID, annotator=_NAME, event=_WORD),
        *filled(seq=sa.Integer, labellable=sa.Boolean),
        *optional(state=_WORD),
    )
    op.create_table("drafts", *keys(sentence_id=_ID, annotator=_NAME), *filled(labels=sa.JSON, note=sa.Text))


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
        sa.Column("sentence_id", _ID, nullable=False, index=True),
        *filled(source=sa.String(40), reason=sa.Text, previous=sa.JSON, after_seq=sa.Integer, created_at=_MOMENT),
    )
    op.rename_table("reservations", "old_reservations")
    op.create_table("reservations", *keys(sentence_id=_ID, annotator=_NAME), *filled(draw_id=_ID, expires_at=_MOMENT))
    op.execute("INSERT INTO reservations SELECT sentence_id, annotator, draw_id, expires_at FROM old_reservations")
    op.drop_table("old_reservations")


def _codebooks() -> None:
    op.create_table(
        "codebook_migrations", *keys(old_hash=_ID, new_hash=_ID), *filled(steps=sa.JSON, created_at=_MOMENT)
    )


def _models() -> None:
    """The tables for scores were never written to before this revision."""
    op.drop_table("scores")
    op.drop_table("embeddings")
    op.create_table(
        "models",
        *keys(id=_ID),
        *filled(kind=sa.String(80), labels=sa.JSON, thresholds=sa.JSON, exclusive=sa.Boolean),
        *filled(codebook_hash=_ID, encoder=sa.Text, created_at=_MOMENT),
    )
    op.create_table(
        "scores",
        *keys(model_id=_ID, sentence_number=sa.Integer),
        *filled(probabilities=sa.LargeBinary, entropy=sa.Float, margin=sa.Float, top=sa.Float),
    )
    for column in ("entropy", "margin", "top"):
        op.create_index(f"scores_by_{column}", "scores", ["model_id", column])
    op.create_table("embeddings", *keys(model_id=_ID, sentence_number=sa.Integer), *filled(vector=sa.LargeBinary))


REVISIONS = {"0002": _to_0002}
"""What makes each revision of the one before it. The tables of 0001, the first, are in the tests."""
