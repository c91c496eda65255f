"""An open database of the newest schema, and its transactions: what every part of the store is built on.

Here too: how SQLite and PostgreSQL are set up so that several processes can share a store, and the upgrade of stores
that an older version of communique wrote.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from labels.errors import InputError, StoreError
from labels.settings import command, shown_url, sqlite_file, store_name, store_url
from labels.store import schema

WRITES = "communique_writes"
"""Execution option of a transaction that will write: it takes the write lock when it begins.

A transaction that first reads and then asks for the lock can fail half-way: SQLite refuses the lock at once if another
process wrote since the read, however long the busy timeout is.
"""

HEAD = "0002"
"""The newest revision of the tables, as `labels.store.schema` makes it; a test compares them."""

_BUSY_SECONDS = 60
_LOCK = 0x636F6D6D
"""The advisory lock of a store on PostgreSQL. Only writers take it, so readers never wait."""
_BATCH = 400
"""How many values one statement lists: SQLite allows 999 variables in older builds."""
_OURS = {"documents", "sentences", "events"}
"""Tables that every version of the store has."""

T = TypeVar("T")


def open_engine(url: sa.URL) -> sa.Engine:
    """An engine for the database; nothing is connected yet.

    Raises:
        InputError: a parameter of the URL has a value that it cannot have.
    """
    try:
        # An idle connection may have been cut (the server restarted, a firewall closed it): test it, and reconnect.
        engine = sa.create_engine(url, pool_pre_ping=url.get_backend_name() == "postgresql")
    except (TypeError, ValueError) as error:
        raise InputError(f"{shown_url(url)}: a parameter of this URL cannot be used ({error}). Fix it.") from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    elif engine.dialect.name == "postgresql":
        sa.event.listen(engine, "begin", _begin_postgresql)
    return engine


def _set_up_sqlite(connection: Any, _: object) -> None:
    # The driver's own transactions begin at the first write and end at each CREATE TABLE: ours begin in
    # `_begin_sqlite`.
    connection.isolation_level = None
    # SQLite's own `lower` changes ASCII letters only, so a search would not find “Örebro” under “örebro”.
    connection.create_function("lower", 1, lambda text: None if text is None else text.lower(), deterministic=True)
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")
    with suppress(sqlite3.OperationalError):
        # WAL lets readers go on while one process writes. The mode is stored in the file, and the busy timeout does not
        # apply to setting it: where the file is locked, another process is setting it at this moment.
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _begin_postgresql(connection: sa.Connection) -> None:
    if _writes(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def _writes(connection: sa.Connection) -> bool:
    return bool(connection.get_execution_options().get(WRITES, False))


def now() -> str:
    """The present moment in UTC, ISO 8601 to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def last_midnight() -> str:
    """When today began in the time zone of this machine, as `now` writes moments."""
    here = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    return here.astimezone(UTC).isoformat(timespec="microseconds")


def schema_version(connection: sa.Connection) -> str | None:
    """The revision of a store, None for an empty database."""
    table = schema.revisions
    if not sa.inspect(connection).has_table(table.name):
        return None
    return connection.execute(sa.select(table.c.version_num)).scalar()


def migrate(connection: sa.Connection, url: str) -> None:
    """Create or upgrade the tables, within a transaction that writes.

    Raises:
        StoreError: the store was written by a newer communique, or the database is something else's.
    """
    version = schema_version(connection)
    if version == HEAD:
        return
    tables = set(sa.inspect(connection).get_table_names()) - {schema.revisions.name}
    if tables and not (version and tables >= _OURS):
        raise StoreError(
            f"{url}: this database is not a communique store, it has tables of another program. Name another file."
        )
    if version is not None and version > HEAD:
        raise StoreError(
            f"{url}: this store has schema version {version}, this version of communique knows up to {HEAD}. "
            "Upgrade communique (`pip install -U communique`), or name another store."
        )
    if not tables:
        schema.metadata.create_all(connection)
        schema.revisions.create(connection, checkfirst=True)
        connection.execute(sa.delete(schema.revisions))
        connection.execute(sa.insert(schema.revisions).values(version_num=HEAD))
    elif version:
        upgrade(connection, version)


def upgrade(connection: sa.Connection, version: str) -> None:
    """Bring the tables of an older revision to the newest."""
    # Imported here because opening a store of the newest revision does not need Alembic.
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    # `alembic.command.upgrade` would need an `env.py` and begin its own transactions. Here, all revisions are one
    # transaction, the caller's: an upgrade that fails leaves the store as it was.
    with Operations.context(MigrationContext.configure(connection)) as operations:
        for revision, make in schema.REVISIONS.items():
            if revision > version:
                make(operations)
    connection.execute(sa.update(schema.revisions).values(version_num=HEAD))


class Database:
    """An open database of the newest schema; `close()` it.

    Args:
        store: path of a SQLite file, or a SQLAlchemy URL.
        create: make the SQLite file if it is absent.

    `url` is its URL, `name` what `store_name` calls it; neither shows a password.

    Raises:
        InputError: the SQLite file is absent or empty and `create` is false; or as `labels.settings.store_url`.
        StoreError: it cannot be opened, has a newer schema version, or is not a store.
    """

    def __init__(self, store: str | Path, *, create: bool = True) -> None:
        url = store_url(store)
        self.url = shown_url(url)
        self.name = store_name(store)
        file = sqlite_file(url)
        # SQLite would turn any empty file into a database.
        if not create and file is not None and not (file.is_file() and file.stat().st_size > 0):
            fill = command("ingest", "ARTICLES", store=store)
            raise InputError(f"{store}: there is no such label store. Fill one with `{fill}`.")
        with self._explained("opened"):
            self._engine = open_engine(url)
            try:
                self._bring_to_head()
            except BaseException:
                self.close()
                raise

    def _bring_to_head(self) -> None:
        # Look without the lock first: opening a store must not wait for a process that is writing to it.
        with self._engine.connect() as connection:
            ready = schema_version(connection) == HEAD
        if not ready:
            with self._write_lock() as connection:
                migrate(connection, self.url)

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads. It never waits for a writer.

        Raises:
            StoreError: the database refuses.
        """
        with self._explained("read"), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that holds the one write lock from its start; if it raises, nothing of it is kept.

        What it reads cannot change before it ends, so that a check and the write that depends on it belong in one.

        Raises:
            StoreError: the database refuses.
        """
        with self._explained("written"), self._write_lock() as connection:
            yield connection

    @contextmanager
    def _write_lock(self) -> Iterator[sa.Connection]:
        with self._engine.execution_options(**{WRITES: True}).begin() as connection:
            yield connection

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sa.exc.SQLAlchemyError, ModuleNotFoundError, UnicodeEncodeError, OverflowError) as error:
            cause = getattr(error, "orig", None) or error
            reason = str(cause).partition("\n")[0] or type(cause).__name__
            raise StoreError(
                f"{self.url}: the store could not be {what} ({reason}). Nothing was half-written. "
                "Check that the path or URL is a communique store and can be written."
            ) from error


class Part:
    """A part of the store: its own tables, the shared database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _rows(self, query: sa.Select[*tuple[Any, ...]]) -> Sequence[sa.Row[*tuple[Any, ...]]]:
        """All rows of a query, read in a transaction of its own."""
        with self._database.reading() as connection:
            return connection.execute(query).all()

    def _column(self, query: sa.Select[T]) -> list[T]:
        """The values of a query of one column, read in a transaction of its own."""
        return [value for (value,) in self._rows(query)]


def insert_new(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> int:
    """Insert the rows whose key is not there yet; how many were."""
    if not rows:
        return 0
    # "ON CONFLICT" is not part of SQLAlchemy's common dialect. The engine has loaded its own; importing both by name
    # would delay every command by the one that is not used.
    dialect = import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
    statement = dialect.insert(table).on_conflict_do_nothing()
    options = {"preserve_rowcount": True}
    return int(connection.execute(statement, rows, execution_options=options).rowcount)


def count_rows(connection: sa.Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    """How many rows of a table meet all conditions."""
    query = sa.select(sa.func.count()).select_from(table).where(*conditions)
    return int(connection.execute(query).scalar_one())


def rows_among(
    connection: sa.Connection, query: sa.Select[Any], column: sa.ColumnElement[Any], values: Iterable[Any]
) -> Iterator[sa.Row[*tuple[Any, ...]]]:
    """The rows of `query` whose `column` is one of `values`, each value looked up once, whatever their number."""
    for batch in batches(dict.fromkeys(values)):
        yield from connection.execute(query.where(column.in_(batch)))


def batches(values: Iterable[T], size: int = _BATCH) -> Iterator[list[T]]:
    """Lists of at most `size` values, since a statement has room for only so many."""
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch
