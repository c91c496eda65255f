"""A model held against labelled examples: what it says of them, the report, and the files that keep both."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labels.records import Example
from trainer.classifiers.base import label_matrix
from trainer.config.experiment import EvaluationSection
from trainer.evaluation import Outcome, build_report
from trainer.evaluation.metrics import count
from trainer.evaluation.plots import draw_plots
from trainer.model import Model
from trainer.predictions import Predicted, write_predictions
from trainer.splits import group_examples


def evaluate_model(
    model: Model, examples: Sequence[Example], settings: EvaluationSection, seed: int
) -> tuple[Outcome, dict[str, Any]]:
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
    report = build_report(
        outcome,
        bootstrap=settings.bootstrap,
        confidence=settings.confidence,
        min_groups=settings.min_groups,
        seed=seed,
    )
    report["sentences_per_second"] = len(examples) / seconds
    return outcome, report


def predict_examples(model: Model, examples: Sequence[Example]) -> Predicted:
    """What a model says of labelled examples."""
    probabilities = model.predict_proba([example.text for example in examples])
    return Predicted(examples, model.decide(probabilities), probabilities)


def macro_f1(labels: Sequence[str], said: Predicted) -> float | None:
    """Macro-F1 of what a model with these labels said, None if undefined; on validation it decides who is champion."""
    value = float(count(label_matrix(said.examples, labels), said.predicted).macro_f1)
    return None if math.isnan(value) else value


def write_report(folder: Path, outcome: Outcome, report: dict[str, Any], parts: Mapping[str, Predicted]) -> None:
    """Leave `report.json`, `predictions.parquet` with these parts, and `plots/` of the outcome in a new folder."""
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    write_predictions(folder / "predictions.parquet", outcome.labels, parts)
    (folder / "plots").mkdir()
    draw_plots(outcome, report, folder / "plots")


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
