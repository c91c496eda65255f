"""What MLflow keeps of each kind of run: parameters, figures and files, read from the folder of the run."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labels.errors import DataError
from labels.unicode import read_text
from trainer.evaluation.report import Report
from trainer.evaluation.report_tables import headline_metrics
from trainer.runs.tracking.connection import mlflow_store
from trainer.runs.tracking.record import Record, flattened
from trainer.runs.tracking.tracker import ARTEFACT, Tracker, log_model

TRIAL_TAG = "communique.trial"
"""MLflow tag with the number of a child run: a trial of a sweep, a round of a loop, or a fold."""
PAGE = "report.html"
"""Name of the page with the report in the folder of a run."""


def log_beginning(tracker: Tracker, record: Record) -> None:
    """Log the parameters and data of a run. The logged file also shows whether artifacts can be stored."""
    tracker.log_params(flattened(record.params))
    for part, rows in record.parts.items():
        # Older versions recorded no digests of the parts.
        digest = record.digests.get(part) or record.tags.get("split.hash", "")
        tracker.log_examples(part, rows, record.source, digest)
    if record.command != "evaluate":
        tracker.log_text(json.dumps(record.params, indent=1) + "\n", "experiment.json")


def log_folder(tracker: Tracker, record: Record, folder: Path) -> str:
    """Log the outputs in the folder of a run; returns the URI of its model, or an empty string if there is none.

    Raises:
        DataError: a file of the run is missing or damaged.
        TrackingError: MLflow reported an error.
    """
    try:
        return _LOGS[record.command](tracker, record, folder)
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise DataError(f"{folder}: a file of the run is missing or damaged ({error}). Restore the folder.") from error


def _log_training(tracker: Tracker, record: Record, folder: Path) -> str:
    report = Report.read(folder / "report.json")
    tracker.log_metrics(headline_metrics(report))
    for name in ("plots", "report.json", "split.json", "predictions.parquet", "artefact/codebook.toml"):
        if not record.older_model or (folder / name).exists():  # older versions did not write all files
            tracker.log_output(folder / name)
    if (folder / PAGE).exists():
        tracker.log_output(folder / PAGE)
    tracker.set_tags({"model.id": report.model_id})
    _log_folds(tracker, record, report)
    return log_model(folder / ARTEFACT)


def _log_folds(tracker: Tracker, record: Record, report: Report) -> None:
    """Log the folds of a cross-validation that are not logged yet as child runs."""
    logged = _logged_trials(tracker) if report.folds else set()
    for number, fold in enumerate(report.folds, start=1):
        if number in logged:
            continue
        params = {f"fold.{name}": getattr(fold, name) for name in ("name", "n_train", "n_validation", "n_test")}
        figures = {name: getattr(fold, name) for name in ("macro_f1", "micro_f1", "train_seconds")}
        figures |= {f"f1.{label}": f1 for label, f1 in fold.per_label_f1.items()}
        tags = {**record.tags, TRIAL_TAG: str(number)}
        tracker.log_nested(f"{record.name} fold {fold.name}", params, figures, "", tags)


def _log_evaluation(tracker: Tracker, _: Record, folder: Path) -> str:
    tracker.log_metrics(headline_metrics(Report.read(folder / "report.json")))
    for name in ("report.json", "predictions.parquet", PAGE, "plots"):
        if (folder / name).exists():  # without --out there is only the report
            tracker.log_output(folder / name)
    return ""


def _log_curve(tracker: Tracker, _: Record, folder: Path) -> str:
    """Log the figures (with the number of labelled sentences as step), the gain and the files of a learning curve."""
    curve = json.loads(read_text(folder / "learning_curve.json"))
    for point in curve["points"]:
        figures = _interval("macro_f1", point["macro_f1"])
        figures |= {f"f1.{label}": figure["value"] for label, figure in point["per_label_f1"].items()}
        tracker.log_metrics(figures, step=point["labelled"])
    if curve["outlook"]:
        tracker.log_metrics(_interval("gain", curve["outlook"]["gain"]))
    for name in ("plots", "learning_curve.json", "learning_curve.csv"):
        tracker.log_output(folder / name)
    return ""


def _interval(name: str, figure: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: figure["value"], f"{name}.low": figure["low"], f"{name}.high": figure["high"]}


def _log_sweep(tracker: Tracker, record: Record, folder: Path) -> str:
    """Log the best score, the files, and the trials that are not logged yet."""
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        trials = list(csv.DictReader(file))
    logged, scores = _logged_trials(tracker), []
    for trial in trials:
        number, problem = int(trial.pop("trial")), trial.pop("problem")
        score, seconds = trial.pop("validation_macro_f1"), trial.pop("seconds")
        scores += [float(score)] if score else []
        figures = {"validation_macro_f1": float(score) if score else None, "train_seconds": float(seconds)}
        if number not in logged:
            log_trial(tracker, record, number, trial, figures, problem)
    tracker.log_metrics({"validation_macro_f1": max(scores, default=None)})
    for name in ("trials.csv", "best.toml", "split.json"):
        tracker.log_output(folder / name)
    return ""


def _log_loop(tracker: Tracker, record: Record, folder: Path) -> str:
    """Log the rounds that are not logged yet as child runs, and the curve (steps are numbers of labels)."""
    logged = _logged_trials(tracker)
    for file in sorted(folder.glob("round-*/round.json")):
        content = json.loads(read_text(file))
        if content["number"] in logged:
            continue
        figures = {"macro_f1": content["macro_f1"], "gain_bound": content["gain"], "train_seconds": content["seconds"]}
        figures |= {f"f1/{label}": f1 for label, f1 in content["per_label"].items()}
        sizes = {key: content[key] for key in ("labelled", "train", "validation", "evaluated", "basis", "model_id")}
        tag = {TRIAL_TAG: str(content["number"])}
        tracker.log_nested(f"{record.name} round {content['number']}", sizes, figures, "", tag)
        tracker.log_metrics({"macro_f1": content["macro_f1"]}, step=content["labelled"])
    return ""


def log_trial(
    tracker: Tracker,
    record: Record,
    number: int,
    values: Mapping[str, Any],
    figures: Mapping[str, float | None],
    problem: str,
) -> None:
    params = {"model.kind": record.params["model"]["kind"], **values}
    tracker.log_nested(f"{record.name} {number}", params, figures, problem, {**record.tags, TRIAL_TAG: str(number)})


def _logged_trials(tracker: Tracker) -> set[int]:
    """Return the numbers of the trials that are finished child runs of a sweep's run."""
    query = f"tags.mlflow.parentRunId = '{tracker.run_id}'"
    with mlflow_store("read") as mlflow:
        children = mlflow.search_runs(search_all_experiments=True, filter_string=query, output_format="list")
    return {int(child.data.tags.get(TRIAL_TAG, -1)) for child in children if child.info.status != "RUNNING"}


_LOGS: dict[str, Callable[[Tracker, Record, Path], str]] = {
    "train": _log_training,
    "evaluate": _log_evaluation,
    "learning-curve": _log_curve,
    "sweep": _log_sweep,
    "loop": _log_loop,
}
