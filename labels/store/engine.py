"""Connections to the database: its URL, and how SQLite is set up so that two processes can share a file."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from labels.errors import InputError

WRITES = "communique_writes"
"""Execution option of a transaction that will write: it takes the one write lock at once, not half-way."""

_BUSY_SECONDS = 60
_LOCK = 0x636F6D6D
"""The advisory lock that writers of a store on PostgreSQL wait for."""


def store_url(store: str | Path) -> sa.URL:
    """The database URL of a store given as a URL or as a path of a SQLite file.

    Raises:
        InputError: it has the form of a URL and is none.
    """
    if "://" in str(store):
        return _parsed(str(store))
    return sa.URL.create("sqlite", database=str(Path(store).expanduser()))


def store_name(store: str | Path) -> str:
    """What people call a store: the path of a SQLite file, else its URL; no password shows.

    Raises:
        InputError: as `store_url`.
    """
    url = store_url(store)
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string()


def _parsed(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # Its cause may quote the password, which stands before the last @.
        place = url.rpartition("@")[2]
        raise InputError(
            f"{place}: this is no URL of a database. Give the path of a SQLite file, or a URL such as "
            "postgresql+psycopg://NAME@HOST:5432/DATABASE."
        ) from None


def sqlite_file(url: sa.URL) -> Path | None:
    """The file that SQLite is to open; None for other databases, and where the URL leaves the name to SQLite itself."""
    if url.get_backend_name() != "sqlite" or "uri" in url.query:
        return None
    return Path(url.database or "")


def open_engine(url: sa.URL) -> sa.Engine:
    """An engine for the database; nothing is connected yet."""
    # A connection that was cut while nobody typed (a server's restart, a firewall) is made anew.
    engine = sa.create_engine(url, pool_pre_ping=url.get_backend_name() == "postgresql")
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
