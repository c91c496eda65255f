"""Confidence intervals of figures on a test set whose sentences come in groups: documents, or documents that share
near-duplicates.

The default interval is a delete-one-group jackknife on the logit scale, with Student's t. A simulation chose it
(`experiments/benchmarks/coverage.py`): it covers the true figure as often as it says, unlike the percentile bootstrap,
which is too narrow for labels in few documents and collapses to a point at 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labels.errors import counted
from trainer.calibration.calibration import Floats

METHOD = "jackknife over groups, logit scale"
"""Name of the default interval in reports."""
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class Interval:
    """The bounds of a figure (None if there is no interval, for the given `reason`).

    `undefined_draws` is the number of bootstrap draws in which the figure was undefined; 0 without a bootstrap.
    """

    low: float | None
    high: float | None
    undefined_draws: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Scale:
    """The range of a figure: the logit scale of the interval ends at these limits."""

    low: float = 0.0
    high: float = 1.0


SHARE = Scale()
CORRELATION = Scale(-1.0, 1.0)


def jackknife_influence(statistic: Callable[[Floats], Floats], sums: Floats) -> Floats:
    """Return the influence of each group on figures, of shape (groups, figures).

    Args:
        statistic: computes figures from sums over groups: (..., columns) -> (..., figures).
        sums: sums within groups, of shape (groups, columns).

    Source: Efron and Tibshirani (1993), chapter 11: the delete-one jackknife.
    """
    # Sums are additive: without a group, they are the total minus its own, and no row is counted again.
    without = statistic(sums.sum(axis=0) - sums)
    return np.asarray((without.mean(axis=0) - without) * (len(sums) - 1) / len(sums))


def logit_interval(
    value: float, influence: Floats, *, groups: int, confidence: float, min_groups: int, scale: Scale = SHARE
) -> Interval:
    """Return the interval of a figure, from the influence of each group on it.

    The standard error is that of a sum over independent groups. The delta method carries it to the logit scale, so that
    the bounds stay within the scale; it is multiplied by a quantile of Student's t with `groups` - 1 degrees of
    freedom. At the ends of the scale all groups are alike, so there is no standard error: the bound is then the exact
    binomial bound for no event in this number of groups.

    Args:
        value: the measured figure; nan if undefined.
        influence: shape (groups,), from `jackknife_influence`, or derivatives by the weights of the groups.
        groups: number of groups behind the figure, such as the groups with a positive for recall.
        confidence: in (0, 1).
        min_groups: minimum of `groups`; below it there is no interval, but a reason.

    Source: Efron (1981) for the jackknife; Agresti (2013, section 3.1) for the logit scale; Clopper and Pearson (1934).
    """
    if np.isnan(value):
        return Interval(None, None, reason="undefined")
    if groups < min_groups:
        return Interval(None, None, reason=f"{counted(groups, 'test group')}, fewer than {min_groups}")
    if not np.isfinite(influence).all():
        return Interval(None, None, reason="undefined without one of the groups")
    deviations = influence - influence.mean()
    error = float(np.sqrt(len(influence) / (len(influence) - 1) * (deviations**2).sum()))
    return Interval(*_bounds(value, error, groups, confidence, scale))


def _bounds(value: float, error: float, groups: int, confidence: float, scale: Scale) -> tuple[float, float]:
    from scipy.stats import t

    width = scale.high - scale.low
    share = (value - scale.low) / width
    if min(share, 1 - share) < _NEGLIGIBLE or error < _NEGLIGIBLE:
        # Clopper-Pearson's bound for 0 events in `groups` trials.
        most = 1 - ((1 - confidence) / 2) ** (1 / max(groups, 1))
        low, high = max(share - most, 0.0), min(share + most, 1.0)
    else:
        reach = t.ppf((1 + confidence) / 2, max(groups - 1, 1)) * error / width / (share * (1 - share))
        middle = np.log(share / (1 - share))
        low, high = (float(1 / (1 + np.exp(-end))) for end in (middle - reach, middle + reach))
    return scale.low + width * low, scale.low + width * high
