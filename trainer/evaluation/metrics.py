"""Figures of merit from arrays, and how sure they are: percentile bootstrap over groups. Pure: no model is known here.

Throughout, `gold` and `predicted` are (n, labels) booleans and `probabilities` (n, labels) floats in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labels.agreement.coefficients import percentile_interval
from trainer.calibration.calibration import Bools, Floats

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
        return self.changed(lambda each: each.sum(axis=-1)).f1

    def summed(self) -> Counts:
        """The counts of all groups together, from (groups, labels) counts: (labels,) each."""
        return self.changed(lambda each: each.sum(axis=0))

    def changed(self, change: Callable[[Floats], Floats]) -> Counts:
        """The counts with a function applied to each of the three, such as a sum or the weights of a resample."""
        return Counts(change(self.tp), change(self.fp), change(self.fn))


def count(gold: Bools, predicted: Bools) -> Counts:
    """Counts over all rows: (labels,) each."""
    return Counts(*(each.sum(axis=0).astype(float) for each in _outcomes(gold, predicted)))


def group_counts(gold: Bools, predicted: Bools, groups: Sequence[int]) -> Counts:
    """Counts (groups, labels) from the group number of each of n examples."""
    return Counts(*(group_sums(each, groups) for each in _outcomes(gold, predicted)))


def _outcomes(gold: Bools, predicted: Bools) -> tuple[Bools, Bools, Bools]:
    """True positives, false positives and false negatives."""
    return gold & predicted, ~gold & predicted, gold & ~predicted


def exact_match(gold: Bools, predicted: Bools) -> NDArray[np.bool_]:
    """(n,) whether the whole label set is right: its mean is accuracy (exclusive) or subset accuracy."""
    return np.asarray((gold == predicted).all(axis=1))


def reliability_bins(probabilities: Floats, gold: Bools, bins: int = CALIBRATION_BINS) -> tuple[Floats, Floats, Floats]:
    """Mean probability, frequency and rows of each bin of equal mass, by rising probability.

    Rows of equal probability may fall into different bins; each counts with the frequency of all of them, so that the
    order of rows has no influence.

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
    predicted, observed, rows = reliability_bins(probabilities, gold, bins)
    return float(np.average(np.abs(predicted - observed), weights=rows))


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


def group_sums(values: Bools, groups: Sequence[int] | NDArray[np.int_]) -> Floats:
    """(groups, columns) sums of (n, columns); `groups` is the group number of each of n."""
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((int(index.max()) + 1, values.shape[1]))
    np.add.at(sums, index, values.astype(float))
    return sums


def defined(value: float | Floats) -> float | None:
    """A figure as JSON has it, which has no nan: undefined is None."""
    return None if math.isnan(value) else float(value)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    numerator, denominator = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    result = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


@dataclass(frozen=True)
class Interval:
    """Bounds of a figure, or a `reason` why there are none; and in how many draws it was undefined."""

    low: float | None
    high: float | None
    undefined_draws: int
    reason: str = ""


@dataclass(frozen=True)
class Intervals:
    """Bootstrap intervals of the main figures; `per_label` in label order."""

    macro_f1: Interval
    micro_f1: Interval
    exact_match: Interval
    per_label: tuple[Interval, ...]


def bootstrap_intervals(
    gold: Bools,
    predicted: Bools,
    groups: Sequence[int],
    *,
    draws: int,
    confidence: float,
    min_groups: int,
    seed: int,
) -> Intervals:
    """Draw groups with replacement, all examples of a drawn group with it, and take percentiles of each figure.

    Args:
        gold, predicted: (n, labels).
        groups: (n,) group number of each example.
        draws: how many resamples.
        confidence: e.g. 0.95.
        min_groups: the F1 of a label that occurs or is predicted in fewer than half as many groups has no bounds:
            resampled, so few would make figures look far more certain than they are.

    A label undefined in a draw (neither occurring nor predicted) counts in that draw's macro-F1 as it was measured.
    Source: Efron and Tibshirani (1993), percentile method, clusters as in Field and Welsh (2007).
    """
    weights = _draw_weights(groups, draws, np.random.default_rng(seed))
    # Counts add up, so that a resample is a weighted sum of the groups' counts: no row is copied.
    by_group = group_counts(gold, predicted, groups)
    counts = by_group.changed(lambda each: weights @ each)
    right = group_sums(exact_match(gold, predicted)[:, None], groups)
    sizes = group_sums(np.ones((len(gold), 1), dtype=bool), groups)
    accuracy = ((weights @ right) / (weights @ sizes))[:, 0]
    f1, least = counts.f1, math.ceil(min_groups / 2)
    return Intervals(
        macro_f1=_interval(_macro_f1(f1, count(gold, predicted).f1), confidence),
        micro_f1=_interval(counts.micro_f1, confidence),
        exact_match=_interval(accuracy, confidence),
        per_label=tuple(
            _interval(f1[:, column], confidence)
            if n >= least
            else Interval(None, None, int(np.isnan(f1[:, column]).sum()), f"{n} test groups, fewer than {least}")
            for column, n in enumerate(_groups_with(by_group))
        ),
    )


def paired_difference(
    gold: Bools, ours: Bools, theirs: Bools, groups: Sequence[int], *, draws: int, confidence: float, seed: int
) -> Interval:
    """Bounds of one model's macro-F1 minus another's, with both resampled together as in `bootstrap_intervals`.

    Args:
        gold, ours, theirs: (n, labels), the same examples in the same order.
        groups: (n,) group number of each example.
    """
    weights = _draw_weights(groups, draws, np.random.default_rng(seed))
    drawn = [_drawn_macro_f1(gold, predicted, groups, weights) for predicted in (ours, theirs)]
    return _interval(drawn[0] - drawn[1], confidence)


def _drawn_macro_f1(gold: Bools, predicted: Bools, groups: Sequence[int], weights: Floats) -> Floats:
    counts = group_counts(gold, predicted, groups).changed(lambda each: weights @ each)
    return _macro_f1(counts.f1, count(gold, predicted).f1)


def _groups_with(counts: Counts) -> list[int]:
    """In how many groups each label occurs or is predicted."""
    return [int(n) for n in ((counts.tp + counts.fp + counts.fn) > 0).sum(axis=0)]


def _macro_f1(f1: Floats, measured: Floats) -> Floats:
    """(draws,) means of (draws, labels). A label that is undefined in a draw counts as (labels,) `measured` there; one
    that is undefined in `measured` is left out.
    """
    held = np.where(np.isnan(f1), measured, f1)[:, ~np.isnan(measured)]
    return held.mean(axis=1) if held.shape[1] else np.full(len(f1), np.nan)


def _draw_weights(groups: Sequence[int], draws: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """(draws, groups): how often each group was drawn."""
    n_groups = len(set(groups))
    # A multinomial draw is the same as drawing groups one by one with replacement.
    return generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws).astype(float)


def _interval(values: Floats, confidence: float) -> Interval:
    low, high = percentile_interval(values, confidence) or (None, None)
    return Interval(low, high, int(np.isnan(values).sum()), "undefined in every draw" if low is None else "")
