"""Figures of a ranking by probability, average precision and ROC AUC, with the influence of each row.

`probabilities` and `gold` are arrays of shape (n,) of one label, or of several labels one after another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.calibration.calibration import Bools, Floats


@dataclass(frozen=True)
class Ranked:
    """A figure (nan if undefined) and its derivatives by the weights of the rows, of shape (n,), for its interval."""

    value: float
    influence: Floats


def rank_average_precision(probabilities: Floats, gold: Bools) -> Ranked:
    """Return the area under the precision-recall curve as a step function, without interpolation; nan without a
    positive.

    Source: Manning, Raghavan and Schütze (2008), section 8.4, as in scikit-learn's `average_precision_score`.
    """
    positives = float(gold.sum())
    if not positives:
        return Ranked(float("nan"), np.zeros(len(gold)))
    block, n, true = _blocks(probabilities, gold)
    above, found = np.cumsum(n), np.cumsum(true)
    value = float((true * found / above).sum() / positives)
    # A row in a block raises the precision at this block and at every block below it, and so do its positives.
    slope_true, slope_all = (_from_end(each) for each in (true / above, true * found / above**2))
    own = gold * ((found / above)[block] - value + slope_true[block])
    return Ranked(value, np.asarray((own - slope_all[block]) / positives))


def rank_roc_auc(probabilities: Floats, gold: Bools) -> Ranked:
    """Return the probability that a positive is ranked above a negative; ties count half. Nan if either is missing.

    Source: Hanley and McNeil (1982); for the influence of rows, DeLong et al. (1988), over groups as in Obuchowski
    (1997).
    """
    positives, negatives = float(gold.sum()), float(len(gold) - gold.sum())
    if not positives or not negatives:
        return Ranked(float("nan"), np.zeros(len(gold)))
    block, n, true = _blocks(probabilities, gold)
    false = n - true
    # Shares of the negatives below each row, and of the positives above it: the placements of DeLong.
    below = (_from_end(false) - false / 2)[block] / negatives
    above = (np.cumsum(true) - true / 2)[block] / positives
    value = float(below[gold].mean())
    return Ranked(value, np.where(gold, (below - value) / positives, (above - value) / negatives))


def _blocks(probabilities: Floats, gold: Bools) -> tuple[NDArray[np.int_], Floats, Floats]:
    """Return the number of the block of equal probabilities of each row, in descending order of probability, and the
    number of rows and of positives of each block."""
    _, block = np.unique(-probabilities, return_inverse=True)
    return (
        np.asarray(block),
        np.bincount(block).astype(float),
        np.asarray(np.bincount(block, weights=gold.astype(float))),
    )


def _from_end(values: Floats) -> Floats:
    return np.asarray(np.cumsum(values[::-1])[::-1])
