"""The built wheel carries what a user needs, wherever it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_wheel_trains_from_its_own_seeds_and_experiments(isolated: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(isolated), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    [wheel] = isolated.glob("*.whl")
    site = isolated / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    code = (
        "import sys, trainer; from trainer.environment import shipped; print(trainer.__file__, shipped('seeds'));"
        "sys.argv = ['communique', 'train', 'keywords', '--out', 'run', '--set', 'tracking.enabled=false'];"
        "from trainer.cli import app; app()"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=isolated,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    module, seeds = finished.stdout.splitlines()[0].split()
    assert Path(module).is_relative_to(site)
    assert Path(seeds).is_relative_to(site)
    assert sorted(path.name for path in Path(seeds).iterdir()) == [
        "README.md",
        "annotations",
        "demo.txt",
        "documents",
        "unseen.txt",
    ]
    assert json.loads((isolated / "run/report.json").read_text())["synthetic"] is True
