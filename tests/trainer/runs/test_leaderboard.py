from __future__ import annotations

import pickle
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from labels.errors import TrackingError
from tests.lazy import Lazy
from tests.trainer.conftest import EXPERIMENT, REGISTERED, TrackedRun
from trainer.runs.tracking import tracker
from trainer.runs.tracking.leaderboard import Board, leaderboards
from trainer.runs.tracking.registry import point_champion

MlflowClient = Lazy("mlflow:MlflowClient")


def log(
    name: str,
    *,
    split: str = "s1",
    judging: str = "j1",
    codebook: str = "c1",
    synthetic: bool = False,
    confidence: float = 0.95,
    **figures: float,
) -> None:
    """One run as `run_experiment` tags it, with these figures."""
    tags = {"split.hash": split, "data.judging_hash": judging, "codebook.hash": codebook}
    with tracker.tracked_run("work", name, tags | {"synthetic": str(synthetic).lower()}) as mlflow_run:
        mlflow_run.log_params({"model.kind": name, "data.source": "seeds", "data.train": ""})
        mlflow_run.log_params({"evaluation.confidence": confidence})
        mlflow_run.log_metrics(figures)


def names() -> list[list[str]]:
    return [[row.name for row in board.rows] for board in leaderboards("work")]


def test_best_on_validation_comes_first_whatever_the_test_says(mlflow_store: str) -> None:
    log("middle", validation_macro_f1=0.6, macro_f1=0.9)
    log("best", validation_macro_f1=0.7, macro_f1=0.1)
    log("worst", validation_macro_f1=0.0, macro_f1=0.95)
    assert names() == [["best", "middle", "worst"]]


def test_runs_without_figures_come_last(mlflow_store: str) -> None:
    log("worst", validation_macro_f1=0.0)
    tags = {"split.hash": "s1", "data.judging_hash": "j1", "codebook.hash": "c1"}
    with pytest.raises(ValueError), tracker.tracked_run("work", "failed", tags):
        raise ValueError
    log("best", validation_macro_f1=0.2)
    [board] = leaderboards("work")
    assert [(row.name, row.status) for row in board.rows] == [
        ("best", "FINISHED"),
        ("worst", "FINISHED"),
        ("failed", "FAILED"),
    ]


def test_only_runs_on_one_split_compare(mlflow_store: str) -> None:
    log("a", split="old", validation_macro_f1=0.9)
    log("b", split="new", validation_macro_f1=0.1)
    log("c", split="old", validation_macro_f1=0.2)
    log("d", split="newest", validation_macro_f1=0.1)
    assert names() == [["d"], ["a", "c"], ["b"]]
    assert [board.split_hash for board in leaderboards("work")] == ["newest", "old", "new"]


def test_only_runs_that_the_same_gold_judges_compare(mlflow_store: str) -> None:
    log("a", judging="before", validation_macro_f1=0.9)
    log("b", judging="after", validation_macro_f1=0.1)
    log("c", judging="before", validation_macro_f1=0.2)
    assert names() == [["a", "c"], ["b"]]
    assert [board.evaluation_hash for board in leaderboards("work")] == ["before", "after"]


def test_board_knows_the_confidence_of_its_intervals_where_it_is_one(mlflow_store: str) -> None:
    log("a", confidence=0.5)
    assert leaderboards("work")[0].confidence == 0.5
    log("b", confidence=0.9)
    assert leaderboards("work")[0].confidence is None


def test_only_runs_with_one_codebook_compare(mlflow_store: str) -> None:
    log("a", codebook="c1", validation_macro_f1=0.9)
    log("b", codebook="c2", validation_macro_f1=0.95)
    assert names() == [["b"], ["a"]]


def test_board_names_labels_and_data(mlflow_store: str) -> None:
    log("a", **{"f1.truce": 0.5, "validation_macro_f1": 0.3})
    log("b", synthetic=True, **{"f1.aid": 0.5, "f1.truce": 0.1})
    [board] = leaderboards("work")
    assert set(board.labels) == {"aid", "truce"}
    assert (board.data, board.synthetic) == ("seeds", True)


def test_board_of_a_real_run_marks_the_champion(tracked_store: str, tracked_run: TrackedRun) -> None:
    point_champion(REGISTERED, tracked_run.result.registered_version)
    [board] = leaderboards(EXPERIMENT)
    [row] = board.rows
    assert row.champion
    assert board.split_hash == tracked_run.result.report.split_hash
    assert len(board.evaluation_hash) == 16
    assert board.confidence == 0.95
    assert board.data == tracked_run.experiment.data.train
    assert board.labels == ("aid", "truce")
    assert board.synthetic is False
    assert row.metrics["macro_f1"] == pytest.approx(tracked_run.result.report.macro_f1)


def test_unknown_experiment_is_named(mlflow_store: str) -> None:
    with pytest.raises(TrackingError, match="'nowhere'"):
        leaderboards("nowhere")


# -- read without MLflow


def in_new_process(experiment: str) -> tuple[list[Board], bool]:
    """The boards that a process which has not imported MLflow gets, and whether it had to import it."""
    code = (
        "import pickle, sys; from trainer.runs.tracking.leaderboard import Board, leaderboards; "
        f"boards = leaderboards({experiment!r}); "
        "sys.stdout.buffer.write(pickle.dumps((boards, 'mlflow' in sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    boards, imported = pickle.loads(done.stdout)
    return boards, imported


def test_the_file_of_the_store_gives_the_same_boards_as_mlflow(tracked_store: str, tracked_run: TrackedRun) -> None:
    point_champion(REGISTERED, tracked_run.result.registered_version)
    with pytest.raises(ValueError), tracker.tracked_run(EXPERIMENT, "failed", {"split.hash": "other"}):
        raise ValueError
    with tracker.tracked_run(EXPERIMENT, "deleted", {}) as mlflow_run:
        pass
    MlflowClient().delete_run(mlflow_run.run_id)
    boards, imported = in_new_process(EXPERIMENT)
    assert not imported
    assert boards == leaderboards(EXPERIMENT)
    assert [row.champion for board in boards for row in board.rows] == [False, True]


def test_mlflow_is_asked_where_a_run_was_left_open(mlflow_store: str) -> None:
    log("finished", validation_macro_f1=0.5)
    gone = {"communique.host": socket.gethostname(), "communique.pid": "1", "communique.process_started": "1.00"}
    client = MlflowClient()
    found = client.get_experiment_by_name("work")
    client.create_run(found.experiment_id, run_name="left open", tags=gone)
    boards, imported = in_new_process("work")
    assert imported
    assert {row.name: row.status for board in boards for row in board.rows} == {
        "finished": "FINISHED",
        "left open": "KILLED",
    }


def test_a_file_that_is_not_mlflows_is_left_to_mlflow_to_refuse(
    isolated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (isolated / "mlflow.db").write_text("not a database")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{isolated / 'mlflow.db'}")
    code = "from trainer.runs.tracking.leaderboard import Board, leaderboards; leaderboards('work')"
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "TrackingError: the MLflow store at" in done.stderr
