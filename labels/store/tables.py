"""The tables of the label store in SQLAlchemy Core, and the conditions and functions that queries share.

A new store is created from the tables; `labels.store.revisions` upgrades an older store, and a test compares the two.
Times are ISO 8601 in UTC with microseconds, so they sort correctly as text.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Float, Index, Integer, LargeBinary, String, Table, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from labels.records import DATE_LENGTH, LANGUAGE_LENGTH
from labels.unicode import COMPOUND_PARTS, IGNORED, LINE_END, REPLACED

metadata = sa.MetaData()
_ID, _NAME, _MOMENT, _WORD = String(64), String(200), String(40), String(16)


class _Tuple(sa.TypeDecorator[tuple[Any, ...]]):
    """A JSON array that is read as a tuple, the type used in `labels.records`."""

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
    # The id of the earlier version if the article was edited; otherwise empty.
    Column("version_of", _ID, nullable=False, server_default=""),
    Index("documents_by_version", "version_of"),
)

# Other ids of documents and sentences, see `labels.store.texts.identity`.
aliases = Table("aliases", metadata, *keys(alias=_ID), Column("id", _ID, nullable=False, index=True))

# Hashes of the provenance without the text, by which a later version of a document is found.
document_keys = Table(
    "document_keys", metadata, *keys(key=_ID, document_id=_ID), Index("keys_by_document", "document_id")
)

# Documents that were withdrawn from the store. The text of a purged document was erased.
removals = Table("removals", metadata, *keys(document_id=_ID), *filled(purged=Boolean, created_at=_MOMENT))

# Hashes of the sentences of purged documents, by which a later version of such a document is recognized.
erased_sentences = Table(
    "erased_sentences", metadata, *keys(sentence_id=_ID), Column("hash", _ID, nullable=False, index=True)
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
    Column("heading", Boolean, nullable=False, server_default=sa.false()),
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
    Column("basis", _WORD, nullable=False, server_default=""),
    Column("informed", Boolean, nullable=False, server_default=sa.false()),
    # The event that an undo of an import withdraws; empty for an undo of the last decision.
    Column("undoes", _ID, nullable=False, server_default=""),
    Index("events_by_sentence", "sentence_id", "annotator"),
)

# Annotators who have looked at other annotators' decisions on a sentence, and since when.
unblinded = Table("unblinded", metadata, *keys(sentence_id=_ID, annotator=_NAME), *filled(created_at=_MOMENT))

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

# Imports of events, and undone imports, with the numbers of their first and last event.
imports = Table(
    "imports",
    metadata,
    *keys(id=_ID),
    *filled(source=Text, format=String(80), created_at=_MOMENT, undoes=_ID, first_seq=Integer, last_seq=Integer),
)

# Former names of annotators, under which later imports may still record them.
former_names = Table("former_names", metadata, *keys(former=_NAME), Column("annotator", _NAME, nullable=False))

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
    # Set when the annotator's open draws are ended; sentences without a decision are then free again.
    Column("released_at", _MOMENT),
    # The frame of a probability sample, see `labels.store.Frame`.
    *optional(frame_last=Integer, frame_seq=Integer, frame_held=_Tuple(none_as_null=True)),
)

draw_items = Table(
    "draw_items",
    metadata,
    *keys(draw_id=_ID, sentence_id=_ID),
    *filled(position=Integer, stratum=Text),
    *optional(inclusion_probability=Float, previous=_Tuple(none_as_null=True), stratum_size=Integer),
    Column("cluster", _ID, nullable=False, server_default=""),
    Index("draw_items_by_sentence", "sentence_id"),
)

# An entry waits until a decision from a "relabel" draw that is later than event `after_seq` stands on its sentence.
relabelling = Table(
    "relabelling",
    metadata,
    *keys(seq=Integer),
    Column("sentence_id", _ID, nullable=False, index=True),
    *filled(source=String(40), reason=Text, previous=_Tuple, after_seq=Integer, created_at=_MOMENT),
    # The number of annotators who must have made such a decision.
    Column("coders", Integer, nullable=False, server_default="1"),
)

reservations = Table(
    "reservations", metadata, *keys(sentence_id=_ID, annotator=_NAME), *filled(draw_id=_ID, expires_at=_MOMENT)
)

# Open windows of annotators, to warn of a second window.
windows = Table(
    "windows", metadata, *keys(id=_ID), *filled(annotator=_NAME, host=Text, process=Integer, seen_at=_MOMENT)
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


# -- conditions of queries that several parts of the store share


def is_removed(sentence_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Condition: the sentence belongs to a removed or purged document."""
    removed = sa.select(removals.c.document_id)
    return sentence_id.in_(sa.select(sentences.c.id).where(sentences.c.document_id.in_(removed)))


def decided_by_anyone(sentence_id: sa.ColumnElement[str]) -> sa.Exists:
    """Condition: a decision of any annotator stands on the sentence."""
    return sa.exists().where(decisions.c.sentence_id == sentence_id)


# -- the search form of a text (`labels.unicode.search_form`) in the queries of both databases

SEARCH_FORM = "search_form"
"""The name under which SQLite knows the Python function."""

_CASELESS = {"ς": "σ", "ß": "ss"}
"""Letters that `casefold` changes and PostgreSQL's `lower` does not."""


class SearchForm(FunctionElement[str]):
    """The search form of a text column: compare it with the search form of the searched words."""

    type = sa.Text()
    inherit_cache = True
    name = SEARCH_FORM


@compiles(SearchForm)
def _on_sqlite(element: SearchForm, compiler: SQLCompiler, **options: Any) -> str:
    return f"{SEARCH_FORM}({compiler.process(element.clauses, **options)})"


@compiles(SearchForm, "postgresql")
def _on_postgresql(element: SearchForm, compiler: SQLCompiler, **options: Any) -> str:
    """Compile to `normalize` and `translate`, because PostgreSQL cannot call Python functions."""
    (text,) = element.clauses
    joined = sa.func.regexp_replace(text, f"\u00ad{LINE_END}", "", "g")
    compounds = "|".join((*COMPOUND_PARTS, *map(str.capitalize, COMPOUND_PARTS)))
    for before, kept in ((rf"\m({compounds})-", r"\1-"), ("([[:alpha:]])-", r"\1")):
        joined = sa.func.regexp_replace(joined, f"{before}{LINE_END}(?=[[:lower:]])", kept, "g")
    plain = _translated(sa.func.normalize(_translated(joined), sa.literal_column("NFKC")))
    folded = sa.func.lower(sa.func.regexp_replace(plain, " +", " ", "g"))
    for letter, other in _CASELESS.items():
        folded = sa.func.replace(folded, letter, other)
    return compiler.process(folded, **options)


def _translated(text: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    # `translate` deletes the characters without a counterpart, which are at the end.
    return sa.func.translate(text, "".join(REPLACED) + IGNORED, "".join(REPLACED.values()))
