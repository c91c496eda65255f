"""Intervals of shares: from an estimate with its variance, and from small counts.

A share near 0 or 1 is not normal around its estimate, so both forms are those of a binomial share whose sample size is
the effective one: the size of a simple random sample with the same variance.
"""

from __future__ import annotations

import numpy as np

from trainer.estimate.estimators import Floats


def effective_sizes(shares: Floats, variances: Floats) -> Floats:
    """Return the size of a simple random sample whose share would have this variance; inf where it is 0.

    Source: Kish (1965), "Survey Sampling", section 8.2 (the design effect).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(shares * (1 - shares) / variances)


def score_interval(shares: Floats, sizes: Floats, quantiles: Floats) -> tuple[Floats, Floats]:
    """Return the score interval of shares in [0, 1] from effective sample sizes.

    Args:
        quantiles: of Student's t for the confidence level.

    Source: Wilson (1927), with the effective size of Kish.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        per = quantiles**2 / sizes
        middle = (shares + per / 2) / (1 + per)
        reach = np.sqrt(shares * (1 - shares) * per + per**2 / 4) / (1 + per)
    return np.clip(middle - reach, 0, 1), np.clip(middle + reach, 0, 1)


def exact_interval(shares: Floats, sizes: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Return the interval of Clopper and Pearson (1934) for shares * sizes positives among `sizes` trials.

    Neither needs to be a whole number: with effective sizes this is the interval of Korn and Graubard (1998),
    "Confidence intervals for proportions with small expected number of positive counts estimated from survey data".
    """
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    positives = np.clip(shares, 0, 1) * sizes
    negatives = sizes - positives
    with np.errstate(invalid="ignore"):
        low = betaincinv(np.maximum(positives, 1e-12), negatives + 1, tail)
        high = betaincinv(positives + 1, np.maximum(negatives, 1e-12), 1 - tail)
    return np.where(positives <= 0, 0.0, low), np.where(negatives <= 0, 1.0, high)


def middle_interval(shares: Floats, sizes: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Return the interval of Jeffreys, which covers with the stated confidence on average instead of always.

    Source: Brown, Cai and DasGupta (2001), "Interval estimation for a binomial proportion".
    """
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    positives = np.clip(shares, 0, 1) * sizes
    low, high = (betaincinv(positives + 0.5, sizes - positives + 0.5, one) for one in (tail, 1 - tail))
    return np.where(positives <= 0, 0.0, low), np.where(positives >= sizes, 1.0, high)


def student_quantile(freedom: Floats, confidence: float) -> Floats:
    """Return the quantile of Student's t for a two-sided interval; `freedom` below 1 counts as 1."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(np.maximum(freedom, 1.0), (1 + confidence) / 2))
