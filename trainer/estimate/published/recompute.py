"""Recompute the shares of an estimate from its sample, and compare them with estimates.csv.

    pip install -r requirements.txt
    python recompute.py

This file is copied into every package. It needs numpy, and nothing of communique. `corpus.csv` has, for each group, the
number of units and the sums of the predictions; `sample.csv` has the labelled sentences with their weights. It exits
with 1 if a share differs by more than 0.000001. Intervals are not recomputed: methods.md says how they were made.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TOLERANCE = 1e-6
METHODS = ("difference", "sample", "adjusted")


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def column(rows: list[dict[str, str]], name: str) -> Floats:
    """Return a column of numbers."""
    return np.array([float(row[name]) for row in rows])


def shares(corpus: dict[str, str], rows: list[dict[str, str]], label: str, group: str) -> dict[str, float]:
    """Return the share of a label in a group by each method; methods that are undefined are left out."""
    weight, gold = column(rows, "weight"), column(rows, f"gold:{label}")
    chance, assigned = column(rows, f"p:{label}"), column(rows, f"assigned:{label}")
    inside = np.array([not group or row["group"] == group for row in rows])
    size = float(corpus["size"])
    found: dict[str, float] = {}
    own = weight * inside
    if own.sum() > 0:
        found["sample"] = float(own @ gold / own.sum())
        found["difference"] = float(corpus[f"sum:{label}"]) / size + float(own @ (gold - chance) / own.sum())
    if 0 < weight @ gold < weight.sum():
        recall = float(weight @ (gold * assigned) / (weight @ gold))
        false = float(weight @ ((1 - gold) * assigned) / (weight @ (1 - gold)))
        if abs(recall - false) > TOLERANCE:
            found["adjusted"] = (float(corpus[f"count:{label}"]) / size - false) / (recall - false)
    # Spans that are not sentences are not part of the corpus.
    apart = np.array([float(row.get("outside") or 0) for row in rows])
    kept = 1 - float(own @ apart / own.sum()) if own.sum() > 0 else 1.0
    return {method: min(max(share / kept, 0.0), 1.0) for method, share in found.items()}


def main(folder: Path) -> int:
    """Compare all shares; returns the number of differences."""
    corpus = {row["group"]: row for row in read(folder / "corpus.csv")}
    rows, wrong, compared = read(folder / "sample.csv"), 0, 0
    for stated in read(folder / "estimates.csv"):
        method, label, group = stated["method"], stated["label"], stated["group"]
        found = shares(corpus[group], rows, label, group)
        if method not in METHODS or method not in found or not stated["share"]:
            continue
        compared += 1
        if abs(found[method] - float(stated["share"])) > TOLERANCE:
            wrong += 1
            sys.stderr.write(f"{label} {group} {method}: {stated['share']} stated, {found[method]} computed\n")
    sys.stderr.write(f"{compared} shares compared, {wrong} differ\n")
    return wrong


if __name__ == "__main__":
    raise SystemExit(1 if main(Path(__file__).resolve().parent) else 0)
