"""`import communique`: its names, what importing it costs, and that every kind of installation has it."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
import sysconfig
import venv
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


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of a fresh environment with communique in it; its dependencies are this environment's."""
    folder = tmp_path_factory.mktemp(request.param)
    venv.create(folder / "venv", with_pip=False)
    paths = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    site = Path(sysconfig.get_path("purelib", "venv", paths))
    # Only the folder itself: .pth files in it, such as that of an editable install, are not read again.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    scripts = Path(sysconfig.get_path("scripts", "venv", paths))
    pip = [sys.executable, "-m", "pip", "--python", str(scripts / "python")]
    what = ["-e", str(ROOT)] if request.param == "editable" else [str(ROOT)]
    install = [*pip, "install", "--quiet", "--no-deps", "--no-build-isolation", "--force-reinstall", *what]
    subprocess.run(install, check=True, capture_output=True)
    return scripts


def run(folder: Path, *command: str | Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize("beside", ["nothing", "a folder of the same name"])
def test_it_can_be_imported_wherever_it_is_installed(installed: Path, beside: str, isolated: Path) -> None:
    if beside != "nothing":
        (isolated / "communique").mkdir()
        (isolated / "communique/notes.txt").write_text("A project folder, not a package.")
    code = "import communique, trainer; print(communique.__file__); print(trainer.__file__); print(communique.Codebook)"
    door, trainer, codebook = run(isolated, installed / "python", "-c", code).splitlines()
    editable = not Path(trainer).is_relative_to(installed.parent)
    home = ROOT / "trainer/_door" if editable else Path(trainer).parents[1]
    assert Path(door) == home / "communique/__init__.py"
    assert (home / "communique/py.typed").is_file()
    assert codebook == "<class 'labels.codebook.schema.Codebook'>"


@pytest.mark.slow
def test_the_command_and_the_package_state_one_version(installed: Path, isolated: Path) -> None:
    version = run(isolated, installed / "python", "-c", "import communique; print(communique.__version__)")
    assert run(isolated, installed / "communique", "--version") == f"communique {version}"
