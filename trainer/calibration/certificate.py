"""When a cheap model may replace an expensive one: a rule for where it is sure, and bounds on what that costs.

Pure: probabilities and label sets in, a rule and bounds out. The rule is chosen on one set of sentences (`choose_rule`)
and certified on another (`certify`); the models are those of `classifiers.cascade`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import computed_field
from pydantic.dataclasses import dataclass as pydantic_dataclass

from trainer.calibration.calibration import Bools, Floats

Counts = NDArray[np.int64]

NEVER = -1.0
"""A tolerance that no sentence is within."""
LIKELY = 0.9
"""A rule is chosen so that certifying it succeeds with about this probability, given enough sentences."""


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
        """The fewest sentences with which `max_disagreement` can be certified."""
        return fewest_cases(self.max_disagreement, self.confidence)

    @property
    def fewest_positives(self) -> int:
        """The fewest positives of a label with which `max_lost` can be certified."""
        return fewest_cases(self.max_lost, self.confidence)


@dataclass(frozen=True)
class DeferralRule:
    """When the cheap model is sure: when it is expected to get at most `tolerance` labels wrong.

    By its own calibration, an assigned class is wrong with the probability that it is absent, any other class with the
    probability that it is present. The sum of these bounds the probability that the label set is wrong.

    Attributes:
        tolerance: `NEVER` if the cheap model answers nothing.
        thresholds: (labels,) at which a label is assigned. None for an exclusive codebook: there the classes are the
            labels, then "none" if allowed, and the most probable one is assigned.
        deferred: (classes,) those that the cheap model must not assign: a sentence to which it would is deferred.
    """

    tolerance: float
    thresholds: tuple[float, ...] | None
    deferred: tuple[bool, ...]

    def assigned(self, probabilities: NDArray[np.floating[Any]]) -> Bools:
        """(n, classes): what the cheap model assigns, from its calibrated probabilities (n, classes)."""
        if self.thresholds is not None:
            return np.asarray(probabilities >= np.array(self.thresholds))
        return np.asarray(probabilities.argmax(axis=1)[:, None] == np.arange(probabilities.shape[1]))

    def expected_errors(self, probabilities: NDArray[np.floating[Any]]) -> Floats:
        """(n,): the expected number of wrong classes in each row; infinite where a deferred one is assigned."""
        said, scores = self.assigned(probabilities), np.asarray(probabilities, dtype=np.float64)
        errors = np.where(said, 1 - scores, scores).sum(axis=1)
        return np.asarray(np.where((said & np.array(self.deferred)).any(axis=1), np.inf, errors))

    def sure(self, probabilities: NDArray[np.floating[Any]]) -> Bools:
        """(n,): whether the cheap model is sure."""
        return np.asarray(self.expected_errors(probabilities) <= self.tolerance)


@pydantic_dataclass(frozen=True)
class LabelCertificate:
    """How many of the expensive model's `positives` of a label the cascade lost, and the upper bound of their share.

    `upper_bound` is None if there are too few positives for one. Only the expensive model assigns such a label, but
    the cheap one may decide that it is absent.
    """

    name: str
    positives: int
    lost: int
    upper_bound: float | None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def share(self) -> float:
        """Lost / positives; 0 where there are none."""
        return self.lost / self.positives if self.positives else 0.0


@pydantic_dataclass(frozen=True)
class Certificate:
    """How the label sets of a cascade compare with those of its expensive model on `cases` sentences.

    Each bound is one-sided and holds at `confidence` by itself, not all of them together. The bounds assume sentences
    drawn as these were and independent of each other, which sentences of one document are not quite.
    """

    cases: int
    answered: int
    disagreements: int
    upper_bound: float
    confidence: float
    labels: tuple[LabelCertificate, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def share(self) -> float:
        """Disagreements / cases."""
        return self.disagreements / self.cases if self.cases else 0.0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def answered_share(self) -> float:
        """Share of the sentences that the cheap model answered."""
        return self.answered / self.cases if self.cases else 0.0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def rare(self) -> LabelCertificate | None:
        """The labels without a bound of their own, taken together, with a bound; None if they have no positives.

        No limit applies to it: it tells how far to rely on the cheap model where it decides that they are absent.
        """
        rare = [label for label in self.labels if label.upper_bound is None]
        positives, lost = sum(label.positives for label in rare), sum(label.lost for label in rare)
        if not positives:
            return None
        return LabelCertificate("rare labels", positives, lost, upper_bound(lost, positives, self.confidence))


def upper_bound(failures: int, cases: int, confidence: float) -> float:
    """The one-sided exact upper bound of a share, in [0, 1]: the largest that `failures` of `cases` do not rule out.

    If the true share were above it, so few failures would have a probability below 1 - confidence. 1 without cases.

    Source: Clopper and Pearson (1934), "The Use of Confidence or Fiducial Limits Illustrated in the Case of the
    Binomial".
    """
    from scipy.stats import beta

    if not 0 <= failures <= cases or not 0 < confidence < 1:
        raise ValueError(f"{failures} failures of {cases} cases at confidence {confidence}: no share has such a bound")
    return 1.0 if failures == cases else float(beta.ppf(confidence, failures + 1, cases - failures))


def fewest_cases(share: float, confidence: float) -> int:
    """The fewest cases without a failure for an upper bound of at most `share`: 299 for 0.01 at 0.95."""
    # Without a failure the bound is 1 - (1 - confidence) ** (1 / cases): solved for the cases, then counted up.
    cases = max(1, math.floor(math.log1p(-confidence) / math.log1p(-share)))
    while upper_bound(0, cases, confidence) > share:
        cases += 1
    return cases


def most_failures(cases: int, share: float, confidence: float) -> int:
    """The most failures among `cases` with which the upper bound is at most `share`; -1 if 0 are too many."""
    from scipy.stats import binom

    # The bound is at most `share` where so few failures have at most a chance of 1 - confidence under it.
    failures = min(int(binom.ppf(1 - confidence, cases, share)), cases)
    while failures >= 0 and upper_bound(failures, cases, confidence) > share:
        failures -= 1
    return failures


def likely_failures(cases: int, share: float, confidence: float) -> int:
    """The most failures after which as many new cases are likely to have no more than `most_failures`.

    Likely: with probability `LIKELY`, by a beta-binomial under Jeffreys' prior. 0 if no number is likely enough, and -1
    if `most_failures` is. Allowing `most_failures` itself would be too many: a rule that uses them up fails about every
    second time when it is certified on new sentences.
    """
    from scipy.stats import betabinom

    most = most_failures(cases, share, confidence)

    def probability_to_fail(failures: int) -> float:
        return float(betabinom.sf(most, cases, failures + 0.5, cases - failures + 0.5))

    return min(most, bisect_right(range(1, most + 1), 1 - LIKELY, key=probability_to_fail))


def choose_rule(
    probabilities: NDArray[np.floating[Any]], wanted: Bools, thresholds: Floats | None, common: Bools, limits: Limits
) -> DeferralRule:
    """The rule with which the cheap model answers the most of these sentences within the limits.

    It has the largest tolerance that keeps disagreements and the losses of each common label at `likely_failures`. A
    label that is not common is deferred, and at most the share `limits.max_lost` of its positives, rounded up, may be
    lost here, since a single loss proves nothing. A cut-off for each label would answer more of these sentences, but
    overfit them.

    Args:
        probabilities: (n, classes) of the cheap model, calibrated; exclusive codebooks: with "none" where allowed.
        wanted: (n, labels) the expensive model's label sets.
        thresholds: (labels,) of the expensive model; None for an exclusive codebook.
        common: (labels,) which labels have enough positives for `limits.max_lost`.
    """
    deferred = np.zeros(probabilities.shape[1], dtype=bool)
    deferred[: len(common)] = ~common
    rule = DeferralRule(NEVER, None if thresholds is None else tuple(thresholds.tolist()), tuple(deferred.tolist()))
    said = rule.assigned(probabilities)[:, : len(common)]
    # A row's harm: whether its label set differs, and each label that it loses.
    harm = np.column_stack([(said != wanted).any(axis=1), wanted & ~said]).astype(np.int64)
    most = [likely_failures(len(wanted), limits.max_disagreement, limits.confidence)]
    for positives, enough in zip(wanted.sum(axis=0).tolist(), common.tolist(), strict=True):
        if enough:
            most.append(likely_failures(positives, limits.max_lost, limits.confidence))
        else:
            most.append(math.ceil(positives * limits.max_lost))
    return replace(rule, tolerance=_largest_tolerance(rule.expected_errors(probabilities), harm, np.array(most)))


def certify(
    cheap: Bools, expensive: Bools, answered: Bools, names: Sequence[str], common: Bools, confidence: float
) -> Certificate:
    """Compare a cascade with its expensive model on sentences that the rule was not chosen on.

    Args:
        cheap, expensive: (n, labels) label sets of the two models.
        answered: (n,) where the cascade takes those of the cheap model.
        names: of the labels.
        common: (labels,) which of them have enough positives for a bound.
        confidence: of each bound by itself.
    """
    # Where the expensive model is asked, the two cannot differ; what remains are the cheap model's own answers.
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


def _largest_tolerance(error: Floats, harm: Counts, most: Counts) -> float:
    """The largest expected error such that all rows up to it together do at most `most` harm; else `NEVER`."""
    # A tolerance answers the sentences up to it, so all that can be answered together are beginnings of this order.
    order = np.argsort(error, kind="stable")
    ranked = error[order]
    # Rows of equal error are answered together or not at all.
    last_of_value = np.append(ranked[1:] != ranked[:-1], True) & np.isfinite(ranked)
    fits = (np.cumsum(harm[order], axis=0) <= most).all(axis=1)
    within = np.flatnonzero(fits & last_of_value)
    return float(ranked[within[-1]]) if len(within) else NEVER
