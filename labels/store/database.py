"""Connections and transactions of a store; every part of the store is built on them.

This module also sets up SQLite and PostgreSQL for concurrent processes, and upgrades stores written by an older
version of communique.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from labels.environment.settings import check_sqlite_file, shown_url, sqlite_file, store_name, store_url
from labels.errors import InputError, StoreError
from labels.store import tables
from labels.unicode import search_form

WRITES = "communique_writes"
"""Execution option of a transaction that will write: the transaction takes the write lock when it begins.

A transaction that first reads and then asks for the lock can fail midway: if another process wrote since the read,
SQLite refuses the lock at once, regardless of the busy timeout.
"""

HEAD = "0013"
"""The newest revision of the tables; a test compares it with `labels.store.tables`."""

_BUSY_SECONDS = 60
_LOCK = 0x636F6D6D
"""The advisory lock of a store on PostgreSQL. Only writers take the lock, so readers never wait."""
_BATCH = 400
"""Maximum number of values in one statement: older builds of SQLite allow only 999 variables."""
_OURS = {"documents", "sentences", "events"}
"""Tables that every version of the store has."""

T = TypeVar("T")


def open_engine(url: sa.URL) -> sa.Engine:
    """Create an engine for the database, without connecting.

    Raises:
        InputError: a parameter of the URL has an invalid value.
    """
    try:
        # An idle connection may have been cut (the server restarted, a firewall closed it): test it, and reconnect.
        engine = sa.create_engine(url, pool_pre_ping=url.get_backend_name() == "postgresql")
    except (TypeError, ValueError) as error:
        raise InputError(f"{shown_url(url)}: a parameter of this URL is invalid ({error}). Fix the URL.") from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    elif engine.dialect.name == "postgresql":
        sa.event.listen(engine, "begin", _begin_postgresql)
    return engine


def _set_up_sqlite(connection: Any, _: object) -> None:
    # `_begin_sqlite` begins transactions. The driver's own would begin late, and end at each CREATE TABLE.
    connection.isolation_level = None
    connection.create_function(tables.SEARCH_FORM, 1, search_form, deterministic=True)
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")
    with suppress(sqlite3.OperationalError):
        # In WAL mode, readers can continue while one process writes. The mode is stored in the file. The busy timeout
        # does not apply here: if the file is locked, another process is already setting the mode.
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def is_writable(file: Path) -> bool:
    """Return whether this process may write a SQLite file and create the files that SQLite keeps next to it."""
    as_effective_user = os.access in os.supports_effective_ids
    return all(os.access(path, os.W_OK, effective_ids=as_effective_user) for path in (file, file.parent))


def read_only_url(file: Path) -> sa.URL:
    """Return the URL that opens a SQLite file for reading only, also on read-only file systems.

    Raises:
        StoreError: the newest changes are in a separate file that SQLite cannot read on a read-only file system.
    """
    place, query = file.resolve().as_uri(), {"mode": "ro", "uri": "true"}
    try:
        with closing(sqlite3.connect(f"{place}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:
        # In WAL mode, SQLite creates two files next to the store even for reading. Immutable mode does not, but it
        # would ignore the changes that a process which was killed, or is still writing, left in the first file.
        log = file.with_name(f"{file.name}-wal")
        if log.is_file() and log.stat().st_size:
            raise StoreError(
                f"{file}: this store is read-only, and its newest changes are in {log.name}, which cannot be read in "
                f"this folder. Copy {file.name} and {log.name} to a writable folder and open the copy with --store."
            ) from None
        query["immutable"] = "1"
    return sa.URL.create("sqlite", database=place, query=query)


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _begin_postgresql(connection: sa.Connection) -> None:
    if _writes(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def _writes(connection: sa.Connection) -> bool:
    return bool(connection.get_execution_options().get(WRITES, False))


@contextmanager
def explained(url: str, what: str) -> Iterator[None]:
    """Report errors of a database, in a block in which a store is opened, read or written (`what`).

    Raises:
        StoreError: the database reports an error.
    """
    try:
        yield
    except (sa.exc.SQLAlchemyError, sqlite3.Error, ModuleNotFoundError, UnicodeEncodeError, OverflowError) as error:
        cause = getattr(error, "orig", None) or error
        reason = str(cause).partition("\n")[0] or type(cause).__name__
        check = "Check that the path or URL is a communique store"
        repair = f"{check}." if what == "read" else f"No partial changes were saved. {check} and is writable."
        raise StoreError(f"{url}: the store could not be {what} ({reason}). {repair}") from error


def now() -> str:
    """Return the current time in UTC, ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def last_midnight() -> str:
    """Return the start of today in the time zone of this machine, in the format of `now`."""
    here = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    return here.astimezone(UTC).isoformat(timespec="microseconds")


def schema_version(connection: sa.Connection) -> str | None:
    """Return the revision of a store, or None for an empty database."""
    table = tables.revisions
    if not sa.inspect(connection).has_table(table.name):
        return None
    return connection.execute(sa.select(table.c.version_num)).scalar()


def migrate(connection: sa.Connection, url: str) -> None:
    """Create or upgrade the tables, within a writing transaction.

    Raises:
        StoreError: the store was written by a newer version of communique, or the database belongs to another program.
    """
    version = schema_version(connection)
    if version == HEAD:
        return
    found = set(sa.inspect(connection).get_table_names()) - {tables.revisions.name}
    if found and not (version and found >= _OURS):
        raise StoreError(
            f"{url}: this database is not a communique store: it contains tables of another program. Choose another "
            "store."
        )
    if version is not None and version > HEAD:
        raise StoreError(
            f"{url}: this store has schema version {version}, but this version of communique supports versions up to "
            f"{HEAD}. Upgrade communique (`pip install -U communique`), or choose another store."
        )
    if not found:
        tables.metadata.create_all(connection)
        tables.revisions.create(connection, checkfirst=True)
        connection.execute(sa.delete(tables.revisions))
        connection.execute(sa.insert(tables.revisions).values(version_num=HEAD))
    elif version:
        # Imported here because a store of the newest revision does not need the revisions.
        from labels.store.revisions import upgrade

        upgrade(connection, version)


class Database:
    """An open database with the newest tables. Close it with `close()`.

    Args:
        store: path to a SQLite file, or a SQLAlchemy URL.
        create: create the SQLite file if it does not exist.

    `url` is the URL of the store, `name` its name from `store_name`; neither shows a password. `read_only` is true if
    nothing can be written.

    A SQLite file that this process may not write is opened for reading only.

    Raises:
        InputError: the path is a folder, or the SQLite file is missing or empty and `create` is false; see also
            `settings.store_url`.
        StoreError: the store cannot be opened, has a newer schema version, is not a communique store, or has an older
            schema version and is read-only.
    """

    def __init__(self, store: str | Path, *, create: bool = True) -> None:
        url = store_url(store)
        self.url = shown_url(url)
        self.name = store_name(store)
        file = sqlite_file(url)
        check_sqlite_file(url, store, create=create)
        self._new_file = file if file is not None and not file.exists() else None
        self.read_only = url.query.get("mode") == "ro"
        if file is not None and file.is_file() and not is_writable(file):
            self.read_only, url = True, read_only_url(file)
        with explained(self.name, "opened"):
            self._engine = open_engine(url)
            try:
                self._bring_to_head()
            except BaseException:
                self.close()
                raise

    def _bring_to_head(self) -> None:
        # First check without the lock: opening a store must not wait for a process that is writing.
        with self._engine.connect() as connection:
            version = schema_version(connection)
        if self.read_only and version and version < HEAD:
            raise StoreError(
                f"{self.name}: this store has the older schema version {version} and must be upgraded, but it is "
                "read-only. Copy the file to a writable folder and open the copy with --store."
            )
        if version != HEAD:
            with self._write_lock() as connection:
                migrate(connection, self.name)

    def close(self, *, drop_empty: bool = False) -> None:
        """Close all connections; with `drop_empty`, delete a SQLite file that was created here and is still empty."""
        is_unused = drop_empty and self._new_file is not None and self._is_unused()
        self._engine.dispose()
        if is_unused and self._new_file is not None:
            self._new_file.unlink(missing_ok=True)

    def _is_unused(self) -> bool:
        """Return whether the tables are empty and no other process has the SQLite file open."""
        with suppress(sa.exc.SQLAlchemyError, sqlite3.Error), self._engine.connect() as connection:
            if any(connection.execute(sa.select(table).limit(1)).first() for table in tables.metadata.sorted_tables):
                return False
            connection.rollback()
            # SQLite changes the mode only for the last connection. `_begin_sqlite` would start a transaction.
            cursor = connection.connection.cursor()
            cursor.execute("PRAGMA busy_timeout=0")
            return bool(cursor.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",))
        return False

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Begin a transaction that only reads and never waits for a writer.

        Raises:
            StoreError: the database reports an error.
        """
        with explained(self.name, "read"), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Begin a transaction that holds the write lock from the start; an exception rolls everything back.

        Data that the transaction reads cannot change before the transaction ends. Put a check and the write that
        depends on it into the same transaction.

        Raises:
            StoreError: the database reports an error.
        """
        with explained(self.name, "written"), self._write_lock() as connection:
            yield connection

    @contextmanager
    def erasing(self) -> Iterator[sa.Connection]:
        """Like `writing`, but SQLite overwrites deleted content, also in its journal, when the transaction ends.

        Raises:
            StoreError: the database reports an error.
        """
        with self.writing() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA secure_delete=ON")
            yield connection
        if self._engine.dialect.name == "sqlite":
            with explained(self.name, "written"), closing(self._engine.raw_connection()) as outside:
                outside.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _write_lock(self) -> Iterator[sa.Connection]:
        with self._engine.execution_options(**{WRITES: True}).begin() as connection:
            yield connection


class Part:
    """A part of the store, with tables of its own in the shared database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _rows(self, query: sa.Select[*tuple[Any, ...]]) -> Sequence[sa.Row[*tuple[Any, ...]]]:
        """Return all rows of a query, read in a separate transaction."""
        with self._database.reading() as connection:
            return connection.execute(query).all()

    def _column(self, query: sa.Select[T]) -> list[T]:
        """Return the values of a one-column query, read in a separate transaction."""
        return [value for (value,) in self._rows(query)]


def insert_new(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> int:
    """Insert the rows whose key is not in the table yet; returns how many were inserted."""
    if not rows:
        return 0
    # "ON CONFLICT" is not part of SQLAlchemy's common dialect. The engine has loaded its own dialect; importing the
    # unused dialect too would delay every command.
    dialect = import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
    statement = dialect.insert(table).on_conflict_do_nothing()
    options = {"preserve_rowcount": True}
    return int(connection.execute(statement, rows, execution_options=options).rowcount)


def count_rows(connection: sa.Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    """Return the number of rows in a table that meet all conditions."""
    query = sa.select(sa.func.count()).select_from(table).where(*conditions)
    return int(connection.execute(query).scalar_one())


def rows_among(
    connection: sa.Connection, query: sa.Select[Any], column: sa.ColumnElement[Any], values: Iterable[Any]
) -> Iterator[sa.Row[*tuple[Any, ...]]]:
    """Yield the rows of `query` whose `column` is one of `values`, of which there may be any number, also repeated."""
    for batch in batches(dict.fromkeys(values)):
        yield from connection.execute(query.where(column.in_(batch)))


def batches(values: Iterable[T], size: int = _BATCH) -> Iterator[list[T]]:
    """Split values into lists of at most `size`, because the number of values in a statement is limited."""
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch
