"""What `pip install` gives a user, from a wheel or in editable mode."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.conftest import untraced

ROOT = Path(__file__).parents[2]


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
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-compile", "--force-reinstall"]
    install = [*pip, "install", *options, *what]
    subprocess.run(install, env=untraced(), check=True, capture_output=True)
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


@pytest.mark.slow
@pytest.mark.parametrize("installed", ["wheel"], indirect=True)
def test_the_wheel_trains_from_its_own_seeds_and_experiments(installed: Path, isolated: Path) -> None:
    code = "from trainer.environment import shipped; print(shipped('seeds'))"
    seeds = Path(run(isolated, installed / "python", "-c", code).strip())
    assert seeds.is_relative_to(installed.parent)
    shipped = ["README.md", "annotations", "demo.txt", "documents", "starter.zip", "unseen.txt"]
    assert sorted(path.name for path in seeds.iterdir()) == shipped
    settings = ("--set", f"data.only={seeds / 'demo.txt'}", "--set", "tracking.enabled=false")
    run(isolated, installed / "communique", "train", "keywords", "--out", "run", *settings)
    assert json.loads((isolated / "run/report.json").read_text())["synthetic"] is True
