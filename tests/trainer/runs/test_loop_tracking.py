"""The rounds of a labelling loop in MLflow: one run, with a child for each round, each logged once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lazy import Lazy
from trainer.runs.loop_folder import ROUND, Round, round_text
from trainer.runs.tracking.record import new_record
from trainer.runs.tracking.track import continue_run

mlflow = Lazy("mlflow")

FIGURES = {"train": 40, "validation": 10, "test": 10, "with_gold": 60, "frozen": True, "basis": "out-of-fold"}
REST = {"evaluated": 50, "gain": None, "reason": "few", "seconds": 1.5, "created_at": "2026-01-01"}


def add_round(number: int, macro_f1: float) -> None:
    folder = Path(f"loop/round-{number:03d}")
    folder.mkdir(parents=True)
    one = Round(number, "m", 50 * number, macro_f1=macro_f1, per_label={"aid": 0.5, "truce": None}, **FIGURES, **REST)  # type: ignore[arg-type]
    (folder / ROUND).write_text(round_text(one), encoding="utf-8")


@pytest.mark.usefixtures("mlflow_store")
def test_each_round_is_logged_once_as_a_child_of_the_loop() -> None:
    add_round(1, 0.4)
    new_record("loop", "own-loops", "small", {"model": {"kind": "tfidf"}}, {}, source="s.db").save(Path("loop"))
    first = continue_run(Path("loop"))
    add_round(2, 0.6)
    again = continue_run(Path("loop"))

    runs = mlflow.search_runs(experiment_names=["own-loops"], output_format="list")
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in runs if run is not parent]
    assert first.run_id == again.run_id == parent.info.run_id
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert sorted(run.info.run_name for run in children) == ["small round 1", "small round 2"]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    curve = mlflow.MlflowClient().get_metric_history(parent.info.run_id, "macro_f1")
    assert [(point.step, point.value) for point in curve] == [(50, 0.4), (100, 0.6)]
