from __future__ import annotations

import os
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import trainer.environment
from labels.output.drafts import cache_folder
from trainer.environment import shipped, shipped_experiments


def installed_copy(package: Path) -> ModuleType:
    """`trainer.environment` as it would be in another installation."""
    package.mkdir(parents=True)
    shutil.copy(trainer.environment.__file__, package / "resources.py")
    spec = spec_from_file_location("installed_resources", package / "resources.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "holds"), [("seeds", "annotations"), ("experiments", "default.toml")])
def test_the_shipped_folders_are_found_from_any_working_folder(name: str, holds: str) -> None:
    assert (shipped(name) / holds).exists()


def test_the_shipped_experiments_are_listed_in_order_without_ending() -> None:
    assert shipped_experiments() == sorted(shipped_experiments())
    assert {"default", "finetune", "keywords", "majority", "tfidf"} <= set(shipped_experiments())


def test_in_a_wheel_the_data_inside_the_package_are_used_not_a_neighbour_of_that_name(isolated: Path) -> None:
    module = installed_copy(isolated / "site-packages" / "trainer")
    inside = isolated / "site-packages" / "trainer" / "_data" / "seeds"
    inside.mkdir(parents=True)
    (isolated / "site-packages" / "seeds").mkdir()
    assert module.shipped("seeds") == inside.resolve()


def test_in_a_checkout_the_folder_beside_the_package_is_used(isolated: Path) -> None:
    module = installed_copy(isolated / "checkout" / "trainer")
    (isolated / "checkout" / "seeds").mkdir()
    assert module.shipped("seeds") == (isolated / "checkout" / "seeds").resolve()


def test_missing_shipped_folder_asks_to_reinstall() -> None:
    with pytest.raises(FileNotFoundError, match="'recordings' of communique is missing"):
        shipped("recordings")


def test_the_cache_is_where_the_environment_says(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == Path(os.environ["COMMUNIQUE_CACHE"])
    monkeypatch.delenv("COMMUNIQUE_CACHE")
    monkeypatch.setenv("HOME", str(isolated))
    assert cache_folder() == isolated / ".cache" / "communique"
