"""How sure a figure is: percentile bootstrap over groups of examples that stand or fall together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labels.agreement.coefficients import percentile_interval
from trainer.arrays import Bools, Floats
from trainer.evaluation.metrics import Counts, count, exact_match, group_sums


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
            resampled, so few would look far surer than they are.

    A label undefined in a draw (neither occurring nor predicted) counts in that draw's macro-F1 as it was measured.
    Source: Efron and Tibshirani (1993), percentile method, clusters as in Field and Welsh (2007).
    """
    weights = _draw_weights(groups, draws, np.random.default_rng(seed))
    by_group = Counts(*(group_sums(values, groups) for values in _outcomes(gold, predicted)))
    counts = Counts(*(weights @ each for each in (by_group.tp, by_group.fp, by_group.fn)))
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
            for column, n in enumerate(_bearing(by_group))
        ),
    )


def paired_difference(
    gold: Bools, ours: Bools, theirs: Bools, groups: Sequence[int], *, draws: int, confidence: float, seed: int
) -> Interval:
    """Bounds of one model's macro-F1 minus another's, both resampled together, as `bootstrap_intervals` does it.

    Args:
        gold, ours, theirs: (n, labels), the same examples in the same order.
        groups: (n,) group number of each example.
    """
    weights = _draw_weights(groups, draws, np.random.default_rng(seed))
    drawn = [_drawn_macro_f1(gold, predicted, groups, weights) for predicted in (ours, theirs)]
    return _interval(drawn[0] - drawn[1], confidence)


def _drawn_macro_f1(gold: Bools, predicted: Bools, groups: Sequence[int], weights: Floats) -> Floats:
    counts = Counts(*(weights @ group_sums(values, groups) for values in _outcomes(gold, predicted)))
    return _macro_f1(counts.f1, count(gold, predicted).f1)


def _bearing(counts: Counts) -> list[int]:
    """In how many groups each label occurs or is predicted."""
    return [int(n) for n in ((counts.tp + counts.fp + counts.fn) > 0).sum(axis=0)]


def _macro_f1(f1: Floats, measured: Floats) -> Floats:
    """(draws,) means of (draws, labels), an undefined F1 being that of (labels,) `measured`, where that is defined."""
    held = np.where(np.isnan(f1), measured, f1)[:, ~np.isnan(measured)]
    return held.mean(axis=1) if held.shape[1] else np.full(len(f1), np.nan)


def _outcomes(gold: Bools, predicted: Bools) -> tuple[Bools, Bools, Bools]:
    return gold & predicted, ~gold & predicted, gold & ~predicted


def _draw_weights(groups: Sequence[int], draws: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """(draws, groups): how often each group was drawn."""
    n_groups = len(set(groups))
    return generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws).astype(float)


def _interval(values: Floats, confidence: float) -> Interval:
    low, high = percentile_interval(values, confidence) or (None, None)
    return Interval(low, high, int(np.isnan(values).sum()), "undefined in every draw" if low is None else "")
