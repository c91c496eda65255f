"""The label store: documents, sentences, codebooks, append-only annotation events, draws.

The only place with SQL. Events are never changed or deleted. Every public method is one transaction: it happens whole
or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from labels.codebook import Codebook, dump_codebook, parse_codebook
from labels.errors import InputError, StoreError
from labels.records import Annotation, Document, Sentence
from labels.store import schema
from labels.store.migrations import migrate

T = TypeVar("T")
_BATCH = 400
_BUSY_SECONDS = 30


@dataclass(frozen=True)
class Draw:
    """A sample of sentences handed to one annotator, with how it was drawn.

    `items` are (sentence id, inclusion probability) in the order to be shown; the probability is in (0, 1], or None
    where it is unknown.
    """

    id: str
    strategy: str
    annotator: str
    frame_hash: str
    frame_size: int | None
    seed: int | None
    created_at: str
    items: tuple[tuple[str, float | None], ...] = ()
    model_id: str = ""


@dataclass(frozen=True)
class Counts:
    """What a store holds."""

    documents: int
    sentences: int
    boilerplate: int
    events: int
    annotators: int


def now() -> str:
    """The present moment in UTC, ISO 8601 to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def store_url(store: str | Path) -> str:
    """The database URL of a store given as a URL or as a path of a SQLite file."""
    return str(store) if "://" in str(store) else f"sqlite:///{Path(store).expanduser()}"


class Store:
    """An open label store. Use as a context manager, or `close()` it.

    Args:
        store: path of a SQLite file, or a SQLAlchemy URL.
        create: make the SQLite file if it is absent.

    Raises:
        InputError: the SQLite file is absent and `create` is false.
        StoreError: it cannot be opened, is of a newer schema version, or no store at all.
    """

    def __init__(self, store: str | Path, *, create: bool = True) -> None:
        self.url = store_url(store)
        if not create and "://" not in str(store) and not Path(store).expanduser().is_file():
            raise InputError(f"{store}: there is no such label store. Fill one with `communique ingest ARTICLES`.")
        with self._explained("opened"):
            self._engine = sa.create_engine(self.url)
            if self._engine.dialect.name == "sqlite":
                sa.event.listen(self._engine, "connect", _tune_sqlite)
            with self._engine.begin() as connection:
                migrate(connection, self.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sa.exc.SQLAlchemyError, ModuleNotFoundError) as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise StoreError(
                f"{self.url}: the store could not be {what} ({reason}). Nothing was half-written. "
                "Check that the path or URL is a communique store and can be written."
            ) from error

    @contextmanager
    def _transaction(self, what: str) -> Iterator[sa.Connection]:
        with self._explained(what), self._engine.begin() as connection:
            yield connection

    def _insert_new(self, connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> int:
        """Insert the rows whose key is not there yet; how many were."""
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        inserted = 0
        for batch in _batches(rows):
            statement = dialect.insert(table).values(batch).on_conflict_do_nothing()
            inserted += connection.execute(statement).rowcount
        return inserted

    # -- documents and sentences

    def add_documents(self, documents: Iterable[tuple[Document, Sequence[Sentence]]]) -> tuple[int, int]:
        """Add documents with their sentences; those already there are left as they are.

        Returns:
            How many documents and how many sentences were new.
        """
        document_rows: list[dict[str, Any]] = []
        sentence_rows: list[dict[str, Any]] = []
        for document, sentences in documents:
            document_rows.append({"id": document.id, **asdict(document)})
            sentence_rows += [{"id": sentence.id, **asdict(sentence)} for sentence in sentences]
        with self._transaction("written") as connection:
            return (
                self._insert_new(connection, schema.documents, document_rows),
                self._insert_new(connection, schema.sentences, sentence_rows),
            )

    def add_sentences(self, sentences: Iterable[Sentence]) -> int:
        """Add sentences whose documents are elsewhere; how many were new."""
        rows = [{"id": sentence.id, **asdict(sentence)} for sentence in sentences]
        with self._transaction("written") as connection:
            return self._insert_new(connection, schema.sentences, rows)

    def document(self, document_id: str) -> Document | None:
        """The document with this id, or None."""
        table = schema.documents
        with self._transaction("read") as connection:
            row = connection.execute(sa.select(table).where(table.c.id == document_id)).mappings().first()
        return None if row is None else Document(**{key: value for key, value in row.items() if key != "id"})

    def sentences(self, ids: Iterable[str] | None = None, *, document_id: str | None = None) -> list[Sentence]:
        """Sentences with their boilerplate, by document and position; all, or those asked for."""
        table = schema.sentences
        columns = [table.c[field.name] for field in fields(Sentence)]
        query = sa.select(*columns).order_by(table.c.document_id, table.c.start)
        if document_id is not None:
            query = query.where(table.c.document_id == document_id)
        with self._transaction("read") as connection:
            if ids is None:
                return [Sentence(*row) for row in connection.execute(query)]
            found: list[Sentence] = []
            for batch in _batches(ids):
                found += [Sentence(*row) for row in connection.execute(query.where(table.c.id.in_(batch)))]
            return found

    def counts(self) -> Counts:
        """How much of everything the store holds."""
        documents, sentences, events = schema.documents, schema.sentences, schema.events
        queries = (
            sa.select(sa.func.count()).select_from(documents),
            sa.select(sa.func.count()).select_from(sentences),
            sa.select(sa.func.count()).select_from(sentences).where(sentences.c.boilerplate != ""),
            sa.select(sa.func.count()).select_from(events),
            sa.select(sa.func.count(events.c.annotator.distinct())),
        )
        with self._transaction("read") as connection:
            return Counts(*(int(connection.execute(query).scalar_one()) for query in queries))

    def document_dates(self) -> dict[str, str]:
        """Document id -> date, for documents that have one."""
        table = schema.documents
        with self._transaction("read") as connection:
            rows = connection.execute(sa.select(table.c.id, table.c.date).where(table.c.date != ""))
            return dict(rows.tuples().all())

    # -- codebooks

    def add_codebook(self, codebook: Codebook) -> None:
        """Keep a version of a codebook under its hash."""
        row = {
            "hash": codebook.hash,
            "name": codebook.name,
            "version": codebook.version,
            "content": dump_codebook(codebook),
        }
        with self._transaction("written") as connection:
            self._insert_new(connection, schema.codebooks, [row])

    def codebook(self, codebook_hash: str) -> Codebook | None:
        """The codebook version with this hash, or None."""
        table = schema.codebooks
        with self._transaction("read") as connection:
            content = connection.execute(sa.select(table.c.content).where(table.c.hash == codebook_hash)).scalar()
        return None if content is None else parse_codebook(content, f"codebook {codebook_hash} of {self.url}")

    # -- events

    def append(self, events: Sequence[Annotation]) -> int:
        """Append events; one whose `event_id` is there already is left as it is. How many were new.

        A decision frees the sentence's reservation.
        """
        with self._transaction("written") as connection:
            for draw in _implied_draws(events):
                self._insert_draw(connection, draw)
            table = schema.reservations
            for batch in _batches([event.sentence_id for event in events if event.event != "undo"]):
                connection.execute(sa.delete(table).where(table.c.sentence_id.in_(batch)))
            return self._insert_new(connection, schema.events, [_event_row(event) for event in events])

    def events(self, *, annotator: str | None = None, sentence_ids: Iterable[str] | None = None) -> list[Annotation]:
        """Events in the order in which they were appended."""
        events, draws, items = schema.events, schema.draws, schema.draw_items
        query = (
            sa.select(events, draws.c.strategy, items.c.inclusion_probability)
            .outerjoin(draws, draws.c.id == events.c.draw_id)
            .outerjoin(items, (items.c.draw_id == events.c.draw_id) & (items.c.sentence_id == events.c.sentence_id))
            .order_by(events.c.seq)
        )
        if annotator is not None:
            query = query.where(events.c.annotator == annotator)
        with self._transaction("read") as connection:
            if sentence_ids is None:
                return [_event(row) for row in connection.execute(query).mappings()]
            found: list[Annotation] = []
            for batch in _batches(sentence_ids):
                rows = connection.execute(query.where(events.c.sentence_id.in_(batch))).mappings()
                found += [_event(row) for row in rows]
            return found

    # -- draws

    def unseen(self, *, at: str | None = None) -> list[str]:
        """Ids, sorted, of sentences that nobody has decided on or holds reserved at the time `at` (default: now)."""
        sentences, held = schema.sentences, schema.reservations
        reserved = sa.select(held.c.sentence_id).where(held.c.expires_at > (at or now()))
        query = (
            sa.select(sentences.c.id)
            .where(sentences.c.boilerplate == "")
            .where(sentences.c.id.not_in(_decided()))
            .where(sentences.c.id.not_in(reserved))
            .order_by(sentences.c.id)
        )
        with self._transaction("read") as connection:
            return list(connection.execute(query).scalars())

    def add_draw(self, draw: Draw, *, expires_at: str) -> bool:
        """Keep a draw and reserve its sentences until `expires_at`.

        Returns:
            False, with nothing written, when one of them was reserved by someone else in the meantime.
        """
        table = schema.reservations
        ids = [identifier for identifier, _ in draw.items]
        with self._explained("written"), self._engine.connect() as connection, connection.begin() as transaction:
            connection.execute(sa.delete(table).where(table.c.expires_at <= now()))
            rows = [
                {"sentence_id": identifier, "annotator": draw.annotator, "draw_id": draw.id, "expires_at": expires_at}
                for identifier in ids
            ]
            if self._insert_new(connection, table, rows) < len(rows):
                transaction.rollback()
                return False
            self._insert_draw(connection, draw)
            return True

    def reserve(self, sentence_id: str, annotator: str, draw_id: str, *, expires_at: str) -> None:
        """Keep a sentence for its annotator again, after an undo; someone else's reservation stands."""
        with self._transaction("written") as connection:
            self._renew(connection, [sentence_id], annotator, draw_id, expires_at)

    def open_draw(self, annotator: str, strategy: str, *, expires_at: str) -> Draw | None:
        """The annotator's last draw of this strategy, if it still holds sentences that nobody decided on or holds.

        What is left of it is reserved anew, until `expires_at`.
        """
        draws, items = schema.draws, schema.draw_items
        query = sa.select(draws).where(draws.c.annotator == annotator, draws.c.strategy == strategy)
        with self._transaction("written") as connection:
            last = connection.execute(query.order_by(draws.c.created_at.desc()).limit(1)).mappings().first()
            if last is None:
                return None
            undecided = sa.select(items.c.sentence_id).where(
                items.c.draw_id == last["id"], items.c.sentence_id.not_in(_decided())
            )
            ids = list(connection.execute(undecided).scalars())
            self._renew(connection, ids, annotator, last["id"], expires_at)
            rows = connection.execute(
                sa.select(items.c.sentence_id, items.c.inclusion_probability)
                .where(items.c.draw_id == last["id"], items.c.sentence_id.not_in(_decided()))
                .where(items.c.sentence_id.not_in(_reserved_by_others(annotator)))
                .order_by(items.c.position)
            )
            pending = tuple((identifier, probability) for identifier, probability in rows)
        return Draw(**last, items=pending) if pending else None

    def _renew(
        self, connection: sa.Connection, ids: Sequence[str], annotator: str, draw_id: str, expires_at: str
    ) -> None:
        """Reserve sentences anew where they are free, expired, or the annotator's own."""
        table = schema.reservations
        free = (table.c.expires_at <= now()) | (table.c.annotator == annotator)
        for batch in _batches(ids):
            connection.execute(sa.delete(table).where(table.c.sentence_id.in_(batch), free))
        rows = [
            {"sentence_id": identifier, "annotator": annotator, "draw_id": draw_id, "expires_at": expires_at}
            for identifier in ids
        ]
        self._insert_new(connection, table, rows)

    def _insert_draw(self, connection: sa.Connection, draw: Draw) -> None:
        row = {key: value for key, value in asdict(draw).items() if key != "items"}
        self._insert_new(connection, schema.draws, [row])
        items = [
            {
                "draw_id": draw.id,
                "sentence_id": identifier,
                "position": position,
                "stratum": "",
                "inclusion_probability": probability,
            }
            for position, (identifier, probability) in enumerate(draw.items)
        ]
        self._insert_new(connection, schema.draw_items, items)


def _batches(values: Iterable[T]) -> Iterator[list[T]]:
    """Lists of at most `_BATCH` values: a statement has room for only so many."""
    rest = iter(values)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _decided() -> sa.Select[tuple[str]]:
    """Ids of sentences on which a decision of anyone stands."""
    events = schema.events
    balance = sa.func.sum(sa.case((events.c.event == "undo", -1), else_=1))
    return sa.select(events.c.sentence_id).group_by(events.c.sentence_id).having(balance > 0)


def _reserved_by_others(annotator: str) -> sa.Select[tuple[str]]:
    table = schema.reservations
    return sa.select(table.c.sentence_id).where(table.c.annotator != annotator, table.c.expires_at > now())


def _implied_draws(events: Sequence[Annotation]) -> Iterator[Draw]:
    """Draws of imported events, which carry a strategy but no draw id of this store."""
    by_key: dict[str, dict[str, float | None]] = {}
    for event in events:
        if event.strategy and not event.draw_id:
            by_key.setdefault(_implied_draw_id(event), {})[event.sentence_id] = event.inclusion_probability
    strategies = {_implied_draw_id(event): event.strategy for event in events if event.strategy}
    for identifier, items in by_key.items():
        yield Draw(identifier, strategies[identifier], "", "", None, None, now(), tuple(items.items()))


def _implied_draw_id(event: Annotation) -> str:
    content = f"import\n{event.annotator}\n{event.strategy}\n{event.inclusion_probability}"
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _event_row(event: Annotation) -> dict[str, Any]:
    row = asdict(event)
    row["labels"] = list(event.labels)
    row["suggestion"] = None if event.suggestion is None else list(event.suggestion)
    row["draw_id"] = event.draw_id or (_implied_draw_id(event) if event.strategy else "")
    del row["strategy"], row["inclusion_probability"]
    return row


def _event(row: sa.RowMapping) -> Annotation:
    values = {key: value for key, value in row.items() if key != "seq"}
    values["labels"] = tuple(values["labels"])
    values["suggestion"] = None if values["suggestion"] is None else tuple(values["suggestion"])
    values["strategy"] = values["strategy"] or ""
    return Annotation(**values)


def _tune_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")
    cursor.close()
