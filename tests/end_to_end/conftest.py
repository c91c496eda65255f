"""The real command line, run as a user runs it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trainer.cli import app

Command = Callable[..., subprocess.CompletedProcess[str]]
COMMUNIQUE = [sys.executable, "-c", "from trainer.cli import app; app()"]


def run_command(folder: Path, *arguments: str, typed: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `communique ARGUMENTS` in `folder`, with `typed` on its standard input."""
    return subprocess.run(
        [*COMMUNIQUE, *arguments],
        cwd=folder,
        input=typed,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def run_here(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    """Run `communique ARGUMENTS` in this process; the start of a new process would take most of the time."""
    done = CliRunner().invoke(app, arguments, input=typed, env={"COLUMNS": "100", "NO_COLOR": "1"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def heed_interrupts() -> None:
    """Let a child process be interrupted although the tests run in a shell's background, where SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def communique(isolated: Path) -> Command:
    """Run the real command in this test's empty folder."""
    return lambda *arguments, **options: run_command(isolated, *arguments, **options)


@pytest.fixture
def tracked(isolated: Path, mlflow_template: Path) -> Path:
    """This test's folder with an empty MLflow database where communique looks for it."""
    shutil.copy(mlflow_template, isolated / "mlflow.db")
    return isolated


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, mlflow_template: Path) -> tuple[Path, str]:
    """A folder in which `communique demo` has run, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    shutil.copy(mlflow_template, folder / "mlflow.db")
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    finished = run_command(folder, "demo")
    assert finished.returncode == 0, finished.stderr
    return folder, finished.stdout
