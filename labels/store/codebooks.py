"""Codebook versions in the store, and the recorded steps from one to the next."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from labels.codebook.schema import Codebook, dump_codebook, parse_codebook
from labels.records import CodebookMigration
from labels.store import schema
from labels.store.database import Database


class Codebooks(Database):
    """The part of the store that holds every version of its codebooks; none is ever changed or removed."""

    def add_codebook(self, codebook: Codebook) -> None:
        """Keep a version of a codebook under its hash."""
        with self._transaction("written") as connection:
            self._insert_codebooks(connection, [codebook])

    def _insert_codebooks(self, connection: sa.Connection, codebooks: Iterable[Codebook]) -> None:
        rows = [
            {"hash": book.hash, "name": book.name, "version": book.version, "content": dump_codebook(book)}
            for book in codebooks
        ]
        self._insert_new(connection, schema.codebooks, rows)

    def codebooks(self) -> dict[str, Codebook]:
        """Every version that is kept, by its hash."""
        table = schema.codebooks
        with self._transaction("read") as connection:
            rows = connection.execute(sa.select(table.c.hash, table.c.content).order_by(table.c.name, table.c.version))
            found = [(row.hash, row.content) for row in rows]
        return {hash_: parse_codebook(content, f"codebook {hash_} of {self.url}") for hash_, content in found}

    def add_migration(self, migration: CodebookMigration) -> bool:
        """Record the steps between two versions; False, with nothing written, when there are some already."""
        with self._transaction("written") as connection:
            return bool(self._insert_migrations(connection, [migration]))

    def _insert_migrations(self, connection: sa.Connection, migrations: Iterable[CodebookMigration]) -> int:
        rows = [
            {
                "old_hash": migration.old_hash,
                "new_hash": migration.new_hash,
                "steps": [dict(step) for step in migration.steps],
                "created_at": migration.created_at,
            }
            for migration in migrations
        ]
        return self._insert_new(connection, schema.codebook_migrations, rows)

    def migrations(self) -> list[CodebookMigration]:
        """All recorded migrations, oldest first."""
        table = schema.codebook_migrations
        with self._transaction("read") as connection:
            rows = connection.execute(sa.select(table).order_by(table.c.created_at)).mappings().all()
        return [CodebookMigration(**{**row, "steps": tuple(row["steps"])}) for row in rows]
