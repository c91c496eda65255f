"""Estimators of the share of each label, overall and in each domain (a period, a source), from predictions for a whole
corpus and a labelled probability sample of it. Pure functions of arrays: they need neither a model nor a store.

All estimators are linear in the sample, after linearisation, so one function gives all their variances: with strata,
clusters, unequal probabilities and the correction for a finite population.

Sources: Särndal, Swensson and Wretman (1992), "Model Assisted Survey Sampling", chapters 5 and 6 (difference and
regression estimators, linearisation of ratios, domains), and Angelopoulos, Duchi and Zrnic (2023), "PPI++: Efficient
Prediction-Powered Inference" (the tuning of the weight of the predictions).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int_]
Bools = NDArray[np.bool_]

FOLDS = 5
"""Number of parts of the sample for cross-fitting: no sentence is adjusted by a weight that it helped to tune."""
_POWERLESS = 1e-9
"""Smallest difference of recall and false-positive rate that can be divided by."""


@dataclass(frozen=True)
class Corpus:
    """Predictions for the corpus, summed over its sentences; G domains, L labels.

    Attributes:
        sizes: number of sentences in each domain, above 0, of shape (G,).
        sums: sums of the predicted probabilities, of shape (G, L).
        counts: numbers of sentences to which the model assigns the label, of shape (G, L).
    """

    sizes: Floats
    sums: Floats
    counts: Floats

    def merged(self, groups: Bools) -> Corpus:
        """Return the corpus with other domains: row k of `groups`, of shape (K, G), lists the domains that k unites."""
        chosen = groups.astype(np.float64)
        return Corpus(chosen @ self.sizes, chosen @ self.sums, chosen @ self.counts)


@dataclass(frozen=True)
class Sample:
    """A labelled probability sample of n sentences, drawn as units: sentences, or clusters of them.

    Attributes:
        gold: whether the sentence has the label, of shape (n, L).
        probabilities: predicted probabilities, of shape (n, L).
        assigned: whether the model assigns the label, of shape (n, L).
        member: whether the sentence belongs to the domain, of shape (n, G).
        scale: how much each sentence counts in the corpus, of shape (n,): 1, or less for one of several copies.
        unit: number of the unit of each sentence, of shape (n,).
        weights: the number of units that each unit stands for, above 0, of shape (units,).
        stratum: number of the stratum of each unit, of shape (units,).
        drawn: number of units drawn from each stratum, of shape (strata,): at least the units here; the others are
            outside the corpus.
        fractions: share of each stratum that was drawn, in (0, 1], of shape (strata,).
        outside: whether each is not a sentence and does not belong to the corpus, of shape (n,); None if all belong.
    """

    gold: Floats
    probabilities: Floats
    assigned: Floats
    member: Bools
    scale: Floats
    unit: Ints
    weights: Floats
    stratum: Ints
    drawn: Floats
    fractions: Floats
    outside: Floats | None = None

    @property
    def expansion(self) -> Floats:
        """What each sentence stands for in the corpus, of shape (n,)."""
        return np.asarray(self.weights[self.unit] * self.scale)

    def totals(self, values: Floats) -> Floats:
        """Return the weighted totals of values (n, L) in each domain, of shape (G, L)."""
        return np.asarray((self.member * self.expansion[:, None]).T @ values)

    def variance(self, influence: Floats) -> Floats:
        """Return the design variance of the weighted total of `influence`, of shape (n, k), as (k,).

        A stratum of which everything was drawn adds nothing. One with a single unit adds the square of its value, an
        upper bound on average because influences have a mean near 0.

        Source: Särndal, Swensson and Wretman (1992), result 3.7.2 (strata), section 4.2 (clusters); for unequal
        probabilities within a stratum the variance of a draw with replacement (result 2.9.1), times 1 - fraction.
        """
        parts = self.variance_parts(influence)
        return np.asarray(parts.sum(axis=0))

    def variance_parts(self, influence: Floats) -> Floats:
        """Return the part of `variance` from each stratum, of shape (strata, k)."""
        values = sums_by(influence * self.scale[:, None], self.unit, len(self.weights)) * self.weights[:, None]
        first = sums_by(values, self.stratum, len(self.drawn))
        second = sums_by(values**2, self.stratum, len(self.drawn))
        n = self.drawn[:, None]
        spread = np.where(n > 1, (second - first**2 / n) * n / np.maximum(n - 1, 1), second)
        return np.asarray(np.clip(1 - self.fractions, 0, 1)[:, None] * np.maximum(spread, 0))


def sums_by(values: Floats, numbers: Ints, n: int) -> Floats:
    """Return the sums of the rows of values (m, k) with each number below n, of shape (n, k)."""
    if len(numbers) == n and bool((numbers == np.arange(n)).all()):
        return values
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    found = np.zeros((n, values.shape[1]))
    if len(order):
        found[numbers[order][starts]] = np.add.reduceat(values[order], starts, axis=0)
    return found


@dataclass(frozen=True)
class Estimated:
    """Estimated shares and their design variances, of shape (G, L); nan where they are undefined.

    Attributes:
        influence: linearised contribution of each sentence to each share, of shape (n, G, L): the variance is that of
            its weighted total.
        slope: by how much a share changes with the mean prediction in its domain, of shape (L,); 0 if it does not.
    """

    shares: Floats
    variances: Floats
    influence: Floats
    slope: Floats


def sample_shares(sample: Sample) -> Estimated:
    """Estimate from the labelled sample alone: the ratio of weighted totals (Hájek), without any prediction."""
    n_labels = sample.gold.shape[1]
    return _difference(sample, np.zeros((sample.member.shape[1], n_labels)), np.zeros((1, n_labels)))


def difference_shares(corpus: Corpus, sample: Sample) -> Estimated:
    """Estimate by the mean prediction plus the mean error in the sample (the difference estimator; PPI)."""
    return _difference(sample, corpus.sums / corpus.sizes[:, None], np.ones((1, sample.gold.shape[1])))


def tuned_shares(corpus: Corpus, sample: Sample, folds: Ints) -> Estimated:
    """Estimate like `difference_shares`, with predictions weighted to minimise the variance (PPI++).

    The weight of a label is tuned over all domains: the few positives of one period would not determine it. It is
    cross-fitted: the sentences of a fold are adjusted with the weight from the other folds.

    Args:
        folds: the number of each sentence's fold, of shape (n,).
    """
    weights = np.stack([tuned_weight(sample, folds != fold) for fold in range(int(folds.max()) + 1)])
    return _difference(sample, corpus.sums / corpus.sizes[:, None], weights, folds)


def _difference(sample: Sample, means: Floats, weights: Floats, folds: Ints | None = None) -> Estimated:
    """The difference estimator with predictions weighted by `weights`, of shape (folds, L).

    Args:
        means: mean predictions in the corpus, of shape (G, L).
    """
    own = weights[folds if folds is not None else np.zeros(len(sample.gold), dtype=int)]
    errors = sample.gold - own * sample.probabilities
    sizes = sample.totals(np.ones((len(sample.gold), 1)))
    with np.errstate(invalid="ignore", divide="ignore"):
        used, mean_errors = sample.totals(own) / sizes, sample.totals(errors) / sizes
        shares = used * means + mean_errors
        # The known mean enters with the weight of the sentence's fold.
        influence = (errors[:, None, :] + own[:, None, :] * means[None] - shares[None]) / sizes[None]
    influence = np.where(sample.member[:, :, None], influence, 0.0)
    return _estimated(sample, shares, influence, weights.mean(axis=0), np.asarray(sample.member.any(axis=0)))


def _estimated(sample: Sample, shares: Floats, influence: Floats, slope: Floats, known: Bools) -> Estimated:
    n, n_domains, n_labels = influence.shape
    variances = sample.variance(influence.reshape(n, -1)).reshape(n_domains, n_labels)
    undefined = ~known[:, None] | np.isnan(shares)
    return Estimated(np.where(undefined, np.nan, shares), np.where(undefined, np.nan, variances), influence, slope)


def tuned_weight(sample: Sample, kept: Bools) -> Floats:
    """Return the weight of the predictions that minimises the variance of the overall share, of shape (L,).

    It is the regression coefficient of gold on predictions within strata; 0 where the predictions do not vary. It is
    limited to [-1, 1]: more weight than to the predictions as they are is a sign of chance.

    Args:
        kept: the sentences to tune on, of shape (n,).

    Source: Angelopoulos, Duchi and Zrnic (2023), section 6; Särndal, Swensson and Wretman (1992), section 6.6.
    """
    stratum = sample.stratum[sample.unit]
    # Only the spread within strata adds to the variance of a stratified sample.
    gold, predicted = (_centred(values, stratum, kept) for values in (sample.gold, sample.probabilities))
    rest = np.clip(1 - sample.fractions, 0, 1)[stratum]
    factor = (rest * sample.expansion**2 * kept)[:, None]
    both, alone = (factor * gold * predicted).sum(axis=0), (factor * predicted**2).sum(axis=0)
    least = 1e-12 * max(float(factor.sum()), 1e-300)
    return np.asarray(np.clip(np.divide(both, alone, out=np.zeros_like(both), where=alone > least), -1.0, 1.0))


def _centred(values: Floats, stratum: Ints, kept: Bools) -> Floats:
    n = int(stratum.max()) + 1 if len(stratum) else 0
    counts = np.maximum(np.bincount(stratum[kept], minlength=n), 1)
    return np.asarray(values - (sums_by(values * kept[:, None], stratum, n) / counts[:, None])[stratum])


def adjusted_counts(corpus: Corpus, sample: Sample) -> Estimated:
    """Estimate by the share that the model assigns, corrected by its recall and false-positive rate in the sample.

    It assumes that both rates are the same in every domain, which the other estimators do not. The shares are nan where
    the model assigns the label as often without it as with it.

    Source: Forman (2005), "Counting positives accurately despite inaccurate classification"; the variance is the delta
    method for the two rates.
    """
    weights = sample.expansion[:, None]
    positive = (weights * sample.gold).sum(axis=0)
    negative = weights.sum() - positive
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = (weights * sample.gold * sample.assigned).sum(axis=0) / positive
        false_rate = (weights * (1 - sample.gold) * sample.assigned).sum(axis=0) / negative
        power = np.where(np.abs(recall - false_rate) < _POWERLESS, np.nan, recall - false_rate)
        shares = (corpus.counts / corpus.sizes[:, None] - false_rate) / power
        by_recall = sample.gold * (sample.assigned - recall) / positive / power
        by_false = (1 - sample.gold) * (sample.assigned - false_rate) / negative / power
        influence = -(shares[None] * by_recall[:, None] + (1 - shares)[None] * by_false[:, None])
        slope = 1 / power
    clean = np.nan_to_num(influence, posinf=0.0, neginf=0.0)
    return _estimated(sample, shares, clean, slope, np.ones(len(shares), dtype=bool))


def assign_folds(sample: Sample, generator: np.random.Generator) -> Ints:
    """Return a random fold for each sentence, equal within units and balanced within strata, of shape (n,)."""
    units = len(sample.weights)
    order = generator.permutation(units)
    order = order[np.argsort(sample.stratum[order], kind="stable")]
    folds = np.empty(units, dtype=int)
    folds[order] = np.arange(units) % min(FOLDS, max(units, 1))
    return np.asarray(folds[sample.unit])
