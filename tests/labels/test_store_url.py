"""What a store is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from labels.settings import store_name
from labels.store import Store


@pytest.mark.parametrize(
    ("store", "name"),
    [
        ("mine.db", "mine.db"),
        ("sqlite:///mine.db", "mine.db"),
        ("postgresql://ana@db.example/coding", "postgresql://ana@db.example/coding"),
        ("postgresql://ana:S3CRET@db.example/coding", "postgresql://ana:***@db.example/coding"),
        (
            "postgresql://db.example/coding?user=ana&password=S3CRET",
            "postgresql://db.example/coding?password=hidden&user=ana",
        ),
        ("sqlite://", "sqlite://"),
    ],
)
def test_a_store_is_called_by_its_path_or_its_url_without_the_password(store: str, name: str) -> None:
    assert store_name(store) == name
    assert store_name(name) == name


def test_by_its_name_a_store_that_sqlite_finds_itself_is_found_again(isolated: Path) -> None:
    store = "sqlite:///file:mine.db?uri=true"
    Store(store).close()

    Store(store_name(store)).close()

    assert [path.name for path in isolated.iterdir()] == ["mine.db"]
