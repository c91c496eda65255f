from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from labels.errors import DataError
from labels.output.drafts import sole_writer
from tests.trainer.conftest import MakeExperiment
from trainer.runs.run import run_experiment

HOLDER = """
import sys
from pathlib import Path
from labels.output.drafts import sole_writer
with sole_writer(Path("out")):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_what_another_process_writes_to_is_refused_until_that_ends_however_it_does(
    experiment_of: MakeExperiment, isolated: Path
) -> None:
    root = str(Path(__file__).parents[3])
    holder = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{HOLDER}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DataError, match=r"out: another process is writing to this folder.*--out"):
            run_experiment(experiment_of("majority"), isolated / "out")
        assert not (isolated / "out").exists()
    finally:
        holder.kill()
        holder.communicate()
    run_experiment(experiment_of("majority"), isolated / "out")


def test_other_folders_are_free(isolated: Path) -> None:
    with sole_writer(isolated / "out"), sole_writer(isolated / "other"):
        pass


def test_without_a_place_for_locks_nothing_is_locked(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (isolated / "file").touch()
    monkeypatch.setenv("COMMUNIQUE_CACHE", str(isolated / "file"))
    with sole_writer(isolated / "out"), sole_writer(isolated / "out"):
        pass
