"""Commands of the whole command line, run in this process, and what they print and write."""

from __future__ import annotations

import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from trainer.cli import app

BOOK = """name = "small"
[[labels]]
name = "aid"
key = "a"
definition = "Help is promised."
[[labels]]
name = "truce"
key = "t"
"""


def run(*arguments: str | Path, typed: str = "") -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=typed)


def succeed(*arguments: str | Path, typed: str = "") -> str:
    """What the command printed."""
    result = run(*arguments, typed=typed)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return str(result.stdout)


def refuse(*arguments: str | Path, code: int = 2) -> str:
    """The message, on one line, of a command that must fail, print no traceback and write nothing."""
    before = contents()
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert contents() == before
    return " ".join(result.stderr.replace("│", " ").split())


def contents() -> dict[str, Any]:
    """What lies in the working folder: files by name, stores by what they hold."""
    found: dict[str, Any] = {}
    for path in Path().rglob("*"):
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as connection:
                found[str(path)] = list(connection.iterdump())
        else:
            found[str(path)] = path.read_bytes() if path.is_file() else None
    return found


def next_commands(printed: str) -> list[list[str]]:
    """The words of the commands that are to be typed next, `communique` left out."""
    return [shlex.split(found) for found in re.findall(r"\bcommunique ([a-z][^\n`]+)", printed)]
