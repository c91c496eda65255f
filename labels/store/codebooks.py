"""Codebook versions in the store, the recorded steps from one to the next, and how a user names a version.

What a change does to annotations is the business of `labels.store.codebook_migration`. Codebooks are validated by
pydantic, which takes as long to import as opening a store does: it is imported by the functions that read codebooks,
so that commands that only count do not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING

import sqlalchemy as sa

from labels.errors import CodebookError
from labels.records import CodebookMigration
from labels.store import schema
from labels.store.database import Database, Part, insert_new

if TYPE_CHECKING:
    from labels.codebook.reading import CodebookHistory
    from labels.codebook.schema import Codebook


class Codebooks(Part):
    """The part of the store that holds every version of its codebooks; none is ever changed or removed."""

    def add(self, codebook: Codebook) -> None:
        """Keep a version of a codebook under its hash."""
        with self._database.writing() as connection:
            insert_codebooks(connection, [codebook])

    def all(self) -> dict[str, Codebook]:
        """Every version in the store, by its hash."""
        from labels.codebook.schema import parse_codebook

        table = schema.codebooks
        rows = self._rows(sa.select(table).order_by(table.c.name, table.c.version))
        return {row.hash: parse_codebook(row.content, f"codebook {row.hash} of {self._database.url}") for row in rows}

    def get(self, reference: str) -> Codebook:
        """The version that NAME@VERSION, NAME@HASH or a hash names.

        Raises:
            CodebookError: no version in the store fits, or several do; the message lists them.
        """
        name, _, version = reference.rpartition("@")  # a bare hash has no name
        kept = self.all()
        found = [
            book
            for codebook_hash, book in kept.items()
            if (version == codebook_hash and name in ("", book.name)) or (name, version) == (book.name, book.version)
        ]
        # Drafts of one version often differ in wording only, so that name and version do not tell them apart.
        if len(found) > 1:
            listed = ", ".join(f"{name}@{book.hash}" for book in found)
            raise CodebookError(
                f"{self._database.name}: '{reference}' names {len(found)} codebooks. Say which: {listed}."
            )
        if not found:
            listed = ", ".join(f"{book.name}@{book.version} ({codebook_hash})" for codebook_hash, book in kept.items())
            raise CodebookError(
                f"{self._database.name}: this store has no codebook '{reference}'. "
                f"Name a TOML file, or one of those in the store: {listed or 'it has none yet'}."
            )
        return found[0]

    def add_migration(self, migration: CodebookMigration) -> bool:
        """Record the steps between two versions; False, with nothing written, when there are some already."""
        with self._database.writing() as connection:
            return bool(insert_migrations(connection, [migration]))

    def migrations(self) -> list[CodebookMigration]:
        """All recorded migrations, oldest first."""
        table = schema.codebook_migrations
        return [CodebookMigration(**row._mapping) for row in self._rows(sa.select(table).order_by(table.c.created_at))]

    def history(self) -> CodebookHistory:
        """Every version in the store, and the changes recorded between them."""
        from labels.codebook.changes import step_from_json
        from labels.codebook.reading import CodebookHistory, Edge

        edges = (
            Edge(row.old_hash, row.new_hash, tuple(step_from_json(step) for step in row.steps))
            for row in self.migrations()
        )
        return CodebookHistory(self.all(), tuple(edges))


def find_codebook(reference: str, store: str) -> Codebook:
    """The codebook of a TOML file, a shipped one by name, or a version in the store at path or URL `store`.

    Raises:
        CodebookError: there is none, or several versions in the store fit.
        InputError: it is to be found in the store, and there is no store.
    """
    from labels.codebook.schema import load_codebook, names_stored

    if not names_stored(reference):
        return load_codebook(reference)
    with closing(Database(store, create=False)) as database:
        return Codebooks(database).get(reference)


def insert_codebooks(connection: sa.Connection, codebooks: Iterable[Codebook]) -> None:
    """Insert the versions that are not there yet."""
    from labels.codebook.schema import dump_codebook

    rows = [
        {"hash": book.hash, "name": book.name, "version": book.version, "content": dump_codebook(book)}
        for book in codebooks
    ]
    insert_new(connection, schema.codebooks, rows)


def insert_migrations(connection: sa.Connection, migrations: Iterable[CodebookMigration]) -> int:
    """Insert the migrations between versions that have none yet; how many were new."""
    return insert_new(connection, schema.codebook_migrations, [asdict(migration) for migration in migrations])
