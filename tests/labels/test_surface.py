"""The public names of both packages, and what importing them must not bring in."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import labels
import trainer

PACKAGES = pytest.mark.parametrize("package", [labels, trainer], ids=lambda package: package.__name__)
HEAVY = (
    "torch",
    "transformers",
    "mlflow",
    "sklearn",
    "datasets",
    "pandas",
    "numpy",
    "sqlalchemy",
    "pydantic",
    "rich",
    "matplotlib",
    "fastapi",
)


def names_shown_to_type_checkers(package: ModuleType) -> dict[str, str]:
    """Name -> module of the imports under `if TYPE_CHECKING:`."""
    tree = ast.parse(inspect.getsource(package))
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: str(node.module) for node in imports for alias in node.names}


@PACKAGES
def test_all_is_sorted_and_is_what_the_homes_and_type_checkers_know(package: ModuleType) -> None:
    assert package.__all__ == sorted(package._HOMES)
    assert names_shown_to_type_checkers(package) == package._HOMES


@PACKAGES
def test_every_public_name_can_be_imported(package: ModuleType) -> None:
    found: dict[str, object] = {}
    exec(f"from {package.__name__} import *", found)
    for name in package.__all__:
        assert found[name] is getattr(package, name)
        assert getattr(found[name], "__module__", "").startswith(package._HOMES[name])
        assert getattr(found[name], "__name__", "") == name


@PACKAGES
def test_any_other_name_is_an_attribute_error(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'Absent'"):
        _ = package.Absent


@pytest.mark.parametrize("module", ["labels", "labels.cli", "trainer", "trainer.cli"])
def test_importing_brings_in_no_heavy_library(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}} & {set(HEAVY)!r}))"
    root = Path(str(labels.__file__)).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.stderr, done.stdout.split()) == ("", [])
