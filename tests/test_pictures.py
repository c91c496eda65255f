"""The pictures that README shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

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
