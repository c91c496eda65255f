"""The reference pages say what the commands say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_option_tables_are_those_of_the_commands() -> None:
    """Where this fails: `python .github/scripts/reference.py` writes them again."""
    command = [sys.executable, str(ROOT / ".github" / "scripts" / "reference.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


def test_the_readme_fits_on_a_few_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
