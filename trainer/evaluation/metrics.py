"""Figures of merit from arrays: pure functions that know no model.

Throughout, `gold` and `predicted` are (n, labels) booleans and `probabilities` (n, labels) floats in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.arrays import Bools, Floats

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Counts:
    """True positives, false positives and false negatives; each (..., labels)."""

    tp: Floats
    fp: Floats
    fn: Floats

    @property
    def f1(self) -> Floats:
        """F1 = 2TP / (2TP + FP + FN); nan where a label neither occurs nor is predicted."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def precision(self) -> Floats:
        """TP / (TP + FP); nan where the label is never predicted."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> Floats:
        """TP / (TP + FN); nan where the label never occurs."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def macro_f1(self) -> Floats:
        """Mean F1 over the labels for which it is defined; nan where it is for none."""
        f1 = self.f1
        defined = ~np.isnan(f1)
        return _ratio(np.where(defined, f1, 0).sum(axis=-1), defined.sum(axis=-1).astype(float))

    @property
    def micro_f1(self) -> Floats:
        """F1 of the counts summed over labels."""
        return Counts(self.tp.sum(axis=-1), self.fp.sum(axis=-1), self.fn.sum(axis=-1)).f1


def count(gold: Bools, predicted: Bools) -> Counts:
    """Counts over all rows: (labels,) each."""
    return Counts(
        tp=(gold & predicted).sum(axis=0).astype(float),
        fp=(~gold & predicted).sum(axis=0).astype(float),
        fn=(gold & ~predicted).sum(axis=0).astype(float),
    )


def exact_match(gold: Bools, predicted: Bools) -> NDArray[np.bool_]:
    """(n,) whether the whole label set is right: its mean is accuracy (exclusive) or subset accuracy."""
    return np.asarray((gold == predicted).all(axis=1))


def reliability_bins(probabilities: Floats, gold: Bools, bins: int = CALIBRATION_BINS) -> tuple[Floats, Floats, Floats]:
    """Mean probability, frequency and rows of each bin of equal mass, by rising probability.

    Rows of the same probability are alike whichever bin they fall into: each counts with the frequency of them all, so
    that the order of rows decides nothing.

    Args:
        probabilities, gold: (n,) of one label, n at least 1.

    Returns:
        Three arrays of as many bins, or of n where that is less.
    """
    order = np.argsort(probabilities, kind="stable")
    _, group = np.unique(probabilities, return_inverse=True)
    frequency = (np.bincount(group, weights=gold) / np.bincount(group))[group]
    parts = np.array_split(order, min(bins, len(order)))
    means = np.array([(probabilities[part].mean(), frequency[part].mean(), len(part)) for part in parts])
    return means[:, 0], means[:, 1], means[:, 2]


def expected_calibration_error(probabilities: Floats, gold: Bools, bins: int = CALIBRATION_BINS) -> float:
    """Mean gap between probability and frequency of one label, in [0, 1], over `reliability_bins`.

    Args:
        probabilities, gold: (n,) of one label.

    Source: Naeini et al. (2015), with equal-mass bins as in Nguyen and O'Connor (2015).
    """
    if not len(gold):
        return float("nan")
    said, was, rows = reliability_bins(probabilities, gold, bins)
    return float(np.average(np.abs(said - was), weights=rows))


def brier_score(probabilities: Floats, gold: Bools) -> float:
    """Mean squared distance of one label's probabilities from 0/1, in [0, 1]."""
    return float(((probabilities - gold) ** 2).mean()) if len(gold) else float("nan")


def log_loss(probabilities: Floats, gold: Bools) -> float:
    """Mean negative log likelihood of one label, in nats, probabilities clipped to 1e-6."""
    if not len(gold):
        return float("nan")
    clipped = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return float(-np.where(gold, np.log(clipped), np.log1p(-clipped)).mean())


def average_precision(probabilities: Floats, gold: Bools) -> float:
    """Area under precision and recall of one label; nan where it never occurs."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(gold, probabilities)) if gold.any() else float("nan")


def group_sums(values: Bools, groups: Sequence[int]) -> Floats:
    """(groups, columns) sums of (n, columns); `groups` is the group number of each of n."""
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((int(index.max()) + 1, values.shape[1]))
    np.add.at(sums, index, values.astype(float))
    return sums


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    numerator, denominator = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    result = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
