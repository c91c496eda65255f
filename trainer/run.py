"""One execution of an experiment: data -> split -> fit -> calibrate -> evaluate -> save -> track."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from labels.codebook import dump_codebook
from labels.files import refuse_occupied, whole_folder
from labels.records import Example
from labels.store import store_name
from trainer.artefact import Manifest, folder_size, package_versions, save_artefact
from trainer.calibration import Calibration, LabelCalibration
from trainer.classifiers.base import Progress, label_matrix
from trainer.config.experiment import Experiment
from trainer.data import Dataset, files_read, load_dataset
from trainer.evaluation import Outcome, build_report
from trainer.evaluation.metrics import count
from trainer.evaluation.plots import draw_plots
from trainer.fitting import Fitted, checkpoint_folder, fit_model
from trainer.locks import sole_writer
from trainer.model import Model
from trainer.predictions import Predicted, write_predictions
from trainer.quiet import quiet_libraries
from trainer.splits import group_examples
from trainer.tracking import Tracker, connect, register, tracked_run


@dataclass(frozen=True)
class RunResult:
    """What a run left: its folder, its report, and where MLflow keeps it (empty when not tracked)."""

    folder: Path
    report: dict[str, Any]
    model: Model
    run_id: str = ""
    model_uri: str = ""
    registered_version: str = ""

    @property
    def artefact(self) -> Path:
        """The saved model's folder."""
        return self.folder / "artefact"


def run_experiment(
    experiment: Experiment, out: Path, *, progress: Progress | None = None, overwrite: bool = False
) -> RunResult:
    """Run an experiment and leave `artefact/`, `report.json`, `predictions.parquet`, `split.json` and `plots/` in
    `out`.

    The folder appears whole or not at all. Where tracking is on, everything is logged as one MLflow run. A `finetune`
    that was interrupted goes on when it is run again with the same `out`: checkpoints lie in a hidden folder beside it.

    Raises:
        InputError: the data, the codebook or the model section do not allow it, or `out` is occupied.
        TrackingError: MLflow refused.
        DivergedError: the loss of a training became infinite or not a number.
    """
    quiet_libraries()
    refuse_occupied(out, overwrite=overwrite, reads=files_read(experiment))
    dataset = load_dataset(experiment)
    checkpoints = checkpoint_folder(out)
    with (
        sole_writer(out),
        track_experiment(experiment, dataset) as tracker,
        whole_folder(out, overwrite=overwrite) as draft,
    ):
        fitted = fit_model(experiment, dataset, progress, checkpoints=checkpoints)
        model, report = _write_outputs(experiment, dataset, fitted, draft)
        model_uri = _track(tracker, experiment, dataset, report, draft) if tracker else ""
    shutil.rmtree(checkpoints, ignore_errors=True)
    version = ""
    if model_uri and experiment.tracking.register_as:
        version = register(model_uri, experiment.tracking.register_as, {"kind": experiment.model.kind})
    return RunResult(out, report, model, tracker.run_id if tracker else "", model_uri, version)


def evaluate_model(model: Model, examples: Sequence[Example], experiment: Experiment) -> tuple[Outcome, dict[str, Any]]:
    """Predict labelled examples; the outcome as arrays, and the report with the speed of predicting."""
    start = time.perf_counter()
    probabilities = model.predict_proba([example.text for example in examples])
    seconds = time.perf_counter() - start
    outcome = Outcome(
        labels=model.labels,
        exclusive=model.codebook.exclusive,
        gold=label_matrix(examples, model.labels),
        predicted=model.decide(probabilities),
        probabilities=probabilities.astype(np.float64),
        groups=group_examples(examples, allow_large=True),
        thresholds=model.calibration.thresholds,
    )
    settings = experiment.evaluation
    report = build_report(
        outcome,
        bootstrap=settings.bootstrap,
        confidence=settings.confidence,
        min_groups=settings.min_groups,
        seed=experiment.seed,
    )
    report["sentences_per_second"] = len(examples) / seconds
    return outcome, report


def macro_f1(model: Model, examples: Sequence[Example]) -> float | None:
    """Macro-F1 of a model on labelled examples, None if undefined; on validation it decides who is champion."""
    return _macro_f1(model.labels, _predict(model, examples))


def _predict(model: Model, examples: Sequence[Example]) -> Predicted:
    probabilities = model.predict_proba([example.text for example in examples])
    return Predicted(examples, model.decide(probabilities), probabilities)


def _macro_f1(labels: Sequence[str], said: Predicted) -> float | None:
    value = float(count(label_matrix(said.examples, labels), said.predicted).macro_f1)
    return None if math.isnan(value) else value


def _write_outputs(
    experiment: Experiment, dataset: Dataset, fitted: Fitted, draft: Path
) -> tuple[Model, dict[str, Any]]:
    (draft / "artefact").mkdir()
    (draft / "plots").mkdir()
    manifest = save_artefact(
        draft / "artefact", _manifest(experiment, dataset, fitted), dataset.codebook, fitted.model.classifier
    )
    model = Model(fitted.model.codebook, fitted.model.classifier, fitted.model.calibration, manifest)
    outcome, report = evaluate_model(model, dataset.parts["test"], experiment)
    report |= _context(experiment, dataset, manifest, draft / "artefact")
    report["notes"] += model.classifier.notes
    validation = _predict(model, dataset.parts["validation"])
    report |= {"train_seconds": fitted.seconds, "validation_macro_f1": _macro_f1(model.labels, validation)}
    (draft / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    dataset.split.save(draft / "split.json")
    test = Predicted(dataset.parts["test"], outcome.predicted, outcome.probabilities)
    write_predictions(draft / "predictions.parquet", model.labels, {"test": test, "validation": validation})
    draw_plots(outcome, report, draft / "plots")
    return model, report


def _context(experiment: Experiment, dataset: Dataset, manifest: Manifest, artefact: Path) -> dict[str, Any]:
    """What the figures refer to."""
    calibrations = zip(manifest.labels, Calibration.from_dict(manifest.calibration).labels, strict=True)
    shortfalls = {label: own for label, own in calibrations if own.reason}
    return {
        "experiment": experiment.name,
        "kind": experiment.model.kind,
        "seed": experiment.seed,
        "codebook": {
            "name": manifest.codebook_name,
            "version": manifest.codebook_version,
            "hash": manifest.codebook_hash,
        },
        "data": dataset.source,
        "synthetic": dataset.synthetic,
        "n_train": len(dataset.parts["train"]),
        "n_validation": len(dataset.parts["validation"]),
        "split_hash": dataset.split.hash,
        "model_id": manifest.digest,
        "artefact_bytes": folder_size(artefact),
        "uncalibrated": {label: own.reason for label, own in shortfalls.items() if own.method == "none"},
        "notes": [*dataset.notes, *_shortfall_notes(shortfalls)],
        **{key: manifest.details[key] for key in ("certificate",) if key in manifest.details},
    }


def _shortfall_notes(shortfalls: Mapping[str, LabelCalibration]) -> Iterator[str]:
    """For each reason the labels that were calibrated, but not as asked for."""
    reasons = {own.reason: None for own in shortfalls.values() if own.method != "none"}
    for reason in reasons:
        yield f"{', '.join(label for label, own in shortfalls.items() if own.reason == reason)}: {reason}"


def _manifest(experiment: Experiment, dataset: Dataset, fitted: Fitted) -> Manifest:
    codebook, model = dataset.codebook, fitted.model
    return Manifest(
        kind=experiment.model.kind,
        labels=codebook.label_names,
        exclusive=codebook.exclusive,
        allow_none=codebook.allow_none,
        codebook_name=codebook.name,
        codebook_version=codebook.version,
        codebook_hash=codebook.hash,
        seed=experiment.seed,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        split_hash=dataset.split.hash,
        training_hash=dataset.training_hash,
        synthetic=dataset.synthetic,
        details=model.classifier.describe() | {"model": experiment.model.model_dump(), "train_seconds": fitted.seconds},
        calibration=json.loads(json.dumps(model.calibration.to_dict())),
        thresholds=dict(zip(codebook.label_names, map(float, model.calibration.thresholds), strict=True)),
        packages=package_versions(),
    )


@contextmanager
def track_experiment(experiment: Experiment, dataset: Dataset, *, beside: str = "") -> Iterator[Tracker | None]:
    """An open MLflow run that holds an experiment's parameters, data and tags, or None where tracking is off.

    With `beside` it is one of the MLflow experiment `NAME-BESIDE`, out of the way of those that the leaderboard ranks.
    """
    if not experiment.tracking.enabled:
        with nullcontext():
            yield None
        return
    connect()
    tags = {
        "codebook.name": dataset.codebook.name,
        "codebook.hash": dataset.codebook.hash,
        "split.hash": dataset.split.hash,
        "data.training_hash": dataset.training_hash,
        "data.judging_hash": dataset.judging_hash,
        "synthetic": str(dataset.synthetic).lower(),
    }
    name = "-".join(part for part in (experiment.tracking.experiment, beside) if part)
    with tracked_run(name, experiment.name, tags) as tracker:
        tracker.log_params(_flat(_published(experiment)))
        for part, examples in dataset.parts.items():
            tracker.log_examples(part, examples, dataset.source, dataset.split.hash)
        yield tracker


def _track(tracker: Tracker, experiment: Experiment, dataset: Dataset, report: dict[str, Any], draft: Path) -> str:
    tracker.log_metrics(headline_metrics(report))
    tracker.log_folder(draft / "plots", "plots")
    for name in ("report.json", "split.json", "predictions.parquet"):
        tracker.log_file(draft / name)
    tracker.log_text(dump_codebook(dataset.codebook), "codebook.toml")
    tracker.log_text(json.dumps(_published(experiment), indent=1) + "\n", "experiment.json")
    tracker.set_tags({"model.id": report["model_id"]})
    return tracker.log_model(draft / "artefact")


def _published(experiment: Experiment) -> dict[str, Any]:
    """Every key of an experiment, but no password of its label store."""
    content = experiment.model_dump()
    if experiment.data.store:
        content["data"]["store"] = store_name(experiment.data.store)
    return content


def headline_metrics(report: dict[str, Any]) -> dict[str, float | None]:
    """The figures of a report that MLflow keeps as metrics."""
    exact = "accuracy" if report["exclusive"] else "subset_accuracy"
    names = (
        "macro_f1",
        "micro_f1",
        exact,
        "train_seconds",
        "sentences_per_second",
        "validation_macro_f1",
        "artefact_bytes",
        "n_test",
        "n_groups",
        "n_train",
    )
    metrics = {name: report.get(name) for name in names}
    metrics |= {f"f1.{label}": figures["f1"] for label, figures in report["per_label"].items()}
    metrics |= {
        f"calibration.{name}": report["calibration"][name]
        for name in ("expected_calibration_error", "brier_score", "log_loss")
    }
    if report["intervals"]:
        bounds = report["intervals"]["macro_f1"]
        metrics |= {"macro_f1.low": bounds["low"], "macro_f1.high": bounds["high"]}
    return metrics


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
