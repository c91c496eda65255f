"""How far a cheap model may stand in for an expensive one: where it is sure enough, and what that is certain to cost.

Pure: probabilities and label sets in, a rule and bounds out. The rule is chosen on one set of sentences (`choose_rule`)
and certified on another that had no part in it (`certify`); the models are `classifiers.cascade`'s.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, computed_field
from pydantic.dataclasses import dataclass as pydantic_dataclass

from trainer.arrays import Bools, Floats

Counts = NDArray[np.int64]

NEVER = -1.0
"""The tolerance that no sentence keeps."""
LIKELY = 0.9
"""A rule is chosen so that certifying it succeeds with about this chance, where there are sentences enough."""


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
class DeferralRule:
    """Where the cheap model is sure: where it is to be expected to get at most `tolerance` labels wrong.

    A class is wrong with the probability that it is absent, where the cheap model assigns it, and else with the
    probability that it is there; by the cheap model's own calibration. Their sum bounds the chance that the label set
    is wrong.

    Attributes:
        tolerance: `NEVER` where the cheap model answers nothing.
        thresholds: (labels,) from where on a label is assigned. None for an exclusive codebook: there the classes are
            the labels, then "none" where it is allowed, and the most probable one is assigned.
        deferred: (classes,) which ones the cheap model must not assign: it answers no sentence to which it would.
    """

    tolerance: float
    thresholds: tuple[float, ...] | None
    deferred: tuple[bool, ...]

    def assigned(self, probabilities: NDArray[np.floating[Any]]) -> Bools:
        """(n, classes): what the cheap model says, from its calibrated probabilities (n, classes)."""
        if self.thresholds is not None:
            return np.asarray(probabilities >= np.array(self.thresholds))
        return np.asarray(probabilities.argmax(axis=1)[:, None] == np.arange(probabilities.shape[1]))

    def expected_errors(self, probabilities: NDArray[np.floating[Any]]) -> Floats:
        """(n,): how many classes of each row are to be expected to be wrong; infinite where a deferred one is said."""
        said, scores = self.assigned(probabilities), np.asarray(probabilities, dtype=np.float64)
        errors = np.where(said, 1 - scores, scores).sum(axis=1)
        return np.asarray(np.where((said & np.array(self.deferred)).any(axis=1), np.inf, errors))

    def sure(self, probabilities: NDArray[np.floating[Any]]) -> Bools:
        """(n,): whether the cheap model is sure."""
        return np.asarray(self.expected_errors(probabilities) <= self.tolerance)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        content: dict[str, Any] = TypeAdapter(DeferralRule).dump_python(self, mode="json")
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> DeferralRule:
        """The rule that `to_dict` described."""
        return TypeAdapter(DeferralRule).validate_python(content)


@pydantic_dataclass(frozen=True)
class LabelCertificate:
    """Of the expensive model's `positives` of a label, how many the cascade lost, and the upper bound of their share.

    `upper_bound` is None where the positives are too few for one. Only the expensive model assigns such a label, but
    the cheap one may say that it is absent.
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

    Each bound is one-sided and holds at `confidence` by itself, not all of them together. The bounds speak of sentences
    drawn as these were, one independently of the other: sentences of one document are less than that.
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
        """The labels without a bound of their own, as one, with its bound; None where these have no positives.

        Nothing was promised of it: together they say how far one may rely on the cheap model's calling them absent.
        """
        rare = [label for label in self.labels if label.upper_bound is None]
        positives, lost = sum(label.positives for label in rare), sum(label.lost for label in rare)
        if not positives:
            return None
        return LabelCertificate("rare labels", positives, lost, upper_bound(lost, positives, self.confidence))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the shares."""
        content: dict[str, Any] = TypeAdapter(Certificate).dump_python(self, mode="json")
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Certificate:
        """The certificate that `to_dict` described."""
        return TypeAdapter(Certificate).validate_python(content)


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
    enough, and -1 where `most_failures` is. As many as are allowed would be too many: a rule that uses up what is
    allowed fails every second time where it is counted again.
    """
    from scipy.stats import betabinom

    most = most_failures(cases, share, confidence)

    def chance_to_fail(failures: int) -> float:
        return float(betabinom.sf(most, cases, failures + 0.5, cases - failures + 0.5))

    return min(most, bisect_right(range(1, most + 1), 1 - LIKELY, key=chance_to_fail))


def choose_rule(
    probabilities: NDArray[np.floating[Any]],
    wanted: Bools,
    thresholds: Floats | None,
    common: Bools,
    limits: Limits,
) -> DeferralRule:
    """The rule with which the cheap model answers the most of these sentences within the limits.

    The largest tolerance is taken that keeps disagreements and each common label's losses at `likely_failures`. Of the
    positives of a label that is not common, which is deferred besides, at most the share `limits.max_lost` may be lost
    here, rounded up: a single one proves nothing. Cut-offs of their own for each label would answer more here and fail
    elsewhere: they fit themselves to these sentences.

    Args:
        probabilities: (n, classes) of the cheap model, calibrated; exclusive codebooks: with "none" where allowed.
        wanted: (n, labels) the expensive model's label sets.
        thresholds: (labels,) of the expensive model; None for an exclusive codebook.
        common: (labels,) which labels have positives enough for `limits.max_lost`.
    """
    deferred = np.zeros(probabilities.shape[1], dtype=bool)
    deferred[: len(common)] = ~common
    rule = DeferralRule(NEVER, None if thresholds is None else tuple(thresholds.tolist()), tuple(deferred.tolist()))
    said = rule.assigned(probabilities)[:, : len(common)]
    harm = np.column_stack([(said != wanted).any(axis=1), wanted & ~said]).astype(np.int64)
    most = np.array(
        [
            likely_failures(len(wanted), limits.max_disagreement, limits.confidence),
            *_losses_allowed(wanted, common, limits),
        ]
    )
    return replace(rule, tolerance=_largest_tolerance(rule.expected_errors(probabilities), harm, most))


def certify(
    cheap: Bools, expensive: Bools, answered: Bools, names: Sequence[str], common: Bools, confidence: float
) -> Certificate:
    """Compare a cascade with its expensive model on sentences that had no part in choosing the rule.

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


def _losses_allowed(wanted: Bools, common: Bools, limits: Limits) -> Iterator[int]:
    """How many positives of each label may be lost where the rule is chosen."""
    for positives, enough in zip(wanted.sum(axis=0).tolist(), common.tolist(), strict=True):
        if enough:
            yield likely_failures(positives, limits.max_lost, limits.confidence)
        else:
            yield math.ceil(positives * limits.max_lost)


def _largest_tolerance(error: Floats, harm: Counts, most: Counts) -> float:
    """The largest error of a row such that all rows with no larger one do at most so much harm; else `NEVER`."""
    order = np.argsort(error, kind="stable")
    ranked = error[order]
    last_of_value = np.append(ranked[1:] != ranked[:-1], True) & np.isfinite(ranked)
    fits = (np.cumsum(harm[order], axis=0) <= most).all(axis=1)
    within = np.flatnonzero(fits & last_of_value)
    return float(ranked[within[-1]]) if len(within) else NEVER
