"""The whole procedure: estimates of all kinds with their intervals, for this corpus or for the process behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from trainer.estimate.coverage import (
    FORMS,
    effective_sizes,
    score_interval,
    share_bounds,
    small_domains,
    student_quantile,
)
from trainer.estimate.estimators import (
    Bools,
    Corpus,
    Estimated,
    Floats,
    Ints,
    Sample,
    adjusted_counts,
    assign_folds,
    difference_shares,
    sample_shares,
    sums_by,
    tuned_shares,
)

Method = Literal["ppi", "difference", "sample", "adjusted"]
METHODS: Mapping[Method, str] = {
    "ppi": "predictions corrected by the sample, weighted to minimise the variance (PPI++)",
    "difference": "predictions corrected by the sample (stratified difference estimator)",
    "sample": "the sample alone (Horvitz-Thompson, as a ratio)",
    "adjusted": "counts of predictions, adjusted by recall and false-positive rate",
}
"""The estimators, the published one first."""

Estimand = Literal["corpus", "process"]
ESTIMANDS: Mapping[Estimand, str] = {
    "corpus": "this corpus: the intervals cover what would have been found by reading all of it",
    "process": "the process behind the corpus: documents count as independent draws from it",
}


@dataclass(frozen=True)
class Shares:
    """Shares with their intervals, of shape (G, L); nan where undefined.

    `small` marks the shares that the sample alone gives, because fewer than `coverage.RARE` positives or negatives were
    seen in the domain.
    """

    share: Floats
    low: Floats
    high: Floats
    small: Bools
    form: str


@dataclass(frozen=True)
class Documents:
    """Predictions for the parts of documents that lie in each group, P parts in all, and the sample's documents.

    Attributes:
        document, group: numbers of the document and the group of each part, of shape (P,).
        sizes: number of sentences of each part, of shape (P,).
        sums, counts: sums of probabilities, and numbers of assigned labels, of shape (P, L).
        sampled: number of the document of each labelled sentence, of shape (n,).
        domains: which groups each domain unites, of shape (G, groups).
    """

    document: Ints
    group: Ints
    sizes: Floats
    sums: Floats
    counts: Floats
    sampled: Ints
    domains: Bools


def estimate_shares(
    corpus: Corpus,
    sample: Sample,
    documents: Documents | None = None,
    *,
    confidence: float = 0.95,
    seed: int = 13,
) -> tuple[dict[Method, Shares], dict[Method, Estimated]]:
    """Estimate the share of each label in each domain by all methods.

    Args:
        documents: for the process behind the corpus; None for the corpus itself.
        confidence: in (0, 1).
        seed: seed of the folds for cross-fitting.

    Returns:
        The shares with their intervals, and the estimates that they are made from.
    """
    folds = assign_folds(sample, np.random.default_rng(seed))
    found: dict[Method, Estimated] = {
        "ppi": tuned_shares(corpus, sample, folds),
        "difference": difference_shares(corpus, sample),
        "sample": sample_shares(sample),
        "adjusted": adjusted_counts(corpus, sample),
    }
    apart = outside_shares(sample)
    shares = {
        method: _bounded(method, corpus, sample, one, documents, confidence, apart) for method, one in found.items()
    }
    small = small_domains(sample)
    shares["ppi"] = _switched(small, shares["sample"], shares["ppi"])
    found["ppi"] = _switched_estimate(small, found["sample"], found["ppi"])
    return shares, found


def outside_shares(sample: Sample) -> Estimated | None:
    """Estimate the share of each domain that is not a sentence, of shape (G, 1), from the sample; None if none is seen.

    A label's share in the corpus is its share among all spans divided by 1 minus this share (a ratio).
    """
    if sample.outside is None or not sample.outside.any():
        return None
    return sample_shares(replace(sample, gold=sample.outside[:, None], probabilities=np.zeros((len(sample.gold), 1))))


def _bounded(
    method: Method,
    corpus: Corpus,
    sample: Sample,
    found: Estimated,
    documents: Documents | None,
    confidence: float,
    apart: Estimated | None,
) -> Shares:
    if apart is None:
        return _bounded_spans(method, corpus, sample, found, documents, confidence, np.zeros(found.shares.shape))
    inside = np.maximum(1 - np.nan_to_num(apart.shares), 1e-9)
    # Delta method: the uncertainty of the part that belongs to the corpus moves all shares in proportion.
    extra = np.nan_to_num(found.shares**2 * apart.variances / inside**2)
    own = _bounded_spans(method, corpus, sample, found, documents, confidence, extra)
    share, low, high = (np.clip(one / inside, 0, 1) for one in (own.share, own.low, own.high))
    return Shares(share, low, high, own.small, own.form)


def _bounded_spans(
    method: Method,
    corpus: Corpus,
    sample: Sample,
    found: Estimated,
    documents: Documents | None,
    confidence: float,
    extra: Floats,
) -> Shares:
    """Shares among all spans, whether they belong to the corpus or not."""
    if documents is not None:
        of_counts = method == "adjusted"
        extra = extra + np.maximum(
            process_variances(corpus, sample, found, documents, of_counts=of_counts) - found.variances, 0
        )
    nothing = np.zeros(found.shares.shape, dtype=bool)
    if method == "adjusted":
        shares = np.clip(found.shares, 1e-9, 1 - 1e-9)
        sizes = effective_sizes(shares, np.maximum(found.variances + extra, 1e-15))
        low, high = score_interval(shares, sizes, student_quantile(np.array(np.inf), confidence))
        return Shares(np.clip(found.shares, 0, 1), low, high, nothing, FORMS["effective"])
    bounds = share_bounds(sample, found, found.slope, np.nan_to_num(extra), confidence)
    # Whatever was seen, a share lies within [0, 1].
    return Shares(np.clip(found.shares, 0, 1), bounds.low, bounds.high, nothing, FORMS[bounds.form])


def _switched(small: Bools, alone: Shares, tuned: Shares) -> Shares:
    share, low, high = (
        np.where(small, getattr(alone, name), getattr(tuned, name)) for name in ("share", "low", "high")
    )
    return Shares(share, low, high, small, tuned.form)


def _switched_estimate(small: Bools, alone: Estimated, tuned: Estimated) -> Estimated:
    return Estimated(
        np.where(small, alone.shares, tuned.shares),
        np.where(small, alone.variances, tuned.variances),
        np.where(small[None], alone.influence, tuned.influence),
        tuned.slope,
    )


def process_variances(
    corpus: Corpus, sample: Sample, found: Estimated, documents: Documents, *, of_counts: bool = False
) -> Floats:
    """Return the variances of shares as estimates of the process behind the corpus, of shape (G, L).

    Each document of the corpus contributes its predictions and, if some of its sentences are in the sample, their
    weighted influences. The sum over documents of squared deviations then has both variances in it: that of documents
    from the process and that of sentences from documents.

    Args:
        of_counts: the predictions enter as assigned labels, not as probabilities.

    Source: the ultimate-cluster variance of Hansen, Hurwitz and Madow (1953); see Wolter (2007), section 2.4.
    """
    values = documents.counts if of_counts else documents.sums
    means = (corpus.counts if of_counts else corpus.sums) / corpus.sizes[:, None]
    n_documents = int(documents.document.max()) + 1
    variances = np.full(found.shares.shape, np.nan)
    for domain, groups in enumerate(documents.domains):
        own = groups[documents.group]
        moved = (values[own] - documents.sizes[own, None] * means[domain]) * found.slope / corpus.sizes[domain]
        parts = sums_by(np.nan_to_num(moved), documents.document[own], n_documents)
        weighted = found.influence[:, domain] * sample.expansion[:, None]
        parts = parts + sums_by(weighted, documents.sampled, n_documents)
        present = np.zeros(n_documents, dtype=bool)
        present[documents.document[own]] = True
        n = int(present.sum())
        if n > 1:
            variances[domain] = n / (n - 1) * ((parts[present] - parts[present].mean(axis=0)) ** 2).sum(axis=0)
    return variances


@dataclass(frozen=True)
class Differences:
    """Differences of shares between pairs of domains, of shape (pairs, L)."""

    difference: Floats
    low: Floats
    high: Floats


def share_differences(sample: Sample, shares: Shares, found: Estimated, pairs: Ints) -> Differences:
    """Return the share of the second domain of each pair minus that of the first, with intervals.

    The interval is composed from those of the shares, with the correlation of the estimates in the sample.

    Args:
        pairs: numbers of domains, of shape (pairs, 2).

    Source: Zou and Donner (2008), for dependent estimates.
    """
    first, second = pairs[:, 0], pairs[:, 1]
    moved = found.influence[:, second] - found.influence[:, first]
    n, n_pairs, n_labels = moved.shape
    joint = sample.variance(moved.reshape(n, -1)).reshape(n_pairs, n_labels)
    one, other = found.variances[first], found.variances[second]
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.nan_to_num((one + other - joint) / (2 * np.sqrt(one * other)))
    correlation = np.clip(correlation, -1, 1)
    below = _composed(shares, second, first, correlation)
    above = _composed(shares, first, second, correlation)
    difference = shares.share[second] - shares.share[first]
    return Differences(difference, np.clip(difference - below, -1, 1), np.clip(difference + above, -1, 1))


def _composed(shares: Shares, lower: Ints, upper: Ints, correlation: Floats) -> Floats:
    """The distance to a bound, from the lower bound of one domain and the upper bound of the other."""
    down = shares.share[lower] - shares.low[lower]
    up = shares.high[upper] - shares.share[upper]
    return np.asarray(np.sqrt(np.maximum(down**2 + up**2 - 2 * correlation * down * up, 0)))
