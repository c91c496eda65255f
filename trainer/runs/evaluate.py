"""A model evaluated on labelled examples: its predictions, the report, and the files with both.

For a run's own test part, and for a saved model on any labelled file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labels.files import output_folder, refuse_occupied
from labels.records import Example
from labels.text.examples import read_examples
from trainer.classifiers.base import label_matrix
from trainer.config.experiment import EvaluationSection
from trainer.data.dataset import Predicted, write_predictions
from trainer.data.splits import group_examples
from trainer.evaluation import Outcome, Report, build_report
from trainer.evaluation.metrics import count, defined
from trainer.evaluation.plots import draw_plots
from trainer.evaluation.report import CodebookReference
from trainer.model.model import Manifest, Model, folder_size
from trainer.runs.tracking import connect, tracked_run


def evaluate_model(
    model: Model, examples: Sequence[Example], settings: EvaluationSection, seed: int
) -> tuple[Outcome, Report]:
    """Predict labelled examples; the outcome as arrays, and the report with the speed of predicting."""
    start = time.perf_counter()
    predictions = predict_examples(model, examples)
    seconds = time.perf_counter() - start
    outcome = Outcome(
        labels=model.labels,
        exclusive=model.codebook.exclusive,
        gold=label_matrix(examples, model.labels),
        predicted=predictions.predicted,
        probabilities=predictions.probabilities.astype(np.float64),
        # A large group does not stop an evaluation: nothing is divided, and intervals only become wider.
        groups=group_examples(examples, allow_large=True),
        thresholds=model.calibration.thresholds,
    )
    report = build_report(
        outcome,
        bootstrap=settings.bootstrap,
        confidence=settings.confidence,
        min_groups=settings.min_groups,
        seed=seed,
    )
    return outcome, report.extended(sentences_per_second=len(examples) / seconds)


def predict_examples(model: Model, examples: Sequence[Example]) -> Predicted:
    """A model's predictions for labelled examples."""
    probabilities = model.predict_proba([example.text for example in examples])
    return Predicted(examples, model.decide(probabilities), probabilities)


def macro_f1(labels: Sequence[str], predictions: Predicted) -> float | None:
    """Macro-F1 of predictions for these labels, None if undefined; on validation it decides which model is champion."""
    return defined(count(label_matrix(predictions.examples, labels), predictions.predicted).macro_f1)


def write_report(folder: Path, outcome: Outcome, report: Report, parts: Mapping[str, Predicted]) -> None:
    """Leave `report.json`, `predictions.parquet` with these parts, and `plots/` of the outcome in a new folder."""
    (folder / "report.json").write_text(report_text(report), encoding="utf-8")
    write_predictions(folder / "predictions.parquet", outcome.labels, parts)
    (folder / "plots").mkdir()
    draw_plots(outcome, report, folder / "plots")


def report_text(report: Report) -> str:
    """A report as the content of `report.json`."""
    return json.dumps(report.to_dict(), indent=1, allow_nan=False) + "\n"


def headline_metrics(report: Report) -> dict[str, float | None]:
    """The figures of a report that MLflow keeps as metrics."""
    names = (
        "macro_f1",
        "micro_f1",
        report.exact_match_name,
        "train_seconds",
        "sentences_per_second",
        "validation_macro_f1",
        "artefact_bytes",
        "n_test",
        "n_groups",
        "n_train",
    )
    metrics = {name: getattr(report, name) for name in names}
    metrics |= {f"f1.{label}": figures.f1 for label, figures in report.per_label.items()}
    metrics |= {
        f"calibration.{name}": getattr(report.calibration, name)
        for name in ("expected_calibration_error", "brier_score", "log_loss")
    }
    if report.intervals:
        bounds = report.intervals.macro_f1
        metrics |= {"macro_f1.low": bounds.low, "macro_f1.high": bounds.high}
    return metrics


EXPERIMENT = "communique-evaluations"


@dataclass(frozen=True)
class Evaluation:
    """The report, and the folder with report, predictions and plots (None: not written)."""

    report: Report
    folder: Path | None


def evaluate_file(
    model: Model, artefact: Path, data: Path, out: Path | None, *, overwrite: bool = False, track: bool = True
) -> Evaluation:
    """Evaluate a model on a labelled file and, where `out` is given, leave report.json, predictions.parquet and plots/
    there.

    Raises:
        DataError: the file cannot be read, or has labels that the model's codebook lacks.
        TrackingError: MLflow refused.
    """
    if out is not None:
        refuse_occupied(out, overwrite=overwrite, reads=(artefact, data))
    examples = read_examples(data, model.codebook, "test")
    assert model.manifest is not None
    outcome, report = evaluate_model(model, examples, EvaluationSection(), model.manifest.seed)
    report = _with_context(report, model, artefact, data)
    if track:
        _track(report, data)
    if out is not None:
        with output_folder(out, overwrite=overwrite) as draft:
            predicted = Predicted(examples, outcome.predicted, outcome.probabilities)
            write_report(draft, outcome, report, {"test": predicted})
    return Evaluation(report, out)


def _with_context(report: Report, model: Model, artefact: Path, data: Path) -> Report:
    """The report with what its figures refer to."""
    manifest = model.manifest
    assert manifest is not None
    return report.extended(
        kind=manifest.kind,
        codebook=codebook_reference(manifest),
        data=str(data),
        synthetic=manifest.synthetic,
        model_id=manifest.digest,
        artefact_bytes=folder_size(artefact),
        train_seconds=manifest.details.get("train_seconds"),
        notes=[],
    )


def codebook_reference(manifest: Manifest) -> CodebookReference:
    """Which codebook an artefact was trained with, for a report."""
    return CodebookReference(
        name=manifest.codebook_name, version=manifest.codebook_version, hash=manifest.codebook_hash
    )


def calibration_shortfalls(model: Model) -> tuple[dict[str, str], list[str]]:
    """The labels that are not calibrated, each with the reason, and a note for each reason for which labels were
    calibrated otherwise than asked for.
    """
    named = zip(model.labels, model.calibration.labels, strict=True)
    reasons = {label: own for label, own in named if own.reason}
    other: dict[str, list[str]] = {}
    for label, own in reasons.items():
        if own.method != "none":
            other.setdefault(own.reason, []).append(label)
    notes = [f"{', '.join(labels)}: {reason}" for reason, labels in other.items()]
    return {label: own.reason for label, own in reasons.items() if own.method == "none"}, notes


def _track(report: Report, data: Path) -> None:
    connect()
    tags = {"model.id": report.model_id, "codebook.hash": report.codebook.hash if report.codebook else ""}
    with tracked_run(EXPERIMENT, f"{report.kind} on {data.name}", tags) as tracker:
        tracker.log_params({"model.kind": report.kind, "data": str(data)})
        tracker.log_metrics(headline_metrics(report))
        tracker.log_text(report_text(report), "report.json")
