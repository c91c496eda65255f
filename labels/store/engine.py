"""Connections to the database, and how SQLite is set up so that two processes can share a file."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from labels.errors import InputError
from labels.store_url import shown_url

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
        raise InputError(f"{shown_url(url)}: a parameter of this URL cannot be used ({error}). Mend it.") from error
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
