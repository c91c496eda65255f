from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labels.codebook.schema import Codebook, codebook_from_dict, dump_codebook, load_codebook
from labels.errors import CodebookError, InputError
from labels.store import Store
from labels.store.codebooks import find_codebook, names_stored


def book(labels: str, version: str = "1", **more: Any) -> Codebook:
    rows = [{"name": label} for label in labels.split()]
    return codebook_from_dict({"name": "small", "version": version, "labels": rows} | more, "small")


OLD, NEW = book("aid truce"), book("loan gift halt", "2")


@pytest.fixture
def store(isolated: Path) -> Iterator[Store]:
    """It keeps one version."""
    with Store(isolated / "labels.db") as opened:
        opened.codebooks.add(OLD)
        yield opened


def test_a_stored_version_is_found_by_name_and_version_name_and_hash_or_hash(store: Store) -> None:
    store.codebooks.add(NEW)
    for reference in ("small@1", f"small@{OLD.hash}", OLD.hash):
        assert store.codebooks.get(reference) == OLD


def test_two_versions_of_one_name_and_version_are_listed_with_their_hashes(store: Store) -> None:
    twin = book("aid truce", rules=["Judge the sentence alone."])
    store.codebooks.add(twin)
    with pytest.raises(CodebookError, match="'small@1' names 2 codebooks") as raised:
        store.codebooks.get("small@1")
    for hash_ in (OLD.hash, twin.hash):
        assert f"small@{hash_}" in str(raised.value)
    assert store.codebooks.get(f"small@{twin.hash}") == twin


@pytest.mark.parametrize("reference", ["small@7", "other@1", "0123456789abcdef", f"other@{OLD.hash}", "@1"])
def test_a_version_that_is_not_kept_is_refused_with_those_that_are(store: Store, reference: str) -> None:
    with pytest.raises(CodebookError, match=rf"no codebook '{reference}'.*small@1 \({OLD.hash}\)"):
        store.codebooks.get(reference)


def test_an_empty_store_keeps_no_version() -> None:
    with Store("empty.db") as empty, pytest.raises(CodebookError, match="it has none yet"):
        empty.codebooks.get("small@1")


def test_files_and_shipped_codebooks_need_no_store() -> None:
    Path("small@1").write_text(dump_codebook(NEW), encoding="utf-8")

    assert find_codebook("small@1", "nowhere.db") == NEW
    assert find_codebook("diplomatic", "nowhere.db") == load_codebook("diplomatic")
    with pytest.raises(CodebookError, match=r"mine\.toml: cannot read"):
        find_codebook("mine.toml", "nowhere.db")
    with pytest.raises(InputError, match=r"nowhere\.db: there is no such label store"):
        find_codebook("small@2", "nowhere.db")


@pytest.mark.usefixtures("store")
def test_a_stored_version_is_found_in_the_store_that_is_named() -> None:
    assert find_codebook("small@1", "labels.db") == OLD


@pytest.mark.parametrize(
    ("reference", "stored"),
    [("a@1", True), (OLD.hash, True), ("a.toml", False), ("diplomatic", False), ("0123", False)],
)
def test_what_reads_as_a_stored_version(reference: str, stored: bool) -> None:
    assert names_stored(reference) is stored
