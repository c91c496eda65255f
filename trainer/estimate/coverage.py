"""Intervals of estimated shares, with the rule that decides how each is made.

Where sentences were drawn one by one, with equal probabilities within strata, the distances from the estimate to its
bounds are composed from the strata. Each stratum has the interval of a binomial share: the score interval or, where it
has fewer than `FEW` positives or negatives, that of Jeffreys; that of Clopper and Pearson if the whole domain has few.
Predictions shorten the distance of a stratum by the ratio of the standard deviations of errors and of gold, but only
where at least `RARE` of both were seen to know it. For a simple random sample without predictions this is the interval
of Clopper and Pearson, or Wilson's.

Elsewhere (clusters, unequal probabilities), the interval is that of a binomial share with the effective sample size,
that of Korn and Graubard where fewer than `RARE` positives or negatives were seen.

A domain with fewer than `RARE` positives or negatives is estimated from the sample alone: an adjustment by predictions
could not be judged. A simulation chose the rule and both numbers (`experiments/benchmarks/estimates.py`).

Source of the composition: Zou and Donner (2008), "Construction of confidence limits about effect measures: a general
approach" (MOVER), and Yan and Su (2010), "Stratified Wilson and Newcombe confidence intervals", for strata.

A share near 0 or 1 is not normal around its estimate, so all forms are those of a binomial share whose sample size is
the effective one: the size of a simple random sample with the same variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.estimate.estimators import Bools, Estimated, Floats, Sample, sums_by

RARE = 10
"""A domain with fewer observed positives, or negatives, is estimated from the sample alone."""
FEW = 5
"""A stratum with fewer observed positives, or negatives, in a domain does not have the score interval."""


@dataclass(frozen=True)
class Bounds:
    """Lower and upper bounds of shares, of shape (G, L), and the form of each (a key of `FORMS`)."""

    low: Floats
    high: Floats
    form: str


FORMS = {
    "strata": "binomial intervals of the strata, composed (MOVER): Wilson, Jeffreys or Clopper-Pearson by the counts",
    "effective": "score interval with the effective sample size; Korn-Graubard for small counts",
}


def small_domains(sample: Sample) -> Bools:
    """Whether fewer than `RARE` positives, or negatives, of a label were seen in a domain, of shape (G, L)."""
    member = sample.member.T.astype(np.float64)
    return np.asarray(np.minimum(member @ sample.gold, member @ (1 - sample.gold)) < RARE)


def share_bounds(sample: Sample, found: Estimated, weight: Floats, extra: Floats, confidence: float) -> Bounds:
    """Return the intervals of estimated shares.

    Args:
        weight: the weight of the predictions in the estimate, of shape (L,); 0 for the sample alone.
        extra: variance to add to the design variance, of shape (G, L), such as that of a process.
        confidence: in (0, 1).
    """
    if _is_simple(sample):
        return _composed(sample, found, weight, extra, confidence)
    return _effective(sample, found, extra, confidence)


def _is_simple(sample: Sample) -> bool:
    """Whether sentences were drawn one by one, with equal probabilities within strata, and each counts as one."""
    one_by_one = len(sample.unit) == len(sample.weights) and len(np.unique(sample.unit)) == len(sample.unit)
    means = sums_by(sample.weights[:, None], sample.stratum, len(sample.drawn))[:, 0]
    counts = np.maximum(np.bincount(sample.stratum, minlength=len(sample.drawn)), 1)
    equal = np.allclose(sample.weights, (means / counts)[sample.stratum], rtol=1e-6)
    return bool(one_by_one and equal and (sample.scale == 1).all())


@dataclass(frozen=True)
class _Cells:
    """Counts and moments of each stratum in each domain: n of shape (H, G, 1), the others of shape (H, G, L)."""

    n: Floats
    positives: Floats
    error_variance: Floats


def _cells(sample: Sample, errors: Floats) -> _Cells:
    n_strata, n_domains = len(sample.drawn), sample.member.shape[1]
    inside = (sample.stratum[sample.unit][:, None] == np.arange(n_strata))[:, :, None] & sample.member[:, None, :]
    flat, shape = inside.reshape(len(inside), -1).T.astype(np.float64), (n_strata, n_domains, -1)
    n = flat.sum(axis=1).reshape(shape)
    positives, first, second = ((flat @ each).reshape(shape) for each in (sample.gold, errors, errors**2))
    seen = np.maximum(n, 1)
    return _Cells(n, positives, np.maximum(second / seen - (first / seen) ** 2, 0))


def _composed(sample: Sample, found: Estimated, weight: Floats, extra: Floats, confidence: float) -> Bounds:
    cells = _cells(sample, sample.gold - weight * sample.probabilities)
    seen, quantile = np.maximum(cells.n, 1), student_quantile(np.array(np.inf), confidence)
    shares = cells.positives / seen
    few = np.minimum(cells.positives, cells.n - cells.positives) < FEW
    sizes = np.broadcast_to(seen, shares.shape)
    small = small_domains(sample)[None]
    low, high = (
        np.where(few, np.where(small, exact, middle), plain)
        for exact, middle, plain in zip(
            exact_interval(shares, sizes, confidence),
            middle_interval(shares, sizes, confidence),
            score_interval(shares, sizes, quantile),
            strict=True,
        )
    )
    gold_variance = shares * (1 - shares)
    # Few counts do not show how much the predictions help, only how much they may hurt.
    unsure = np.minimum(cells.positives, cells.n - cells.positives) < RARE
    least = np.where(unsure, np.maximum(gold_variance, 0.5 / (seen + 1)), gold_variance)
    ratio = np.divide(cells.error_variance, least, out=np.ones_like(least), where=least > 0)
    ratio = np.where(unsure, np.maximum(ratio, 1), ratio)
    part = _stratum_shares(sample, cells.n)
    rest = np.clip(1 - sample.fractions, 0, 1)[:, None, None]
    # The composition of the sample by strata within a domain is chance, too.
    within = rest * part**2 * cells.error_variance / np.maximum(seen - 1, 1)
    n, n_domains, n_labels = found.influence.shape
    by_stratum = sample.variance_parts(found.influence.reshape(n, -1)).reshape(-1, n_domains, n_labels)
    between = (np.maximum(np.nan_to_num(by_stratum) - within, 0) * (cells.n > 0)).sum(axis=0) + extra
    below, above = (
        np.sqrt((rest * ratio * (part * distance) ** 2).sum(axis=0) + quantile**2 * between)
        for distance in (shares - low, high - shares)
    )
    return Bounds(np.clip(found.shares - below, 0, 1), np.clip(found.shares + above, 0, 1), "strata")


def _stratum_shares(sample: Sample, n: Floats) -> Floats:
    """The share of each domain that each stratum holds, of shape (H, G, 1).

    A stratum without a sentence in the domain may still have some in the corpus: it counts as nearly one sentence.
    """
    counts = np.bincount(sample.stratum, minlength=len(sample.drawn))
    totals = sums_by(sample.weights[:, None], sample.stratum, len(sample.drawn))[:, 0]
    each = (totals / np.maximum(counts, 1))[:, None, None]
    sizes = (sample.member.T.astype(np.float64) @ sample.expansion)[None, :, None]
    held = np.where(n > 0, n, (counts / (counts + 1))[:, None, None])
    # Nothing is known about a domain without any sentence: its bounds become nan.
    return np.asarray(held * each / np.where(sizes > 0, sizes, 1.0))


def _effective(sample: Sample, found: Estimated, extra: Floats, confidence: float) -> Bounds:
    """Intervals with effective sample sizes, at most the number of units seen in a domain where counts are small."""
    shares, small = np.clip(found.shares, 1e-9, 1 - 1e-9), small_domains(sample)
    units = np.maximum(_units_in(sample), 1)[:, None] + np.zeros(shares.shape)
    strata = len(np.unique(sample.stratum))
    quantile = student_quantile(np.maximum(units - strata, 1), confidence)
    sizes = effective_sizes(shares, np.maximum(found.variances + extra, 1e-15))
    normal = student_quantile(np.array(np.inf), confidence)
    bounded = np.minimum(sizes * (normal / quantile) ** 2, _kish_sizes(sample)[:, None])
    score, exact = score_interval(shares, sizes, quantile), exact_interval(found.shares, bounded, confidence)
    low, high = (np.where(small, precise, plain) for precise, plain in zip(exact, score, strict=True))
    undefined = np.isnan(found.shares)
    return Bounds(np.where(undefined, np.nan, low), np.where(undefined, np.nan, high), "effective")


def _units_in(sample: Sample) -> Floats:
    """The number of units with a sentence in each domain, of shape (G,)."""
    found = sums_by(sample.member.astype(np.float64), sample.unit, len(sample.weights))
    return np.asarray((found > 0).sum(axis=0, dtype=np.float64))


def _kish_sizes(sample: Sample) -> Floats:
    """Kish's effective size of the units in each domain, from their weights alone, of shape (G,)."""
    sums = sums_by(sample.member * sample.expansion[:, None], sample.unit, len(sample.weights))
    return np.asarray(sums.sum(axis=0) ** 2 / np.maximum((sums**2).sum(axis=0), 1e-300))


# -- intervals of binomial shares


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
