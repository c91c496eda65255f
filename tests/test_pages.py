"""What the pages for people say beside the reference: README's pictures, and the figures of CONTRIBUTING."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from labels.exchange.formats import PLUGINS as FORMATS
from trainer.config.models import PLUGINS as CLASSIFIERS
from trainer.model.model import FORMAT, MINOR

ROOT = Path(__file__).resolve().parents[1]


def test_readme_shows_small_pictures_that_exist() -> None:
    shown = re.findall(r"!\[.+?\]\((.+?)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown
    assert [name for name in shown if not 0 < (ROOT / name).stat().st_size < 60_000] == []


@pytest.mark.slow
def test_the_script_draws_the_screen_and_a_report(isolated: Path) -> None:
    subprocess.run([sys.executable, str(ROOT / ".github/scripts/pictures.py"), str(isolated)], check=True)
    screen, report = ((isolated / f"{name}.svg").read_text(encoding="utf-8") for name in ("label", "report"))
    assert "mediators" in screen
    assert "ceasefire_call" in screen
    assert "precision" in report
    assert "weapons_request" in report


def test_contributing_names_the_current_versions() -> None:
    text = (ROOT / ".github/CONTRIBUTING.md").read_text(encoding="utf-8")
    assert f"now {FORMAT}.{MINOR}" in text
    assert FORMATS.api == CLASSIFIERS.api
    assert f"now {FORMATS.api} for `{FORMATS.name}` and for `{CLASSIFIERS.name}`" in text


def test_the_workflow_tests_each_python_that_the_package_claims() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    claimed = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert workflow["jobs"]["tests"]["strategy"]["matrix"]["python"] == claimed
    assert workflow["jobs"]["tests"]["steps"][-1] == {"run": ".ci/run"}
