"""How far a cheap model may stand in for an expensive one: where it is sure enough, and what that is certain to cost.

Pure: probabilities and label sets in, cut-offs and bounds out. The cut-offs are chosen on one set of sentences
(`choose_cutoffs`) and certified on another that had no part in it (`certify`); the models are `classifiers.cascade`'s.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.arrays import Bools, Floats

Counts = NDArray[np.int64]

NEVER_ABSENT, NEVER_PRESENT = -1.0, 2.0
"""Cut-offs that no probability passes."""
LIKELY = 0.9
"""Cut-offs are chosen so that certifying them succeeds with about this chance, where there are sentences enough."""
_CAUTIOUS_FACTOR, _CAUTIOUS_QUANTILE = 0.5, 0.9


@dataclass(frozen=True)
class Limits:
    """What may differ: at most `max_disagreement` of all sentences, `max_lost` of each label's positives, in (0, 1).

    A limit holds where the upper bound of the share, at `confidence`, does not exceed it.
    """

    max_disagreement: float
    max_lost: float
    confidence: float

    @property
    def fewest_sentences(self) -> int:
        """How many sentences it takes to certify `max_disagreement` at all."""
        return fewest_cases(self.max_disagreement, self.confidence)

    @property
    def fewest_positives(self) -> int:
        """How many positives of a label it takes to certify `max_lost` at all."""
        return fewest_cases(self.max_lost, self.confidence)


@dataclass(frozen=True)
class CutOffs:
    """Where the cheap model is sure: of a class's absence at or below `absent`, of its presence at or above `present`.

    Both are (classes,). Multi-label: the classes are the labels, and `absent` < threshold <= `present`. Exclusive: the
    labels, then "none" where it is allowed; `present` holds for the most probable class and `absent` for the others.
    """

    exclusive: bool
    absent: tuple[float, ...]
    present: tuple[float, ...]

    def sure(self, probabilities: NDArray[np.floating[Any]]) -> Bools:
        """(n,): whether the cheap model is sure of every class, from its calibrated probabilities (n, classes)."""
        low, high = probabilities <= np.array(self.absent), probabilities >= np.array(self.present)
        if not self.exclusive:
            return np.asarray((low | high).all(axis=1))
        return np.asarray(np.where(_likeliest(probabilities), high, low).all(axis=1))

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> CutOffs:
        """The cut-offs that `dataclasses.asdict` described."""
        return cls(bool(content["exclusive"]), tuple(content["absent"]), tuple(content["present"]))


@dataclass(frozen=True)
class LabelCertificate:
    """Of the expensive model's `positives` of a label, how many the cascade lost, and the upper bound of their share.

    `upper_bound` is None where the positives are too few for one. Only the expensive model assigns such a label, but
    the cheap one may say that it is absent.
    """

    name: str
    positives: int
    lost: int
    upper_bound: float | None

    @property
    def share(self) -> float:
        """Lost / positives; 0 where there are none."""
        return self.lost / self.positives if self.positives else 0.0


@dataclass(frozen=True)
class Certificate:
    """How the label sets of a cascade compare with those of its expensive model on `cases` sentences.

    Each bound is one-sided and holds at `confidence` by itself, not all of them together. The bounds speak of sentences
    drawn as these were, one independently of the other: sentences of one document are less than that.
    """

    cases: int
    answered: int
    disagreements: int
    upper_bound: float
    confidence: float
    labels: tuple[LabelCertificate, ...]

    @property
    def share(self) -> float:
        """Disagreements / cases."""
        return self.disagreements / self.cases if self.cases else 0.0

    @property
    def answered_share(self) -> float:
        """Share of the sentences that the cheap model answered."""
        return self.answered / self.cases if self.cases else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the shares."""
        labels = [asdict(label) | {"share": label.share} for label in self.labels]
        return asdict(self) | {"share": self.share, "answered_share": self.answered_share, "labels": labels}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Certificate:
        """The certificate that `to_dict` described."""
        labels = tuple(
            LabelCertificate(label["name"], label["positives"], label["lost"], label["upper_bound"])
            for label in content["labels"]
        )
        names = ("cases", "answered", "disagreements", "upper_bound", "confidence")
        return cls(**{name: content[name] for name in names}, labels=labels)


def upper_bound(failures: int, cases: int, confidence: float) -> float:
    """The one-sided exact upper bound of a share, in [0, 1]: the largest that `failures` of `cases` do not rule out.

    Were the true share above it, so few failures would come with a chance below 1 - confidence. 1 without cases.

    Source: Clopper and Pearson (1934), "The Use of Confidence or Fiducial Limits Illustrated in the Case of the
    Binomial".
    """
    from scipy.stats import beta

    if not 0 <= failures <= cases or not 0 < confidence < 1:
        raise ValueError(f"{failures} failures of {cases} cases at confidence {confidence}: no share has such a bound")
    return 1.0 if failures == cases else float(beta.ppf(confidence, failures + 1, cases - failures))


def fewest_cases(share: float, confidence: float) -> int:
    """How many cases without a failure it takes for an upper bound of at most `share`: 299 for 0.01 at 0.95."""
    cases = max(1, math.floor(math.log1p(-confidence) / math.log1p(-share)))
    while upper_bound(0, cases, confidence) > share:
        cases += 1
    return cases


def most_failures(cases: int, share: float, confidence: float) -> int:
    """The most failures among `cases` with which the upper bound is at most `share`; -1 if not even none are."""
    from scipy.stats import binom

    # The bound is at most `share` where so few failures have at most a chance of 1 - confidence under it.
    failures = min(int(binom.ppf(1 - confidence, cases, share)), cases)
    while failures >= 0 and upper_bound(failures, cases, confidence) > share:
        failures -= 1
    return failures


def likely_failures(cases: int, share: float, confidence: float) -> int:
    """The most failures after which as many cases again are likely to have no more than `most_failures`.

    Likely: with a chance of `LIKELY`, by a beta-binomial under the prior of Jeffreys. 0 where no number is likely
    enough, and -1 where `most_failures` is. As many as are allowed would be too many: cut-offs that use up what is
    allowed fail every second time where it is counted again.
    """
    from scipy.stats import betabinom

    most = most_failures(cases, share, confidence)

    def chance_to_fail(failures: int) -> float:
        return float(betabinom.sf(most, cases, failures + 0.5, cases - failures + 0.5))

    return min(most, bisect_right(range(1, most + 1), 1 - LIKELY, key=chance_to_fail))


def choose_cutoffs(
    probabilities: NDArray[np.floating[Any]],
    wanted: Bools,
    thresholds: Floats | None,
    common: Bools,
    limits: Limits,
) -> CutOffs:
    """The cut-offs with which the cheap model answers the most of these sentences within the limits.

    They form a family with one parameter, the tolerance: a sentence is answered if each class is called present or
    absent with a probability of error, by the cheap model's own calibration, of at most the tolerance. The largest
    tolerance is taken that keeps disagreements and each common label's losses at `likely_failures`. Free cut-offs for
    each label would answer more here and fail elsewhere: they fit themselves to these sentences.

    A label that is not common is never called present, and absent only at or below half the lowest probability of any
    of its positives here; if it has none here, all but the tenth of the sentences where it is likeliest.

    Args:
        probabilities: (n, classes) of the cheap model, calibrated; exclusive codebooks: with "none" where allowed.
        wanted: (n, labels) the expensive model's label sets.
        thresholds: (labels,) of the expensive model; None for an exclusive codebook.
        common: (labels,) which labels have positives enough for `limits.max_lost`.
    """
    scores = np.asarray(probabilities, dtype=np.float64)
    exclusive = thresholds is None
    said = _likeliest(scores) if thresholds is None else scores >= thresholds
    error = np.where(said, 1 - scores, scores)
    rare = {int(column): _cautious_cut(scores[:, column], wanted[:, column]) for column in np.flatnonzero(~common)}
    for column, cut in rare.items():
        error[:, column] = np.where(~said[:, column] & (scores[:, column] <= cut), 0, np.inf)
    tolerance = _largest_tolerance(error.max(axis=1), *_harm(said[:, : len(common)], wanted, common, limits))
    absent = np.full(scores.shape[1], tolerance)
    present = 1 - absent
    for column, cut in rare.items():
        absent[column], present[column] = cut, NEVER_PRESENT
    if thresholds is not None:
        absent, present = np.minimum(absent, np.nextafter(thresholds, 0)), np.maximum(present, thresholds)
    return CutOffs(exclusive, tuple(absent.tolist()), tuple(present.tolist()))


def certify(
    cheap: Bools, expensive: Bools, answered: Bools, names: Sequence[str], common: Bools, confidence: float
) -> Certificate:
    """Compare a cascade with its expensive model on sentences that had no part in choosing the cut-offs.

    Args:
        cheap, expensive: (n, labels) label sets of the two models.
        answered: (n,) where the cascade takes those of the cheap model.
        names: of the labels.
        common: (labels,) which of them have positives enough for a bound.
        confidence: of each bound by itself.
    """
    cascade = np.where(answered[:, None], cheap, expensive)
    lost, positives = (expensive & ~cascade).sum(axis=0).tolist(), expensive.sum(axis=0).tolist()
    disagreements = int((cascade != expensive).any(axis=1).sum())
    labels = (
        LabelCertificate(name, n, failures, upper_bound(failures, n, confidence) if bounded else None)
        for name, n, failures, bounded in zip(names, positives, lost, common.tolist(), strict=True)
    )
    return Certificate(
        cases=len(answered),
        answered=int(answered.sum()),
        disagreements=disagreements,
        upper_bound=upper_bound(disagreements, len(answered), confidence),
        confidence=confidence,
        labels=tuple(labels),
    )


def _likeliest(probabilities: NDArray[np.floating[Any]]) -> Bools:
    """(n, classes): true at the most probable class of each row."""
    return np.asarray(probabilities.argmax(axis=1)[:, None] == np.arange(probabilities.shape[1]))


def _cautious_cut(scores: Floats, wanted: Bools) -> float:
    if not wanted.any():
        return float(np.quantile(scores, _CAUTIOUS_QUANTILE, method="lower"))
    lowest = float(scores[wanted].min())
    return lowest * _CAUTIOUS_FACTOR if lowest > 0 else NEVER_ABSENT


def _harm(said: Bools, wanted: Bools, common: Bools, limits: Limits) -> tuple[Counts, Counts]:
    """(n, 1 + common labels): whether answering a row disagrees, and loses a label; and how often each may happen."""
    harm = np.column_stack([(said != wanted).any(axis=1), (wanted & ~said)[:, common]])
    positives = wanted[:, common].sum(axis=0).tolist()
    most = [
        likely_failures(len(wanted), limits.max_disagreement, limits.confidence),
        *(likely_failures(n, limits.max_lost, limits.confidence) for n in positives),
    ]
    return harm.astype(np.int64), np.array(most)


def _largest_tolerance(error: Floats, harm: Counts, most: Counts) -> float:
    """The largest error of a row such that all rows with no larger one do at most so much harm; -1 if there is none."""
    order = np.argsort(error, kind="stable")
    ranked = error[order]
    last_of_value = np.append(ranked[1:] != ranked[:-1], True) & np.isfinite(ranked)
    fits = (np.cumsum(harm[order], axis=0) <= most).all(axis=1)
    within = np.flatnonzero(fits & last_of_value)
    return float(ranked[within[-1]]) if len(within) else -1.0
