"""The tables of the label store in SQLAlchemy Core, and the revisions that upgrade an older store.

A new store is created from the tables; a test compares a new store with an upgraded store. Times are ISO 8601 in UTC
with microseconds, so they sort correctly as text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Float, Index, Integer, LargeBinary, String, Table, Text

from labels.records import DATE_LENGTH, LANGUAGE_LENGTH

if TYPE_CHECKING:
    from alembic.operations import Operations

metadata = sa.MetaData()
_ID, _NAME, _MOMENT, _WORD = String(64), String(200), String(40), String(16)


class _Tuple(sa.TypeDecorator[tuple[Any, ...]]):
    """A JSON array that is read as a tuple, the type used in our records."""

    impl = sa.JSON
    cache_ok = True

    def process_result_value(self, value: Any, _: object) -> tuple[Any, ...] | None:
        """Convert a value read from the database."""
        return None if value is None else tuple(value)


def keys(**types: Any) -> list[Column[Any]]:
    """Create the columns of a primary key from names and types."""
    return [Column(name, kind, primary_key=True) for name, kind in types.items()]


def filled(**types: Any) -> list[Column[Any]]:
    """Create columns that are never null from names and types."""
    return [Column(name, kind, nullable=False) for name, kind in types.items()]


def optional(**types: Any) -> list[Column[Any]]:
    """Create columns that may be null from names and types."""
    return [Column(name, kind) for name, kind in types.items()]


# The revision of a database, in Alembic's own table. It is separate from the other tables: it has no user data.
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
    # Assigned by the store, from 1 without gaps: a sample is drawn by number, without listing a million ids.
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("id", _ID, nullable=False, unique=True),
    # `document_id` is not a foreign key: annotations can be imported without documents that may not be shared.
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

# The standing decisions, derived from `events` in the same transaction, so they can be counted without folding.
decisions = Table(
    "decisions",
    metadata,
    *keys(sentence_id=_ID, annotator=_NAME, event=_WORD),
    *filled(seq=Integer),
    *optional(state=_WORD),
    # Whether the sentence is in the store and not boilerplate. Unlabelled sentences are counted without a join.
    *filled(labellable=Boolean),
)

# Labels and notes that an annotator has typed and not confirmed yet.
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

# An entry waits until a review from a "relabel" draw, later than the event `after_seq`, stands on its sentence.
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
    # A unit-length vector, float16, little-endian.
    *filled(vector=LargeBinary),
)


# -- revisions that upgrade a store written by an older version of communique
#
# Each revision is a function in `REVISIONS`, run with Alembic's operations in the caller's transaction. Never change a
# published revision, even if the tables above change.


def _to_0002(op: Operations) -> None:
    """Add sentence numbers, standing decisions, drafts, relabelling, codebook changes and new tables of scores."""
    _number_sentences(op)
    _extend_events(op)
    _fold_events(op)
    _extend_draws(op)
    _codebooks(op)
    _models(op)


def _number_sentences(op: Operations) -> None:
    """Rebuild the table of sentences with a gapless number as the primary key."""
    op.drop_index("ix_sentences_document_id", "sentences")
    op.rename_table("sentences", "old_sentences")
    op.create_table(
        "sentences",
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("id", _ID, nullable=False, unique=True),
        *filled(document_id=_ID, start=Integer, end=Integer, text=Text),
        *filled(splitter=String(80), boilerplate=String(40), synthetic=Boolean),
    )
    columns = 'id, document_id, start, "end", text, splitter, boilerplate, synthetic'
    op.execute(
        f"INSERT INTO sentences (number, {columns}) "  # noqa: S608  # names of our own columns
        f"SELECT row_number() OVER (ORDER BY document_id, start, id), {columns} FROM old_sentences"
    )
    op.drop_table("old_sentences")
    op.create_index("sentences_by_document", "sentences", ["document_id", "start"])
    op.create_index("sentences_by_boilerplate", "sentences", ["boilerplate"])


def _extend_events(op: Operations) -> None:
    op.add_column("events", Column("extra", sa.JSON(none_as_null=True)))
    op.create_table(
        "decisions",
        *keys(sentence_id=_ID, annotator=_NAME, event=_WORD),
        *filled(seq=Integer, labellable=Boolean),
        *optional(state=_WORD),
    )
    op.create_table("drafts", *keys(sentence_id=_ID, annotator=_NAME), *filled(labels=sa.JSON, note=Text))


def _fold_events(op: Operations) -> None:
    """Fill `decisions`: an undo reverts the annotator's last standing event on the sentence.

    This code copies the folding used when the revision was written, because `labels.gold` may change.
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


def _extend_draws(op: Operations) -> None:
    op.add_column("draws", Column("query", Text, nullable=False, server_default=""))
    with op.batch_alter_table("draw_items") as items:
        # The column now also stores why a sentence is labelled again; the reason can have any length.
        items.alter_column("stratum", type_=Text(), existing_type=String(80), existing_nullable=False)
        items.add_column(Column("previous", sa.JSON(none_as_null=True)))
    op.create_index("draw_items_by_sentence", "draw_items", ["sentence_id"])
    op.create_table(
        "relabelling",
        Column("seq", Integer, primary_key=True, autoincrement=True),
        Column("sentence_id", _ID, nullable=False, index=True),
        *filled(source=String(40), reason=Text, previous=sa.JSON, after_seq=Integer, created_at=_MOMENT),
    )
    op.rename_table("reservations", "old_reservations")
    op.create_table("reservations", *keys(sentence_id=_ID, annotator=_NAME), *filled(draw_id=_ID, expires_at=_MOMENT))
    op.execute("INSERT INTO reservations SELECT sentence_id, annotator, draw_id, expires_at FROM old_reservations")
    op.drop_table("old_reservations")


def _codebooks(op: Operations) -> None:
    op.create_table(
        "codebook_migrations", *keys(old_hash=_ID, new_hash=_ID), *filled(steps=sa.JSON, created_at=_MOMENT)
    )


def _models(op: Operations) -> None:
    """Replace the tables of scores, which were never filled before this revision."""
    op.drop_table("scores")
    op.drop_table("embeddings")
    op.create_table(
        "models",
        *keys(id=_ID),
        *filled(kind=String(80), labels=sa.JSON, thresholds=sa.JSON, exclusive=Boolean),
        *filled(codebook_hash=_ID, encoder=Text, created_at=_MOMENT),
    )
    op.create_table(
        "scores",
        *keys(model_id=_ID, sentence_number=Integer),
        *filled(probabilities=LargeBinary, entropy=Float, margin=Float, top=Float),
    )
    for column in ("entropy", "margin", "top"):
        op.create_index(f"scores_by_{column}", "scores", ["model_id", column])
    op.create_table("embeddings", *keys(model_id=_ID, sentence_number=Integer), *filled(vector=LargeBinary))


REVISIONS = {"0002": _to_0002}
"""Functions that upgrade to each revision from the previous one. The tables of 0001, the first, are in the tests."""
