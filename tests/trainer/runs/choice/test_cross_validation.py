from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from labels.errors import ExperimentError
from tests.conftest import make_examples
from tests.lazy import Lazy
from tests.trainer.conftest import MakeExperiment, disturbed, write_examples
from trainer.cli import app
from trainer.evaluation.report import Report
from trainer.model.model import Model
from trainer.runs.choice import cross_validation as module
from trainer.runs.choice.comparing import compare_sides
from trainer.runs.choice.cross_validation import cross_validate
from trainer.runs.choice.promotion import promote
from trainer.runs.choice.sides import read_side
from trainer.runs.run import RunResult, run_experiment
from trainer.runs.tracking.leaderboard import leaderboards

MlflowClient = Lazy("mlflow:MlflowClient")
metrics = Lazy("sklearn.metrics")


@pytest.fixture
def folded(experiment_of: MakeExperiment) -> RunResult:
    return cross_validate(experiment_of("tfidf", split={"folds": 4}), Path("words"))


def test_pooled_predictions_have_every_row_and_the_report_their_figures(folded: RunResult) -> None:
    rows = pq.read_table("words/predictions.parquet").to_pylist()
    assert {row["split"] for row in rows} == {"out-of-fold"}
    assert sorted(row["example_id"] for row in rows) == sorted(one.id for one in make_examples(150))
    report = Report.read(folded.folder / "report.json")
    gold, found = (
        np.array([[label in row[column] for label in report.labels] for row in rows]) for column in ("gold", "labels")
    )
    assert report.macro_f1 == pytest.approx(metrics.f1_score(gold, found, average="macro"))
    assert (report.basis, report.n_test, report.validation_macro_f1) == ("out-of-fold", 150, report.macro_f1)
    assert sum(fold.n_test for fold in report.folds) == 150
    assert report.intervals is not None
    assert report.test_looks is None


def test_the_saved_model_has_learned_all_and_is_calibrated_on_the_folds(folded: RunResult) -> None:
    model = Model.load(folded.artefact)
    assert [own.n for own in model.calibration.labels] == [150, 150]
    rows = pq.read_table("words/predictions.parquet").to_pylist()
    learned = model.predict_proba([row["text"] for row in rows])
    unseen = np.array([row["probabilities"] for row in rows])
    gold = np.array([[label in row["gold"] for label in model.labels] for row in rows])
    assert np.abs(learned - gold).mean() < np.abs(unseen - gold).mean()


def test_a_fold_says_nothing_to_the_model_that_predicts_it(experiment_of: MakeExperiment, isolated: Path) -> None:
    """Labels of one fold turned round change no prediction and no threshold for this fold."""
    experiment = experiment_of("tfidf", split={"by": "source", "leave_one_out": True})

    def predicted(poisoned: str, out: str) -> dict[str, list[float]]:
        rows = [json.loads(line) for line in (isolated / "data.jsonl").read_text("utf-8").splitlines()]
        for row in rows:
            row["source"] = "abc"[int(row["document_id"][1:]) % 3]
            if row["source"] == poisoned:
                row["labels"] = [label for label in ("aid", "truce") if label not in row["labels"]]
        path = isolated / "poisoned.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        data = experiment.data.model_copy(update={"train": str(path)})
        cross_validate(experiment.model_copy(update={"data": data}), Path(out))
        found = pq.read_table(f"{out}/predictions.parquet").to_pylist()
        sources = {row["example_id"]: row["source"] for row in rows}
        return {
            row["example_id"]: [*row["probabilities"], *map(ord, "".join(row["labels"]))]
            for row in found
            if sources[row["example_id"]] == "b"
        }

    assert predicted("b", "one") == predicted("", "two")


@pytest.mark.parametrize("kind", ["majority", "embedding"])
def test_kinds_without_thresholds_or_with_an_encoder_cross_validate(experiment_of: MakeExperiment, kind: str) -> None:
    result = cross_validate(experiment_of(kind, split={"folds": 2}), Path("out"))
    assert result.report.n_test == 150
    assert ("thresholds are tuned on" in result.report.notes[0]) == (kind == "embedding")


def test_folds_are_runs_below_the_run_and_not_on_the_leaderboard(
    experiment_of: MakeExperiment, mlflow_store: str
) -> None:
    tracking = {"enabled": True, "experiment": "folded"}
    result = cross_validate(experiment_of("majority", split={"folds": 3}, tracking=tracking), Path("floor"))
    client = MlflowClient()
    runs = client.search_runs([client.get_experiment_by_name("folded").experiment_id])
    below = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == result.run_id]
    assert sorted(run.info.run_name for run in below) == [f"majority fold {number}" for number in (1, 2, 3)]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert sum(int(run.data.params["fold.n_test"]) for run in below) == 150
    (board,) = leaderboards("folded")
    assert [row.run_id for row in board.rows] == [result.run_id]
    shown = CliRunner().invoke(app, ["leaderboard", "--experiment", "folded"]).stdout
    assert "cross-validated" in shown
    assert "out-of-fold F1" in shown
    assert "test F1" not in shown
    assert "out-of-fold predictions" in CliRunner().invoke(app, ["runs", "--experiment", "folded"]).stdout


def interrupted_train(monkeypatch: pytest.MonkeyPatch, name: str, call: int) -> str:
    """Train with Ctrl-C in a call of a function of this module; returns what is printed."""
    original, calls = getattr(module, name), iter(range(1, 10))

    def stop(*arguments: Any, **options: Any) -> Any:
        if next(calls) == call:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(module, name, stop)
    options = ("data.train=data.jsonl", "data.codebook=codebook.toml", "split.folds=3")
    done = CliRunner().invoke(app, ["train", "majority", *(word for key in options for word in ("--set", key))])
    assert done.exit_code == 130
    assert not Path("runs/majority").exists()
    return " ".join(done.output.split())


def test_an_interrupt_is_said_and_the_run_killed_in_mlflow(
    experiment_of: MakeExperiment, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment_of("majority")
    said = interrupted_train(monkeypatch, "fit_model", 2)
    assert said.endswith("Interrupted. Nothing was written to runs/majority.")
    listed = CliRunner().invoke(app, ["runs"])
    assert (listed.exit_code, listed.output.count("killed")) == (0, 1), listed.output


def test_an_interrupt_before_the_run_says_that_none_is_recorded(
    experiment_of: MakeExperiment, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment_of("majority")
    said = interrupted_train(monkeypatch, "load_dataset", 1)
    assert said.endswith("The data were still being read, so MLflow has no run.")


def test_compare_and_promote_decide_on_out_of_fold_predictions(
    experiment_of: MakeExperiment, mlflow_store: str, isolated: Path
) -> None:
    write_examples(isolated / "data.jsonl", disturbed(make_examples(300)))
    tracking = {"enabled": True, "experiment": "folded", "register_as": "small"}
    results = {
        kind: cross_validate(experiment_of(kind, split={"folds": 3}, tracking=tracking), Path(kind))
        for kind in ("majority", "tfidf")
    }
    compared = compare_sides(read_side("majority"), read_side(results["tfidf"].run_id))
    assert (compared.place, compared.comparison.n, compared.notes) == ("out-of-fold", 300, ())
    assert promote("majority").promoted
    outcome = promote("tfidf")
    assert outcome.promoted
    assert outcome.compared is not None
    assert (outcome.compared.place, outcome.shown) == ("out-of-fold", None)


def test_the_command_writes_and_reports_a_cross_validation(experiment_of: MakeExperiment) -> None:
    Path("cv.toml").write_text(
        '[data]\ntrain = "data.jsonl"\ncodebook = "codebook.toml"\n[model]\nkind = "majority"\n'
        "[split]\nfolds = 3\n[tracking]\nenabled = false\n",
        "utf-8",
    )
    done = CliRunner().invoke(app, ["train", "cv.toml", "--out", "cv"])
    assert done.exit_code == 0, done.output
    assert "the figures are out-of-fold" in " ".join(done.output.split())
    done = CliRunner().invoke(app, ["report", "cv", "--out", "pages"])
    assert done.exit_code == 0, done.output
    assert "150 out-of-fold sentences" in Path("pages/table.tex").read_text("utf-8")
    done = CliRunner().invoke(app, ["sweep", "cv.toml", "--out", "swept", "--set", "sweep.space.model.C=[1, 2]"])
    assert (done.exit_code, Path("swept").exists()) == (2, False)


@pytest.mark.parametrize(
    ("split", "design"),
    [
        ({"folds": 3}, "3-fold cross-validation by document"),
        ({"by": "source", "leave_one_out": True}, "leave-one-out cross-validation by source (3 folds: a, b, c)"),
    ],
)
def test_all_pages_say_how_the_sentences_were_predicted(
    experiment_of: MakeExperiment, isolated: Path, split: dict[str, object], design: str
) -> None:
    rows = [json.loads(line) for line in (isolated / "data.jsonl").read_text("utf-8").splitlines()]
    rows = [row | {"source": "abc"[int(row["document_id"][1:]) % 3]} for row in rows]
    (isolated / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    folds = cross_validate(experiment_of("tfidf", split=split), Path("cv")).report.folds
    done = CliRunner().invoke(app, ["report", "cv", "--out", "pages"])
    assert done.exit_code == 0, done.output
    pages = {path.name: path.read_text("utf-8").replace("\\", "") for path in Path("pages").iterdir()}
    assert [name for name, page in pages.items() if design not in page] == []
    methods = pages["methods.md"]
    tuned = sorted(fold.n_validation for fold in folds)
    span = f"{tuned[0]} to {tuned[-1]}" if tuned[0] < tuned[-1] else f"{tuned[0]}"
    assert f"{span} more served for calibration and the threshold of each label" in methods
    assert "tested on" not in methods
    assert "| 0 |" not in methods
    assert "split: out-of-fold" in pages["MODEL_CARD.md"]
    assert "each fold was labelled with its own thresholds" in methods
    page = pages["report.html"]
    assert all(text in page for text in ("threshold of the saved model", "The thresholds behind these figures"))
    assert "tuned on validation" not in page
    assert all(fold.thresholds and set(fold.thresholds) == {"aid", "truce"} for fold in folds)


def test_a_plain_run_and_several_processes_refuse_folds(
    experiment_of: MakeExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = experiment_of("majority", split={"folds": 3})
    with pytest.raises(ExperimentError, match="only `communique train` cross-validates"):
        run_experiment(experiment, Path("out"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ExperimentError, match="in one process"):
        cross_validate(experiment, Path("out"))
