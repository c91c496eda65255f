"""What is left when a command is interrupted or killed: whole outputs or none, and an honest record."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import make_examples
from tests.end_to_end.conftest import COMMUNIQUE, Command, heed_interrupts
from tests.trainer.conftest import write_examples

LONG = [
    *("train", "finetune", "--out", "long", "--set", "model.epochs=50000", "--set", "model.keep_layers=1"),
    *("--set", "data.train=data.jsonl", "--set", "data.codebook=infer"),
]


def _start_and_wait_for_run(folder: Path) -> subprocess.Popen[bytes]:
    """Start a training that would take hours; returns when its MLflow run is RUNNING and its draft folder is there."""
    write_examples(folder / "data.jsonl", make_examples(60))
    process = subprocess.Popen(
        [*COMMUNIQUE, *LONG],
        cwd=folder,
        env=os.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,
    )
    while process.poll() is None and not ([*folder.glob(".long.*")] and _statuses(folder) == ["RUNNING"]):
        time.sleep(0.05)
    assert process.poll() is None, process.stderr.read() if process.stderr else ""
    return process


def _statuses(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "mlflow.db", timeout=30) as database:
        return [status for (status,) in database.execute("SELECT status FROM runs ORDER BY start_time")]


@pytest.mark.slow
def test_an_interrupted_run_is_marked_killed_and_leaves_nothing(tracked: Path) -> None:
    process = _start_and_wait_for_run(tracked)
    process.send_signal(signal.SIGINT)
    try:
        _, printed = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode != 0
    assert b"Traceback" not in printed
    assert _statuses(tracked) == ["KILLED"]
    assert not (tracked / "long").exists()
    assert not list(tracked.glob(".long.*"))


@pytest.mark.slow
def test_after_kill_9_the_next_command_marks_the_run_killed(tracked: Path, communique: Command) -> None:
    process = _start_and_wait_for_run(tracked)
    process.kill()
    process.communicate(timeout=120)
    assert _statuses(tracked) == ["RUNNING"]
    assert not (tracked / "long").exists()
    finished = communique("leaderboard")
    assert finished.returncode == 0, finished.stderr
    assert _statuses(tracked) == ["KILLED"]
    assert "killed" in finished.stdout
