"""`import communique`: its names, and what importing it costs."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import communique

ROOT = Path(__file__).parents[2]
CHEAP = {"communique"}
"""What may be imported beside the standard library."""


def test_the_public_names_are_all_and_all_of_them_exist() -> None:
    public = [name for name in dir(communique) if not name.startswith("_") or name == "__version__"]
    assert public == communique.__all__ == sorted(communique.__all__)
    for name in communique.__all__:
        assert getattr(communique, name) is not None


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(inspect.getsource(communique))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: node.module for node in imports for alias in node.names}
    assert homes == communique._HOMES
    assert sorted([*homes, "__version__"]) == communique.__all__


def test_any_other_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'communique' has no attribute 'Absent'"):
        _ = communique.Absent


def test_importing_brings_in_the_standard_library_only() -> None:
    code = "import sys, communique; print(*{name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    path = os.pathsep.join([str(ROOT), str(ROOT / "trainer/_door")])
    # -S: without the .pth files of this environment, which import things of their own.
    done = subprocess.run([sys.executable, "-S", "-c", code], env={"PYTHONPATH": path}, capture_output=True, text=True)
    assert (done.stderr, {*done.stdout.split()} - {"__main__"}) == ("", CHEAP)
