"""A store for each test, and an empty one to copy where a test needs many: making one takes longer."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from labels.store import Store


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store to copy."""
    path = tmp_path_factory.mktemp("template") / "empty.db"
    Store(path).close()
    return path


@pytest.fixture(scope="session")
def new_store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Store]:
    """Opens another empty store at each call."""
    folder = tmp_path_factory.mktemp("stores")

    def make() -> Store:
        path = folder / f"{uuid4().hex}.db"
        shutil.copy(empty_store, path)
        return Store(path)

    return make


@pytest.fixture
def store(new_store: Callable[[], Store]) -> Iterator[Store]:
    """An empty store."""
    with new_store() as opened:
        yield opened
