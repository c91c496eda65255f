"""The revisions that upgrade a store written by an older version of communique.

Each revision is a function in `REVISIONS`, run with Alembic's operations in the caller's transaction. Never change a
published revision, even if the tables or the rules of `labels.records` change: this module has its own copies.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, String, Text

from labels.store import tables
from labels.store.tables import filled, keys, optional

if TYPE_CHECKING:
    from alembic.operations import Operations

_ID, _NAME, _MOMENT, _WORD = String(64), String(200), String(40), String(16)
_FILES = (".txt", ".md", ".html", ".htm")
_TABLES = (".jsonl", ".csv", ".parquet", ".json")
_TOOLS = ("prodigy:", "label-studio:", "label-studio-min:", "doccano:", "argilla:")
_BATCH = 400


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


def _to_0003(op: Operations) -> None:
    """Add aliases of ids, keys to find versions of documents, and removals.

    Documents keep the ids that earlier releases gave them, so no other table changes. Each document gets the ids that
    `labels.records` now gives to the same data as aliases. The store does not record whether a source was stated by the
    data or was the name of a file, so every possible id is added; unused ids are harmless.
    """
    op.add_column("documents", Column("version_of", _ID, nullable=False, server_default=""))
    op.create_index("documents_by_version", "documents", ["version_of"])
    op.create_table("aliases", Column("alias", _ID, primary_key=True), Column("id", _ID, nullable=False, index=True))
    op.create_table("document_keys", Column("key", _ID, primary_key=True), Column("document_id", _ID, primary_key=True))
    op.create_index("keys_by_document", "document_keys", ["document_id"])
    op.create_table(
        "removals",
        Column("document_id", _ID, primary_key=True),
        Column("purged", Boolean, nullable=False),
        Column("created_at", _MOMENT, nullable=False),
    )
    connection = op.get_bind()
    _fill_aliases(connection)
    _fill_keys(connection)


def _fill_aliases(connection: sa.Connection, *, trimmed: bool = False) -> None:
    aliases = sa.table("aliases", sa.column("alias"), sa.column("id"))
    taken = set(connection.execute(sa.text("SELECT id FROM documents UNION SELECT alias FROM aliases")).scalars())
    for rows in _documents(connection):
        new = []
        for row in (row for row in rows if row.text):  # the text of a purged document is erased
            text = _trimmed(row.text) if trimmed else _plain(row.text)
            for alias in dict.fromkeys(_new_ids(row, text)):
                if alias not in taken:
                    taken.add(alias)
                    new.append({"alias": alias, "id": row.id})
        if new:
            connection.execute(sa.insert(aliases), new)


def _fill_keys(connection: sa.Connection) -> None:
    keys = sa.table("document_keys", sa.column("key"), sa.column("document_id"))
    for rows in _documents(connection):
        new = [{"key": key, "document_id": row.id} for row in rows for key in dict.fromkeys(_keys(row))]
        if new:
            connection.execute(sa.insert(keys), new)


def _documents(connection: sa.Connection) -> Iterator[Sequence[Any]]:
    """Yield the rows of documents in batches, in the order of their ids."""
    ids = list(connection.execute(sa.text("SELECT id FROM documents ORDER BY id")).scalars())
    documents = sa.table("documents", *(sa.column(name) for name in ("id", "source", "url", "title", "date", "text")))
    for first in range(0, len(ids), _BATCH):
        batch = sa.select(documents).where(documents.c.id.in_(ids[first : first + _BATCH]))
        yield connection.execute(batch.order_by(documents.c.id)).all()


def _new_ids(row: Any, text: str) -> Iterator[str]:
    """Yield the ids that the document can have today with this text, the most probable first."""
    source, url, date = (_plain(value) for value in (row.source, row.url, row.date))
    source, url, date = source.strip(), _plain_url(url.strip()), date.strip()
    if source.endswith((*_FILES, *_TABLES)) or source.startswith(_TOOLS):
        yield _id_of(text, url=url)
    yield _id_of(text, url=url, source=source, date=date if source else "")
    yield _id_of(text, url=url, identifier=re.sub(r"\A(-?\d{1,15})\.0\Z", r"\1", source))


def _id_of(text: str, **origin: str) -> str:
    stated = {name: value for name, value in origin.items() if value}
    return _digest(f"{json.dumps(stated, ensure_ascii=False, sort_keys=True)}\n{text}")


def _keys(row: Any) -> Iterator[str]:
    """Yield the keys by which a later version of the document is found; see `labels.store.texts.versions`."""
    source, url, title, date = (_plain(value).strip() for value in (row.source, row.url, row.title, row.date))
    if url:
        yield "url:" + _digest(_plain_url(url))
    if title:
        yield "title:" + _digest(f"{source}\n{title}")
    if date and not url and not title:
        yield "date:" + _digest(f"{source}\n{date}")
    if not source.endswith(_TABLES):
        yield "name:" + _digest(source)


def _plain_url(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.scheme.lower() not in ("http", "https"):
        return url
    return urlunsplit(("https", parts.netloc.lower(), parts.path.rstrip("/"), parts.query, ""))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in _plain(text).split("\n")).strip()


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _to_0004(op: Operations) -> None:
    """Add the mark of headings; stored sentences get it when their document is split again."""
    op.add_column("sentences", Column("heading", Boolean, nullable=False, server_default=sa.false()))


def _to_0005(op: Operations) -> None:
    """Allow the state `not_a_sentence`, which needs no change of the tables.

    The revision exists because an earlier release would read this state as a review without labels.
    """


def _to_0006(op: Operations) -> None:
    """Add the time at which a draw was released."""
    op.add_column("draws", Column("released_at", _MOMENT))


def _to_0007(op: Operations) -> None:
    """Add the open windows of annotators."""
    columns = filled(annotator=_NAME, host=Text, process=Integer, seen_at=_MOMENT)
    op.create_table("windows", Column("id", _ID, primary_key=True), *columns)


def _to_0008(op: Operations) -> None:
    """Add the number of annotators who label a queued sentence again."""
    op.add_column("relabelling", Column("coders", Integer, nullable=False, server_default="1"))


def _to_0009(op: Operations) -> None:
    """Add hashes of erased sentences, and the ids of documents without white space at the ends of their lines."""
    op.create_table(
        "erased_sentences",
        Column("sentence_id", _ID, primary_key=True),
        Column("hash", _ID, nullable=False, index=True),
    )
    _fill_aliases(op.get_bind(), trimmed=True)


def _to_0010(op: Operations) -> None:
    """Allow the strategy "planted", which needs no change of the tables.

    The revision exists because an earlier release would count these decisions like any others.
    """


def _to_0011(op: Operations) -> None:
    """Add what a decision rests on, and who looked at other annotators' decisions on a sentence."""
    op.add_column("events", Column("basis", _WORD, nullable=False, server_default=""))
    op.add_column("events", Column("informed", Boolean, nullable=False, server_default=sa.false()))
    op.create_table("unblinded", *keys(sentence_id=_ID, annotator=_NAME), *filled(created_at=_MOMENT))


def _to_0012(op: Operations) -> None:
    """Add the batches of imported events, the events that an undone import withdraws, and former names."""
    op.add_column("events", Column("undoes", _ID, nullable=False, server_default=""))
    op.create_table(
        "imports",
        *keys(id=_ID),
        *filled(source=Text, format=String(80), created_at=_MOMENT, undoes=_ID, first_seq=Integer, last_seq=Integer),
    )
    op.create_table("former_names", *keys(former=_NAME), Column("annotator", _NAME, nullable=False))


def _to_0013(op: Operations) -> None:
    """Add the frames of draws, the sizes of strata, and clusters."""
    for column in optional(frame_last=Integer, frame_seq=Integer, frame_held=sa.JSON(none_as_null=True)):
        op.add_column("draws", column)
    op.add_column("draw_items", Column("stratum_size", Integer))
    op.add_column("draw_items", Column("cluster", _ID, nullable=False, server_default=""))


REVISIONS = {
    "0002": _to_0002,
    "0003": _to_0003,
    "0004": _to_0004,
    "0005": _to_0005,
    "0006": _to_0006,
    "0007": _to_0007,
    "0008": _to_0008,
    "0009": _to_0009,
    "0010": _to_0010,
    "0011": _to_0011,
    "0012": _to_0012,
    "0013": _to_0013,
}
"""One function per revision, which upgrades from the previous revision. The tests have the tables of revision 0001."""


def upgrade(connection: sa.Connection, version: str) -> None:
    """Upgrade the tables from an older revision to the newest."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    # `alembic.command.upgrade` would need an `env.py` and begin its own transactions. Here, all revisions run in the
    # caller's transaction: a failed upgrade leaves the store unchanged.
    with Operations.context(MigrationContext.configure(connection)) as operations:
        for revision, make in REVISIONS.items():
            if revision > version:
                make(operations)
    connection.execute(sa.update(tables.revisions).values(version_num=max(REVISIONS)))
