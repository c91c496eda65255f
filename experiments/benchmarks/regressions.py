"""Are the coefficients of `communique estimate --regress` unbiased, and do their intervals hold?

    python experiments/benchmarks/regressions.py FOLDER --out experiments/results/regressions.md

FOLDER has `india_police_events.jsonl`, whose full gold is known (see `estimates.py`, which also makes the predictions).
Each document gets three simulated covariates: one that depends on the errors of the model, one that depends on gold,
and noise. The true coefficients are those of the regression of gold. Again and again, documents are drawn with
replacement, because the intervals describe the process behind the corpus, and an audit of their sentences is drawn. The
corrected coefficients are compared with those of the predictions and of the audit alone.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from estimates import DESIGNS, Gold, audits, read_corpus

from labels.errors import InputError
from trainer.estimate.estimators import Bools, Floats, Ints
from trainer.estimate.regressions.regression import Coefficients, Family, Labelled, fit, pseudo_outcomes

COVARIATES = ("intercept", "model_errors", "gold_related", "noise")
LABELS = ("any_action", "arrest")
SIZE = 1000
METHODS = ("corrected", "predictions", "sample alone")


@dataclass(frozen=True)
class Tally:
    """Sums over draws, by method and coefficient: estimates, squares, covered, standard errors and widths."""

    values: dict[str, list[Floats]]
    covered: dict[str, list[Bools]]
    errors: dict[str, list[Floats]]


def covariates(corpus: Gold, i: int, seed: int = 5) -> Floats:
    """Covariates of each sentence, equal within documents, of shape (N, 4)."""
    generator, n = np.random.default_rng(seed), int(corpus.documents.max()) + 1
    counts = np.bincount(corpus.documents, minlength=n)

    def means(values: Floats) -> Floats:
        return np.asarray(np.bincount(corpus.documents, values, n) / counts)

    def spread(values: Floats) -> Floats:
        mixed = (values - values.mean()) / values.std() + generator.normal(size=n)
        return np.asarray((mixed > np.median(mixed)).astype(float))

    wrong = spread(means(corpus.assigned[:, i] - corpus.gold[:, i]))
    related = spread(means(corpus.gold[:, i]))
    each = np.column_stack([np.ones(n), wrong, related, generator.normal(size=n)])
    return np.asarray(each[corpus.documents])


def measure(corpus: Gold, label: str, design: str, family: Family, times: int, seed: int) -> tuple[Tally, Floats]:
    """Draw documents and audits, and return the results with the true coefficients."""
    i = corpus.labels.index(label)
    x = covariates(corpus, i)
    truth = fit(x, corpus.gold[:, i], corpus.documents, family).values
    generator, n = np.random.default_rng(seed), int(corpus.documents.max()) + 1
    by_document = np.split(np.argsort(corpus.documents, kind="stable"), np.cumsum(np.bincount(corpus.documents))[:-1])
    tally = Tally({name: [] for name in METHODS}, {name: [] for name in METHODS}, {name: [] for name in METHODS})
    for number in range(times):
        chosen = generator.integers(n, size=n)
        rows = np.concatenate([by_document[one] for one in chosen])
        documents = np.repeat(np.arange(n), [len(by_document[one]) for one in chosen])
        try:
            made = fitted(corpus.rows(rows), x[rows], documents, i, design, family, generator, number)
        except InputError:  # a logit of a rare label may have no solution
            continue
        for name, found in made.items():
            low, high = found.intervals(0.95)
            tally.values[name].append(found.values)
            tally.covered[name].append((low <= truth) & (truth <= high))
            tally.errors[name].append(found.errors)
    return tally, truth


def fitted(
    drawn: Gold,
    x: Floats,
    documents: Ints,
    i: int,
    design: str,
    family: Family,
    generator: np.random.Generator,
    seed: int,
) -> dict[str, Coefficients]:
    """The coefficients by method, for one draw of documents and one audit."""
    places, sample = next(audits(drawn, design, SIZE, generator))
    labelled = Labelled(
        places, sample.gold[:, i], sample.weights, np.arange(len(places)), sample.stratum, sample.fractions
    )
    outcome, parts = pseudo_outcomes(drawn.probabilities[:, i], labelled, documents, seed)
    own = np.unique(documents[places], return_inverse=True)[1]
    return {
        "corrected": fit(x, outcome, documents, family, sampled=(parts, labelled, places)),
        "predictions": fit(x, drawn.assigned[:, i], documents, family),
        "sample alone": fit(x[places], labelled.gold, own, family, weights=labelled.weights),
    }


def table_rows(label: str, design: str, family: Family, tally: Tally, truth: Floats) -> list[str]:
    """One row per coefficient and method."""
    rows = []
    for k, name in enumerate(COVARIATES):
        for method in METHODS:
            values, errors = np.array(tally.values[method])[:, k], np.array(tally.errors[method])[:, k]
            bias, spread = float(values.mean() - truth[k]), float(values.std())
            figures = [f"{truth[k]:+.4f}", f"{bias:+.4f}", f"{bias / spread:+.2f}", f"{spread:.4f}",
                       f"{errors.mean():.4f}", f"{np.array(tally.covered[method])[:, k].mean():.1%}"]  # fmt: skip
            rows.append("| " + " | ".join([label, design, family, name, method, *figures]) + " |")
    return rows


def main() -> None:
    """Run the draws and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--times", type=int, default=500)
    parser.add_argument("--cache", type=Path, default=Path("estimates_predictions.npz"))
    parser.add_argument("--out", type=Path, default=Path("experiments/results/regressions.md"))
    options = parser.parse_args()
    corpus = read_corpus(options.folder, options.cache)
    head = ["label", "design", "family", "coefficient", "method", "truth", "bias", "bias / sd", "sd", "mean std. error"]
    lines = [
        "# Regressions on labels: bias and coverage",
        "",
        f"`python experiments/benchmarks/regressions.py FOLDER --times {options.times}`: {options.times} draws of "
        f"documents per row, each with an audit of {SIZE} of about 21,000 sentences. `corrected` is what `communique "
        "estimate --regress` publishes; `predictions` has the assigned labels as outcome; `sample alone` only the "
        "audit. `model_errors` is a covariate that depends on the errors of the model, `gold_related` one that "
        "depends on gold.",
        "",
        "| " + " | ".join([*head, "coverage of 95%"]) + " |",
        "|" + " --- |" * (len(head) + 1),
    ]
    for label in LABELS:
        for design in DESIGNS:
            for family in ("linear", "logit"):
                kind: Family = "linear" if family == "linear" else "logit"
                tally, truth = measure(corpus, label, design, kind, options.times, seed=1)
                lines += table_rows(label, design, kind, tally, truth)
                print(*lines[-len(METHODS) * len(COVARIATES) :], sep="\n", flush=True)
                options.out.write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
