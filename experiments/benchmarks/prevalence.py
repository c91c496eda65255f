"""Figures at another prevalence: against thinned test sets, and where the assumption behind them fails.

    python experiments/benchmarks/prevalence.py BENCHMARKS --out experiments/results/prevalence.md

BENCHMARKS is a folder with labelled sets (see `SETS`). For each set, a `tfidf` model is trained on half of the
documents. Positives of each label are then drawn from the test part, 500 times, until they are 5% of the sentences; the
mean precision, recall and F1 of these thinned sets are compared with the re-weighted figures of the whole test part.

The assumption fails where other negatives come: the test part of the starter corpus is re-weighted to the prevalence
estimated in real news, and to the true one, for the label that both share.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.unicode import is_missing
from trainer.config.experiment import Experiment, parse_experiment
from trainer.config.sections import EvaluationSection
from trainer.data.dataset import load_dataset
from trainer.evaluation.figures import LabelPrevalenceFigures
from trainer.evaluation.label_shift.prevalence import Unlabelled, reweight
from trainer.evaluation.label_shift.reweighting import IntervalSettings, LabelledTest, figures_at_estimated
from trainer.evaluation.report import Outcome
from trainer.model.model import Model
from trainer.runs.corpus_prevalence import prevalence_figures
from trainer.runs.evaluate import outcome_of, predict_examples
from trainer.runs.fitting import fit_model

SETS = ("disaster_news.jsonl", "india_police_events.jsonl", "un_quadclass.en.train.jsonl", "ag_news.jsonl")
REAL, REAL_LABEL, OUR_LABEL = "disaster_news.jsonl", "offer", "aid_pledge"
"""Real news, and its label that comes nearest to one of the starter corpus."""
CORPORA = ("disaster_news.jsonl", "un_quadclass.en.test.jsonl", "india_police_events.jsonl")
THINNINGS, SHARE = 500, 0.05
CONTROL = "other half of the test part, thinned"
FIGURES = ("precision", "recall", "f1")
FEWEST = 40
"""Fewest positives of a thinned set: with a handful, a ratio of counts is biased, and so is its mean."""
SPLIT = {"train": 0.3, "validation": 0.2, "test": 0.5}

Floats = NDArray[np.float64]


def experiment_on(data: dict[str, str]) -> Experiment:
    """Return an untracked experiment with `tfidf`."""
    content = {"data": data, "split": SPLIT, "model": {"kind": "tfidf"}, "tracking": {"enabled": False}}
    return parse_experiment(content, "benchmark")


def tested(data: dict[str, str]) -> tuple[Model, Outcome]:
    """Train on a file, or on the starter corpus without one, and return the model with its outcome on test."""
    experiment = experiment_on(data)
    dataset = load_dataset(experiment)
    model = fit_model(experiment, dataset).model
    return model, outcome_of(model, predict_examples(model, dataset.parts["test"]))


def readable(path: Path, folder: Path) -> Path:
    """Copy a file without the rows whose text stands for a missing value; returns the copy."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    copy = folder / path.name
    copy.write_text("".join(line for line in lines if not is_missing(json.loads(line)["text"])), encoding="utf-8")
    return copy


# -- thinning


@dataclass(frozen=True)
class Thinned:
    """One label of one set: its share and number of positives, and its figures, in the order of `FIGURES`."""

    name: str
    positives: int
    share: float
    plain: Floats
    reweighted: Floats
    mean: Floats
    spread: Floats

    @property
    def largest(self) -> float:
        """The largest difference between the re-weighted figures and the means of the thinned sets, in points."""
        return float(100 * np.abs(self.reweighted - self.mean).max())


def cells(gold: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return tp, fp, fn and tn."""
    pairs = ((gold & predicted), (~gold & predicted), (gold & ~predicted), (~gold & ~predicted))
    tp, fp, fn, tn = (int(each.sum()) for each in pairs)
    return tp, fp, fn, tn


def counts_of(cells: tuple[int, int, int, int]) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the four counts as arrays without axes."""
    tp, fp, fn, tn = (np.asarray(n, dtype=np.float64) for n in cells)
    return tp, fp, fn, tn


def figures(tp: int, fp: int, fn: int) -> Floats:
    """Return precision, recall and F1; nan if undefined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.array(
            [np.float64(tp) / (tp + fp), np.float64(tp) / (tp + fn), np.float64(2 * tp) / (2 * tp + fp + fn)]
        )


def sizes(gold: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the numbers of positives and negatives of a thinned set: all of the one or of the other."""
    positives, negatives = float(gold.sum()), float((~gold).sum())
    if gold.mean() >= SHARE:
        return negatives * SHARE / (1 - SHARE), negatives
    return positives, positives * (1 - SHARE) / SHARE


def thinned(name: str, gold: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Thinned:
    """Thin one label to `SHARE`: positives if it is more frequent, else negatives."""
    generator = np.random.default_rng(13)
    positives, negatives = np.flatnonzero(gold), np.flatnonzero(~gold)
    drawn = []
    for _ in range(THINNINGS):
        # Rounded up or down at random, so that the share is right on average.
        keep = [int(n + generator.random()) for n in sizes(gold)]
        parts = zip((positives, negatives), keep, strict=True)
        rows = np.concatenate([generator.choice(own, min(n, len(own)), replace=False) for own, n in parts])
        drawn.append(figures(*cells(gold[rows], predicted[rows])[:3]))
    counts = cells(gold, predicted)
    found = reweight(*counts_of(counts), SHARE)
    return Thinned(
        name=name,
        positives=len(positives),
        share=float(gold.mean()),
        plain=figures(*counts[:3]),
        reweighted=np.array([found.precision, found.recall, found.f1]),
        mean=np.nanmean(drawn, axis=0),
        spread=np.nanstd(drawn, axis=0),
    )


def thinned_sets(folder: Path, scratch: Path) -> Iterator[Thinned]:
    """Yield each label of each set with enough positives."""
    for name in SETS:
        _, outcome = tested({"train": str(readable(folder / name, scratch)), "codebook": "infer"})
        for i, label in enumerate(outcome.labels):
            if outcome.gold[:, i].any() and sizes(outcome.gold[:, i])[0] >= FEWEST:
                yield thinned(f"{name.split('.')[0]}: {label}", outcome.gold[:, i], outcome.predicted[:, i])


def thinned_rows(found: list[Thinned]) -> list[str]:
    """Return the lines of the table of thinnings."""
    lines = [
        "| set: label | positives | share | F1 in the test part | F1 re-weighted to 5% | mean F1 of thinned sets (sd) "
        "| largest difference, points |",
        "|" + " --- |" * 7,
    ]
    for own in found:
        mean = f"{own.mean[2]:.3f} ({own.spread[2]:.3f})"
        figures_shown = f"{own.plain[2]:.3f} | {own.reweighted[2]:.3f} | {mean} | {own.largest:.2f}"
        lines.append(f"| {own.name} | {own.positives} | {own.share:.1%} | {figures_shown} |")
    return lines


# -- where the assumption fails


def failing(folder: Path, scratch: Path) -> Iterator[str]:
    """Yield the lines on the starter corpus against real text."""
    model, outcome = tested({})
    yield "| corpus | label | share estimated | precision | F1 | corpus not explained | p | warning |"
    yield "|" + " --- |" * 8
    for name in CORPORA:
        settings = EvaluationSection(prevalence=str(readable(folder / name, scratch)))
        found = prevalence_figures(model, outcome, settings, 13)
        assert found
        for label, own in found.per_label.items():
            warned = "yes" if any(warning.startswith(f"{label}:") for warning in found.warnings) else "no"
            yield "| " + " | ".join([name.split(".")[0], label, *shown_figures(own), warned]) + " |"
    for label, shown, fired in control(model, outcome):
        yield "| " + " | ".join([CONTROL, label, *shown, "yes" if fired else "no"]) + " |"
    yield ""
    yield from audited(model, outcome, readable(folder / REAL, scratch))


def control(model: Model, outcome: Outcome) -> Iterator[tuple[str, list[str], bool]]:
    """Yield the same for a corpus in which label shift holds: the other half of the test part, without four in five
    sentences that have a label."""
    generator = np.random.default_rng(13)
    half = np.isin(outcome.groups, generator.permutation(np.unique(outcome.groups))[::2])
    rest = np.flatnonzero(~half & (~outcome.gold.any(axis=1) | (generator.random(len(half)) < 0.2)))
    _, groups = np.unique(np.asarray(outcome.groups)[rest], return_inverse=True)
    own = outcome.subset(half)
    test = LabelledTest(own.labels, own.gold, own.predicted, own.probabilities, own.groups)
    corpus, settings = Unlabelled(outcome.probabilities[rest], groups), IntervalSettings(1000, 13, 0.95, 20)
    found = figures_at_estimated(test, corpus, model.calibration, CONTROL, settings)
    for label, figures_of in found.per_label.items():
        yield label, shown_figures(figures_of), any(warning.startswith(f"{label}:") for warning in found.warnings)


def shown_figures(own: LabelPrevalenceFigures) -> list[str]:
    """Return share, precision, F1, distance and p value as text."""
    shown = [f"{value:.3f}" if value is not None else "undefined" for value in (own.precision, own.f1)]
    distance = "" if own.distance is None else f"{own.distance:.0%}"
    p = "" if own.p_value is None else f"{own.p_value:.3f}"
    return ["none" if own.prevalence is None else f"{own.prevalence:.2%}", *shown, distance, p]


def audited(model: Model, outcome: Outcome, path: Path) -> Iterator[str]:
    """Yield what the re-weighted figures say about one label, and what the labels of the real text say."""
    rows: list[dict[str, Any]] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    i = outcome.labels.index(OUR_LABEL)
    gold = np.array([REAL_LABEL in row["labels"] for row in rows])
    predicted = model.decide(model.predict_proba([row["text"] for row in rows]))[:, i]
    counts = cells(outcome.gold[:, i], outcome.predicted[:, i])
    promised = reweight(*counts_of(counts), float(gold.mean()))
    true = figures(*cells(gold, predicted)[:3])
    yield (
        f"In {path.stem}, {gold.mean():.1%} of the sentences have its label `{REAL_LABEL}`, the nearest to "
        f"`{OUR_LABEL}`. Re-weighted to this share, the starter test part promises precision "
        f"{float(promised.precision):.2f} and F1 {float(promised.f1):.2f}; against the labels of the real "
        f"text, the model has precision {true[0]:.2f} and F1 {true[2]:.2f}. The "
        "two labels are not defined alike, so part of the gap is theirs; the direction is that of the warning."
    )


def main() -> None:
    """Run both parts, print and write the results; exits with 1 if a thinned mean is off by more than half a point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmarks", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = list(thinned_sets(arguments.benchmarks, Path(folder)))
        fails = list(failing(arguments.benchmarks, Path(folder)))
    worst = max(own.largest for own in found)
    lines = [
        "# Figures at another prevalence",
        "",
        f"`python experiments/benchmarks/prevalence.py BENCHMARKS`: `tfidf`, {THINNINGS} thinnings of each label to",
        f"{SHARE:.0%} of the sentences, for labels of which at least {FEWEST} positives are left. The largest",
        f"difference in precision, recall or F1 between mean and re-weighted figure is {worst:.2f} points.",
        "",
        *thinned_rows(found),
        "",
        "## Where the assumption fails",
        "",
        "The test part of the starter corpus, re-weighted to the prevalence estimated in real text. The figures assume",
        'label shift. "Corpus not explained" is the share of its sentences whose probabilities the re-weighted test',
        "part does not explain. The last rows are a control, in which label shift holds.",
        "",
        *fails,
    ]
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    raise SystemExit(worst > 0.5)


if __name__ == "__main__":
    main()
