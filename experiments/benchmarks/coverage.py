"""Coverage of the intervals by simulation: how often do 95% intervals contain the true figure?

    python experiments/benchmarks/coverage.py --sets 2000 --out experiments/results/coverage.md

Each simulated test set has documents of different lengths. A label is frequent in some documents and absent in others,
and some documents are harder than others for all labels, so the errors of one document resemble each other. The true
figures are known from the expectations over documents. Candidates: over documents, percentile bootstrap, BCa,
bootstrap-t on the logit scale, and jackknife-t on the plain and the logit scale; over rows, the naive percentile
bootstrap.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from trainer.evaluation.intervals import jackknife_influence, logit_interval

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
DRAWS = 1000
TOPIC, HARD = 1.2, 0.8
"""Standard deviations, in logits, between documents: of the frequency of a label, and of the error rates."""
METHODS = ("rows, percentile", "percentile", "BCa", "bootstrap-t, logit", "jackknife-t", "jackknife-t, logit")
FIGURES = ("F1", "precision", "recall", "macro-F1")


@dataclass(frozen=True)
class Label:
    """The logits of a simulated label in a typical document: its frequency, and the classifier's recall and false
    positives."""

    frequency: float
    recall: float
    false: float


LABELS = tuple(
    Label(frequency, recall, false)
    for frequency in (-4.6, -3.4, -2.4, -1.0)
    for recall, false in ((0.4, -4.0), (1.4, -5.0), (3.2, -6.2))
)


def expectation(logit: float, deviation: float) -> float:
    """Mean of the inverse logit of a normal variable, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return float((weights / weights.sum() / (1 + np.exp(-logit - deviation * nodes))).sum())


def truth() -> Floats:
    """The true tp, fp and fn of each label per sentence, of shape (labels, 3)."""
    rows = []
    for label in LABELS:
        present, found, false = (
            expectation(logit, deviation)
            for logit, deviation in ((label.frequency, TOPIC), (label.recall, HARD), (label.false, HARD))
        )
        rows.append((present * found, (1 - present) * false, present * (1 - found)))
    return np.array(rows)


def simulated(documents: int, generator: np.random.Generator) -> Floats:
    """Counts of one test set: tp, fp, fn and tn of each document and label, of shape (documents, labels, 4)."""
    lengths = 1 + generator.negative_binomial(2, 2 / 11, documents)  # mean 10, from 1 to about 50
    hard = generator.normal(0, HARD, documents)
    columns = []
    for label in LABELS:
        topic = generator.normal(0, TOPIC, documents)
        present = generator.binomial(lengths, 1 / (1 + np.exp(-label.frequency - topic)))
        found = generator.binomial(present, 1 / (1 + np.exp(-label.recall + hard)))
        false = generator.binomial(lengths - present, 1 / (1 + np.exp(-label.false - hard)))
        columns.append(np.stack([found, false, present - found, lengths - present - false], axis=1))
    return np.stack(columns, axis=1).astype(float)


def figures(sums: Floats) -> Floats:
    """F1, precision and recall of each label, then macro-F1: (..., labels, >= 3) -> (..., 3 * labels + 1)."""
    tp, fp, fn = sums[..., 0], sums[..., 1], sums[..., 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        f1, precision, recall = 2 * tp / (2 * tp + fp + fn), tp / (tp + fp), tp / (tp + fn)
        macro = np.nanmean(f1, axis=-1, keepdims=True) if f1.size else f1
    return np.concatenate([f1, precision, recall, macro], axis=-1)


def behind(counts: Floats) -> NDArray[np.int_]:
    """The number of documents behind each figure: those in which its denominator is above 0."""
    tp, fp, fn = (counts[..., i] for i in range(3))
    held = np.concatenate([tp + fp + fn, tp + fp, tp + fn, (tp + fp + fn).sum(axis=1, keepdims=True)], axis=1) > 0
    return np.asarray(held.sum(axis=0))


def drawn(counts: Floats, generator: np.random.Generator) -> Floats:
    """Sums of bootstrap draws of documents, of shape (draws, labels, 4)."""
    n = len(counts)
    weights = generator.multinomial(n, np.full(n, 1 / n), DRAWS).astype(float)
    return (weights @ counts.reshape(n, -1)).reshape(DRAWS, *counts.shape[1:])


def drawn_rows(counts: Floats, generator: np.random.Generator) -> Floats:
    """The same for draws of rows: of one label's row only its cell (tp, fp, fn, tn) matters."""
    totals = counts.sum(axis=0)
    n = int(totals[0].sum())
    return np.stack([generator.multinomial(n, row / n, DRAWS) for row in totals], axis=1).astype(float)


def percentiles(draws: Floats, low: Floats | float, high: Floats | float) -> tuple[Floats, Floats]:
    """Quantiles of each column of draws, of shape (draws, figures), at one pair of levels per column."""
    ordered = np.sort(draws, axis=0)  # nan last
    n = (~np.isnan(draws)).sum(axis=0)
    columns = np.arange(draws.shape[1])
    at = [np.clip(np.round(level * (n - 1)).astype(int), 0, np.maximum(n - 1, 0)) for level in (low, high)]
    return ordered[at[0], columns], ordered[at[1], columns]


def bca_levels(values: Floats, draws: Floats, influence: Floats) -> tuple[Floats, Floats]:
    """Bias-corrected and accelerated levels (Efron 1987)."""
    below = np.clip((draws < values).mean(axis=0) + 0.5 * (draws == values).mean(axis=0), 1e-3, 1 - 1e-3)
    z0 = norm.ppf(below)
    spread = (influence**2).sum(axis=0) ** 1.5
    acceleration = np.divide((influence**3).sum(axis=0), 6 * spread, out=np.zeros_like(spread), where=spread > 0)
    z = norm.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    low, high = (norm.cdf(z0 + (z0 + each) / (1 - acceleration * (z0 + each))) for each in z)
    return low, high


def logit(values: Floats) -> Floats:
    """Logits, clipped so that 0 and 1 stay finite."""
    clipped = np.clip(values, 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


def bootstrap_t(
    values: Floats, errors: Floats, counts: Floats, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """Studentised intervals of per-label ratios on the logit scale; nan for macro-F1.

    The standard error of a draw comes from the linearised ratio, which is a weighted sum over the documents.
    """
    n, labels = len(counts), counts.shape[1]
    tp, fp, fn = (counts[:, :, i] for i in range(3))
    tops = np.concatenate([2 * tp, tp, tp], axis=1)
    bottoms = np.concatenate([2 * tp + fp + fn, tp + fp, tp + fn], axis=1)
    weights = generator.multinomial(n, np.full(n, 1 / n), DRAWS // 2).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        top, bottom = weights @ tops, weights @ bottoms
        ratio = top / bottom
        squares = weights @ tops**2 - 2 * ratio * (weights @ (tops * bottoms)) + ratio**2 * (weights @ bottoms**2)
        own = np.sqrt(np.maximum(squares, 0)) / bottom
        z = (logit(ratio) - logit(values[: 3 * labels])) / (own / (ratio * (1 - ratio)))
        z[~np.isfinite(z)] = np.nan
        low, high = percentiles(z, (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
        scale = (errors / (values * (1 - values)))[: 3 * labels]
        ends = [1 / (1 + np.exp(-(logit(values[: 3 * labels]) - end * scale))) for end in (high, low)]
    missing = np.full(1, np.nan)
    return np.append(ends[0], missing), np.append(ends[1], missing)


def intervals(counts: Floats, generator: np.random.Generator) -> dict[str, tuple[Floats, Floats]]:
    """The bounds of all candidates, each of shape (figures,)."""
    n, shape = len(counts), counts.shape[1:]
    values = figures(counts.sum(axis=0))
    influence = jackknife_influence(lambda sums: figures(sums.reshape(-1, *shape)), counts.reshape(n, -1))
    errors = np.sqrt(n / (n - 1) * ((influence - influence.mean(axis=0)) ** 2).sum(axis=0))
    draws = figures(drawn(counts, generator))
    groups = behind(counts)
    reach = t.ppf((1 + CONFIDENCE) / 2, np.maximum(groups - 1, 1)) * errors
    ours = [
        logit_interval(value, column, groups=int(n), confidence=CONFIDENCE, min_groups=1)
        for value, column, n in zip(values, influence.T, groups, strict=True)
    ]
    level = (1 - CONFIDENCE) / 2
    none = np.nan
    return {
        "rows, percentile": percentiles(figures(drawn_rows(counts, generator)), level, 1 - level),
        "percentile": percentiles(draws, level, 1 - level),
        "BCa": percentiles(draws, *bca_levels(values, draws, influence)),
        "bootstrap-t, logit": bootstrap_t(values, errors, counts, generator),
        "jackknife-t": (values - reach, values + reach),
        "jackknife-t, logit": (
            np.array([none if each.low is None else each.low for each in ours]),
            np.array([none if each.high is None else each.high for each in ours]),
        ),
    }


@dataclass
class Tally:
    """Sums over the simulated sets of one cell of the table."""

    sets: int = 0
    covered: int = 0
    width: float = 0.0

    def add(self, covered: bool, width: float) -> None:
        """Count one set."""
        self.sets, self.covered, self.width = self.sets + 1, self.covered + covered, self.width + width


Cells = dict[tuple[str, str, str], Tally]


def run(documents: int, sets: int, seed: int) -> Cells:
    """Tally coverage by (figure, kind of label, method).

    A label counts as frequent if it has at least 50 positives in at least 30 documents of the set.
    """
    generator = np.random.default_rng([seed, documents])
    expected, cells = figures(truth()), defaultdict[tuple[str, str, str], Tally](Tally)
    names = [name for name in FIGURES[:3] for _ in LABELS] + [FIGURES[3]]
    qualities = [("F1 low", "F1 middling", "F1 high")[i % 3] for i in range(len(LABELS))] * 3 + [""]
    for _ in range(sets):
        counts = simulated(documents, generator)
        positives = counts[:, :, 0] + counts[:, :, 2]
        enough = (positives.sum(axis=0) >= 50) & ((positives > 0).sum(axis=0) >= 30)
        kinds = ["frequent" if each else "rare" for each in enough] * 3 + ["all labels"]
        measured = figures(counts.sum(axis=0))
        for method, (low, high) in intervals(counts, generator).items():
            for i, (name, kind, quality) in enumerate(zip(names, kinds, qualities, strict=True)):
                if np.isnan(measured[i]) or (method.startswith(("rows", "bootstrap-t")) and name == "macro-F1"):
                    continue
                covered = bool(low[i] <= expected[i] <= high[i])
                cells[name, kind, method].add(covered, high[i] - low[i])
                if quality:
                    cells[f"{name}, {quality}", kind, method].add(covered, high[i] - low[i])
    return cells


def table(cells: Cells, sets: int) -> str:
    """The coverage as a Markdown table; a cell with fewer than a tenth of the sets is left out."""
    rows = sorted({key[:2] for key in cells}, key=lambda key: (key[1], key[0]))
    lines = [f"| figure | labels | {' | '.join(METHODS)} |", "| --- | --- |" + " --- |" * len(METHODS)]
    for name, kind in rows:
        shown = []
        for method in METHODS:
            cell = cells.get((name, kind, method), Tally())
            enough = cell.sets >= sets / 10
            shown.append(f"{cell.covered / cell.sets:.1%} ({cell.width / cell.sets:.3f})" if enough else "")
        if any(shown):
            lines.append(f"| {name} | {kind} | {' | '.join(shown)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the simulation and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=2000, help="simulated test sets for each size")
    parser.add_argument("--documents", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--seed", type=int, default=19)
    parser.add_argument("--out", type=Path, help="Markdown file; default: print")
    options = parser.parse_args()
    parts = [
        "# Coverage of 95% intervals",
        "",
        f"`coverage.py --sets {options.sets} --seed {options.seed}`. Each cell: the share of simulated test sets whose "
        "interval contains the true figure (mean width). Frequent: at least 50 positives in at least 30 documents; "
        "rare: fewer.",
    ]
    for documents in options.documents:
        start = time.perf_counter()
        cells = run(documents, options.sets, options.seed)
        parts += ["", f"## {documents} documents, {options.sets} test sets", "", table(cells, options.sets)]
        print(f"{documents} documents: {time.perf_counter() - start:.0f} s", flush=True)
    text = "\n".join(parts) + "\n"
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
