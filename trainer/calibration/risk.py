"""Find cut-offs of scores whose error has a bound that holds for any model and any corpus.

An error is a share of documents: draw one document at random from those with relevant sentences, and one of these
sentences at random; the error is the probability that its label is wrong. Calibration samples consist of documents.
The sentences of a document resemble each other, so each document counts once. Its sentence is chosen by a random order
that is fixed before the labels are seen. The number of errors in n documents is then binomial, and the bound is that of
Clopper and Pearson.

Many cut-offs are tried. Misses only increase with the cut-off, so cut-offs are tested in this order without correction.
Other errors can rise and fall: tests start at `STARTS` places, each with its part of the allowed risk, and continue
until the first failure (fixed-sequence testing with several starts).

Source: Angelopoulos, Bates, Candès, Jordan and Lei (2021), "Learn then Test: Calibrating Predictive Algorithms to
Achieve Risk Control"; Clopper and Pearson (1934).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.calibration.calibration import Bools, Floats
from trainer.calibration.certificate import fewest_cases, most_failures

STARTS = 4
"""Number of places at which the tests of a non-monotone error start."""


@dataclass(frozen=True)
class Risk:
    """The error to limit, in (0, 1), the confidence of each bound, and the seed of the random order of sentences."""

    max_error: float
    confidence: float
    seed: int

    @property
    def fewest(self) -> int:
        """The fewest documents that can show the limit, e.g. 59 for 0.05 at 0.95: all of them without an error."""
        return fewest_cases(self.max_error, self.confidence)

    def split(self, parts: int) -> Risk:
        """Return the same limit with the allowed risk divided by `parts` (Bonferroni)."""
        return Risk(self.max_error, 1 - (1 - self.confidence) / parts, self.seed)


@dataclass(frozen=True)
class Cut:
    """A certified cut-off with its counts of documents and errors, and the best cut-off in hindsight."""

    value: float
    units: int
    errors: int
    hindsight: float


@dataclass(frozen=True)
class _Path:
    """Cut-offs in descending order, each with its numbers of relevant documents and of wrong ones."""

    cuts: Floats
    units: NDArray[np.int_]
    errors: NDArray[np.int_]


def certified_cut(
    scores: Floats, wrong: Bools, groups: NDArray[np.int_], risk: Risk
) -> tuple[Cut | None, tuple[int, int]]:
    """Find the lowest cut-off from which the error of the sentences at or above it is certified.

    Args:
        scores, wrong, groups: of the n candidate sentences, each of shape (n,).

    Returns:
        The cut-off, None if none can be certified, and the numbers of documents and errors at the lowest score.
    """
    from scipy.stats import binom

    path = _path(scores, wrong, groups, risk.seed)
    if not len(path.cuts):
        return None, (0, 0)
    whole = (int(path.units[-1]), int(path.errors[-1]))
    each = risk.split(STARTS)
    # Places at fixed numbers of documents: which sentences are above a cut-off says nothing about their labels.
    starts = np.unique(np.geomspace(each.fewest, max(whole[0], each.fewest), STARTS).round().astype(int))
    # The bound of Clopper and Pearson is at most the limit just where so few errors are this unlikely under the limit.
    passes = binom.cdf(path.errors, path.units, risk.max_error) <= 1 - each.confidence
    best = -1
    for start in starts.tolist():
        place = int(np.searchsorted(path.units, start))
        while place < len(passes) and passes[place]:
            best = max(best, place)
            place += 1
    observed = np.flatnonzero(path.errors <= risk.max_error * path.units)
    hindsight = float(path.cuts[observed[-1]]) if len(observed) else math.inf
    if best < 0:
        return None, whole
    return Cut(float(path.cuts[best]), int(path.units[best]), int(path.errors[best]), hindsight), whole


def _path(scores: Floats, wrong: Bools, groups: NDArray[np.int_], seed: int) -> _Path:
    """Lower the cut-off over all scores; each document is represented by a random one of its sentences above."""
    order = np.argsort(-scores, kind="stable")
    own, errors = groups[order], wrong[order].astype(int)
    by_group = np.argsort(own, kind="stable")
    first = np.diff(own[by_group], prepend=-1) != 0
    number = np.arange(len(own)) - np.maximum.accumulate(np.where(first, np.arange(len(own)), 0)) + 1
    # Reservoir sampling: the k-th sentence takes the place of the one drawn before with probability 1 / k.
    drawn = np.random.default_rng(seed).random(len(own))[by_group] * number < 1
    places = by_group[drawn]
    change = errors[places] - np.where(first[drawn], 0, np.roll(errors[places], 1))
    moves, starts = np.zeros(len(own), dtype=int), np.zeros(len(own), dtype=int)
    moves[places] = change
    starts[by_group[first]] = 1
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(own) else np.zeros(0, dtype=int)
    return _Path(ranked[ends], np.cumsum(starts)[ends], np.cumsum(moves)[ends])


def lowest_positives(scores: Floats, groups: NDArray[np.int_], risk: Risk) -> tuple[Cut | None, int]:
    """Find the highest threshold below which at most the share `risk.max_error` of the positives lies.

    One positive is drawn from each document, so their scores are independent. The threshold is their k-th smallest
    score, where k - 1 misses are the most that the bound allows.

    Args:
        scores, groups: of the positives, of shape (n,).

    Returns:
        The threshold, None if there are too few documents, and the number of documents with positives.
    """
    order = np.random.default_rng(risk.seed).permutation(len(scores))
    _, first = np.unique(groups[order], return_index=True)
    drawn = np.sort(scores[order[first]])
    most = most_failures(len(drawn), risk.max_error, risk.confidence) if len(drawn) else -1
    if most < 0:
        return None, len(drawn)
    value = float(drawn[min(most, len(drawn) - 1)])
    observed = float(np.sort(scores)[math.floor(risk.max_error * len(scores))])
    return Cut(value, len(drawn), int((drawn < value).sum()), observed), len(drawn)
