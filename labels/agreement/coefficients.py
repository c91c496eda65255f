"""Chance-corrected agreement: Cohen's kappa, Krippendorff's alpha, and percentile bootstrap intervals over documents.

`report` chooses which decisions are compared. Coefficients are computed from sums per document: a bootstrap draw only
changes the weights of the documents, and nothing is counted again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Value = TypeVar("Value", bound=Hashable)

MISSING = -1
"""The code of a value that a rater did not give."""
FEWEST_DOCUMENTS = 20
"""With fewer documents, a bootstrap over documents does not give useful intervals."""
FEWEST_WITH_LABEL = 10
"""The minimum number of documents in which a label was given, for an interval of a per-label figure."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its bootstrap interval.

    `value` is None if the figure is undefined; `undefined` is the reason. `low` and `high` are None if there is no
    interval; `no_interval` is the reason. `undefined_draws` is the number of draws that were dropped because the figure
    was undefined in them.
    """

    value: float | None
    undefined: str = ""
    low: float | None = None
    high: float | None = None
    no_interval: str = ""
    undefined_draws: int = 0


# -- coefficients from sums over documents


def masi_distance(first: Collection[Hashable], second: Collection[Hashable]) -> float:
    """MASI distance of two sets in [0, 1]: 1 - Jaccard index * monotonicity. Two empty sets are equal.

    Monotonicity is 1 for equal sets, 2/3 if one contains the other, 1/3 if they overlap, 0 if they are disjoint.

    Source: Passonneau (2006), "Measuring agreement on set-valued items (MASI) for semantic and pragmatic annotation".
    """
    a, b = set(first), set(second)
    if a == b:
        return 0.0
    # Disjoint sets need no special case: their Jaccard index is 0.
    monotonicity = 2 / 3 if a < b or b < a else 1 / 3
    return 1 - len(a & b) / len(a | b) * monotonicity


def distance_matrix(values: Sequence[Value], distance: Callable[[Value, Value], float]) -> Floats:
    """The distances between all pairs of values, of shape (values, values)."""
    return np.array([[distance(a, b) for b in values] for a in values], dtype=float).reshape(len(values), len(values))


def alpha_sums(codes: Integers, distances: Floats, groups: Integers, n_groups: int) -> Floats:
    """The sums per document that are needed to compute Krippendorff's alpha.

    Args:
        codes: (units, raters) value numbers, or `MISSING`.
        distances: (values, values), symmetric.
        groups: (units,) document number of each unit, below `n_groups`.

    Returns:
        Sums of shape (documents, 1 + values) over units with at least two values. The first column is the disagreement
        within units: per unit, the sum over ordered pairs, divided by the number of values minus one. The other columns
        count how often each value was given.
    """
    # A unit with one value has no pairs and must not contribute to the expected disagreement either.
    sizes = (codes >= 0).sum(axis=1)
    pairable = sizes >= 2
    codes, sizes, groups = codes[pairable], sizes[pairable], groups[pairable]
    disagreement = np.zeros(len(codes))
    for first, second in combinations(codes.T, 2):
        both = (first >= 0) & (second >= 0)
        # Twice, because the pairs of a unit are ordered.
        disagreement[both] += 2 * distances[first[both], second[both]]
    observed = np.bincount(groups, disagreement / (sizes - 1), n_groups)
    counts = sum(
        (_counts(column, len(distances), groups, n_groups) for column in codes.T), np.zeros((n_groups, len(distances)))
    )
    return np.column_stack([observed, counts])


def alpha_of(sums: Floats, distances: Floats) -> Floats:
    """Compute alpha from each row of sums: 1 - observed / expected disagreement, at most 1.

    Args:
        sums: sums from `alpha_sums`, summed over the documents of each draw, of shape (draws, 1 + values).

    Returns:
        Alpha of each draw; nan if it is undefined: there are no pairs, or all annotators gave the same value
        throughout.

    Source: Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability"; Krippendorff (2018), "Content Analysis",
    4th edition, chapter 12.
    """
    counts = sums[:, 1:]
    n = counts.sum(axis=1)
    expected = ((counts @ distances) * counts).sum(axis=1)
    return 1 - ratio((n - 1) * sums[:, 0], expected)


def ac1_sums(codes: Integers, n_values: int, groups: Integers, n_groups: int) -> Floats:
    """The sums per document that are needed to compute Gwet's AC1.

    Args:
        codes: value numbers, or `MISSING`, of shape (units, raters).
        groups: document number of each unit, below `n_groups`, of shape (units,).

    Returns:
        Sums of shape (documents, 3 + values): agreement within units of at least two values (per unit, the share of
        equal pairs), the number of these units, the number of all units with a value, and, for each value, the sum over
        units of the share of raters who gave it.
    """
    counts = np.stack([(codes == value).sum(axis=1) for value in range(n_values)], axis=1).astype(float)
    sizes = counts.sum(axis=1)
    rated, paired = sizes >= 1, sizes >= 2
    pairs = np.where(paired, sizes * (sizes - 1), 1.0)
    agreement = np.where(paired, (counts * (counts - 1)).sum(axis=1) / pairs, 0.0)
    shares = counts / np.where(rated, sizes, 1.0)[:, None]
    columns = [agreement, paired.astype(float), rated.astype(float), *shares.T]
    return np.column_stack([np.bincount(groups, column, n_groups) for column in columns])


def ac1_of(sums: Floats) -> Floats:
    """Compute AC1, at most 1, from each row of sums.

    Unlike kappa and alpha, AC1 stays high if annotators agree and a label is rare. Chance agreement is
    sum(p * (1 - p)) / (q - 1) over the q values, where p is a value's mean share.

    Args:
        sums: sums from `ac1_sums`, summed over the documents of each draw, of shape (draws, 3 + values).

    Returns:
        AC1 of each draw; nan if there are no pairs.

    Source: Gwet (2008), "Computing inter-rater reliability and its variance in the presence of high agreement"; Gwet
    (2014), "Handbook of Inter-Rater Reliability", 4th edition, for several raters and missing values.
    """
    n_values = max(sums.shape[1] - 3, 2)
    observed = ratio(sums[:, 0], sums[:, 1])
    shares = sums[:, 3:] / np.where(sums[:, 2] > 0, sums[:, 2], np.nan)[:, None]
    expected = (shares * (1 - shares)).sum(axis=1) / (n_values - 1)
    chance_corrected: Floats = (observed - expected) / (1 - expected)
    return chance_corrected


def kappa_sums(codes: Integers, n_values: int, groups: Integers, n_groups: int) -> Floats:
    """The sums per document that are needed to compute Cohen's kappa.

    Args:
        codes: value numbers of two raters, or `MISSING`, of shape (units, 2).
        groups: document number of each unit, below `n_groups`, of shape (units,).

    Returns:
        Sums of shape (documents, 1 + 2 * values) over the units that both raters rated: the number of units with equal
        values, then the count of each value of the first rater, then of the second rater.
    """
    if not codes.size:
        return np.zeros((n_groups, 1 + 2 * n_values))
    both = (codes >= 0).all(axis=1)
    first, second, groups = codes[both, 0], codes[both, 1], groups[both]
    agreed = np.bincount(groups, (first == second).astype(float), n_groups)
    return np.column_stack([agreed, *(_counts(column, n_values, groups, n_groups) for column in (first, second))])


def kappa_of(sums: Floats) -> Floats:
    """Compute kappa, at most 1, from each row of sums.

    Args:
        sums: sums from `kappa_sums`, summed over the documents of each draw, of shape (draws, 1 + 2 * values).

    Returns:
        Kappa of each draw; nan if it is undefined: there are no units, or both raters gave the same value throughout.

    Source: Cohen (1960), "A coefficient of agreement for nominal scales".
    """
    n_values = (sums.shape[1] - 1) // 2
    first, second = sums[:, 1 : 1 + n_values], sums[:, 1 + n_values :]
    n = first.sum(axis=1)
    # Numerator and denominator are multiplied by n squared, which makes them integers: without variation, the
    # denominator is then exactly 0.
    by_chance = (first * second).sum(axis=1)
    return ratio(n * sums[:, 0] - by_chance, n * n - by_chance)


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide element by element; nan if the denominator is not positive."""
    quotient = np.full(len(denominator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


def mean_of_defined(figures: Sequence[Floats]) -> Floats:
    """The mean of the figures that are defined in a draw, for every draw; nan if all figures are undefined."""
    stacked = np.array(figures)
    defined = ~np.isnan(stacked)
    return ratio(np.where(defined, stacked, 0).sum(axis=0), defined.sum(axis=0).astype(float))


def _counts(codes: Integers, n_values: int, groups: Integers, n_groups: int) -> Floats:
    """Count each value in each group, without `MISSING`; returns an array of shape (groups, values)."""
    given = codes >= 0
    # One cell number per pair (group, value), so that a single call of `bincount` fills the table.
    cells = groups[given] * n_values + codes[given]
    return np.bincount(cells, minlength=n_groups * n_values).reshape(n_groups, n_values).astype(float)


# -- intervals


def percentile_interval(drawn: Floats, confidence: float) -> tuple[float, float] | None:
    """The bounds of the central share `confidence`, in (0, 1), of bootstrap draws of shape (n,).

    Draws that are nan are ignored; returns None if all draws are nan.
    """
    defined = drawn[~np.isnan(drawn)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Bootstrap:
    """The number of draws over documents, their seed, and the confidence of the intervals (0 to 1, exclusive)."""

    draws: int = 1000
    seed: int = 13
    confidence: float = 0.95


DEFAULT_BOOTSTRAP = Bootstrap()
"""The default bootstrap of reports."""


@dataclass(frozen=True)
class Resampling:
    """Bootstrap draws of documents with replacement.

    `groups`, of shape (units,), contains the document number of each unit. `weights`, of shape (1 + draws, documents),
    contains the number of times that each document counts. The first row of `weights` is the original data; with fewer
    than `FEWEST_DOCUMENTS` documents, there are no other rows.
    """

    groups: Integers
    weights: Floats
    confidence: float

    @property
    def n_documents(self) -> int:
        """The number of documents."""
        return int(self.weights.shape[1])

    def estimate(
        self, figures: Floats, undefined: str, *, n_documents: int | None = None, n_with_label: int | None = None
    ) -> Estimate:
        """The figure for the original data, with a percentile interval from the draws.

        Args:
            figures: the figure in the original data and in every draw, of shape (1 + draws,); nan if undefined.
            undefined: the reason to report if the figure is undefined.
            n_documents: the number of documents behind the figure; all documents by default.
            n_with_label: the number of documents in which the label was given. Below `FEWEST_WITH_LABEL`, there is no
                interval, because it would be far too narrow.

        Source: Efron and Tibshirani (1993), percentile method; for alpha and kappa Zapf et al. (2016), "Measuring
        inter-rater reliability for nominal data"; clusters as in Field and Welsh (2007).
        """
        value, drawn = figures[0], figures[1:]
        if np.isnan(value):
            return Estimate(None, undefined=undefined)
        n_documents = self.n_documents if n_documents is None else n_documents
        if n_documents < FEWEST_DOCUMENTS:
            reason = f"fewer than {FEWEST_DOCUMENTS} documents: {n_documents}"
            return Estimate(float(value), no_interval=reason)
        if n_with_label is not None and n_with_label < FEWEST_WITH_LABEL:
            return Estimate(
                float(value), no_interval=f"given in fewer than {FEWEST_WITH_LABEL} documents: {n_with_label}"
            )
        dropped = int(np.isnan(drawn).sum())
        interval = percentile_interval(drawn, self.confidence)
        if interval is None:
            return Estimate(float(value), no_interval="undefined in every draw", undefined_draws=dropped)
        low, high = interval
        return Estimate(float(value), low=low, high=high, undefined_draws=dropped)


def resample(documents: Sequence[str], bootstrap: Bootstrap) -> Resampling:
    """Bootstrap draws for units in `documents`, one document id per unit."""
    # Sorted, so that the draws do not depend on the order of the units.
    number = {document: position for position, document in enumerate(sorted(set(documents)))}
    groups = np.array([number[document] for document in documents], dtype=np.int64)
    weights = np.ones((1, len(number)))
    if len(number) >= FEWEST_DOCUMENTS:
        # Multinomial counts have the same distribution as drawing documents one by one with replacement.
        shares = np.full(len(number), 1 / len(number))
        drawn = np.random.default_rng(bootstrap.seed).multinomial(len(number), shares, size=bootstrap.draws)
        weights = np.vstack([weights, drawn.astype(float)])
    return Resampling(groups, weights, bootstrap.confidence)
