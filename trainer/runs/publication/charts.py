"""The curves of a report, computed from gold and probabilities, and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.evaluation.metrics import reliability_bins
from trainer.evaluation.report import Outcome
from trainer.runs.publication.svg import COLOURS, Axis, Series, line_chart

FEW_ROWS = 10
"""A bin of a reliability chart with fewer rows is drawn hollow: its frequency is little more than chance."""
PREVALENCES = (0.01, 0.05, 0.20)
_THRESHOLDS = np.linspace(0, 1, 101)
_MOST_POINTS = 200


@dataclass(frozen=True)
class Chart:
    """An inline SVG with the names in its legend, in the order of the colours, and a caption."""

    svg: str
    names: tuple[str, ...]
    caption: str


def draw_charts(outcome: Outcome, dots: str) -> list[Chart]:
    """Draw precision and recall, reliability, thresholds (unless the codebook is exclusive) and prevalence.

    Only the most frequent labels that occur in gold are drawn: more lines than colours cannot be told apart.

    Args:
        dots: what the dots in the chart of thresholds are.
    """
    shown = drawn_columns(outcome)
    names = tuple(outcome.labels[i] for i in shown)
    few = "" if len(names) == len(outcome.labels) else f" Labels drawn: {len(names)} of {len(outcome.labels)}."
    charts = [
        Chart(_precision_recall(outcome, shown), names, "Precision and recall. Dots: the assigned labels." + few),
        Chart(
            _reliability(outcome, shown),
            names,
            f"Reliability: bins of equal mass; larger dots have more rows, hollow dots fewer than {FEW_ROWS}. On the "
            "line, the probabilities equal the observed shares." + few,
        ),
        Chart(
            _prevalence(outcome, shown),
            names,
            "Precision by the share of sentences with the label in a corpus, if its positives and negatives are of the "
            "same kinds as here (label shift). Hollow dots: the share in these data." + few,
        ),
    ]
    if not outcome.exclusive:
        caption = f"F1 by threshold. Dots: {dots}.{few}"
        charts.insert(2, Chart(_threshold(outcome, shown), names, caption))
    return charts


def drawn_columns(outcome: Outcome) -> list[int]:
    """Return the columns of the labels that are drawn, in codebook order."""
    support = outcome.gold.sum(axis=0)
    frequent = sorted((i for i in range(len(outcome.labels)) if support[i]), key=lambda i: -int(support[i]))
    return sorted(frequent[:COLOURS])


def _precision_recall(outcome: Outcome, shown: Sequence[int]) -> str:
    from sklearn.metrics import precision_recall_curve

    series = []
    for i in shown:
        precision, recall, _ = precision_recall_curve(outcome.gold[:, i], outcome.probabilities[:, i])
        hits, assigned = (outcome.gold & outcome.predicted)[:, i].sum(), outcome.predicted[:, i].sum()
        marks = [(float(hits / outcome.gold[:, i].sum()), float(hits / assigned), 4.0, True)] if assigned else []
        keep = np.unique(np.linspace(0, len(recall) - 1, _MOST_POINTS).astype(int))
        points = [(float(recall[k]), float(precision[k])) for k in keep]
        series.append(Series(outcome.labels[i], points, marks))
    return line_chart("Precision and recall by label", series, Axis("recall"), Axis("precision"))


def _reliability(outcome: Outcome, shown: Sequence[int]) -> str:
    series = []
    for i in shown:
        predicted, observed, rows = reliability_bins(outcome.probabilities[:, i], outcome.gold[:, i])
        marks = [
            (float(at), float(share), 2.5 + min(float(n), 400) ** 0.5 / 6, bool(n >= FEW_ROWS))
            for at, share, n in zip(predicted, observed, rows, strict=True)
        ]
        series.append(Series(outcome.labels[i], marks=marks))
    axes = Axis("mean predicted probability"), Axis("observed share")
    return line_chart("Reliability of the probabilities by label", series, *axes, diagonal=True)


def _threshold(outcome: Outcome, shown: Sequence[int]) -> str:
    series = []
    for i in shown:
        gold, own = outcome.gold[:, i], float(outcome.thresholds[i])
        points = [(float(t), _f1(gold, outcome.probabilities[:, i] >= t)) for t in _THRESHOLDS]
        marks = [(own, _f1(gold, outcome.predicted[:, i]), 4.0, True)]
        series.append(Series(outcome.labels[i], points, marks))
    return line_chart("F1 by threshold and label", series, Axis("threshold"), Axis("F1"))


def _f1(gold: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    return float(2 * (gold & predicted).sum() / (gold.sum() + predicted.sum()))


def precision_at_prevalence(outcome: Outcome, column: int, prevalence: float) -> float | None:
    """Return the precision of a label where this share of the sentences has it; None if undefined.

    With recall r and false positive rate f, the precision at prevalence q is q r / (q r + (1 - q) f), if the positives
    and the negatives of the corpus are of the same kinds as those of the test sentences.

    Source: Saerens, Latinne and Decaestecker (2002), "Adjusting the outputs of a classifier to new a priori
    probabilities".
    """
    gold, predicted = outcome.gold[:, column], outcome.predicted[:, column]
    if not gold.any() or gold.all() or not predicted.any():
        return None
    hits = prevalence * float(predicted[gold].mean())
    return hits / (hits + (1 - prevalence) * float(predicted[~gold].mean()))


def _prevalence(outcome: Outcome, shown: Sequence[int]) -> str:
    axis = Axis("share of sentences with the label", 0.005, 0.5, (0.005, 0.01, 0.05, 0.2, 0.5), log=True)
    series = []
    for i in shown:
        grid = [(float(q), precision_at_prevalence(outcome, i, float(q))) for q in np.geomspace(0.005, 0.5, 60)]
        here = float(outcome.gold[:, i].mean())
        now = precision_at_prevalence(outcome, i, here)
        marks = [(here, now, 4.0, False)] if now is not None else []
        series.append(Series(outcome.labels[i], [(q, own) for q, own in grid if own is not None], marks))
    return line_chart("Precision by prevalence and label", series, axis, Axis("precision"))


def confusion_table(outcome: Outcome) -> tuple[tuple[str, ...], list[list[int]]]:
    """Return names and counts of pairs (gold label, predicted label), the last being "none".

    A sentence counts once for each label that is found. Each label that is missed is paired with each one that is
    assigned wrongly, or with "none" if there is none, and the reverse.
    """
    names = (*outcome.labels, "none")
    matrix = np.zeros((len(names), len(names)), dtype=int)
    none = len(outcome.labels)
    for gold, predicted in zip(outcome.gold, outcome.predicted, strict=True):
        for i in np.flatnonzero(gold & predicted).tolist():
            matrix[i, i] += 1
        missed, wrong = (np.flatnonzero(each).tolist() for each in (gold & ~predicted, predicted & ~gold))
        if not gold.any() and not predicted.any():
            matrix[none, none] += 1
        for i in missed or [none] * bool(wrong):
            for j in wrong or [none]:
                matrix[i, j] += 1
    return names, matrix.tolist()
