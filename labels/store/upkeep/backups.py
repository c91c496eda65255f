"""Back up a SQLite store while others write to it, and open a copy of another store to read it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from labels.environment.settings import shown_url, sqlite_file, store_name, store_url
from labels.errors import InputError, StoreError, counted
from labels.output.drafts import whole_file
from labels.store import tables
from labels.store.database import WRITES, batches, explained, is_writable, migrate, open_engine, read_only_url

_TABLES = {*tables.metadata.tables, tables.revisions.name}
"""The tables of a store; a database can also have tables of other programs."""
_OWN = {"document": "SELECT id FROM documents", "event": "SELECT event_id FROM events"}
"""What a store must have so that it can replace another file, by its noun; every version has these tables."""
_ROWS = 5_000
"""The number of rows of a database that are copied at once."""


def back_up(store: str, target: Path) -> None:
    """Copy a SQLite store to a file, completely or not at all. Other processes can write in the meantime.

    Raises:
        InputError: the store is not a SQLite file, or does not exist; the target is the store itself, or an existing
            file that is no earlier copy of it.
        DataError: the target cannot be written.
    """
    url = store_url(store)
    file = sqlite_file(url)
    if file is None:
        raise InputError(
            f"{shown_url(url)}: only SQLite stores can be backed up here. Use the database's own tool, for example "
            "`pg_dump --format=custom --file=backup.dump DATABASE`."
        )
    _check_exists(file, store)
    if target.exists() and target.samefile(file):
        raise InputError(f"{target}: this is the store itself. Choose another file for the backup.")
    if target.is_file() and target.stat().st_size:
        _check_earlier_copy(target, file)
    with (
        whole_file(target) as draft,
        _reading(file) as source,
        closing(sqlite3.connect(draft)) as copy,
    ):
        # SQLite's backup copies a consistent state, including changes that are still in the journal.
        source.backup(copy)


def _check_earlier_copy(target: Path, file: Path) -> None:
    """Raise InputError if replacing a file would lose anything that the store does not have."""
    repair = "Choose another file for the backup."
    try:
        with _reading(target) as old, _reading(file) as source:
            lost = [
                counted(len(more), noun)
                for noun, query in _OWN.items()
                if (more := set(old.execute(query)) - set(source.execute(query)))
            ]
    except sqlite3.Error:
        raise InputError(
            f"{target}: this file is not a label store, so it is not an earlier backup, and --overwrite does not "
            f"replace it. {repair}"
        ) from None
    if lost:
        raise InputError(
            f"{target}: this label store has {' and '.join(lost)} that {file} does not have, so it is not an earlier "
            f"backup, and --overwrite does not replace it. {repair}"
        )
    # SQLite removes its journal with the last connection. A new file beside the old journal would be damaged.
    if target.with_name(f"{target.name}-wal").exists():
        raise InputError(f"{target}: another program has this label store open. {repair}")


@contextmanager
def opened_copy(store: str) -> Iterator[sa.Connection]:
    """Yield a connection to a temporary copy of a store. The copy has the newest tables; the store does not change.

    Raises:
        InputError: the store does not exist, or its URL is invalid.
        StoreError: the store cannot be read, was written by a newer version, or is not a communique store.
    """
    url, name = store_url(store), store_name(store)
    file = sqlite_file(url)
    if file is not None:
        _check_exists(file, store)
    with TemporaryDirectory(prefix="communique-") as folder:
        engine = open_engine(sa.URL.create("sqlite", database=str(Path(folder, "copy.db"))))
        try:
            with explained(name, "read"):
                _copy_rows(url, engine) if file is None else _copy_file(file, engine)
                with engine.execution_options(**{WRITES: True}).begin() as connection:
                    _refuse_empty(connection, name)
                    migrate(connection, name)
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()


def _refuse_empty(connection: sa.Connection, name: str) -> None:
    if not sa.inspect(connection).get_table_names():
        raise StoreError(f"{name}: this database is not a communique store. Check the path or the URL.")


def _check_exists(file: Path, store: str) -> None:
    name = store_name(store)
    if file.is_dir():
        raise InputError(f"{name}: this is a folder. Name the label store in it, such as {file / 'communique.db'}.")
    if not file.exists():
        raise InputError(f"{name}: this label store does not exist. Check the path.")
    # SQLite would turn an empty file into a database.
    if file.is_file() and not file.stat().st_size:
        raise InputError(f"{name}: this file is empty and is not a label store. Check the path.")


@contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    """Connect to a store to read it, and leave none of SQLite's own files beside it."""
    if is_writable(file):
        # As a reader alone, the connection could not remove these files at the end.
        place = f"{file.resolve().as_uri()}?mode=rw"
    else:
        url = read_only_url(file)
        place = f"{url.database}?{'&'.join(f'{name}={value}' for name, value in url.query.items() if name != 'uri')}"
    with closing(sqlite3.connect(place, uri=True)) as connection:
        yield connection


def _copy_file(file: Path, copy: sa.Engine) -> None:
    with _reading(file) as source, closing(copy.raw_connection()) as target:
        source.backup(target.driver_connection)  # type: ignore[arg-type]


def _copy_rows(url: sa.URL, copy: sa.Engine) -> None:
    """Copy all tables of a database server, as they are at one moment."""
    engine = open_engine(url)
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    found, made = sa.MetaData(), sa.MetaData()
    try:
        with engine.connect() as source, copy.begin() as target:
            found.reflect(source, only=lambda name, _: name in _TABLES)
            for table in found.sorted_tables:
                twin = _twin(table, made)
                twin.create(target)
                for rows in batches(source.execute(sa.select(table)).mappings(), _ROWS):
                    target.execute(sa.insert(twin), [dict(row) for row in rows])
    finally:
        engine.dispose()


def _twin(table: sa.Table, metadata: sa.MetaData) -> sa.Table:
    """The same table with types that SQLite has, and with its indexes, which revisions may drop."""
    columns = [
        sa.Column(one.name, _portable(one.type), primary_key=one.primary_key, nullable=one.nullable) for one in table.c
    ]
    twin = sa.Table(table.name, metadata, *columns)
    for index in table.indexes:
        sa.Index(index.name, *(twin.c[one.name] for one in index.columns), unique=index.unique)
    return twin


def _portable(kind: sa.types.TypeEngine[object]) -> sa.types.TypeEngine[object]:
    generic = kind.as_generic(allow_nulltype=True)
    return sa.JSON(none_as_null=True) if isinstance(generic, sa.JSON) else generic
