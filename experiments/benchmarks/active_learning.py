"""How many labels each strategy needs: random, uncertainty and uncertain-diverse on a corpus with full gold.

    python experiments/benchmarks/active_learning.py india_police_events.jsonl

Every row of the file has `text`, `labels` and `document_id`. For every seed, a third of the documents is held out, and
the gold labels replace the annotator. The model is a logistic regression on frozen embeddings, as in the kind
`embedding`, but without class weights because nothing is calibrated here. It is fitted again after every batch. All
strategies start with the same random batch and use the same functions as `communique label`. Two figures are reported:
macro-F1 at a cut-off of 0.5, and macro-F1 at the best cut-off of each label on the held-out documents. The best cut-off
is not known in practice, but it removes the effect of a strategy on the level of the probabilities.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labels.sampling.clusters import representatives
from labels.text.examples import infer_codebook_of, read_examples
from trainer.active.scoring import uncertainty
from trainer.calibration.calibration import Floats
from trainer.classifiers.base import label_matrix, output_probabilities
from trainer.classifiers.linear import LinearLayer, build_regression
from trainer.config.models import EmbeddingSection
from trainer.encoders.embeddings import Embedder, cached_encode
from trainer.evaluation.metrics import count

Positions = NDArray[np.int64]
Vectors = NDArray[np.float32]
Ask = Callable[[Vectors], Floats]
Scores = tuple[float, float]
"""Macro-F1 with thresholds of 0.5, and with the thresholds that are best on the test sentences."""
POOL = 10
"""uncertain-diverse clusters this many sentences per sentence to draw, as in `labels.sampling.strategies`."""


@dataclass(frozen=True)
class Corpus:
    """The sentences of a corpus: vectors (n, dimensions), gold (n, labels), and the document of each sentence."""

    vectors: Vectors
    gold: NDArray[np.bool_]
    documents: NDArray[np.str_]
    labels: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--budget", type=int, default=6000, help="maximum number of labels of a strategy")
    parser.add_argument("--share", type=float, default=0.9, help="target, as a share of the macro-F1 on the full data")
    parser.add_argument("--out", type=Path, default=Path("experiments/results/active_learning"))
    arguments = parser.parse_args()
    corpus = read_corpus(arguments.data)
    curves: dict[str, list[list[Scores]]] = {name: [] for name in STRATEGIES}
    full: list[Scores] = []
    for seed in range(arguments.seeds):
        train, test = hold_out(corpus.documents, seed)
        full.append(fit(corpus, train, test)[1])
        for name in STRATEGIES:
            curves[name].append(learn(corpus, train, test, name, arguments, seed))
        print(f"seed {seed}: full data {full[-1][0]:.3f}, at the best cut-offs {full[-1][1]:.3f}", flush=True)
    report(arguments, corpus, full, curves)


def read_corpus(path: Path) -> Corpus:
    """Read the file and encode its sentences."""
    codebook = infer_codebook_of([path])
    examples = read_examples(path, codebook)
    vectors = cached_encode(Embedder(), [example.text for example in examples])
    documents = np.array([example.document_id for example in examples])
    return Corpus(vectors, label_matrix(examples, codebook.label_names), documents, codebook.label_names)


def hold_out(documents: NDArray[np.str_], seed: int) -> tuple[Positions, Positions]:
    """The positions of the train and test sentences; a third of the documents is test."""
    names = np.unique(documents)
    chosen = np.random.default_rng(seed).choice(names, len(names) // 3, replace=False)
    held = np.isin(documents, chosen)
    return np.flatnonzero(~held), np.flatnonzero(held)


def fit(corpus: Corpus, train: Positions, test: Positions) -> tuple[Callable[[Vectors], Floats], Scores]:
    """Fit a model to `train`; returns a function from vectors to probabilities, and the scores on `test`."""
    section = EmbeddingSection(kind="embedding")
    model = build_regression(exclusive=False, C=section.C, class_weight="none", seed=0)
    present = corpus.gold[train].any(axis=0)
    model.fit(corpus.vectors[train], corpus.gold[train][:, present])
    layer = LinearLayer.of(model, int(present.sum()), exclusive=False)

    def ask(vectors: Vectors) -> Floats:
        probabilities = np.zeros((len(vectors), len(corpus.labels)))
        probabilities[:, present] = output_probabilities(layer.logits(vectors), len(layer.bias), exclusive=False)
        return probabilities

    return ask, score(corpus.gold[test], ask(corpus.vectors[test]))


def score(gold: NDArray[np.bool_], probabilities: Floats) -> Scores:
    """Compute the two figures."""
    from sklearn.metrics import precision_recall_curve

    best = []
    for column in range(gold.shape[1]):
        precision, recall, _ = precision_recall_curve(gold[:, column], probabilities[:, column])
        best.append(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12)))
    return float(count(gold, probabilities >= 0.5).macro_f1), float(np.mean(best))


def learn(
    corpus: Corpus,
    train: Positions,
    test: Positions,
    strategy: str,
    arguments: argparse.Namespace,
    seed: int,
) -> list[Scores]:
    """The scores on test after each batch."""
    generator = np.random.default_rng(1000 + seed)
    pool = generator.permutation(train)
    labelled, scores = pool[: arguments.batch], []
    while True:
        ask, reached = fit(corpus, labelled, test)
        scores.append(reached)
        if len(labelled) >= arguments.budget:
            return scores
        unseen = pool[~np.isin(pool, labelled)]
        chosen = STRATEGIES[strategy](ask(corpus.vectors[unseen]), corpus.vectors[unseen], arguments.batch, seed)
        labelled = np.concatenate([labelled, unseen[chosen]])


def at_random(_: Floats, vectors: Vectors, size: int, __: int) -> Sequence[int]:
    """The pool is in random order."""
    return range(min(size, len(vectors)))


def uncertain(probabilities: Floats, _: Vectors, size: int, __: int) -> Sequence[int]:
    """The sentences with the highest entropy."""
    return list(np.argsort(-entropy(probabilities), kind="stable")[:size])


def uncertain_diverse(probabilities: Floats, vectors: Vectors, size: int, seed: int) -> Sequence[int]:
    """One sentence from each cluster of the most uncertain sentences, weighted by entropy."""
    doubt = entropy(probabilities)
    pool = np.argsort(-doubt, kind="stable")[: POOL * size]
    packed = [vectors[i].astype("<f2").tobytes() for i in pool]
    return list(pool[representatives(packed, size, weights=list(doubt[pool]), seed=seed)])


def entropy(probabilities: Floats) -> Floats:
    halves = (0.5,) * probabilities.shape[1]
    return uncertainty(probabilities, thresholds=halves, exclusive=False, allow_none=True).entropy


FIGURES = ("Macro-F1 at 0.5", "Macro-F1 at the best thresholds")
STRATEGIES = {"random": at_random, "uncertainty": uncertain, "uncertain-diverse": uncertain_diverse}


def needed(scores: Sequence[float], target: float, batch: int) -> int | None:
    """The number of labels at which the target is first reached; None if it is never reached."""
    return next(((step + 1) * batch for step, score in enumerate(scores) if score >= target), None)


def report(
    arguments: argparse.Namespace, corpus: Corpus, full: list[Scores], curves: dict[str, list[list[Scores]]]
) -> None:
    """Write the tables and the plot."""
    lines = [
        "# Labels needed by strategy",
        "",
        f"`python experiments/benchmarks/active_learning.py {arguments.data.name}`: {len(corpus.gold):,} sentences of "
        f"{len(np.unique(corpus.documents)):,} documents, {len(corpus.labels)} labels, a third of the documents held "
        f"out, {arguments.seeds} seeds, batches of {arguments.batch}, at most {arguments.budget:,} labels. Frozen "
        f"MiniLM embeddings, unweighted logistic regression. scikit-learn {version('scikit-learn')}, "
        f"Python {platform.python_version()}.",
    ]
    for which, what in enumerate(FIGURES):
        best = [scores[which] for scores in full]
        runs = {name: [[scores[which] for scores in run] for run in curves[name]] for name in curves}
        lines += ["", f"## {what}: {np.mean(best):.3f} on all train sentences", "", *table(arguments, best, runs)]
    lines += ["", f"![Learning curves]({arguments.out.name}.png)", ""]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))
    plot(arguments, full, curves)


def table(arguments: argparse.Namespace, full: list[float], curves: dict[str, list[list[float]]]) -> list[str]:
    """The lines of a table with one row per strategy: labels needed to reach the target, and intermediate figures."""
    lines = [
        f"| strategy | labels to {arguments.share:.0%} of this figure: median | lowest | highest | seeds below it | "
        "at 500 labels | at 1,000 | at 2,000 |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, runs in curves.items():
        found = [needed(run, arguments.share * best, arguments.batch) for run, best in zip(runs, full, strict=True)]
        reached = sorted(np.inf if value is None else value for value in found)
        cells = [*map(_labels, (np.median(reached), reached[0], reached[-1])), str(found.count(None))]
        cells += [_mean_at(runs, at, arguments.batch) for at in (500, 1000, 2000)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _labels(value: float) -> str:
    return "never" if np.isinf(value) else f"{value:,.0f}"


def _mean_at(runs: list[list[float]], labels: int, batch: int) -> str:
    step = labels // batch - 1
    values = [run[step] for run in runs if step < len(run)]
    return f"{np.mean(values):.3f}" if values else "–"


def plot(arguments: argparse.Namespace, full: list[Scores], curves: dict[str, list[list[Scores]]]) -> None:
    """Plot mean curves with the range of the middle 80% of the seeds, in one panel per figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained", sharey=True)
    for which, (axes, what) in enumerate(zip(panels, FIGURES, strict=True)):
        for name, runs in curves.items():
            scores = np.array(runs)[:, :, which]
            labels = arguments.batch * np.arange(1, scores.shape[1] + 1)
            line = axes.plot(labels, scores.mean(axis=0), label=name)[0]
            low, high = np.quantile(scores, [0.1, 0.9], axis=0)
            axes.fill_between(labels, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        best = float(np.mean([scores[which] for scores in full]))
        axes.axhline(best, color="grey", linewidth=1, label="all train sentences")
        target = arguments.share * best
        axes.axhline(target, color="grey", linewidth=1, linestyle=":", label=f"{arguments.share:.0%} of it")
        axes.set(xlabel="sentences labelled", title=what)
    panels[0].set_ylabel("on held-out documents")
    panels[1].legend(frameon=False, loc="lower right")
    figure.savefig(arguments.out.with_suffix(".png"), dpi=130)


if __name__ == "__main__":
    main()
