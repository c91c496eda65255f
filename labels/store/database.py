"""An open database with its transactions: what every part of the store is built on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from labels.errors import InputError, StoreError
from labels.hints import command
from labels.store.engine import WRITES, open_engine
from labels.store.migrations import HEAD, migrate, schema_version
from labels.store_url import shown_url, sqlite_file, store_name, store_url

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


class Database:
    """An open database of the newest schema. Use as a context manager, or `close()` it.

    Args:
        store: path of a SQLite file, or a SQLAlchemy URL.
        create: make the SQLite file if it is absent.

    `url` is its URL, `name` what `store_name` calls it; neither shows a password.

    Raises:
        InputError: the SQLite file is absent or empty and `create` is false; or as `labels.store_url.store_url`.
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
        except (sa.exc.SQLAlchemyError, ModuleNotFoundError, UnicodeEncodeError, OverflowError) as error:
            cause = getattr(error, "orig", None) or error
            reason = str(cause).partition("\n")[0] or type(cause).__name__
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
        if not rows:
            return 0
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(table).on_conflict_do_nothing()
        return connection.execute(statement, rows, execution_options={"preserve_rowcount": True}).rowcount
