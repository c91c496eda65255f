"""Metrics computed from arrays. This module does not use models; `estimates` computes all of them, with intervals.

Unless stated otherwise, `gold` and `predicted` are boolean arrays of shape (n, labels).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labels.agreement.coefficients import percentile_interval
from trainer.calibration.calibration import Bools, Floats
from trainer.evaluation.intervals import Interval

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Counts:
    """True positives, false positives and false negatives, each of shape (..., labels)."""

    tp: Floats
    fp: Floats
    fn: Floats

    @property
    def f1(self) -> Floats:
        """F1 = 2TP / (2TP + FP + FN); nan if the label never occurs.

        Without a positive, F1 would be 0 after a single false positive and undefined before it: neither says how well
        the label is found.
        """
        return np.where(self.tp + self.fn > 0, _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn), np.nan)

    @property
    def precision(self) -> Floats:
        """TP / (TP + FP); nan if the label is never predicted."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> Floats:
        """TP / (TP + FN); nan if the label never occurs."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def macro_f1(self) -> Floats:
        """Mean F1 over the labels whose F1 is defined; nan if no F1 is defined."""
        f1 = self.f1
        defined = ~np.isnan(f1)
        return _ratio(np.where(defined, f1, 0).sum(axis=-1), defined.sum(axis=-1).astype(float))

    @property
    def micro_f1(self) -> Floats:
        """F1 of the counts summed over labels."""
        return self.changed(lambda each: each.sum(axis=-1)).f1

    def summed(self) -> Counts:
        """Sum counts of shape (groups, labels) over the groups; returns counts of shape (labels,)."""
        return self.changed(lambda each: each.sum(axis=0))

    def changed(self, change: Callable[[Floats], Floats]) -> Counts:
        """Apply a function, such as a sum or a weighted sum, to each of the three arrays."""
        return Counts(change(self.tp), change(self.fp), change(self.fn))


def count(gold: Bools, predicted: Bools) -> Counts:
    """Count over all rows; returns counts of shape (labels,)."""
    return Counts(*(each.sum(axis=0).astype(float) for each in _outcomes(gold, predicted)))


def group_counts(gold: Bools, predicted: Bools, groups: Sequence[int]) -> Counts:
    """Count within groups; returns counts of shape (groups, labels). `groups` has the group number of each row."""
    return Counts(*(group_sums(each, groups) for each in _outcomes(gold, predicted)))


def _outcomes(gold: Bools, predicted: Bools) -> tuple[Bools, Bools, Bools]:
    """Return whether each decision is a true positive, a false positive or a false negative."""
    return gold & predicted, ~gold & predicted, gold & ~predicted


def exact_match(gold: Bools, predicted: Bools) -> NDArray[np.bool_]:
    """Return whether the whole label set of each row is correct, of shape (n,).

    The mean is accuracy for an exclusive codebook, and subset accuracy for other codebooks.
    """
    return np.asarray((gold == predicted).all(axis=1))


def jaccard(gold: Bools, predicted: Bools) -> Floats:
    """Return the Jaccard index of the label sets of each row, of shape (n,); two empty sets are equal: 1."""
    shared, joined = (gold & predicted).sum(axis=1), (gold | predicted).sum(axis=1)
    return np.asarray(np.divide(shared, joined, out=np.ones(len(gold)), where=joined > 0))


def mcc(counts: Counts, n: float | Floats) -> Floats:
    """Matthews correlation coefficient, in [-1, 1], of each label; nan if a label or its prediction never varies.

    Args:
        n: number of rows, which broadcasts with the counts.

    Source: Matthews (1975).
    """
    tn = n - counts.tp - counts.fp - counts.fn
    predicted, present = counts.tp + counts.fp, counts.tp + counts.fn
    spread = predicted * present * (tn + counts.fp) * (tn + counts.fn)
    return _ratio(counts.tp * tn - counts.fp * counts.fn, np.sqrt(np.maximum(spread, 0)))


def confusion(gold: Bools, predicted: Bools) -> NDArray[np.int_]:
    """Count pairs of a gold label and a predicted label, with "none" as last row and column: (labels + 1, labels + 1).

    A label in both sets of a row counts on the diagonal. Each label that is only in gold is paired with each label that
    is only predicted, or with "none" if there is no such label, and the other way round; ("none", "none") counts rows
    with two empty sets. For an exclusive codebook this is the usual confusion matrix.
    """
    only_gold, only_predicted = gold & ~predicted, predicted & ~gold
    empty = np.array([~only_gold.any(axis=1), ~only_predicted.any(axis=1)])
    # As floats, which BLAS multiplies: products of integers take thirty times as long.
    rows = np.column_stack([only_gold, empty[0] & only_predicted.any(axis=1)]).astype(float)
    columns = np.column_stack([only_predicted, empty[1] & only_gold.any(axis=1)]).astype(float)
    matrix = (rows.T @ columns).astype(int)
    matrix += np.diag(np.append((gold & predicted).sum(axis=0), (~gold & ~predicted).all(axis=1).sum()))
    return np.asarray(matrix)


def precision_at(probabilities: Floats, gold: Bools, share: float) -> float:
    """Precision of one label among the rows with the highest probabilities, a `share` of all rows and at least one.

    Rows with the same probability as the last of these count in proportion, so that the order of rows does not matter.
    Returns nan for no rows.
    """
    if not len(gold):
        return float("nan")
    wanted = max(round(share * len(gold)), 1)
    cut = np.partition(probabilities, -wanted)[-wanted]
    above, tied = probabilities > cut, probabilities == cut
    return float((gold[above].sum() + gold[tied].mean() * (wanted - above.sum())) / wanted)


def reliability_bins(probabilities: Floats, gold: Bools, bins: int = CALIBRATION_BINS) -> tuple[Floats, Floats, Floats]:
    """Divide the rows of one label into bins of equal mass, in order of probability.

    Args:
        probabilities, gold: arrays of shape (n,) with n >= 1.

    Returns:
        The mean probability, the frequency of the label and the number of rows of each bin. There are min(bins, n)
        bins.
    """
    order = np.argsort(probabilities, kind="stable")
    _, group = np.unique(probabilities, return_inverse=True)
    # Rows with equal probabilities may be in different bins. Each of these rows gets the frequency of all of them;
    # otherwise the result would depend on the order of the rows.
    frequency = (np.bincount(group, weights=gold) / np.bincount(group))[group]
    parts = np.array_split(order, min(bins, len(order)))
    means = np.array([(probabilities[part].mean(), frequency[part].mean(), len(part)) for part in parts])
    return means[:, 0], means[:, 1], means[:, 2]


def expected_calibration_error(probabilities: Floats, gold: Bools, bins: int = CALIBRATION_BINS) -> float:
    """Mean difference, in [0, 1], between the probability and the frequency of one label over `reliability_bins`.

    Args:
        probabilities, gold: arrays of shape (n,); returns nan if n is 0.

    Source: Naeini et al. (2015), with equal-mass bins as in Nguyen and O'Connor (2015).
    """
    if not len(gold):
        return float("nan")
    predicted, observed, rows = reliability_bins(probabilities, gold, bins)
    return float(np.average(np.abs(predicted - observed), weights=rows))


def brier_score(probabilities: Floats, gold: Bools) -> float:
    """Mean squared difference, in [0, 1], between the probabilities (n,) and gold (n,) of one label."""
    return float(((probabilities - gold) ** 2).mean()) if len(gold) else float("nan")


def log_loss(probabilities: Floats, gold: Bools) -> float:
    """Mean negative log-likelihood of one label, in nats, from arrays of shape (n,)."""
    if not len(gold):
        return float("nan")
    # Clipped: a single confident error with probability 0 or 1 would make the mean infinite.
    clipped = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return float(-np.where(gold, np.log(clipped), np.log1p(-clipped)).mean())


def group_sums(values: Bools | Floats, groups: Sequence[int] | NDArray[np.int_]) -> Floats:
    """Sum the rows of each group: an array of shape (n, columns) becomes (groups, columns).

    Args:
        groups: the group number of each row, of shape (n,).
    """
    groups = np.asarray(groups)
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order][:1] - 1))
    return np.asarray(np.add.reduceat(values[order].astype(float), starts, axis=0))


def defined(value: float | Floats) -> float | None:
    """Return a figure as a float, or None if it is nan: JSON does not have nan."""
    return None if math.isnan(value) else float(value)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    numerator, denominator = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    result = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def paired_difference(
    gold: Bools, ours: Bools, theirs: Bools, groups: Sequence[int], *, draws: int, confidence: float, seed: int
) -> Interval:
    """Return the interval of the difference between the macro-F1 of two models (`ours` minus `theirs`).

    Args:
        gold, ours, theirs: gold and the predictions of the two models for the same n examples, each of shape
            (n, labels).
        groups: the group number of each example, of shape (n,).
        draws, confidence, seed: see `bootstrap_intervals`.
    """
    # The same draws for both models: their scores rise and fall together, so the difference varies less.
    weights = _draw_weights(groups, draws, np.random.default_rng(seed))
    drawn = [_drawn_macro_f1(gold, predicted, groups, weights) for predicted in (ours, theirs)]
    return _interval(drawn[0] - drawn[1], confidence)


def _drawn_macro_f1(gold: Bools, predicted: Bools, groups: Sequence[int], weights: Floats) -> Floats:
    counts = group_counts(gold, predicted, groups).changed(lambda each: weights @ each)
    return _macro_f1(counts.f1, count(gold, predicted).f1)


def _macro_f1(f1: Floats, measured: Floats) -> Floats:
    """Mean of F1s of shape (draws, labels) over the labels; `measured`, of shape (labels,), replaces undefined F1s.

    Labels whose measured F1 is undefined are ignored.
    """
    # Without the replacement, draws that lack a rare and difficult label would have too high a macro-F1.
    held = np.where(np.isnan(f1), measured, f1)[:, ~np.isnan(measured)]
    return held.mean(axis=1) if held.shape[1] else np.full(len(f1), np.nan)


def _draw_weights(groups: Sequence[int], draws: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return how often each draw contains each group, of shape (draws, groups)."""
    n_groups = len(set(groups))
    # A multinomial count has the same distribution as drawing groups one by one with replacement.
    return generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws).astype(float)


def _interval(values: Floats, confidence: float) -> Interval:
    low, high = percentile_interval(values, confidence) or (None, None)
    return Interval(low, high, int(np.isnan(values).sum()), "undefined in every draw" if low is None else "")
