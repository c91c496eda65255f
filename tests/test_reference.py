"""The reference pages say what the commands say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from trainer.cli import app

ROOT = Path(__file__).resolve().parents[1]


def test_the_option_tables_are_those_of_the_commands() -> None:
    """Where this fails: `python .github/scripts/reference.py` writes them again."""
    command = [sys.executable, str(ROOT / ".github" / "scripts" / "reference.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0


def test_the_readme_fits_on_a_few_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def parameters(command: Any) -> Iterator[Any]:
    """Yield the parameters of a command and of its commands."""
    yield from command.params
    for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
        yield from parameters(command.get_command(None, name))


def test_no_help_text_states_two_defaults() -> None:
    stated = [own for own in parameters(typer.main.get_command(app)) if "[default:" in (getattr(own, "help", "") or "")]
    assert stated
    assert [own.opts for own in stated if own.show_default and own.default not in (None, "")] == []


def helps(command: Any) -> Iterator[str]:
    """Yield the help texts of a command, its options, and its commands."""
    yield command.help or ""
    yield from (getattr(parameter, "help", None) or "" for parameter in command.params)
    for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
        yield from helps(command.get_command(None, name))


def test_no_help_text_has_a_bracket_that_rich_reads_as_a_style() -> None:
    found = [text for text in helps(typer.main.get_command(app)) if re.search(r"(?<!\\)\[[a-z_.]+\]", text)]
    assert found == []
