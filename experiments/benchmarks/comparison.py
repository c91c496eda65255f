"""The comparison of two models, by simulation: how often does it find a difference where there is none, or one?

    python experiments/benchmarks/comparison.py --sets 2000 --out experiments/results/comparison.md

Each simulated set has documents of 12 sentences on average (geometric, at most 60) and four labels, whose frequency
varies between documents (intraclass correlation 0.15). Both models answer the same sentences. Their scores share a part
for the document (10% of the variance) and one for the sentence (60%); the rest is their own. Three pairs of models:

- same: equal models, each with F1 0.75 on each label;
- traded: the second has more recall and less precision, and the F1 of both is 0.74;
- better: the F1 of the second is 5 points higher on each label.

Beside the test of communique: the same jackknife over sentences instead of documents, and a percentile bootstrap over
documents.
"""

from __future__ import annotations

import argparse
import platform
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from trainer.evaluation.comparison import Comparison, compare_predictions
from trainer.evaluation.metrics import Counts, group_counts
from trainer.evaluation.verdict import judge

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
LABELS, SHARES = ("1%", "3%", "5%", "10%"), np.array([0.01, 0.03, 0.05, 0.10])
WITHIN, DOCUMENT, SENTENCE = 0.15, 0.10, 0.60
F1, GAIN, TRADE = 0.75, 0.05, 0.35
DRAWS = 499
BOOTSTRAPPED = 500
"""The bootstrap, which is slow, is only tried on the first sets of each kind."""


@dataclass(frozen=True)
class Answers:
    """A model: how far positives lie above negatives, and the thresholds, in standard deviations, per label."""

    distance: Floats
    threshold: Floats


def expected_f1(distance: float, threshold: float, share: float) -> float:
    """The F1 of a model on infinitely many sentences."""
    hit, alarm = norm.sf(threshold - distance), norm.sf(threshold)
    return float(2 * share * hit / (share + share * hit + (1 - share) * alarm))


def best_threshold(distance: float, share: float) -> float:
    grid = np.linspace(0, 4, 401)
    return float(grid[np.argmax([expected_f1(distance, threshold, share) for threshold in grid])])


def model_with(f1: float, thresholds: Floats) -> Answers:
    """A model with this F1 on each label."""
    solved = [
        brentq(lambda distance, own=own, share=share: expected_f1(distance, own, share) - f1, -2, 9)
        for own, share in zip(thresholds, SHARES, strict=True)
    ]
    return Answers(np.array(solved), thresholds)


def pairs() -> dict[str, tuple[Answers, Answers]]:
    """The pairs of models by name."""
    distances = [brentq(lambda d, p=p: expected_f1(d, best_threshold(d, p), p) - F1, 0.5, 7) for p in SHARES]
    at = np.array([best_threshold(d, p) for d, p in zip(distances, SHARES, strict=True)])
    plain = model_with(F1, at)
    traded = model_with(F1 - 0.01, at + TRADE), model_with(F1 - 0.01, at - TRADE)
    return {"same": (plain, plain), "traded": traded, "better": (plain, model_with(F1 + GAIN, at))}


@dataclass(frozen=True)
class Sample:
    """One simulated set: booleans of shape (sentences, labels), and the document of each sentence."""

    gold: Bools
    first: Bools
    second: Bools
    documents: NDArray[np.int_]


def draw(documents: int, pair: tuple[Answers, Answers], rng: np.random.Generator) -> Sample:
    """Draw a set with this number of documents."""
    sizes = np.minimum(rng.geometric(1 / 12, documents), 60)
    of = np.repeat(np.arange(documents), sizes)
    scale = 1 / WITHIN - 1
    gold = rng.random((len(of), 4)) < rng.beta(SHARES * scale, (1 - SHARES) * scale, (documents, 4))[of]
    shared = np.sqrt(DOCUMENT) * rng.normal(size=(documents, 4))[of] + np.sqrt(SENTENCE) * rng.normal(size=gold.shape)
    own = np.sqrt(1 - DOCUMENT - SENTENCE)
    first, second = (
        model.distance * gold + shared + own * rng.normal(size=gold.shape) > model.threshold for model in pair
    )
    return Sample(gold, first, second, of)


@dataclass
class Tally:
    """Rejections by test, and the number of sets in which each test was made."""

    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    made: Counter[tuple[str, str]] = field(default_factory=Counter)
    positives: Counter[str] = field(default_factory=Counter)

    def add(self, method: str, name: str, rejected: bool) -> None:
        self.made[method, name] += 1
        self.rejected[method, name] += rejected

    def cell(self, method: str, name: str) -> str:
        made = self.made[method, name]
        return f"{100 * self.rejected[method, name] / made:.1f}" if made >= 100 else "–"


def bootstrap_rejections(sample: Sample, columns: list[int], rng: np.random.Generator) -> list[bool]:
    """Whether the 95% percentile interval over documents excludes 0, by label."""
    n = int(sample.documents.max()) + 1
    weights = rng.multinomial(n, np.full(n, 1 / n), DRAWS).astype(float)
    drawn = [
        _f1(group_counts(sample.gold, own, sample.documents.tolist()), weights) for own in (sample.first, sample.second)
    ]
    low, high = np.nanquantile(drawn[1] - drawn[0], (0.025, 0.975), axis=0)
    return [bool(low[i] > 0 or high[i] < 0) for i in columns]


def _f1(counts: Counts, weights: Floats) -> Floats:
    return counts.changed(lambda each: weights @ each).f1


def record(tally: Tally, sample: Sample, rng: np.random.Generator, *, bootstrap: bool) -> None:
    """Compare the two models of a set in every way."""
    groups = sample.documents.tolist()
    compared = compare_predictions(LABELS, sample.gold, sample.first, sample.second, groups)
    rows = compare_predictions(LABELS, sample.gold, sample.first, sample.second, range(len(groups)))
    for method, found in (("documents", compared), ("sentences", rows)):
        _record_tests(tally, method, found)
    named = [own.name for own in compared.decided if own.name in LABELS and bootstrap]
    single = [LABELS.index(name) for name in named]
    rejections = bootstrap_rejections(sample, single, rng) if bootstrap else []
    for column, rejected in zip(single, rejections, strict=True):
        tally.add("bootstrap", LABELS[column], rejected)
    tally.add("documents", "promoted", judge(compared).promote)


def _record_tests(tally: Tally, method: str, found: Comparison) -> None:
    for own in found.decided:
        tally.add(method, own.name, own.p is not None and own.p <= 0.05)
    tally.add(method, "macro-F1", (found.macro_f1.p or 0) <= 0.05)
    tally.add(method, "family", any((own.adjusted_p or 0) <= 0.05 for own in found.decided))


def main() -> None:
    """Simulate and write the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    tallies: dict[tuple[int, str], Tally] = {}
    for documents in (200, 1000):
        for name, pair in pairs().items():
            rng = np.random.default_rng([documents, len(name)])
            tally = tallies[documents, name] = Tally()
            for number in range(options.sets):
                record(tally, draw(documents, pair, rng), rng, bootstrap=number < BOOTSTRAPPED)
                if number % 500 == 0:
                    print(documents, name, number, flush=True)
    options.out.write_text(page(tallies, options.sets), encoding="utf-8")


def page(tallies: dict[tuple[int, str], Tally], sets: int) -> str:
    """The page of results."""
    columns = [*LABELS, "rare labels", "macro-F1", "family"]
    lines = [
        "# Comparison of two models on simulated sets",
        "",
        f"`python experiments/benchmarks/comparison.py --sets {sets}` on {platform.system()} {platform.machine()}. The "
        "first lines of the script describe the simulation.",
        "",
        "Tests at 5% that find a difference, in percent of the sets in which they were made. Columns: labels by their "
        "frequency, decided singly only with at least 30 positives; the pooled group of the rarer labels; macro-F1; "
        "any rejection after Holm's correction. The bootstrap is tried on the first "
        f"{BOOTSTRAPPED} sets only.",
    ]
    for name, about in (("same", "No difference"), ("traded", "No difference in F1, but in precision and recall")):
        lines += ["", f"{about} (promised: 3 to 7 for single tests, at most 6 for the family):", ""]
        lines += _table(tallies, name, columns, ("documents", "sentences", "bootstrap"))
    lines += ["", "A true difference of 5 points on each label (power):", ""]
    lines += _table(tallies, "better", columns, ("documents",))
    lines += ["", "Challengers that `communique promote` would promote, in percent:", ""]
    lines += ["| documents | same | traded | better |", "| ---: | ---: | ---: | ---: |"]
    for documents in (200, 1000):
        cells = [tallies[documents, name].cell("documents", "promoted") for name in ("same", "traded", "better")]
        lines.append(f"| {documents:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _table(tallies: dict[tuple[int, str], Tally], name: str, columns: list[str], methods: tuple[str, ...]) -> list[str]:
    lines = [f"| documents | unit and method | {' | '.join(columns)} |", f"| ---: | --- |{' ---: |' * len(columns)}"]
    about = {
        "documents": "documents, jackknife-t (communique)",
        "sentences": "sentences, jackknife-t",
        "bootstrap": "documents, percentile bootstrap",
    }
    for documents in (200, 1000):
        tally = tallies[documents, name]
        for method in methods:
            cells = " | ".join(tally.cell(method, column) for column in columns)
            lines.append(f"| {documents:,} | {about[method]} | {cells} |")
    return lines


if __name__ == "__main__":
    main()
