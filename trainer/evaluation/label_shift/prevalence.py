"""Figures at the prevalence of the corpus, from a test set in which labels are more or less frequent.

All of this assumes label shift: the sentences with a label, and those without it, are of the same kinds in the corpus
as in the test set, and only their proportions differ. Recall is then unchanged, and precision follows from the recall,
the false-positive rate and the prevalence. `check_shift` compares the distributions of the probabilities, which shows
failures of the assumption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.errors import ExperimentError
from trainer.calibration.calibration import Bools, Floats
from trainer.evaluation.metrics import group_sums

_ITERATIONS, _TOLERANCE = 10_000, 1e-10
_DRAWN_TOLERANCE = 1e-6
_SUM_TOLERANCE = 1e-6
_EPSILON = 1e-6
_CELLS = 200
"""Bins of probabilities for the bootstrap of the prevalence."""
BINS = 10
"""Bins, of equal mass in the corpus, in which the distributions of the probabilities are compared."""
_DRAWN_AT_ONCE = 100
LARGE_SHIFT = 0.05
"""Share of the corpus whose probabilities must lie elsewhere for a warning: with enough data any difference is certain,
however small."""


def check_prevalence(prevalence: dict[str, float], labels: Sequence[str], place: str = "evaluation.prevalence") -> None:
    """Check prevalences that a user gives at `place`.

    Raises:
        ExperimentError: a label is unknown, or a prevalence is not between 0 and 1, both excluded.
    """
    for label, value in prevalence.items():
        if label not in labels:
            raise ExperimentError(f"{place}: the codebook has no label '{label}'. Its labels: {', '.join(labels)}.")
        if not 0 < value < 1:
            raise ExperimentError(
                f"{place}: the prevalence of '{label}' is {value:g}. Give the share of the sentences in the corpus "
                "that have the label: above 0 and below 1."
            )


def check_shares(
    prevalence: dict[str, float],
    labels: Sequence[str],
    place: str = "evaluation.prevalence",
    *,
    allow_none: bool,
) -> None:
    """Check that prevalences can be shares of classes that exclude each other: together at most 1.

    Raises:
        ExperimentError: the sum is too large, or less than 1 although all labels have one and a sentence has no other.
    """
    total = sum(prevalence.values())
    complete = set(prevalence) == set(labels) and not allow_none
    if total > 1 + _SUM_TOLERANCE or (complete and total < 1 - _SUM_TOLERANCE):
        needed = "1, because every sentence has a label" if not allow_none else "at most 1"
        raise ExperimentError(
            f"{place}: the labels of this codebook exclude each other, so their shares must sum to {needed}; these sum "
            f"to {total:g}. Correct the shares, or name an unlabelled corpus from which they are estimated."
        )


@dataclass(frozen=True)
class Reweighted:
    """Figures of one label at a prevalence; nan if undefined. Arrays, where the prevalence is an array."""

    precision: Floats
    recall: Floats
    f1: Floats


def reweight(tp: Floats, fp: Floats, fn: Floats, tn: Floats, prevalence: float | Floats) -> Reweighted:
    """Return precision, recall and F1 as they would be at another prevalence.

    Args:
        tp, fp, fn, tn: counts on the test set, of the same shape.
        prevalence: in (0, 1), which broadcasts with the counts.
    """
    true, false, missed = expected_shares(tp, fp, fn, tn, prevalence)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Reweighted(true / (true + false), true / (true + missed), 2 * true / (2 * true + false + missed))


def expected_shares(
    tp: Floats, fp: Floats, fn: Floats, tn: Floats, prevalence: float | Floats
) -> tuple[Floats, Floats, Floats]:
    """Return the expected shares of true positives, false positives and false negatives at a prevalence.

    They are nan if the test set has no positive, or no negative.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, false_rate = tp / (tp + fn), fp / (fp + tn)
    return recall * prevalence, false_rate * (1 - np.asarray(prevalence)), (1 - recall) * prevalence


@dataclass(frozen=True)
class ThresholdCurve:
    """Re-weighted figures of one label at each threshold, each of shape (points,), thresholds ascending."""

    thresholds: Floats
    figures: Reweighted


def threshold_curve(probabilities: Floats, gold: Bools, prevalence: float, *, points: int = 99) -> ThresholdCurve:
    """Return the re-weighted figures at `points` evenly spaced thresholds in (0, 1), from arrays of shape (n,)."""
    thresholds = np.linspace(0, 1, points + 2)[1:-1]
    positives, negatives = np.sort(probabilities[gold]), np.sort(probabilities[~gold])
    fn, tn = np.searchsorted(positives, thresholds), np.searchsorted(negatives, thresholds)
    rows = np.array([len(positives) - fn, len(negatives) - tn, fn, tn], dtype=np.float64)
    return ThresholdCurve(thresholds, reweight(rows[0], rows[1], rows[2], rows[3], prevalence))


# -- prevalence of an unlabelled corpus


def estimate_prevalence(probabilities: Floats, start: Floats, weights: Floats | None = None) -> Floats:
    """Estimate the prevalence of each class in an unlabelled corpus by expectation-maximisation.

    Args:
        probabilities: calibrated probabilities of each class, of shape (n, classes); rows sum to 1. A label of a
            multi-label codebook is estimated with two classes, the label and its absence.
        start: prevalences in the data of the calibration, of shape (classes,), all above 0.
        weights: weights of the rows, of shape (n,); None for equal weights.

    Returns:
        Prevalences of shape (classes,), which sum to 1.

    Source: Saerens, Latinne and Decaestecker (2002), "Adjusting the outputs of a classifier to new a priori
    probabilities: a simple procedure".
    """
    shares = np.full(len(probabilities), 1 / len(probabilities)) if weights is None else weights / weights.sum()
    ratios = np.clip(probabilities, _EPSILON, 1) / start
    prevalence = np.asarray(start, dtype=float)
    for _ in range(_ITERATIONS):
        joint = ratios * prevalence
        update = shares @ (joint / joint.sum(axis=1, keepdims=True))
        moved = float(np.abs(update - prevalence).max())
        prevalence = update
        if moved < _TOLERANCE:
            break
    return prevalence


@dataclass(frozen=True)
class Unlabelled:
    """The probabilities of n unlabelled sentences, of shape (n, labels), and the number of the document of each."""

    probabilities: Floats
    groups: NDArray[np.int_]


def label_prevalence(probabilities: Floats, start: float) -> float:
    """Estimate the prevalence of one label from its calibrated probabilities (n,); see `estimate_prevalence`."""
    weights = np.full((1, len(probabilities)), 1 / len(probabilities))
    return float(_maximised(probabilities, weights, start)[0])


def drawn_prevalences(probabilities: Floats, groups: NDArray[np.int_], start: float, weights: Floats) -> Floats:
    """Return the estimate of `label_prevalence` in each bootstrap draw of documents, of shape (draws,).

    Rows are put into bins of similar probability, so that a draw costs no more than its bins.

    Args:
        weights: how often each draw contains each document, of shape (draws, documents).
    """
    order = np.argsort(probabilities)
    parts = np.array_split(order, min(_CELLS, len(order)))
    cell = np.empty(len(order), dtype=int)
    for number, part in enumerate(parts):
        cell[part] = number
    means = np.array([probabilities[part].mean() for part in parts])
    rows = np.asarray(weights @ _cell_counts(cell, len(parts), groups).astype(weights.dtype), dtype=float)
    rows /= rows.sum(axis=1, keepdims=True)
    return _maximised(means, rows, start)


def _maximised(probabilities: Floats, weights: Floats, start: float) -> Floats:
    """Return the fixed point of expectation-maximisation for a label and its absence, for each row of weights.

    The fixed point maximises a concave likelihood, so Newton's method finds the same one in a tenth of the steps; where
    it would leave (0, 1), the step of expectation-maximisation is taken.

    Args:
        probabilities: shape (n,).
        weights: shape (m, n); rows sum to 1.
    """
    present = np.clip(probabilities, _EPSILON, 1) / start
    absent = np.clip(1 - probabilities, _EPSILON, 1) / (1 - start)
    prevalence, moving = np.full(len(weights), start), np.arange(len(weights))
    for _ in range(_ITERATIONS):
        own = prevalence[moving]
        density = present * own[:, None] + absent * (1 - own[:, None])
        expected = own * np.einsum("ij,ij->i", weights, present / density)
        slope = (expected / own - 1) / (1 - own)
        curvature = np.einsum("ij,ij->i", weights, ((present - absent) / density) ** 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            newton = own + slope / curvature
        prevalence[moving] = np.where((newton > 0) & (newton < 1), newton, expected)
        moves = np.abs(expected - own) >= _TOLERANCE
        if not moves.any():
            break
        if not moves.all():
            moving, weights = moving[moves], weights[moves]
    return prevalence


def drawn_class_prevalences(probabilities: Floats, groups: NDArray[np.int_], start: Floats, weights: Floats) -> Floats:
    """Return the estimate of `estimate_prevalence` in each bootstrap draw of documents, of shape (draws, classes).

    Args:
        probabilities: of all classes, of shape (n, classes).
        weights: how often each draw contains each document, of shape (draws, documents).
    """
    cell = _similar(probabilities)
    means = np.clip(group_sums(probabilities, cell) / np.bincount(cell)[:, None], _EPSILON, 1)
    rows = np.asarray(weights @ _cell_counts(cell, len(means), groups), dtype=float)
    rows /= rows.sum(axis=1, keepdims=True)
    ratios = means / start
    prevalence = np.tile(start, (len(weights), 1))
    for _ in range(_ITERATIONS):
        update = prevalence * ((rows / (prevalence @ ratios.T)) @ ratios)
        moved = float(np.abs(update - prevalence).max())
        prevalence = update
        if moved < _DRAWN_TOLERANCE:
            break
    return np.asarray(prevalence)


def _similar(probabilities: Floats) -> NDArray[np.intp]:
    """Number cells of rows with similar probabilities, at most `_CELLS`: the widest cell is halved, again and again."""
    cell = np.zeros(len(probabilities), dtype=np.intp)
    members = [np.arange(len(probabilities))]
    spread = [_spread(probabilities)]
    while len(members) < _CELLS and max(spread) > 0:
        widest = int(np.argmax(spread))
        own = members[widest]
        column = probabilities[own, probabilities[own].std(axis=0).argmax()]
        upper = column > np.median(column)
        upper = upper if upper.any() else column >= np.median(column)
        members[widest], more = own[~upper], own[upper]
        members.append(more)
        spread[widest] = _spread(probabilities[members[widest]])
        spread.append(_spread(probabilities[more]))
        cell[more] = len(members) - 1
    return cell


def _spread(rows: Floats) -> float:
    """The sum of squared distances from the mean in the column in which it is largest."""
    return float(rows.var(axis=0).max() * len(rows)) if len(rows) > 1 else 0.0


# -- where the assumption fails


@dataclass(frozen=True)
class ShiftCheck:
    """How far the probabilities of one label in the corpus differ from those of the re-weighted test set.

    Attributes:
        distance: total variation distance in [0, 1]: the share of the corpus whose probabilities lie elsewhere.
        p_value: probability of at least this distance under label shift, by resampling documents of both sets.
    """

    distance: float
    p_value: float


def check_shift(
    test: Floats,
    classes: Bools,
    test_groups: Sequence[int],
    corpus: Floats,
    corpus_groups: NDArray[np.int_],
    prevalence: Floats,
    *,
    test_draws: Floats,
    corpus_draws: Floats,
) -> ShiftCheck:
    """Compare the distribution of one label's probabilities in the corpus with that of the re-weighted test set.

    Under label shift the two distributions agree. Bins have equal mass in the corpus. The p-value counts the draws of
    a bootstrap of both sets whose distance from the measured difference is at least as large as the measured distance.

    Args:
        test: probabilities of the label in the test set, of shape (n,).
        classes: the class of each row of the test set, of shape (n, classes): the label and its absence, or the classes
            of an exclusive codebook. No class with a prevalence is empty.
        corpus: probabilities in the corpus, of shape (m,).
        prevalence: prevalence of each class in the corpus, of shape (classes,).
        test_draws, corpus_draws: how often each draw contains each group, of shapes (draws, groups) and (draws,
            documents); see `draw_weights`.
    """
    edges = np.unique(np.quantile(corpus, np.linspace(0, 1, BINS + 1)[1:-1]))
    _, places = np.unique(np.asarray(test_groups), return_inverse=True)
    cells, bins = np.searchsorted(edges, test, side="right"), len(edges) + 1
    in_corpus = _cell_counts(np.searchsorted(edges, corpus, side="right"), bins, corpus_groups)
    held = np.flatnonzero(prevalence > 0)
    rows = (classes[:, i] for i in held)
    by_class = [_cell_counts(cells[own], bins, places[own], test_draws.shape[1]) for own in rows]
    measured = _difference([own.sum(axis=0) for own in by_class], in_corpus.sum(axis=0), prevalence[held])
    drawn = _difference([test_draws @ own for own in by_class], corpus_draws @ in_corpus, prevalence[held])
    distances = np.abs(drawn - measured).sum(axis=-1)
    distances = distances[~np.isnan(distances)]
    distance = float(np.abs(measured).sum())
    return ShiftCheck(distance / 2, float((1 + (distances >= distance).sum()) / (1 + len(distances))))


def draw_weights(generator: np.random.Generator, n_groups: int, draws: int) -> Floats:
    """Return how often each bootstrap draw contains each group, of shape (draws, groups), in float32."""
    shares = np.full(n_groups, 1 / n_groups)
    found: NDArray[Any] = np.empty((draws, n_groups), dtype=np.float32)
    for start in range(0, draws, _DRAWN_AT_ONCE):  # the counts come as int64, twice as large as the result
        own = found[start : start + _DRAWN_AT_ONCE]
        own[:] = generator.multinomial(n_groups, shares, size=len(own))
    return found


def _cell_counts(cells: NDArray[np.intp], n: int, groups: NDArray[np.int_], n_groups: int = 0) -> Floats:
    """Count the rows of each group in each of n cells, as float32 of shape (groups, n); groups are numbered from 0."""
    n_groups = n_groups or int(groups.max()) + 1
    counts = np.bincount(groups * n + cells, minlength=n_groups * n)
    return np.asarray(counts.reshape(n_groups, n), dtype=np.float32)


def _difference(by_class: Sequence[Floats], corpus: Floats, prevalence: Floats) -> Floats:
    """Differences of the shares of each bin, from sums of shape (..., bins) in each class and in the corpus."""
    with np.errstate(invalid="ignore"):
        found, *parts = (each / each.sum(axis=-1, keepdims=True) for each in (corpus, *by_class))
        return np.asarray(sum(share * part for share, part in zip(prevalence, parts, strict=True)) - found)
