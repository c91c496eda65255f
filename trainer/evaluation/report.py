"""The report of a model on labelled examples: everything that `report.json` holds, from arrays alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trainer.arrays import Bools, Floats
from trainer.evaluation.intervals import Intervals, bootstrap_intervals
from trainer.evaluation.metrics import (
    CALIBRATION_BINS,
    average_precision,
    brier_score,
    count,
    exact_match,
    expected_calibration_error,
    log_loss,
)


@dataclass(frozen=True)
class Outcome:
    """What was predicted for n labelled examples.

    gold, predicted: (n, labels) booleans; probabilities: (n, labels) in [0, 1]; groups: (n,) numbers of the groups
    (documents and near-duplicates) that examples belong to; thresholds: (labels,).
    """

    labels: tuple[str, ...]
    exclusive: bool
    gold: Bools
    predicted: Bools
    probabilities: Floats
    groups: Sequence[int]
    thresholds: Floats


def build_report(outcome: Outcome, *, bootstrap: int, confidence: float, min_groups: int, seed: int) -> dict[str, Any]:
    """Metrics with intervals as plain values; what is undefined is None.

    `accuracy` is there for exclusive codebooks, `subset_accuracy` for multi-label ones. `intervals` is None below
    `min_groups` groups, and `intervals_reason` says so; the F1 of a label that fewer than half as many bear on has a
    `reason` for having none.
    """
    counts = count(outcome.gold, outcome.predicted)
    n_groups = len(set(outcome.groups))
    exact = "accuracy" if outcome.exclusive else "subset_accuracy"
    intervals, reason = None, f"{n_groups} test groups, fewer than {min_groups}: too few to resample"
    if n_groups >= min_groups:
        drawn = bootstrap_intervals(
            outcome.gold,
            outcome.predicted,
            outcome.groups,
            draws=bootstrap,
            confidence=confidence,
            min_groups=min_groups,
            seed=seed,
        )
        intervals, reason = _intervals(drawn, outcome.labels, exact, bootstrap, confidence), ""
    report = {
        "labels": list(outcome.labels),
        "exclusive": outcome.exclusive,
        "n_test": len(outcome.gold),
        "n_groups": n_groups,
        "macro_f1": float(counts.macro_f1),
        "micro_f1": float(counts.micro_f1),
        exact: float(exact_match(outcome.gold, outcome.predicted).mean()),
        "per_label": _per_label(outcome),
        "calibration": _calibration(outcome),
        "intervals": intervals,
        "intervals_reason": reason,
    }
    return {key: _plain(value) for key, value in report.items()}


def _per_label(outcome: Outcome) -> dict[str, Any]:
    counts = count(outcome.gold, outcome.predicted)
    return {
        label: {
            "precision": counts.precision[i],
            "recall": counts.recall[i],
            "f1": counts.f1[i],
            "support": int(outcome.gold[:, i].sum()),
            "predicted": int(outcome.predicted[:, i].sum()),
            "threshold": None if outcome.exclusive else outcome.thresholds[i],
            "average_precision": average_precision(outcome.probabilities[:, i], outcome.gold[:, i]),
        }
        for i, label in enumerate(outcome.labels)
    }


def _calibration(outcome: Outcome) -> dict[str, Any]:
    per_label = {
        label: {
            "expected_calibration_error": expected_calibration_error(outcome.probabilities[:, i], outcome.gold[:, i]),
            "brier_score": brier_score(outcome.probabilities[:, i], outcome.gold[:, i]),
            "log_loss": log_loss(outcome.probabilities[:, i], outcome.gold[:, i]),
        }
        for i, label in enumerate(outcome.labels)
    }
    names = ("expected_calibration_error", "brier_score", "log_loss")
    means = {name: float(np.mean([figures[name] for figures in per_label.values()])) for name in names}
    return {"bins": CALIBRATION_BINS, **means, "per_label": per_label}


def _intervals(drawn: Intervals, labels: Sequence[str], exact: str, draws: int, confidence: float) -> dict[str, Any]:
    return {
        "method": "percentile bootstrap over groups",
        "draws": draws,
        "confidence": confidence,
        "macro_f1": asdict(drawn.macro_f1),
        "micro_f1": asdict(drawn.micro_f1),
        exact: asdict(drawn.exact_match),
        "per_label_f1": {label: asdict(each) for label, each in zip(labels, drawn.per_label, strict=True)},
    }


def _plain(value: Any) -> Any:
    """JSON has no nan: undefined is null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else float(value)
    return value
