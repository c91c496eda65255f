"""Two runs on one split that a store keeps: `floor` predicts nothing useful, `words` is nearly always right."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.lazy import Lazy
from tests.trainer.conftest import EXPERIMENT, REGISTERED, TrackedRun, aside, make_experiment
from trainer.runs.run import RunResult, run_experiment

mlflow = Lazy("mlflow")


@pytest.fixture(scope="session")
def floor_run(tracked_run: TrackedRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, Path]:
    """A majority run on the split of `tracked_run`, and the database that keeps both."""
    folder = tmp_path_factory.mktemp("floor")
    database = folder / "mlflow.db"
    shutil.copy(tracked_run.database, database)
    tracking = {"enabled": True, "experiment": EXPERIMENT, "register_as": REGISTERED}
    experiment = make_experiment(tracked_run.database.parent, "majority", name="floor", tracking=tracking)
    with aside(folder) as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        mlflow.set_tracking_uri(f"sqlite:///{database}")
        return run_experiment(experiment, folder / "out"), database


@pytest.fixture
def both(mlflow_store: str, floor_run: tuple[RunResult, Path]) -> RunResult:
    """The majority run, version 2, in a store of this test's own with `tracked_run`, version 1."""
    shutil.copy(floor_run[1], mlflow_store.removeprefix("sqlite:///"))
    return floor_run[0]
