from __future__ import annotations

import os
from pathlib import Path

import pytest

from labels.errors import ArtefactError, TrackingError
from tests.trainer.conftest import REGISTERED, TrackedRun
from trainer.model.model import Model
from trainer.runs.tracking.registry import copy_artefact, current_version, fetch_artefact, point_champion

URI = f"models:/{REGISTERED}@champion"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """An empty folder."""
    (tmp_path / "copy").mkdir()
    return tmp_path / "copy"


@pytest.fixture
def stored(tracked_store: str) -> Path:
    """The artefact in the store of this test, which is put back as it was."""
    point_champion(REGISTERED, "1")
    return fetch_artefact(URI)


def test_copy_of_a_registered_model_is_complete(stored: Path, tracked_run: TrackedRun, empty: Path) -> None:
    copied = copy_artefact(URI, empty)
    assert copied == empty
    assert Model.load(copied).id == Model.load(tracked_run.result.artefact).id


def test_model_on_the_local_disk_is_not_copied(tracked_run: TrackedRun, empty: Path) -> None:
    assert copy_artefact(str(tracked_run.result.artefact), empty) == tracked_run.result.artefact
    assert not list(empty.iterdir())


def test_link_in_a_registered_model_is_refused(stored: Path, empty: Path) -> None:
    link = stored / "classifier" / "link"
    link.symlink_to(os.devnull)
    try:
        with pytest.raises(ArtefactError, match=r"classifier/link is a link"):
            copy_artefact(URI, empty)
    finally:
        link.unlink()


def test_model_that_is_too_large_is_refused(stored: Path, empty: Path) -> None:
    with pytest.raises(ArtefactError, match=r"the model is larger than"):
        copy_artefact(URI, empty, max_bytes=1000)
    assert not list(empty.iterdir())


def test_alias_has_a_version_and_other_references_have_none(tracked_store: str) -> None:
    point_champion(REGISTERED, "1")
    assert current_version(URI) == "1"
    assert not any(map(current_version, ("runs/mine", f"models:/{REGISTERED}/1", "runs:/abc/artefact")))
    with pytest.raises(TrackingError):
        current_version(f"models:/{REGISTERED}@nobody")
