"""Record the open windows of annotators: two windows of one person would overwrite each other's drafts."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from labels.errors import StoreError
from labels.store import tables
from labels.store.database import Part, now

_STALE = timedelta(hours=12)
"""After this time, an open window is forgotten, because it was probably not closed properly."""


class Window(NamedTuple):
    """An open window: the machine, and when it was opened (ISO 8601 in UTC)."""

    host: str
    opened_at: str


class Windows(Part):
    """The part of the store with the open windows of annotators."""

    @contextmanager
    def open(self, annotator: str) -> Iterator[list[Window]]:
        """Register a window for the duration of the block; yields the annotator's other open windows.

        A store that is read-only has no windows: nothing can be decided there.
        """
        if self._database.read_only:
            yield []
            return
        table, own = tables.windows, uuid.uuid4().hex
        host = socket.gethostname()
        earliest = (datetime.now(UTC) - _STALE).isoformat(timespec="microseconds")
        with self._database.writing() as connection:
            connection.execute(sa.delete(table).where(table.c.seen_at < earliest))
            rows = connection.execute(sa.select(table).where(table.c.annotator == annotator)).all()
            gone = [row.id for row in rows if row.host == host and not _runs(row.process)]
            connection.execute(sa.delete(table).where(table.c.id.in_(gone)))
            row = {"id": own, "annotator": annotator, "host": host, "process": os.getpid(), "seen_at": now()}
            connection.execute(sa.insert(table), [row])
        try:
            yield [Window(row.host, row.seen_at) for row in rows if row.id not in gone]
        finally:
            # A store that has become unreachable must not hide an earlier error.
            with suppress(StoreError), self._database.writing() as connection:
                connection.execute(sa.delete(table).where(table.c.id == own))


def _runs(process: int) -> bool:
    """Return whether a process with this number runs on this machine."""
    if os.name == "nt":  # on Windows, `os.kill` would interrupt the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # the process belongs to another user
        return True
    return True
