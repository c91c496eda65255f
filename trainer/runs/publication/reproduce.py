"""Reproduce the figures of a replication package from its predictions, and compare them with report.json.

    pip install -r requirements.txt
    python reproduce.py

This file is copied into every package. It needs numpy and scipy, and nothing of communique: the figures are computed
anew, from predictions.csv alone. It exits with 1 if a figure differs from the report by more than 0.000001.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
METHOD = "jackknife over groups, logit scale"
TOLERANCE = 1e-6
_SPELLED = "|"


class Data:
    """The sentences of the report: gold, decisions and probabilities of shape (n, labels), and the group of each."""

    def __init__(self, path: Path, labels: list[str], part: str) -> None:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["part"] == part]
        self.labels = labels
        self.gold = _sets(rows, "gold", labels)
        self.predicted = _sets(rows, "labels", labels)
        self.probabilities = np.array([[float(row[f"p:{label}"]) for label in labels] for row in rows])
        _, self.groups = np.unique([row["group"] for row in rows], return_inverse=True)

    def group_sums(self, values: Any) -> Floats:
        """Sum the rows of each group."""
        sums = np.zeros((int(self.groups.max()) + 1, values.shape[1]))
        np.add.at(sums, self.groups, values.astype(float))
        return sums


def _sets(rows: list[dict[str, str]], column: str, labels: list[str]) -> Bools:
    return np.array([[label in row[column].split(_SPELLED) for label in labels] for row in rows], dtype=bool)


def figures(data: Data, report: dict[str, Any]) -> Iterator[tuple[str, float | None, float | None]]:
    """Yield the name of each figure, its value in the report, and its value computed anew."""
    n = len(data.labels)
    decisions = (data.gold & data.predicted, ~data.gold & data.predicted, data.gold & ~data.predicted)
    exact = (data.gold == data.predicted).all(axis=1)
    columns = np.column_stack([*decisions, exact, np.ones(len(exact), dtype=bool)])
    sums = data.group_sums(columns)
    total = sums.sum(axis=0)
    measured = _f1(total, n)
    name = "accuracy" if report["exclusive"] else "subset_accuracy"
    yield "n_test", report["n_test"], len(exact)
    yield "n_groups", report["n_groups"], len(sums)
    for key, value in zip(("macro_f1", "micro_f1", name), _averages(total, n, measured), strict=True):
        yield key, report[key], _defined(value)
    for i, label in enumerate(data.labels):
        own = report["per_label"][label]
        tp, fp, fn = (float(total[part * n + i]) for part in range(3))
        found = {
            "support": tp + fn,
            "predicted": tp + fp,
            "precision": _share(tp, tp + fp),
            "recall": _share(tp, tp + fn),
        }
        found |= {"f1": _defined(measured[i]), "average_precision": average_precision(data, i)}
        for key, figure in found.items():
            yield f"{label}: {key}", own[key], figure
    if report["intervals"] and report["intervals"]["method"] == METHOD:
        yield from _intervals(sums, n, measured, report["intervals"], name, data.labels)


def _f1(sums: Floats, n: int) -> Floats:
    """F1 of each label, from sums of shape (..., columns); nan if the label never occurs."""
    tp, fp, fn = (sums[..., part * n : (part + 1) * n] for part in range(3))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(tp + fn > 0, 2 * tp / (2 * tp + fp + fn), np.nan)


def _averages(sums: Floats, n: int, measured: Floats) -> Floats:
    """Macro-F1, micro-F1 and exact match, in the last axis. A label that is undefined keeps its measured figure."""
    own = _f1(sums, n)
    own = np.where(np.isnan(own), measured, own)[..., ~np.isnan(measured)]
    pooled = np.stack([sums[..., part * n : (part + 1) * n].sum(axis=-1) for part in range(3)], axis=-1)
    macro = own.mean(axis=-1) if own.shape[-1] else np.full(sums.shape[:-1], np.nan)
    return np.stack([macro, _f1(pooled, 1)[..., 0], sums[..., 3 * n] / sums[..., 3 * n + 1]], axis=-1)


def average_precision(data: Data, i: int) -> float | None:
    """The area under the precision-recall curve as a step function; None without a positive."""
    gold, probabilities = data.gold[:, i], data.probabilities[:, i]
    if not gold.any():
        return None
    _, block = np.unique(-probabilities, return_inverse=True)
    n, true = np.bincount(block), np.bincount(block, weights=gold.astype(float))
    return float((true * np.cumsum(true) / np.cumsum(n)).sum() / gold.sum())


def _intervals(
    sums: Floats, n: int, measured: Floats, intervals: dict[str, Any], name: str, labels: list[str]
) -> Iterator[tuple[str, float | None, float | None]]:
    """Yield the bounds of the intervals that the report has."""
    confidence, without = intervals["confidence"], sums.sum(axis=0) - sums
    values, drawn = _averages(sums.sum(axis=0), n, measured), _averages(without, n, measured)
    for k, key in enumerate(("macro_f1", "micro_f1", name)):
        yield from _compared(key, intervals[key], float(values[k]), drawn[:, k], len(sums), confidence)
    own = _f1(without, n)
    own = np.where(np.isnan(own), measured, own)
    concerned = sum(sums[:, part * n : (part + 1) * n] for part in range(3)) > 0
    for i, label in enumerate(labels):
        found, groups = intervals["per_label_f1"][label], int(np.asarray(concerned)[:, i].sum())
        yield from _compared(f"{label}: f1", found, float(measured[i]), own[:, i], groups, confidence)


def _compared(
    key: str, stated: dict[str, Any], value: float, without: Floats, groups: int, confidence: float
) -> Iterator[tuple[str, float | None, float | None]]:
    if stated["low"] is None:
        return
    low, high = interval(value, without, groups, confidence)
    yield f"{key}, low", stated["low"], low
    yield f"{key}, high", stated["high"], high


def interval(value: float, without: Floats, groups: int, confidence: float) -> tuple[float, float]:
    """The interval of a figure in [0, 1]: a delete-one-group jackknife on the logit scale, with Student's t.

    Args:
        without: the figure without each group.
        groups: number of groups behind the figure, which gives the degrees of freedom.
    """
    from scipy.stats import t

    n = len(without)
    influence = (without.mean() - without) * (n - 1) / n
    error = math.sqrt(n / (n - 1) * float(((influence - influence.mean()) ** 2).sum()))
    if min(value, 1 - value) < 1e-12 or error < 1e-12:
        most = 1 - ((1 - confidence) / 2) ** (1 / max(groups, 1))  # Clopper and Pearson, for no event
        return max(value - most, 0.0), min(value + most, 1.0)
    reach = float(t.ppf((1 + confidence) / 2, max(groups - 1, 1))) * error / (value * (1 - value))
    middle = math.log(value / (1 - value))
    return 1 / (1 + math.exp(reach - middle)), 1 / (1 + math.exp(-middle - reach))


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _defined(value: float | Floats) -> float | None:
    return None if np.isnan(value) else float(value)


def main(folder: Path) -> int:
    """Compare all figures; returns the exit code."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    # A cross-validation has figures of its out-of-fold predictions.
    data = Data(folder / "predictions.csv", report["labels"], report.get("basis", "test"))
    differing, lines = 0, []
    for name, stated, found in figures(data, report):
        same = stated is found if stated is None or found is None else abs(stated - found) <= TOLERANCE
        differing += not same
        shown = ["undefined" if value is None else f"{value:.6f}" for value in (stated, found)]
        lines.append(f"{name:<40} {shown[0]:>14} {shown[1]:>14}  {'' if same else 'DIFFERS'}".rstrip())
    sys.stdout.write("\n".join([f"{'figure':<40} {'report':>14} {'reproduced':>14}", *lines]) + "\n")
    sys.stdout.write(f"{len(lines) - differing} of {len(lines)} figures are reproduced.\n")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
