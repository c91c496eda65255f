"""How many sentences to label, and which, for intervals of a target width.

An audit is simulated: gold is drawn from the probabilities of the predictions (or from what a pilot sample says of
them), sentences are drawn from strata, and the whole procedure gives the widths. The plan is the smallest number of
sentences whose widths are small enough in a share `assurance` of the simulations.

Strata are bands of the largest probability, as in the strategy `audit`. The allocation is Neyman's for the labels asked
for, but no stratum gets less than `FLOOR` of its proportional share, so that a wrong model cannot empty it.

Source: Neyman (1934); Cochran (1977), "Sampling Techniques", sections 5.5 and 5.9; for assurance, Grieve (1991).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labels.errors import InputError, counted
from trainer.estimate.arrays import Items
from trainer.estimate.estimators import Bools, Corpus, Floats, Ints, Sample
from trainer.estimate.given.audits import UNSEEN
from trainer.estimate.given.predictions import DETAILS
from trainer.estimate.shares import estimate_shares

EDGES = (0.02, 0.1, 0.3, 0.6, 0.9)
"""Inner bounds of the strata (`labels.sampling.drawing.AUDIT_EDGES`)."""
FLOOR = 0.2
"""Minimum share of the proportional allocation that a stratum gets."""
LEAST = 50
"""The smallest sample that is planned."""
SIMULATIONS = 60
FIRST_LOOK = 100
"""Labelled sentences before which nobody should stop because of a width: estimated widths vary too much."""
_PRIOR = 2.0
"""Weight, in sentences, of the model's own probabilities against the pilot in each band."""
_STEP = 1.08
"""Precision of the search: the plan is at most 8% above the smallest size that would do."""


@dataclass(frozen=True)
class Plan:
    """A planned sample.

    - `size`: number of sentences to label
    - `widths`: the width of each label in each domain that is reached with the requested assurance, of shape (G, L)
    - `strata`: names of the strata; `sizes` and `drawn` are their numbers of sentences in the corpus and the sample
    - `basis`: where the variances come from
    """

    size: int
    widths: Floats
    strata: tuple[str, ...]
    sizes: Ints
    drawn: Ints
    basis: str


@dataclass(frozen=True)
class Pilot:
    """Labelled sentences: their places among the items, of shape (n,), their gold (n, L), and weights (n,)."""

    places: Ints
    gold: Floats
    weights: Floats


def strata_of(probabilities: NDArray[np.floating]) -> tuple[Ints, tuple[str, ...]]:
    """Return the stratum of each of N sentences, numbered without gaps, and the names of the strata."""
    found = np.digitize(probabilities.max(axis=1), EDGES)
    present, numbers = np.unique(found, return_inverse=True)
    bounds = (0.0, *EDGES, 1.0)
    return numbers, tuple(f"{bounds[one]:g}-{bounds[one + 1]:g}" for one in present)


def expected_gold(probabilities: NDArray[np.floating], pilot: Pilot | None) -> Floats:
    """Return the probability that each sentence has each label, of shape (N, L).

    With a pilot, each band of a label's probability gets the share of positives that the pilot shows there; bands with
    few labelled sentences keep more of the model's own probabilities.
    """
    if pilot is None:
        return probabilities.astype(np.float64)
    found = np.empty(probabilities.shape)
    for label in range(probabilities.shape[1]):
        band = np.digitize(probabilities[:, label], EDGES)
        own = band[pilot.places]
        # Weighted shares, with the number of sentences as their weight against the model.
        totals = np.bincount(own, pilot.weights, len(EDGES) + 1)
        positives = np.bincount(own, pilot.weights * pilot.gold[:, label], len(EDGES) + 1)
        seen = np.bincount(own, minlength=len(EDGES) + 1)
        sizes = np.maximum(np.bincount(band, minlength=len(EDGES) + 1), 1)
        means = np.bincount(band, probabilities[:, label], len(EDGES) + 1) / sizes
        shares = np.divide(positives, totals, out=np.zeros(len(totals)), where=totals > 0)
        mixed = (seen * shares + _PRIOR * means) / (seen + _PRIOR)
        scale = np.divide(mixed, means, out=np.ones(len(means)), where=means > 0)
        found[:, label] = np.clip(probabilities[:, label] * scale[band], 0, 1)
    return found


def allocation(
    size: int, stratum: Ints, expected: Floats, probabilities: NDArray[np.floating], labels: Sequence[int]
) -> Ints:
    """Return how many sentences to draw from each stratum: Neyman's allocation with a floor, at most all of each.

    Args:
        labels: numbers of the labels that the plan is for.
    """
    sizes = np.bincount(stratum)
    need = np.zeros(len(sizes))
    for label in labels:
        chance, predicted = expected[:, label], probabilities[:, label]
        # The mean squared error of the prediction within the stratum.
        error = chance * (1 - predicted) ** 2 + (1 - chance) * predicted**2
        spread = sizes * np.sqrt(np.bincount(stratum, error) / sizes)
        need += spread / max(float(spread.sum()), 1e-300)
    least = FLOOR * size * sizes / sizes.sum()
    wanted = least + (1 - FLOOR) * size * need / max(float(need.sum()), 1e-300)
    drawn = np.minimum(np.maximum(np.round(wanted), 2), sizes).astype(int)
    # What small strata cannot take goes to the others.
    for _ in range(len(sizes)):
        left, room = size - int(drawn.sum()), sizes - drawn
        if left <= 0 or not room.any():
            break
        share = np.where(room > 0, wanted, 0)
        drawn = np.minimum(drawn + np.ceil(left * share / max(float(share.sum()), 1e-300)).astype(int), sizes)
    return np.asarray(drawn)


@dataclass(frozen=True)
class AuditPlan:
    """A plan, the names of its labels and groups, and the sentences drawn by it: id, document, stratum.

    `details` has the text of each drawn sentence, and what is known of its document (`DETAILS`).
    """

    plan: Plan
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    drawn: Sequence[tuple[str, str, str]]
    details: Sequence[Mapping[str, str]] = ()
    codebook_hash: str = ""

    def rows(self) -> Iterator[dict[str, str | float]]:
        """Yield one row per sentence to label, as `--sample` reads it: the labels are to be filled in."""
        sizes = dict(zip(self.plan.strata, self.plan.sizes.tolist(), strict=True))
        counts = dict(zip(self.plan.strata, self.plan.drawn.tolist(), strict=True))
        names = [name for name in DETAILS if any(one.get(name) for one in self.details)]
        for place, (identifier, document, stratum) in enumerate(self.drawn):
            known = {name: self.details[place].get(name, "") for name in names}
            design: dict[str, str | float] = {"stratum": stratum, "stratum_size": sizes[stratum]}
            design["inclusion_probability"] = counts[stratum] / sizes[stratum]
            decision = {"labels": "", "state": UNSEEN, "codebook_hash": self.codebook_hash}
            yield {"sentence_id": identifier, "document_id": document, **known, **design, **decision}


def plan_sample(
    items: Items,
    domains: Bools,
    width: float,
    *,
    labels: Sequence[int],
    wanted: Sequence[int],
    pilot: Pilot | None = None,
    assurance: float = 0.9,
    confidence: float = 0.95,
    seed: int = 13,
) -> Plan:
    """Return the smallest sample whose intervals are at most `width` wide in the requested domains.

    Args:
        domains: which groups each domain unites; see `Groups.domains`.
        width: the target full width of the intervals, in (0, 1).
        labels, wanted: numbers of the labels and domains that the plan is for.
        pilot: a labelled sample, which says how good the predictions are; None to believe the probabilities.
        assurance: share of the simulations in which the width must be reached, in (0, 1).

    Raises:
        InputError: a number is out of range.
    """
    if not 0 < width < 1 or not 0 < assurance < 1:
        raise InputError(
            "the width and the assurance must be between 0 and 1. Give the width of a share, such as 0.02."
        )
    corpus, stratum, names, expected = _simulated(items, domains, pilot)

    def widths(size: int) -> tuple[Ints, Floats]:
        drawn = allocation(size, stratum, expected, items.probabilities, labels)
        return drawn, _widths(items, domains, corpus, stratum, expected, drawn, assurance, confidence, seed)

    def enough(size: int) -> bool:
        return bool((widths(size)[1][np.ix_(wanted, labels)] <= width).all())

    total = len(stratum)
    size = _smallest(enough, min(LEAST, total), total)
    drawn, found = widths(size)
    basis = f"a pilot of {counted(len(pilot.places), 'labelled sentence')}" if pilot else "the model's probabilities"
    return Plan(int(drawn.sum()), found, names, np.bincount(stratum), drawn, basis)


def _smallest(enough: Callable[[int], bool], least: int, most: int) -> int:
    """The smallest size that is enough, up to `_STEP`; `most`, the whole corpus, always is."""
    low, high = 0, least
    while high < most and not enough(high):
        low, high = high, min(2 * high, most)
    while low and high > low * _STEP + 1:
        middle = round((low * high) ** 0.5)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _simulated(items: Items, domains: Bools, pilot: Pilot | None) -> tuple[Corpus, Ints, tuple[str, ...], Floats]:
    whole = items.sums(items.codes, domains.shape[1]).merged(domains)
    everything = items.sums(np.zeros(len(items.codes), dtype=int), 1)
    pairs = zip(vars(whole).values(), vars(everything).values(), strict=True)
    corpus = Corpus(*(np.concatenate([one[:-1], all_]) for one, all_ in pairs))
    stratum, names = strata_of(items.probabilities)
    return corpus, stratum, names, expected_gold(items.probabilities, pilot)


def _widths(
    items: Items,
    domains: Bools,
    corpus: Corpus,
    stratum: Ints,
    expected: Floats,
    drawn: Ints,
    assurance: float,
    confidence: float,
    seed: int,
) -> Floats:
    """The widths that a share `assurance` of the simulated audits does not exceed, of shape (G, L)."""
    generator = np.random.default_rng(seed)
    within = np.split(np.argsort(stratum, kind="stable"), np.cumsum(np.bincount(stratum))[:-1])
    sizes, found = np.bincount(stratum), []
    for number in range(SIMULATIONS):
        places = np.concatenate([generator.choice(own, n, replace=False) for own, n in zip(within, drawn, strict=True)])
        gold = (generator.random((len(places), expected.shape[1])) < expected[places]).astype(float)
        member = items.codes[places][:, None] == np.arange(domains.shape[1])
        member = np.column_stack([member[:, : len(domains) - 1], np.ones(len(places), dtype=bool)])
        own = stratum[places]
        sample = Sample(
            gold,
            items.probabilities[places].astype(np.float64),
            items.assigned[places].astype(np.float64),
            member,
            np.ones(len(places)),
            np.arange(len(places)),
            (sizes / drawn)[own],
            own,
            drawn.astype(float),
            drawn / sizes,
        )
        shares = estimate_shares(corpus, sample, confidence=confidence, seed=number)[0]["ppi"]
        # A domain without a labelled sentence has no interval: nothing is known about it.
        found.append(np.nan_to_num(shares.high - shares.low, nan=1.0))
    return np.asarray(np.quantile(np.array(found), assurance, axis=0, method="higher"))


def confidence_sequence(positives: Ints, seen: Ints, size: int, confidence: float) -> tuple[Floats, Floats]:
    """Return bounds of a share that hold at all times of a simple random sample simultaneously, of shape (times,).

    The bounds cover the share with this confidence even if one looks after every sentence and stops at will.

    Args:
        positives, seen: numbers of positives among the first `seen` sentences, at each time, of shape (times,).
        size: number of sentences in the corpus.

    Source: Waudby-Smith and Ramdas (2020), "Confidence sequences for sampling without replacement", theorem 1: the
    prior-posterior ratio with a uniform prior.
    """
    from scipy.special import gammaln

    numbers = np.arange(size + 1, dtype=np.float64)

    def log_choose(n: Floats, k: float) -> Floats:
        with np.errstate(invalid="ignore"):
            made = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
        return np.asarray(np.where(n >= k, made, -np.inf))

    low, high = np.zeros(len(seen)), np.ones(len(seen))
    for time, (found, n) in enumerate(zip(positives.tolist(), seen.tolist(), strict=True)):
        # The posterior is proportional to the hypergeometric likelihood, the prior is uniform on 0..size.
        likelihood = log_choose(numbers, found) + log_choose(size - numbers, n - found)
        posterior = likelihood - np.logaddexp.reduce(likelihood)
        kept = np.flatnonzero(posterior >= np.log(1 - confidence) - np.log(size + 1))
        low[time], high[time] = kept[0] / size, kept[-1] / size
    return low, high
