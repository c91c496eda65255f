"""The label store: documents, sentences, codebooks, append-only annotation events, draws.

The only place with SQL. Events are never changed or deleted. Every public method is one transaction: it happens whole
or not at all.
"""

from __future__ import annotations

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
from labels.store.engine import WRITES, open_engine, store_url
from labels.store.migrations import HEAD, migrate, schema_version
from labels.store.rows import Draw, event_of, event_row, implied_draws

T = TypeVar("T")
_BATCH = 400


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
        url = store_url(store)
        self.url = url.render_as_string()
        if not create and "://" not in str(store) and not Path(store).expanduser().is_file():
            raise InputError(f"{store}: there is no such label store. Fill one with `communique ingest ARTICLES`.")
        with self._explained("opened"):
            self._engine = open_engine(url)
            with self._engine.connect() as connection:
                ready = schema_version(connection) == HEAD
            if not ready:
                with self._writing() as connection:
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
    def _writing(self) -> Iterator[sa.Connection]:
        with self._engine.execution_options(**{WRITES: True}).begin() as connection:
            yield connection

    @contextmanager
    def _transaction(self, what: str) -> Iterator[sa.Connection]:
        begin = self._writing if what == "written" else self._engine.begin
        with self._explained(what), begin() as connection:
            yield connection

    def _insert_new(self, connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> int:
        """Insert the rows whose key is not there yet; how many were."""
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        inserted = 0
        for batch in _batches(rows):
            statement = dialect.insert(table).values(batch).on_conflict_do_nothing()
            inserted += connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount
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
            for batch in _batches(dict.fromkeys(ids)):
                found += [Sentence(*row) for row in connection.execute(query.where(table.c.id.in_(batch)))]
            return sorted(found, key=lambda sentence: (sentence.document_id, sentence.start))

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
            return {row.id: row.date for row in rows}

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
            known = self._known_events(connection, [event.event_id for event in events])
            new = [event for event in events if event.event_id not in known]
            for draw in implied_draws(new, now()):
                self._insert_draw(connection, draw)
            table = schema.reservations
            for batch in _batches([event.sentence_id for event in new if event.event != "undo"]):
                connection.execute(sa.delete(table).where(table.c.sentence_id.in_(batch)))
            return self._insert_new(connection, schema.events, [event_row(event) for event in new])

    def _known_events(self, connection: sa.Connection, ids: Sequence[str]) -> set[str]:
        column = schema.events.c.event_id
        return {
            identifier
            for batch in _batches(ids)
            for identifier in connection.execute(sa.select(column).where(column.in_(batch))).scalars()
        }

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
                return [event_of(row) for row in connection.execute(query).mappings()]
            found: list[sa.RowMapping] = []
            for batch in _batches(dict.fromkeys(sentence_ids)):
                found += connection.execute(query.where(events.c.sentence_id.in_(batch))).mappings()
            return [event_of(row) for row in sorted(found, key=lambda row: int(row["seq"]))]

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
            False, with nothing written, when one of them is reserved by someone or decided on by now.
        """
        table = schema.reservations
        ids = [identifier for identifier, _ in draw.items]
        with self._transaction("written") as connection:
            connection.execute(sa.delete(table).where(table.c.expires_at <= now()))
            if self._taken(connection, ids):
                return False
            self._renew(connection, ids, draw.annotator, draw.id, expires_at)
            self._insert_draw(connection, draw)
            return True

    def _taken(self, connection: sa.Connection, ids: Sequence[str]) -> bool:
        """Whether someone holds or has decided on one of the sentences."""
        held, sentences = schema.reservations.c.sentence_id, schema.sentences.c.id
        return any(
            connection.execute(query.limit(1)).first() is not None
            for batch in _batches(ids)
            for query in (
                sa.select(held).where(held.in_(batch)),
                sa.select(sentences).where(sentences.in_(batch), sentences.in_(_decided())),
            )
        )

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
    """Ids of sentences on which a decision of anyone stands, as `labels.history` folds events.

    An undo with nothing to take back counts for nothing: the balance is taken from its lowest point, if below zero.
    """
    events = schema.events
    step = sa.case((events.c.event == "undo", -1), else_=1)
    who = (events.c.sentence_id, events.c.annotator)
    balance = sa.func.sum(step).over(partition_by=who, order_by=events.c.seq)
    running = sa.select(*who, step.label("step"), balance.label("balance")).subquery()
    lowest, last = sa.func.min(running.c.balance), sa.func.sum(running.c.step)
    return (
        sa.select(running.c.sentence_id)
        .group_by(running.c.sentence_id, running.c.annotator)
        .having(last > sa.case((lowest < 0, lowest), else_=0))
    )


def _reserved_by_others(annotator: str) -> sa.Select[tuple[str]]:
    table = schema.reservations
    return sa.select(table.c.sentence_id).where(table.c.annotator != annotator, table.c.expires_at > now())
