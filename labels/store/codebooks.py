"""Codebook versions in the store, the recorded steps between versions, and the lookup of a version by reference.

`labels.store.codebook_migration` computes the effects of a change on annotations. Codebooks are validated by pydantic,
which is slow to import. Only the functions that read codebooks import it, to keep commands that only count fast.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from labels.environment.settings import command
from labels.errors import CodebookError, InputError
from labels.records import CodebookMigration
from labels.store import tables
from labels.store.database import Database, Part, insert_new

if TYPE_CHECKING:
    from labels.codebook.reading import CodebookHistory
    from labels.codebook.schema import Codebook


class Codebooks(Part):
    """The part of the store with all codebook versions. Versions are never changed or removed."""

    def add(self, codebook: Codebook) -> None:
        """Store a version of a codebook under its hash."""
        with self._database.writing() as connection:
            insert_codebooks(connection, [codebook])

    def all(self) -> dict[str, Codebook]:
        """Return all versions in the store, by hash."""
        with self._database.reading() as connection:
            return _versions(connection, self._database.name)

    def get(self, reference: str) -> Codebook:
        """Return the version identified by NAME@VERSION, NAME@HASH or a hash.

        Raises:
            CodebookError: no version in the store matches, or several versions match; the message lists the choices.
        """
        name, _, version = reference.rpartition("@")  # a bare hash has no name
        kept = self.all()
        found = [
            book
            for codebook_hash, book in kept.items()
            if (version == codebook_hash and name in ("", book.name)) or (name, version) == (book.name, book.version)
        ]
        # Drafts of one version often differ only in wording, so name and version do not distinguish them.
        if len(found) > 1:
            listed = ", ".join(f"{name}@{book.hash}" for book in found)
            raise CodebookError(
                f"{self._database.name}: '{reference}' matches {len(found)} codebooks. Use one of: {listed}."
            )
        if not found:
            listed = ", ".join(f"{book.name}@{book.version} ({codebook_hash})" for codebook_hash, book in kept.items())
            raise CodebookError(
                f"{self._database.name}: this store has no codebook '{reference}'. "
                f"Give a TOML file or a codebook of the store: {listed or 'none yet'}."
            )
        return found[0]

    def in_use(self, reference: str) -> tuple[Codebook, str]:
        """Find the codebook for work in this store: a TOML file, a shipped codebook, or a version in the store.

        A store that was begun under an older version of a shipped codebook keeps it until a change is recorded.

        Returns:
            The codebook, and a note on the newer version that the store does not use yet; empty if there is none.

        Raises:
            CodebookError: see `find_codebook`.
        """
        from labels.codebook.releases import kept_version
        from labels.codebook.schema import load_codebook, names_stored, shipped_versions

        if names_stored(reference):
            return self.get(reference), ""
        newest = load_codebook(reference)
        if not shipped_versions(reference) or Path(reference).is_file():
            return newest, ""
        stored = self._column(sa.select(tables.codebooks.c.hash))
        kept = kept_version(reference, stored, [(one.old_hash, one.new_hash) for one in self.migrations()])
        used = load_codebook(kept)
        if used == newest:
            return newest, ""
        place = self._database.name
        return used, (
            f"{place} was begun under version {used.version} of codebook '{reference}' and keeps it. To change to "
            f"version {newest.version}: {command('codebook', 'migrate', kept, reference, '--apply', store=place)}"
        )

    def add_migration(self, migration: CodebookMigration) -> bool:
        """Record the steps between two versions.

        Returns:
            False, with nothing written, if steps between these versions are already recorded.
        """
        with self._database.writing() as connection:
            return bool(insert_migrations(connection, [migration]))

    def migrations(self) -> list[CodebookMigration]:
        """Return all recorded migrations, oldest first."""
        with self._database.reading() as connection:
            return _migrations(connection)

    def history(self) -> CodebookHistory:
        """Return all versions in the store and the recorded changes between them."""
        with self._database.reading() as connection:
            return history_in(connection, self._database.name)

    def of_decisions(self) -> dict[str, int]:
        """Count the standing reviews and adjudications by the hash of the version they were made under."""
        with self._database.reading() as connection:
            return decisions_by_codebook(connection)

    def refuse_foreign(self, used: Codebook) -> None:
        """Check that a codebook has to do with the decisions in the store.

        Raises:
            CodebookError: there are decisions, and none can be read under `used`: new decisions would stand beside them
                unrelated. The message contains the option or the command to use instead.
        """
        made = self.of_decisions()
        if not made or used.hash in made:
            return
        from labels.codebook.reading import VersionReader

        reader = VersionReader(used, self.history())
        lost = reader.unreadable(made)
        if len(lost) == len(made):
            message = reader.unreadable_message({known: made[known] for known in lost})
            raise CodebookError(f"{self._database.name}: {message}")


def find_codebook(reference: str, store: str) -> Codebook:
    """Find a codebook: a TOML file, a shipped codebook, or a version in the store at path or URL `store`.

    Raises:
        CodebookError: no codebook matches, or several versions in the store match.
        InputError: the reference is to a version in the store, and the store does not exist.
    """
    from labels.codebook.schema import load_codebook, names_stored

    if not names_stored(reference):
        return load_codebook(reference)
    with closing(Database(store, create=False)) as database:
        return Codebooks(database).get(reference)


def codebook_in_use(reference: str, store: str) -> tuple[Codebook, str]:
    """Like `find_codebook`, but for work in the store; see `Codebooks.in_use`. The store need not exist yet."""
    try:
        database = Database(store, create=False)
    except InputError:
        return find_codebook(reference, store), ""
    with closing(database):
        return Codebooks(database).in_use(reference)


def history_in(connection: sa.Connection, store: str) -> CodebookHistory:
    """Return all versions in a store and the recorded changes between them; `store` is its name for messages."""
    from labels.codebook.changes import step_from_json
    from labels.codebook.reading import CodebookHistory, Edge

    edges = (
        Edge(row.old_hash, row.new_hash, tuple(step_from_json(step) for step in row.steps))
        for row in _migrations(connection)
    )
    return CodebookHistory(_versions(connection, store), tuple(edges))


def _versions(connection: sa.Connection, store: str) -> dict[str, Codebook]:
    from labels.codebook.schema import parse_codebook

    table = tables.codebooks
    rows = connection.execute(sa.select(table).order_by(table.c.name, table.c.version))
    return {row.hash: parse_codebook(row.content, f"codebook {row.hash} of {store}") for row in rows}


def _migrations(connection: sa.Connection) -> list[CodebookMigration]:
    table = tables.codebook_migrations
    rows = connection.execute(sa.select(table).order_by(table.c.created_at))
    return [CodebookMigration(**row._mapping) for row in rows]


def decisions_by_codebook(connection: sa.Connection) -> dict[str, int]:
    """Count the standing reviews and adjudications by the hash of the version they were made under."""
    events, decisions = tables.events, tables.decisions
    query = (
        sa.select(events.c.codebook_hash, sa.func.count())
        .join(decisions, decisions.c.seq == events.c.seq)
        .where(decisions.c.state == "reviewed")
        .group_by(events.c.codebook_hash)
    )
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def insert_codebooks(connection: sa.Connection, codebooks: Iterable[Codebook]) -> None:
    """Insert the versions that are not in the store yet."""
    from labels.codebook.schema import dump_codebook

    rows = [
        {"hash": book.hash, "name": book.name, "version": book.version, "content": dump_codebook(book)}
        for book in codebooks
    ]
    insert_new(connection, tables.codebooks, rows)


def insert_migrations(connection: sa.Connection, migrations: Iterable[CodebookMigration]) -> int:
    """Insert migrations between versions that have no recorded migration; returns how many were inserted."""
    return insert_new(connection, tables.codebook_migrations, [asdict(migration) for migration in migrations])
