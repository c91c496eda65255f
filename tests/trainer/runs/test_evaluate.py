from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from labels.errors import DataError
from labels.records import Example
from tests.conftest import make_examples
from tests.lazy import Lazy
from tests.trainer.conftest import TrackedRun, disturbed, write_examples
from trainer.cli import app
from trainer.data.splits import Split
from trainer.model.model import Model, read_manifest
from trainer.model.seen import seen_examples
from trainer.runs.evaluate import evaluate_file
from trainer.runs.run import RunResult
from trainer.runs.tracking.leaderboard import RunRow, list_runs

MlflowClient = Lazy("mlflow:MlflowClient")


@pytest.fixture
def held_out(tracked_run: TrackedRun, isolated: Path) -> Path:
    """The test part of `tracked_run` as a file of its own."""
    by_id = {example.id: example for example in disturbed(make_examples(300))}
    split = Split.load(tracked_run.result.folder / "split.json")
    return write_examples(isolated / "held-out.jsonl", [by_id[identifier] for identifier in split.test])


def test_file_of_the_runs_own_test_part_gives_the_runs_figures(
    tracked_run: TrackedRun, tfidf_model: Model, held_out: Path
) -> None:
    artefact = tracked_run.result.artefact
    report = evaluate_file(tfidf_model, artefact, held_out, None, track=False).report
    same = ("labels", "exclusive", "n_test", "n_groups", "macro_f1", "micro_f1", "subset_accuracy", "per_label")
    for name in (*same, "codebook", "kind", "model_id", "artefact_bytes", "synthetic", "train_seconds"):
        assert getattr(report, name) == getattr(tracked_run.result.report, name)
    for name in ("expected_calibration_error", "brier_score", "log_loss"):
        assert getattr(report.calibration, name) == pytest.approx(getattr(tracked_run.result.report.calibration, name))
    assert report.intervals.macro_f1.low < report.macro_f1 < report.intervals.macro_f1.high
    assert report.data == str(held_out)


def test_evaluating_twice_gives_the_same_intervals(tracked_run: TrackedRun, tfidf_model: Model, held_out: Path) -> None:
    artefact = tracked_run.result.artefact
    first, second = (evaluate_file(tfidf_model, artefact, held_out, None, track=False).report for _ in range(2))
    assert first.intervals == second.intervals


def test_outputs_are_kept_where_asked(tracked_run: TrackedRun, tfidf_model: Model, held_out: Path) -> None:
    out = Path("deep/report")
    evaluation = evaluate_file(tfidf_model, tracked_run.result.artefact, held_out, out, track=False)
    assert evaluation.folder == out
    assert {path.name for path in out.iterdir()} == {"report.json", "predictions.parquet", "plots", "tracking.json"}
    assert json.loads((out / "report.json").read_text("utf-8")) == evaluation.report.to_dict()
    assert {path.suffix for path in (out / "plots").iterdir()} == {".png"}
    rows = pq.read_table(out / "predictions.parquet").to_pylist()
    run_rows = pq.read_table(tracked_run.result.folder / "predictions.parquet").to_pylist()
    assert rows == [row for row in run_rows if row["split"] == "test"]
    assert [path.name for path in out.parent.iterdir()] == ["report"]


def test_nothing_is_kept_where_neither_folder_nor_tracking_is_asked_for(
    tracked_run: TrackedRun, tfidf_model: Model, held_out: Path, mlflow_store: str
) -> None:
    evaluation = evaluate_file(tfidf_model, tracked_run.result.artefact, held_out, None, track=False)
    assert evaluation.folder is None
    assert {path.name for path in Path().iterdir()} == {held_out.name, "mlflow.db"}
    assert not runs()


def test_exclusive_model_is_evaluated_by_accuracy(exclusive_run: RunResult, isolated: Path) -> None:
    examples = disturbed(make_examples(24, exclusive=True))
    data = write_examples(isolated / "data.jsonl", examples)
    model = Model.load(exclusive_run.artefact)
    said = model.label_sets(model.predict_proba([example.text for example in examples]))
    right = sum(labels == example.labels for labels, example in zip(said, examples, strict=True))
    report = evaluate_file(model, exclusive_run.artefact, data, None, track=False).report
    assert 0 < right < 24
    assert report.accuracy == pytest.approx(right / 24)
    assert report.intervals is None
    assert "8 test groups" in report.intervals_reason


def runs() -> list[RunRow]:
    """The evaluations that MLflow holds."""
    name = "communique-evaluations"
    return [] if MlflowClient().get_experiment_by_name(name) is None else list_runs(name)


def test_evaluation_is_one_finished_mlflow_run(
    tracked_run: TrackedRun, tfidf_model: Model, held_out: Path, mlflow_store: str
) -> None:
    report = evaluate_file(tfidf_model, tracked_run.result.artefact, held_out, None).report
    [row] = runs()
    assert (row.name, row.status, row.params["model.kind"]) == ("tfidf on held-out.jsonl", "FINISHED", "tfidf")
    assert row.params["data"] == str(held_out)
    assert row.metrics["macro_f1"] == pytest.approx(report.macro_f1)
    assert row.metrics["f1.aid"] == pytest.approx(report.per_label["aid"].f1)
    assert "validation_macro_f1" not in row.metrics
    assert row.tags["model.id"] == read_manifest(tracked_run.result.artefact).digest
    assert row.tags["codebook.hash"] == tracked_run.codebook.hash


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([Example("a", "a", "Rain fell.", ("threat",))], r"data\.jsonl:1: .*'threat'"),
        ([], r"data\.jsonl"),
    ],
    ids=["unknown-label", "empty"],
)
def test_file_that_does_not_fit_leaves_no_run_and_no_folder(
    tracked_run: TrackedRun,
    tfidf_model: Model,
    isolated: Path,
    mlflow_store: str,
    rows: list[Example],
    message: str,
) -> None:
    data = write_examples(isolated / "data.jsonl", rows)
    with pytest.raises(DataError, match=message):
        evaluate_file(tfidf_model, tracked_run.result.artefact, data, Path("out"))
    assert not Path("out").exists()
    assert not runs()


def test_occupied_folder_is_refused_before_any_work(
    tracked_run: TrackedRun, tfidf_model: Model, held_out: Path, mlflow_store: str
) -> None:
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"out: .*--overwrite"):
        evaluate_file(tfidf_model, tracked_run.result.artefact, held_out, Path("out"))
    assert [path.name for path in Path("out").iterdir()] == ["mine.txt"]
    assert not runs()


def test_overwriting_replaces_the_whole_folder(tracked_run: TrackedRun, tfidf_model: Model, held_out: Path) -> None:
    Path("out").mkdir()
    for old in ("report.json", "old.txt"):
        Path("out", old).write_text("old")
    artefact = tracked_run.result.artefact
    evaluate_file(tfidf_model, artefact, held_out, Path("out"), overwrite=True, track=False)
    assert {path.name for path in Path("out").iterdir()} == {
        "report.json",
        "predictions.parquet",
        "plots",
        "tracking.json",
    }


def test_overwriting_spares_a_folder_that_holds_the_model_or_the_rows(
    tracked_run: TrackedRun, tfidf_model: Model, held_out: Path
) -> None:
    Path("out").mkdir()
    Path("out/report.json").write_text("old")
    rows = held_out.rename("out/rows.jsonl")
    for artefact, data in ((tracked_run.result.artefact, rows), (Path("out/artefact"), Path("elsewhere.jsonl"))):
        with pytest.raises(DataError, match=r"would delete out/.*--out"):
            evaluate_file(tfidf_model, artefact, data, Path("out"), overwrite=True, track=False)
    assert rows.is_file()


def test_evaluation_where_no_label_occurs_has_null_figures(
    tracked_run: TrackedRun, tfidf_model: Model, isolated: Path
) -> None:
    rows = [Example(f"e{i}", f"d{i}", f"Rain fell on day {i} in the valley.") for i in range(8)]
    data = write_examples(isolated / "plain.jsonl", rows)
    report = evaluate_file(tfidf_model, tracked_run.result.artefact, data, None, track=False).report
    assert report.macro_f1 is None
    assert report.subset_accuracy == 1


def test_rows_from_which_the_model_has_learned_are_named(
    tracked_run: TrackedRun, tfidf_model: Model, held_out: Path, isolated: Path
) -> None:
    artefact, by_id = tracked_run.result.artefact, {own.id: own for own in disturbed(make_examples(300))}
    split = Split.load(tracked_run.result.folder / "split.json")
    new = [by_id[identifier] for identifier in split.test[:20]]
    # Other ids and another case: the texts count.
    known = [replace(by_id[name], id=f"x{name}", text=by_id[name].text.upper()) for name in split.train[:30]]
    data = write_examples(isolated / "mixed.jsonl", [*new, *known])
    (note,) = evaluate_file(tfidf_model, artefact, data, None, track=False).report.notes
    assert note.startswith("30 of 50 sentences were in this model's training data")
    assert "Remove these rows" in note
    assert evaluate_file(tfidf_model, artefact, held_out, None, track=False).report.notes == []


def test_a_model_of_an_older_version_is_asked_for_the_split_of_its_run(
    tracked_run: TrackedRun, tfidf_model: Model, isolated: Path
) -> None:
    split = Split.load(tracked_run.result.folder / "split.json")
    learned = [own for own in disturbed(make_examples(300)) if own.id in split.validation]
    assert tfidf_model.manifest
    older = tfidf_model.manifest.model_copy(update={"training_ids": ()})
    assert seen_examples(older, tracked_run.result.artefact, learned) == learned
    assert seen_examples(older, isolated / "alone", learned) == []


@pytest.mark.parametrize(
    ("share", "message"),
    [
        ("1.5", "--prevalence: the prevalence of 'aid' is 1.5"),
        ("arms=0.1", "--prevalence: the codebook has no label 'arms'"),
        ("aid=few", "--prevalence aid=few: 'few' is not a number"),
        ("aid=0.6,truce=0.7", "--prevalence: the labels of this codebook exclude each other"),
    ],
)
def test_a_wrong_prevalence_is_named_by_its_option(exclusive_run: RunResult, share: str, message: str) -> None:
    done = CliRunner().invoke(app, ["evaluate", str(exclusive_run.folder), "rows.jsonl", "--prevalence", share])
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())


@pytest.mark.parametrize("corpus", [True, False], ids=["estimated", "given"])
def test_an_exclusive_model_has_figures_at_the_prevalence_of_a_corpus(
    exclusive_run: RunResult, isolated: Path, corpus: bool
) -> None:
    examples = disturbed(make_examples(240, exclusive=True))
    data = write_examples(isolated / "data.jsonl", examples[:120])
    (isolated / "news.txt").write_text("\n\n".join(own.text for own in examples[120:]), encoding="utf-8")
    model = Model.load(exclusive_run.artefact)
    shares = "news.txt" if corpus else {"aid": 0.1}
    report = evaluate_file(model, exclusive_run.artefact, data, None, prevalence=shares, track=False).report
    found = report.prevalence
    assert found
    assert "each class" in found.assumption
    assert (found.source, found.n_sentences is not None) == (("news.txt" if corpus else "given"), corpus)
    aid = found.per_label["aid"]
    assert aid.prevalence == (pytest.approx(0.25, abs=0.15) if corpus else 0.1)
    assert aid.f1 is not None
    assert (found.per_label["truce"].f1 is None) != corpus
