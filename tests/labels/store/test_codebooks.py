from __future__ import annotations

from labels.codebook.schema import Codebook, load_codebook
from labels.store import CodebookMigration, Store


def test_a_codebook_comes_back_under_its_hash(store: Store, codebook: Codebook) -> None:
    shipped = load_codebook("diplomatic")
    for book in (codebook, shipped, codebook):
        store.codebooks.add(book)

    assert store.codebooks.all() == {codebook.hash: codebook, shipped.hash: shipped}


def test_migrations_come_back_as_they_went_in_oldest_first(store: Store) -> None:
    steps = ({"do": "rename", "old": "aid", "new": "hilfe: “Zürich”"}, {"do": "merge", "labels": ["a", "b"]})
    later = CodebookMigration("b", "c", (), "2026-02-02T00:00:00+00:00")
    earlier = CodebookMigration("a", "b", steps, "2026-01-01T00:00:00+00:00")

    assert store.codebooks.add_migration(later)
    assert store.codebooks.add_migration(earlier)
    assert store.codebooks.migrations() == [earlier, later]


def test_steps_between_two_versions_are_recorded_once(store: Store) -> None:
    first = CodebookMigration("a", "b", ({"do": "add"},), "2026-01-01T00:00:00+00:00")
    store.codebooks.add_migration(first)

    assert not store.codebooks.add_migration(CodebookMigration("a", "b", (), "2026-02-02T00:00:00+00:00"))
    assert store.codebooks.add_migration(CodebookMigration("b", "a", (), "2026-02-02T00:00:00+00:00"))
    assert store.codebooks.migrations()[0] == first
