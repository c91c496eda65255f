"""Slices by simulation: how often is one flagged that is no worse, and how often one that is?

    python experiments/benchmarks/slices.py --sets 1000 --out experiments/results/slices.md

Each simulated test set has documents of 1 to 20 sentences with four labels; some documents are harder than others, so
the errors of one document resemble each other. It is sliced by source (four values, one for each document), month (six
values, one for each document), form and length (four values each, drawn for each sentence): 18 slices. In half of the
sets one source is worse: the recall of each label is lower there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.evaluation.failures.slices import SliceSettings, slice_figures

Bools = NDArray[np.bool_]
HARD = 0.8
"""Standard deviation, in logits, of the error rates between documents."""
HOW = SliceSettings(confidence=0.95, min_groups=20)
RECALL, FALSE, FREQUENCY = 1.7, -3.5, -2.4
"""Logits in a typical document: recall, false positives, and the frequency of each label."""


def draw(
    generator: np.random.Generator, documents: int, loss: float
) -> tuple[Bools, Bools, NDArray[np.int_], dict[str, list[str]]]:
    """Draw gold, predictions, groups and slices of a test set; `loss` lowers the logit of recall in the source "a"."""
    sizes = generator.integers(1, 21, documents)
    groups = np.repeat(np.arange(documents), sizes)
    n = len(groups)
    source, month = (generator.integers(0, k, documents)[groups] for k in (4, 6))
    hard = generator.normal(0, HARD, documents)[groups][:, None]
    gold = generator.random((n, 4)) < 1 / (1 + np.exp(-FREQUENCY))
    logits = np.where(gold, RECALL - loss * (source == 0)[:, None] - hard, FALSE + hard)
    predicted = generator.random((n, 4)) < 1 / (1 + np.exp(-logits))
    columns = {"source": source, "month": month, **{name: generator.integers(0, 4, n) for name in ("form", "length")}}
    return gold, predicted, groups, {name: ["abcdef"[i] for i in own] for name, own in columns.items()}


def measure(documents: int, loss: float, sets: int, seed: int) -> tuple[float, float, float]:
    """Percent of the sets in which the worse source is flagged, in which another slice is, and the mean loss in F1."""
    generator, hits, false, lost = np.random.default_rng(seed), 0, 0, []
    for _ in range(sets):
        gold, predicted, groups, columns = draw(generator, documents, loss)
        found = slice_figures(gold, predicted, groups.tolist(), columns, HOW)
        worse = {(own.by, own.value) for own in found if own.worse}
        own = next(one for one in found if (one.by, one.value) == ("source", "a"))
        lost.append(own.difference or 0.0)
        hits += ("source", "a") in worse
        false += bool(worse - {("source", "a")})
    return 100 * hits / sets, 100 * false / sets, 100 * float(np.mean(lost))


def main() -> None:
    """Write a table of all settings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    lines = [
        "# Slices of simulated test sets\n",
        f"`python experiments/benchmarks/slices.py --sets {given.sets}`. The script describes the simulation.\n",
        "Percent of the sets in which the source is flagged, and in which any other of the 18 slices is.",
        "Without a loss, all flags are false: promised are at most 5 in all.\n",
        "| documents | loss in logits of recall | difference in micro-F1, points | source flagged | another flagged |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for documents in (100, 400):
        for loss in (0.0, 1.0, 2.0):
            hits, false, lost = measure(documents, loss, given.sets, documents)
            lines.append(f"| {documents} | {loss:g} | {lost:+.1f} | {hits:.1f} | {false:.1f} |")
            print(lines[-1], flush=True)
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
