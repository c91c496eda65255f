from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labels.codebook.schema import Codebook, codebook_from_dict, dump_codebook, load_codebook, names_stored
from labels.errors import CodebookError, InputError
from labels.store import CodebookMigration, Store
from labels.store.codebooks import find_codebook


def test_a_codebook_comes_back_under_its_hash(store: Store, codebook: Codebook) -> None:
    shipped = load_codebook("diplomatic")
    for book in (codebook, shipped, codebook):
        store.codebooks.add(book)

    assert store.codebooks.all() == {codebook.hash: codebook, shipped.hash: shipped}


def test_migrations_round_trip_oldest_first(store: Store) -> None:
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


# -- finding a version


def book(labels: str, version: str = "1", **more: Any) -> Codebook:
    rows = [{"name": label} for label in labels.split()]
    return codebook_from_dict({"name": "small", "version": version, "labels": rows} | more, "small")


OLD, NEW = book("aid truce"), book("loan gift halt", "2")


@pytest.fixture
def kept(isolated: Path) -> Iterator[Store]:
    """A store with one version."""
    with Store(isolated / "labels.db") as opened:
        opened.codebooks.add(OLD)
        yield opened


def test_a_stored_version_is_found_by_version_or_hash(kept: Store) -> None:
    kept.codebooks.add(NEW)
    for reference in ("small@1", f"small@{OLD.hash}", OLD.hash):
        assert kept.codebooks.get(reference) == OLD


def test_an_ambiguous_reference_lists_the_hashes(kept: Store) -> None:
    twin = book("aid truce", rules=["Judge the sentence alone."])
    kept.codebooks.add(twin)
    with pytest.raises(CodebookError, match="'small@1' matches 2 codebooks") as raised:
        kept.codebooks.get("small@1")
    for hash_ in (OLD.hash, twin.hash):
        assert f"small@{hash_}" in str(raised.value)
    assert kept.codebooks.get(f"small@{twin.hash}") == twin


@pytest.mark.parametrize("reference", ["small@7", "other@1", "0123456789abcdef", f"other@{OLD.hash}", "@1"])
def test_a_missing_version_is_refused_and_stored_ones_are_listed(kept: Store, reference: str) -> None:
    with pytest.raises(CodebookError, match=rf"no codebook '{reference}'.*small@1 \({OLD.hash}\)"):
        kept.codebooks.get(reference)


def test_an_empty_store_keeps_no_version() -> None:
    with Store("empty.db") as empty, pytest.raises(CodebookError, match="store: none yet"):
        empty.codebooks.get("small@1")


def test_files_and_shipped_codebooks_need_no_store() -> None:
    Path("small@1").write_text(dump_codebook(NEW), encoding="utf-8")

    assert find_codebook("small@1", "nowhere.db") == NEW
    assert find_codebook("diplomatic", "nowhere.db") == load_codebook("diplomatic")
    with pytest.raises(CodebookError, match=r"mine\.toml: cannot read"):
        find_codebook("mine.toml", "nowhere.db")
    with pytest.raises(InputError, match=r"nowhere\.db: this label store does not exist"):
        find_codebook("small@2", "nowhere.db")


@pytest.mark.usefixtures("kept")
def test_a_version_is_found_in_the_named_store() -> None:
    assert find_codebook("small@1", "labels.db") == OLD


@pytest.mark.parametrize(
    ("reference", "stored"),
    [("a@1", True), (OLD.hash, True), ("a.toml", False), ("diplomatic", False), ("0123", False)],
)
def test_which_references_name_a_stored_version(reference: str, stored: bool) -> None:
    assert names_stored(reference) is stored
