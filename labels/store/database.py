"""An open database with its transactions: what every part of the store is built on.

Connections to the database, and how SQLite is set up so that two processes can share a file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from labels.errors import InputError, StoreError
from labels.settings import command, shown_url, sqlite_file, store_name, store_url

WRITES = "communique_writes"
"""Execution option of a transaction that will write: it takes the one write lock at once, not half-way."""

_BUSY_SECONDS = 60
_LOCK = 0x636F6D6D
"""The advisory lock that writers of a store on PostgreSQL wait for."""


def open_engine(url: sa.URL) -> sa.Engine:
    """An engine for the database; nothing is connected yet.

    Raises:
        InputError: a parameter of the URL has a value that it cannot have.
    """
    try:
        # A connection that was cut while nobody typed (a server's restart, a firewall) is made anew.
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
    # The driver's own transactions begin too late and end at each CREATE TABLE: ours begin in `_begin_sqlite`.
    connection.isolation_level = None
    # SQLite's own knows only the case of ASCII letters.
    connection.create_function("lower", 1, _lower, deterministic=True)
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}")
    with suppress(sqlite3.OperationalError):
        # Not awaited by SQLite. The mode is the file's: whoever holds the lock is setting it.
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def _lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _begin_postgresql(connection: sa.Connection) -> None:
    if _writes(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def _writes(connection: sa.Connection) -> bool:
    return bool(connection.get_execution_options().get(WRITES, False))


T = TypeVar("T")
_BATCH = 400


def now() -> str:
    """The present moment in UTC, ISO 8601 to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def batches(values: Iterable[T], size: int = _BATCH) -> Iterator[list[T]]:
    """Lists of at most `size` values: a statement has room for only so many."""
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch


def _holds_something(path: Path) -> bool:
    """Whether the file is there and not empty: SQLite would take an empty file of any kind and make it a database."""
    return path.is_file() and path.stat().st_size > 0


HEAD = "0002"
"""The newest revision under `versions/`; a test holds it to that."""
_OURS = {"documents", "sentences", "events"}
"""Tables that every version of the store has."""


def schema_version(connection: sa.Connection) -> str | None:
    """The revision of a store, None for an empty database."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def migrate(connection: sa.Connection, url: str) -> None:
    """Create or upgrade the tables, within a transaction that writes.

    Raises:
        StoreError: the store was written by a newer communique, or the database is something else's.
    """
    version = schema_version(connection)
    if version == HEAD:
        return
    tables = set(sa.inspect(connection).get_table_names()) - {"alembic_version"}
    if tables and not (version and tables >= _OURS):
        raise StoreError(
            f"{url}: this database has tables of something else; it is no communique store. Name another file."
        )
    if version is not None and version > HEAD:
        raise StoreError(
            f"{url}: this store has schema version {version}, this communique knows up to {HEAD}. "
            "Upgrade communique (`pip install -U communique`), or name another store."
        )
    upgrade(connection)


def upgrade(connection: sa.Connection, *, to: str = HEAD) -> None:
    """Run the revisions under `versions/` that the database lacks, up to one of them."""
    # Alembic is imported here: opening a store whose tables are of the newest version does not need it.
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(Path(__file__).parent))
    context = MigrationContext.configure(connection)
    missing = list(script.iterate_revisions(to, context.get_current_revision() or "base"))
    # Not `alembic.command.upgrade`: it needs an `env.py` and begins transactions of its own. All of this is one.
    with Operations.context(context):
        for revision in reversed(missing):
            revision.module.upgrade()
    context.stamp(script, to)


class Database:
    """An open database of the newest schema. Use as a context manager, or `close()` it.

    Args:
        store: path of a SQLite file, or a SQLAlchemy URL.
        create: make the SQLite file if it is absent.

    `url` is its URL, `name` what `store_name` calls it; neither shows a password.

    Raises:
        InputError: the SQLite file is absent or empty and `create` is false; or as `labels.settings.store_url`.
        StoreError: it cannot be opened, is of a newer schema version, or no store at all.
    """

    def __init__(self, store: str | Path, *, create: bool = True) -> None:
        url = store_url(store)
        self.url = shown_url(url)
        self.name = store_name(store)
        file = sqlite_file(url)
        if not create and file is not None and not _holds_something(file):
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
        with self._engine.connect() as connection:
            ready = schema_version(connection) == HEAD
        if not ready:
            with self._write_lock() as connection:
                migrate(connection, self.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads: all of its queries see one state of the store.

        Raises:
            StoreError: the database refuses.
        """
        with self._explained("read"), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that writes: it holds the one write lock from its start, and all of it happens or nothing.

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


def insert_new(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> int:
    """Insert the rows whose key is not there yet; how many were."""
    if not rows:
        return 0
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).on_conflict_do_nothing()
    return connection.execute(statement, rows, execution_options={"preserve_rowcount": True}).rowcount
