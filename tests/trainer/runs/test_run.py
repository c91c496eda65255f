from __future__ import annotations

import json
import platform
import time
import tomllib
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from labels.codebook.schema import dump_codebook, parse_codebook
from labels.environment.progress import progress_to
from labels.errors import CommuniqueError, DataError, EncoderError, InputError, TrackingError
from labels.records import Example
from tests.conftest import make_examples
from tests.lazy import Lazy
from tests.trainer.conftest import (
    EXPERIMENT,
    REGISTERED,
    MakeExperiment,
    TrackedRun,
    disturbed,
    gold_of,
    make_experiment,
    plain_codebook,
    write_examples,
)
from trainer.config.sections import SplitSection, TrackingSection
from trainer.data.dataset import hash_examples, load_dataset
from trainer.data.splits import Split
from trainer.evaluation.report_tables import headline_metrics
from trainer.model.model import Model, read_manifest
from trainer.runs import run as module
from trainer.runs.run import RunResult, run_experiment

mlflow = Lazy("mlflow")
MlflowClient = Lazy("mlflow:MlflowClient")
metrics = Lazy("sklearn.metrics")

OUTPUTS = {"artefact", "plots", "predictions.parquet", "report.html", "report.json", "split.json", "tracking.json"}
TIMES = {"train_seconds", "sentences_per_second"}


def report_of(folder: Path) -> dict[str, Any]:
    """The report, which must be JSON as other languages read it."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    content: dict[str, Any] = json.loads((folder / "report.json").read_text("utf-8"), parse_constant=refuse)
    return content


def rows_of(folder: Path, split: str = "test") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "predictions.parquet").to_pylist()
    return [row for row in rows if row["split"] == split]


def indicators(rows: list[dict[str, Any]], column: str, labels: list[str]) -> NDArray[np.int_]:
    return np.array([[int(label in row[column]) for label in labels] for row in rows])


def words_shared(left: str, right: str) -> float:
    """Jaccard similarity of word 3-grams; 0 for sentences of fewer than 8 words."""
    shingles = []
    for text in (left, right):
        words = text.casefold().rstrip(".").split()
        if len(words) < 8:
            return 0.0
        shingles.append(set(zip(words, words[1:], words[2:], strict=False)))
    return len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])


def tied_groups(rows: list[dict[str, Any]]) -> list[set[str]]:
    """Documents that near-duplicate sentences tie together, by brute force."""
    groups = [{document} for document in {row["document_id"] for row in rows}]
    for one, other in combinations(rows, 2):
        if words_shared(one["text"], other["text"]) >= 0.6:
            touched = [group for group in groups if {one["document_id"], other["document_id"]} & group]
            groups = [group for group in groups if group not in touched] + [set().union(*touched)]
    return groups


def everything_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def runs_in_store() -> list[Any]:
    client = MlflowClient()
    return [run for found in client.search_experiments() for run in client.search_runs([found.experiment_id])]


@pytest.fixture(scope="module")
def report(tracked_run: TrackedRun) -> dict[str, Any]:
    return report_of(tracked_run.result.folder)


def test_run_leaves_exactly_its_outputs_and_no_draft_beside_them(tracked_run: TrackedRun) -> None:
    folder = tracked_run.result.folder
    assert {path.name for path in folder.iterdir()} == OUTPUTS
    assert not [path for path in folder.parent.iterdir() if path.name.startswith(".")]
    assert tracked_run.result.artefact == folder / "artefact"


def test_report_says_what_its_figures_refer_to(tracked_run: TrackedRun, report: dict[str, Any]) -> None:
    manifest = read_manifest(tracked_run.result.artefact)
    split = Split.load(tracked_run.result.folder / "split.json")
    assert (
        report.items()
        >= {
            "experiment": "words",
            "kind": "tfidf",
            "seed": 7,
            "labels": ["aid", "truce"],
            "exclusive": False,
            "data": tracked_run.experiment.data.train,
            "synthetic": False,
            "n_train": len(split.train),
            "n_validation": len(split.validation),
            "n_test": len(split.test),
            "split_hash": split.hash,
            "model_id": manifest.digest,
            "codebook": {"name": "small", "version": "1", "hash": tracked_run.codebook.hash},
            "uncalibrated": {},
            "notes": [],
        }.items()
    )
    assert len(split.train) + len(split.validation) + len(split.test) == 300
    artefact = tracked_run.result.artefact
    assert report["artefact_bytes"] == sum(path.stat().st_size for path in artefact.rglob("*") if path.is_file())
    assert report["train_seconds"] > 0
    assert report["sentences_per_second"] > 0


def test_report_in_hand_is_the_report_on_disk(tracked_run: TrackedRun, report: dict[str, Any]) -> None:
    assert tracked_run.result.report.to_dict() == report


def test_figures_are_those_of_the_predictions_beside_them(tracked_run: TrackedRun, report: dict[str, Any]) -> None:
    rows = rows_of(tracked_run.result.folder)
    gold, said = indicators(rows, "gold", report["labels"]), indicators(rows, "labels", report["labels"])
    assert (gold != said).any()  # the classifier errs, so the figures are not all 1
    assert report["macro_f1"] == pytest.approx(metrics.f1_score(gold, said, average="macro"))
    assert report["micro_f1"] == pytest.approx(metrics.f1_score(gold, said, average="micro"))
    assert report["subset_accuracy"] == pytest.approx(metrics.accuracy_score(gold, said))
    assert "accuracy" not in report
    for column, label in enumerate(report["labels"]):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            gold[:, column], said[:, column], average="binary"
        )
        figures = report["per_label"][label]
        assert (figures["precision"], figures["recall"], figures["f1"]) == pytest.approx((precision, recall, f1))
        assert figures["support"] == gold[:, column].sum()


def test_calibration_figures_are_those_of_the_predictions(tracked_run: TrackedRun, report: dict[str, Any]) -> None:
    rows = rows_of(tracked_run.result.folder)
    gold = indicators(rows, "gold", report["labels"])
    probabilities = np.array([row["probabilities"] for row in rows])
    brier = [metrics.brier_score_loss(gold[:, i], probabilities[:, i]) for i in range(2)]
    losses = [metrics.log_loss(gold[:, i], probabilities[:, i]) for i in range(2)]
    assert report["calibration"]["brier_score"] == pytest.approx(np.mean(brier), rel=1e-4)
    assert report["calibration"]["log_loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert report["calibration"]["bins"] == 15
    assert 0 < report["calibration"]["expected_calibration_error"] < 0.5


def test_label_is_assigned_where_its_probability_reaches_its_threshold(
    tracked_run: TrackedRun, report: dict[str, Any]
) -> None:
    stored = read_manifest(tracked_run.result.artefact).thresholds
    for column, label in enumerate(report["labels"]):
        threshold = report["per_label"][label]["threshold"]
        assert stored[label] == threshold != 0.5
        for row in rows_of(tracked_run.result.folder):
            assert (label in row["labels"]) == (row["probabilities"][column] >= threshold)


def test_groups_are_documents_tied_by_near_duplicates(tracked_run: TrackedRun, report: dict[str, Any]) -> None:
    groups = tied_groups(rows_of(tracked_run.result.folder))
    assert len(groups) < len({row["document_id"] for row in rows_of(tracked_run.result.folder)})
    assert report["n_groups"] == len(groups)


def test_intervals_enclose_each_figure(report: dict[str, Any]) -> None:
    intervals = report["intervals"]
    assert (intervals["method"], intervals["confidence"]) == ("jackknife over groups, logit scale", 0.95)
    for name in ("macro_f1", "micro_f1", "subset_accuracy"):
        assert 0 <= intervals[name]["low"] < report[name] < intervals[name]["high"] <= 1
    assert set(intervals["per_label_f1"]) == {"aid", "truce"}
    assert report["intervals_reason"] == ""


def test_predictions_are_the_test_part_with_its_gold(tracked_run: TrackedRun) -> None:
    rows = rows_of(tracked_run.result.folder)
    known = {example.id: example for example in disturbed(make_examples(300))}
    assert [row["example_id"] for row in rows] == list(Split.load(tracked_run.result.folder / "split.json").test)
    for row in rows:
        example = known[row["example_id"]]
        assert (row["text"], row["document_id"], tuple(row["gold"])) == (
            example.text,
            example.document_id,
            example.labels,
        )
        assert (row["split"], row["synthetic"]) == ("test", False)


def test_predictions_hold_the_validation_part_too(tracked_run: TrackedRun, report: dict[str, Any]) -> None:
    rows = rows_of(tracked_run.result.folder, "validation")
    assert [row["example_id"] for row in rows] == list(Split.load(tracked_run.result.folder / "split.json").validation)
    gold, said = indicators(rows, "gold", report["labels"]), indicators(rows, "labels", report["labels"])
    assert report["validation_macro_f1"] == pytest.approx(metrics.f1_score(gold, said, average="macro"))


def test_saved_model_predicts_what_the_run_predicted(tracked_run: TrackedRun) -> None:
    rows = rows_of(tracked_run.result.folder)
    texts = [row["text"] for row in rows]
    for model in (tracked_run.result.model, Model.load(tracked_run.result.artefact)):
        probabilities = model.predict_proba(texts)
        np.testing.assert_allclose(probabilities, [row["probabilities"] for row in rows], atol=1e-6)
        assert [list(labels) for labels in model.label_sets(probabilities)] == [row["labels"] for row in rows]
        assert model.id == tracked_run.result.report.model_id


def test_validation_score_is_that_of_the_saved_model_on_the_validation_part(
    tracked_run: TrackedRun, report: dict[str, Any]
) -> None:
    ids = Split.load(tracked_run.result.folder / "split.json").validation
    by_id = {example.id: example for example in disturbed(make_examples(300))}
    validation = [by_id[identifier] for identifier in ids]
    model = Model.load(tracked_run.result.artefact)
    said = model.decide(model.predict_proba([example.text for example in validation]))
    expected = metrics.f1_score(gold_of(validation, model.labels), said, average="macro")
    assert report["validation_macro_f1"] == pytest.approx(expected)


def test_manifest_remembers_how_the_model_was_made(tracked_run: TrackedRun, report: dict[str, Any]) -> None:
    manifest = read_manifest(tracked_run.result.artefact)
    assert (manifest.kind, manifest.labels, manifest.exclusive, manifest.allow_none) == (
        "tfidf",
        ("aid", "truce"),
        False,
        True,
    )
    assert (manifest.seed, manifest.codebook_hash, manifest.split_hash) == (
        7,
        tracked_run.codebook.hash,
        report["split_hash"],
    )
    assert manifest.details["model"] == tracked_run.experiment.model.model_dump()
    assert manifest.details["train_seconds"] == report["train_seconds"]
    assert [label.n for label in manifest.calibration.labels] == [report["n_validation"]] * 2


def test_exclusive_run_reports_accuracy_and_no_thresholds(exclusive_run: RunResult) -> None:
    report, rows = report_of(exclusive_run.folder), rows_of(exclusive_run.folder)
    gold, said = ([(row[column] or ["none"])[0] for row in rows] for column in ("gold", "labels"))
    names = ["aid", "truce", "threat"]
    assert report["exclusive"] is True
    assert report["accuracy"] == pytest.approx(metrics.accuracy_score(gold, said))
    assert "subset_accuracy" not in report
    assert report["macro_f1"] == pytest.approx(metrics.f1_score(gold, said, labels=names, average="macro"))
    assert [figures["threshold"] for figures in report["per_label"].values()] == [None] * 3
    assert max(len(row["labels"]) for row in rows) == 1
    assert "none" in said


def test_exclusive_decision_is_the_likeliest_of_labels_and_none(exclusive_run: RunResult) -> None:
    for row in rows_of(exclusive_run.folder):
        classes = [*row["probabilities"], 1 - sum(row["probabilities"])]
        likeliest = ["aid", "truce", "threat", ""][int(np.argmax(classes))]
        assert row["labels"] == ([likeliest] if likeliest else [])


@pytest.mark.parametrize("exclusive", [False, True])
def test_plots_are_pictures(tracked_run: TrackedRun, exclusive_run: RunResult, exclusive: bool) -> None:
    folder = (exclusive_run if exclusive else tracked_run.result).folder / "plots"
    expected = {"f1_per_label.png", "precision_recall.png", "reliability.png", "confusion.png"}
    assert {path.name for path in folder.iterdir()} == expected
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.iterdir())


@pytest.fixture(scope="module")
def repeated(tracked_run: TrackedRun, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """The experiment of `tracked_run` once more, untracked."""
    experiment = tracked_run.experiment.model_copy(update={"tracking": TrackingSection(enabled=False)})
    return run_experiment(experiment, tmp_path_factory.mktemp("repeated") / "out")


def test_repeated_run_gives_the_same_figures_predictions_and_pictures(
    tracked_run: TrackedRun, repeated: RunResult
) -> None:
    changing = {*TIMES, "model_id", "artefact_bytes", "test_looks"}  # only the first was tracked
    first, second = ({**run.report.to_dict(), **dict.fromkeys(changing)} for run in (tracked_run.result, repeated))
    assert first == second
    for name in ("split.json", "predictions.parquet", "plots/reliability.png", "artefact/codebook.toml"):
        assert (repeated.folder / name).read_bytes() == (tracked_run.result.folder / name).read_bytes()


def test_seed_reaches_the_split(experiment_of: MakeExperiment) -> None:
    one, again, other = (load_dataset(experiment_of("majority", seed=seed)).split.hash for seed in (1, 1, 2))
    assert one == again != other


def test_saved_split_can_be_used_again(tracked_run: TrackedRun) -> None:
    saved = tracked_run.result.folder / "split.json"
    changes = {"seed": 99, "split": SplitSection(manifest=str(saved))}
    dataset = load_dataset(tracked_run.experiment.model_copy(update=changes))
    assert dataset.split == Split.load(saved)


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """An untracked majority run on few groups, in a folder of its own."""
    folder = tmp_path_factory.mktemp("floor")
    (folder / "codebook.toml").write_text(dump_codebook(plain_codebook("aid", "truce")), encoding="utf-8")
    write_examples(folder / "data.jsonl", make_examples(90))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return run_experiment(make_experiment(folder, "majority"), folder / "out")


def test_too_few_test_groups_give_no_intervals_and_the_reason(floor: RunResult) -> None:
    assert floor.report.intervals is None
    assert f"{floor.report.n_groups} test groups, fewer than 20" in floor.report.intervals_reason
    assert "macro_f1.low" not in headline_metrics(floor.report)


def test_kind_that_is_not_calibrated_says_so(floor: RunResult) -> None:
    assert floor.report.uncalibrated == dict.fromkeys(("aid", "truce"), "this kind of model is not calibrated")
    assert {figures.threshold for figures in floor.report.per_label.values()} == {0.5}


def test_labels_that_were_calibrated_in_another_way_than_asked_are_noted_as_such(
    experiment_of: MakeExperiment, isolated: Path
) -> None:
    asked = experiment_of("tfidf", calibration={"method": "isotonic", "min_positives": 5})
    report = run_experiment(asked, isolated / "out").report
    assert report.uncalibrated == {}
    assert (
        "aid, truce: isotonic calibration needs 1000 rows with 100 positives; Platt scaling was used instead"
        in report.notes
    )


def test_without_tracking_mlflow_is_not_touched(floor: RunResult) -> None:
    assert (floor.run_id, floor.model_uri, floor.registered_version) == ("", "", "")
    assert {path.name for path in floor.folder.parent.iterdir()} == {"out", "data.jsonl", "codebook.toml"}


def data_files(train: list[Example], validation: list[Example], test: list[Example]) -> dict[str, str]:
    parts = {"train": train, "validation": validation, "test": test}
    return {name: str(write_examples(Path(f"{name}.jsonl"), examples)) for name, examples in parts.items()}


def test_report_repeats_what_a_reader_must_know_of_the_data(experiment_of: MakeExperiment, isolated: Path) -> None:
    examples = make_examples(90)
    copied = Example("copy", "other document", examples[1].text, ("truce",), synthetic=True)
    data = data_files(examples[:60], examples[60:75], [*examples[75:], copied])
    result = run_experiment(experiment_of("majority", data=data), isolated / "out")
    [note] = result.report.notes
    assert examples[1].text[:40] in note
    assert result.report.synthetic is True
    assert read_manifest(result.artefact).synthetic is True
    assert rows_of(result.folder)[-1]["synthetic"] is True


@pytest.mark.parametrize("part", ["validation", "test"])
def test_figure_that_is_undefined_is_null(experiment_of: MakeExperiment, isolated: Path, part: str) -> None:
    """One part bears no label and the majority assigns none, so no F1 is defined on it."""
    # Each of the two labels stands on one sentence in three: neither is a majority's.
    examples = [example for example in make_examples(160) if len(example.labels) < 2]
    train, defined = examples[:60], [*examples[60:80]]
    unlabelled = [Example(f"u{e.id}", f"u{e.document_id}", e.text) for e in examples[80:100] if not e.labels]
    parts = (unlabelled, defined) if part == "validation" else (defined, unlabelled)
    result = run_experiment(experiment_of("majority", data=data_files(train, *parts)), isolated / "out")
    report = report_of(result.folder)
    expected = (0, None) if part == "validation" else (None, 0)
    assert (report["macro_f1"], report["validation_macro_f1"]) == expected
    assert result.report.to_dict() == report


def test_occupied_folder_is_refused_before_any_work(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str
) -> None:
    (isolated / "out").mkdir()
    (isolated / "out" / "mine.txt").write_text("mine")
    experiment = experiment_of("tfidf", tracking={"enabled": True}, data={"train": "absent.jsonl"})
    with pytest.raises(DataError, match=r"out: .*--overwrite"):
        run_experiment(experiment, isolated / "out")
    assert everything_in(isolated / "out") == {"mine.txt": b"mine"}
    assert not runs_in_store()


def test_overwriting_replaces_the_whole_folder(experiment_of: MakeExperiment, isolated: Path) -> None:
    (isolated / "out").mkdir()
    for old in ("report.json", "old.txt"):
        (isolated / "out" / old).write_text("old")
    run_experiment(experiment_of("majority"), isolated / "out", overwrite=True)
    assert {path.name for path in (isolated / "out").iterdir()} == OUTPUTS
    assert {path.name for path in isolated.iterdir()} == {"out", "data.jsonl", "codebook.toml"}


@pytest.mark.parametrize("key", ["train", "codebook"])
def test_overwriting_spares_a_folder_that_holds_what_the_run_reads(
    experiment_of: MakeExperiment, isolated: Path, key: str
) -> None:
    (isolated / "out").mkdir()
    (isolated / "out" / "report.json").write_text("old")
    experiment = experiment_of("majority")
    Path(getattr(experiment.data, key)).rename(isolated / "out" / "mine")
    moved = experiment_of("majority", data={key: "out/mine"})
    with pytest.raises(DataError, match=r"would delete out/mine.*--out"):
        run_experiment(moved, isolated / "out", overwrite=True)
    assert {path.name for path in (isolated / "out").iterdir()} == {"report.json", "mine"}


@pytest.mark.parametrize("tracked", [False, True])
def test_run_that_fails_leaves_what_was_there(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str, tracked: bool
) -> None:
    (isolated / "out").mkdir()
    (isolated / "out" / "report.json").write_text("old")
    (isolated / "no-encoder").mkdir()
    experiment = experiment_of("finetune", model={"encoder": "no-encoder"}, tracking={"enabled": tracked})
    for out in ("out", "new"):
        with pytest.raises(EncoderError):
            run_experiment(experiment, isolated / out, overwrite=True)
    assert everything_in(isolated / "out") == {"report.json": b"old"}
    mlflows = {"mlflow.db", "mlruns"}
    assert {path.name for path in isolated.iterdir()} - mlflows == {"out", "no-encoder", "data.jsonl", "codebook.toml"}
    assert [run.info.status for run in runs_in_store()] == ["FAILED", "FAILED"] * tracked


def test_interrupted_run_leaves_nothing_and_is_killed_in_mlflow(
    experiment_of: MakeExperiment, isolated: Path, tiny_encoder: Path, mlflow_store: str
) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    experiment = experiment_of(
        "finetune", model={"encoder": str(tiny_encoder), "keep_layers": 1}, tracking={"enabled": True}
    )
    with pytest.raises(KeyboardInterrupt), progress_to(interrupt):
        run_experiment(experiment, isolated / "out")
    assert {path.name for path in isolated.iterdir()} <= {"data.jsonl", "codebook.toml", "mlflow.db", "mlruns"}
    assert [run.info.status for run in runs_in_store()] == ["KILLED"]


def test_data_that_do_not_load_open_no_run(experiment_of: MakeExperiment, isolated: Path, mlflow_store: str) -> None:
    experiment = experiment_of("majority", data={"train": "absent.jsonl"}, tracking={"enabled": True})
    with pytest.raises(DataError, match=r"absent\.jsonl"):
        run_experiment(experiment, isolated / "out")
    assert not (isolated / "out").exists()
    assert not runs_in_store()


def test_model_section_that_the_data_do_not_allow_is_the_users_to_mend(
    experiment_of: MakeExperiment, isolated: Path
) -> None:
    with pytest.raises(InputError, match="min_df"):
        run_experiment(experiment_of("tfidf", model={"min_df": 1000}), isolated / "out")
    assert not (isolated / "out").exists()


def test_encoder_that_cannot_be_opened_is_not_blamed_on_the_output_folder(
    experiment_of: MakeExperiment, isolated: Path, tiny_encoder: Path
) -> None:
    (isolated / "encoder").mkdir()
    for path in tiny_encoder.iterdir():
        name = "other.safetensors" if path.suffix == ".safetensors" else path.name
        (isolated / "encoder" / name).write_bytes(path.read_bytes())
    with pytest.raises(CommuniqueError, match="encoder") as caught:
        run_experiment(experiment_of("finetune", model={"encoder": "encoder"}), isolated / "out")
    assert "cannot be written" not in str(caught.value)


def test_mlflow_that_cannot_store_artifacts_is_not_blamed_on_the_output_folder(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str
) -> None:
    (isolated / "file").write_text("")
    MlflowClient().create_experiment("broken", artifact_location=str(isolated / "file" / "artifacts"))
    experiment = experiment_of("majority", tracking={"enabled": True, "experiment": "broken"})
    with pytest.raises(TrackingError):
        run_experiment(experiment, isolated / "out")
    assert not (isolated / "out").exists()
    assert [run.info.status for run in runs_in_store()] == ["FAILED"]


@pytest.fixture
def logged(tracked_store: str, tracked_run: TrackedRun) -> Any:
    """The MLflow run of `tracked_run`."""
    return MlflowClient().get_run(tracked_run.result.run_id)


def test_mlflow_holds_every_key_of_the_experiment(logged: Any) -> None:
    assert (
        logged.data.params.items()
        >= {
            "seed": "7",
            "model.kind": "tfidf",
            "model.C": "10.0",
            "split.train": "0.4",
            "calibration.method": "platt",
            "evaluation.bootstrap": "100",
            "tracking.register_as": REGISTERED,
        }.items()
    )


def test_mlflow_holds_the_figures_of_the_report(logged: Any, report: dict[str, Any]) -> None:
    figures = logged.data.metrics
    plain = ("macro_f1", "micro_f1", "subset_accuracy", "train_seconds", "sentences_per_second")
    for name in (*plain, "validation_macro_f1", "artefact_bytes", "n_test", "n_groups", "n_train"):
        assert figures[name] == pytest.approx(report[name])
    for label in ("aid", "truce"):
        assert figures[f"f1.{label}"] == pytest.approx(report["per_label"][label]["f1"])
    for name in ("expected_calibration_error", "brier_score", "log_loss"):
        assert figures[f"calibration.{name}"] == pytest.approx(report["calibration"][name])
    bounds = report["intervals"]["macro_f1"]
    assert (figures["macro_f1.low"], figures["macro_f1.high"]) == pytest.approx((bounds["low"], bounds["high"]))


def test_mlflow_metrics_of_an_exclusive_run_hold_accuracy(exclusive_run: RunResult) -> None:
    figures = headline_metrics(exclusive_run.report)
    assert figures["accuracy"] == exclusive_run.report.accuracy
    assert "subset_accuracy" not in figures
    assert {name for name in figures if name.startswith("f1.")} == {"f1.aid", "f1.truce", "f1.threat"}


def test_mlflow_identifies_codebook_split_data_and_model(
    logged: Any, tracked_run: TrackedRun, report: dict[str, Any]
) -> None:
    manifest = read_manifest(tracked_run.result.artefact)
    assert (logged.info.status, logged.info.run_name) == ("FINISHED", "words")
    assert MlflowClient().get_experiment(logged.info.experiment_id).name == EXPERIMENT
    assert (
        logged.data.tags.items()
        >= {
            "codebook.name": "small",
            "codebook.version": "1",
            "codebook.hash": tracked_run.codebook.hash,
            "split.hash": report["split_hash"],
            "package.scikit-learn": manifest.packages["scikit-learn"],
            "machine.python": platform.python_version(),
            "data.training_hash": manifest.training_hash,
            "data.judging_hash": load_dataset(tracked_run.experiment).evaluation_hash,
            "synthetic": "false",
            "model.id": report["model_id"],
        }.items()
    )


def test_mlflow_holds_the_outputs_the_codebook_and_the_experiment(logged: Any, tracked_run: TrackedRun) -> None:
    held = Path(mlflow.artifacts.download_artifacts(run_id=logged.info.run_id))
    out = tracked_run.result.folder
    for name in ("report.json", "report.html", "split.json", "predictions.parquet"):
        assert (held / name).read_bytes() == (out / name).read_bytes()
    assert everything_in(held / "plots") == everything_in(out / "plots")
    text = (held / "codebook.toml").read_text(encoding="utf-8")
    assert tomllib.loads(text)["name"] == "small"
    assert parse_codebook(text, "held").hash == tracked_run.codebook.hash
    assert json.loads((held / "experiment.json").read_text("utf-8")) == tracked_run.experiment.model_dump()


def test_mlflow_is_not_told_the_password_of_a_store(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str
) -> None:
    data = {"store": "postgresql://ana:S3CRET@db.example/coding"}
    result = run_experiment(experiment_of("majority", data=data, tracking={"enabled": True}), isolated / "out")
    (run,) = runs_in_store()
    assert run.data.params["data.store"] == "postgresql://ana:***@db.example/coding"
    held = Path(mlflow.artifacts.download_artifacts(run_id=result.run_id))
    assert not [path for path in held.rglob("*") if path.is_file() and b"S3CRET" in path.read_bytes()]


def test_mlflow_holds_the_three_parts_as_datasets_without_their_texts(
    logged: Any, tracked_run: TrackedRun, report: dict[str, Any]
) -> None:
    held = {part.dataset.name: part for part in logged.inputs.dataset_inputs}
    sizes = {name: json.loads(part.dataset.profile)["num_rows"] for name, part in held.items()}
    assert sizes == {name: report[f"n_{name}"] for name in ("train", "validation", "test")}
    parts = load_dataset(tracked_run.experiment).parts
    digests = {name: part.dataset.digest for name, part in held.items()}
    assert digests == {name: hash_examples(examples) for name, examples in parts.items()}
    shown = str([part.to_dictionary() for part in held.values()])
    assert not [example.text for example in make_examples(300) if example.text in shown]


def test_mlflow_holds_figures_with_intervals(logged: Any, report: dict[str, Any]) -> None:
    metrics, intervals = logged.data.metrics, report["intervals"]
    for name in ("macro_f1", "micro_f1", "subset_accuracy"):
        found = [metrics[own] for own in (f"{name}.low", name, f"{name}.high")]
        assert found == pytest.approx([intervals[name]["low"], report[name], intervals[name]["high"]])
    own = report["per_label"]["aid"]
    assert metrics["recall.aid"] == pytest.approx(own["recall"])
    assert metrics["f1_low.aid"] == pytest.approx(intervals["per_label_f1"]["aid"]["low"])
    assert metrics["macro_precision"] == pytest.approx(report["averages"]["macro"]["precision"])


def test_mlflow_knows_the_signature_and_an_example_of_the_model(logged: Any, tracked_run: TrackedRun) -> None:
    model = mlflow.models.Model.load(tracked_run.result.model_uri)
    assert model.signature.inputs.input_names() == ["text"]
    example = model.load_input_example(mlflow.artifacts.download_artifacts(tracked_run.result.model_uri))
    found = mlflow.pyfunc.load_model(tracked_run.result.model_uri).predict(example)
    assert list(found.columns) == ["labels", "probabilities"]


def test_a_failed_run_ends_with_its_error(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, status, problem in (
        (ValueError("no luck"), "FAILED", "ValueError: no luck"),
        (KeyboardInterrupt(), "KILLED", "interrupted"),
    ):

        def fail(*_: Any, error: BaseException = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr(module, "fit_model", fail)
        with pytest.raises(type(error)):
            run_experiment(experiment_of("majority", tracking={"enabled": True}), isolated / "out")
        newest = runs_in_store()[0]
        assert (newest.info.status, newest.data.tags["problem"]) == (status, problem)


def test_the_load_of_the_machine_is_logged_on_request(
    experiment_of: MakeExperiment, isolated: Path, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING", "1")
    original = module.fit_model

    def slowly(*arguments: Any, **options: Any) -> Any:
        time.sleep(1)
        return original(*arguments, **options)

    monkeypatch.setattr(module, "fit_model", slowly)
    run_experiment(experiment_of("majority", tracking={"enabled": True, "system_metrics": True}), isolated / "out")
    (run,) = runs_in_store()
    assert any(name.startswith("system/cpu") for name in run.data.metrics)


def test_mlflow_holds_the_model_and_its_registered_version(logged: Any, tracked_run: TrackedRun) -> None:
    result = tracked_run.result
    model = MlflowClient().get_logged_model(result.model_uri.removeprefix("models:/"))
    assert model.source_run_id == result.run_id
    version = MlflowClient().get_model_version(REGISTERED, result.registered_version)
    assert (str(version.version), version.run_id, version.tags) == ("1", result.run_id, {"kind": "tfidf"})
