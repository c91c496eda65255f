"""Choose the rules by which cheaper models answer instead of an expensive one, and bound the resulting differences.

The functions compute rules and bounds from probabilities and label sets. `choose_rules` chooses a rule for each cheaper
model on one set of sentences, and `certify` certifies all of them together on another set. `classifiers.cascade`
provides the models.
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
"""A tolerance so low that every sentence is deferred."""
LIKELY = 0.9
"""Approximate probability that a chosen rule can be certified, given enough sentences."""
SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""The shares of the disagreements and losses that are left, which a rule before the last one may use."""


@dataclass(frozen=True)
class Limits:
    """Limits, in (0, 1), for the share of differing sentences and for the share of lost positives per label.

    A limit holds if the upper bound of the share, at `confidence`, does not exceed the limit.
    """

    max_disagreement: float
    max_lost: float
    confidence: float

    @property
    def fewest_sentences(self) -> int:
        """The minimum number of sentences with which `max_disagreement` can be certified."""
        return fewest_cases(self.max_disagreement, self.confidence)

    @property
    def fewest_positives(self) -> int:
        """The minimum number of positives of a label with which `max_lost` can be certified."""
        return fewest_cases(self.max_lost, self.confidence)


@dataclass(frozen=True)
class DeferralRule:
    """The cheap model is sure if its expected number of wrong classes is at most `tolerance`.

    According to the calibrated probability p of a class, an assigned class is wrong with probability 1 - p, and any
    other class is wrong with probability p. The sum over all classes is an upper bound of the probability that the
    label set is wrong.

    Attributes:
        tolerance: `NEVER` if the cheap model answers nothing.
        thresholds: (labels,) probabilities from which a label is assigned. None for an exclusive codebook: the classes
            are the labels, then "none" if allowed, and the most probable class is assigned.
        deferred: (classes,) true for classes that the cheap model must not assign: sentences of these classes are
            deferred to the expensive model.
    """

    tolerance: float
    thresholds: tuple[float, ...] | None
    deferred: tuple[bool, ...]

    def assigned(self, probabilities: NDArray[np.floating[Any]]) -> Bools:
        """Return (n, classes) booleans, true for classes that the cheap model assigns with these probabilities."""
        if self.thresholds is not None:
            return np.asarray(probabilities >= np.array(self.thresholds))
        return np.asarray(probabilities.argmax(axis=1)[:, None] == np.arange(probabilities.shape[1]))

    def expected_errors(self, probabilities: NDArray[np.floating[Any]]) -> Floats:
        """Return the (n,) expected numbers of wrong classes; infinite for rows with an assigned deferred class."""
        said, scores = self.assigned(probabilities), np.asarray(probabilities, dtype=np.float64)
        errors = np.where(said, 1 - scores, scores).sum(axis=1)
        return np.asarray(np.where((said & np.array(self.deferred)).any(axis=1), np.inf, errors))

    def sure(self, probabilities: NDArray[np.floating[Any]]) -> Bools:
        """Return an array (n,) that is true for rows where the cheap model is sure."""
        return np.asarray(self.expected_errors(probabilities) <= self.tolerance)


@pydantic_dataclass(frozen=True)
class LabelCertificate:
    """The number of a label's `positives`, according to the expensive model, that the cascade lost, and a bound.

    `upper_bound` is the upper bound of the lost share; None if there are too few positives. Only the expensive model
    assigns such a label, but the cheap model may decide that the label is absent.
    """

    name: str
    positives: int
    lost: int
    upper_bound: float | None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def share(self) -> float:
        """Lost divided by positives; 0 if there are no positives."""
        return self.lost / self.positives if self.positives else 0.0


@pydantic_dataclass(frozen=True)
class Certificate:
    """Comparison of the label sets of a cascade and of its expensive model on `cases` sentences.

    Each bound is one-sided and holds at `confidence` individually, not jointly. The bounds assume sentences that are
    drawn in the same way and are independent; sentences from the same document are not fully independent.

    `answered` counts the sentences that any cheaper model answers. With several cheaper models, `answered_by` has the
    number of each, cheapest first; it is empty if there is one.
    """

    cases: int
    answered: int
    disagreements: int
    upper_bound: float
    confidence: float
    labels: tuple[LabelCertificate, ...]
    answered_by: tuple[int, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def share(self) -> float:
        """Disagreements divided by cases; 0 if there are no cases."""
        return self.disagreements / self.cases if self.cases else 0.0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def answered_share(self) -> float:
        """The share of sentences that a cheaper model answers; 0 if there are no cases."""
        return self.answered / self.cases if self.cases else 0.0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def rare(self) -> LabelCertificate | None:
        """A joint certificate for the labels without an individual bound; None if these labels have no positives.

        No limit applies: the bound shows how reliable the cheap model is when it decides that such labels are absent.
        """
        rare = [label for label in self.labels if label.upper_bound is None]
        positives, lost = sum(label.positives for label in rare), sum(label.lost for label in rare)
        if not positives:
            return None
        return LabelCertificate("rare labels", positives, lost, upper_bound(lost, positives, self.confidence))


def upper_bound(failures: int, cases: int, confidence: float) -> float:
    """Return the exact one-sided upper bound, in [0, 1], of a share with `failures` in `cases`; 1 if `cases` is 0.

    With a higher true share, the probability of at most `failures` failures would be below 1 - confidence.

    Source: Clopper and Pearson (1934), "The Use of Confidence or Fiducial Limits Illustrated in the Case of the
    Binomial".
    """
    from scipy.stats import beta

    if not 0 <= failures <= cases or not 0 < confidence < 1:
        raise ValueError(f"{failures} failures of {cases} cases at confidence {confidence}: cannot compute a bound")
    return 1.0 if failures == cases else float(beta.ppf(confidence, failures + 1, cases - failures))


def fewest_cases(share: float, confidence: float) -> int:
    """Return the fewest cases at which 0 failures have an upper bound of `share`, e.g. 299 for 0.01 at 0.95."""
    # With 0 failures the bound is 1 - (1 - confidence) ** (1 / cases): solve for the cases, then correct upwards.
    cases = max(1, math.floor(math.log1p(-confidence) / math.log1p(-share)))
    while upper_bound(0, cases, confidence) > share:
        cases += 1
    return cases


def most_failures(cases: int, share: float, confidence: float) -> int:
    """Return the largest number of failures with an upper bound of at most `share`; -1 if even 0 are too many."""
    from scipy.stats import binom

    # The bound is at most `share` if at most this number of failures has probability <= 1 - confidence under `share`.
    failures = min(int(binom.ppf(1 - confidence, cases, share)), cases)
    while failures >= 0 and upper_bound(failures, cases, confidence) > share:
        failures -= 1
    return failures


def likely_failures(cases: int, share: float, confidence: float) -> int:
    """Return the largest number of failures after which as many new cases likely have at most `most_failures`.

    "Likely" means with probability `LIKELY`, from a beta-binomial with Jeffreys' prior. Returns 0 if no number is
    likely enough, and -1 if `most_failures` is -1. Allowing `most_failures` itself would be too many: a rule with
    that number of failures would fail about half of the time when certified on new sentences.
    """
    from scipy.stats import betabinom

    most = most_failures(cases, share, confidence)

    def probability_to_fail(failures: int) -> float:
        return float(betabinom.sf(most, cases, failures + 0.5, cases - failures + 0.5))

    return min(most, bisect_right(range(1, most + 1), 1 - LIKELY, key=probability_to_fail))


def choose_rules(
    probabilities: Sequence[NDArray[np.floating[Any]]],
    wanted: Bools,
    thresholds: Floats | None,
    common: Bools,
    limits: Limits,
) -> list[DeferralRule]:
    """Choose the rules with which the cheaper models together leave the fewest sentences to the expensive model.

    A model reads only the sentences that the cheaper ones before it have left. The disagreements of all rules together,
    and the losses of each common label, are at most `likely_failures`. A label that is not common is deferred. At most
    the share `limits.max_lost` of its positives, rounded up, may be lost on the given sentences, because a single loss
    proves nothing. A cut-off per label would answer more of these sentences but would overfit.

    Each rule has the largest tolerance within its share of what the rules before it have left of these limits. The
    last rule may use everything that is left; the others try each of `SHARES`.

    Args:
        probabilities: for each cheaper model, cheapest first, (n, classes) calibrated probabilities; for an exclusive
            codebook including "none" if allowed.
        wanted: (n, labels) label sets from the expensive model.
        thresholds: (labels,) thresholds of the expensive model; None for an exclusive codebook.
        common: (labels,) true for labels with enough positives for `limits.max_lost`.
    """
    deferred = np.zeros(probabilities[0].shape[1], dtype=bool)
    deferred[: len(common)] = ~common
    rule = DeferralRule(NEVER, None if thresholds is None else tuple(thresholds.tolist()), tuple(deferred.tolist()))
    most = [likely_failures(len(wanted), limits.max_disagreement, limits.confidence)]
    for positives, enough in zip(wanted.sum(axis=0).tolist(), common.tolist(), strict=True):
        if enough:
            most.append(likely_failures(positives, limits.max_lost, limits.confidence))
        else:
            most.append(math.ceil(positives * limits.max_lost))
    stages = [(rule.expected_errors(each), _harm(rule.assigned(each), wanted)) for each in probabilities]
    tolerances, _ = _best_tolerances(stages, np.arange(len(wanted)), np.array(most))
    return [replace(rule, tolerance=tolerance) for tolerance in tolerances]


def _harm(assigned: Bools, wanted: Bools) -> Counts:
    """Return (n, 1 + labels) counts: whether the label set of a row differs, and which labels are lost."""
    said = assigned[:, : wanted.shape[1]]
    return np.column_stack([(said != wanted).any(axis=1), wanted & ~said]).astype(np.int64)


def _best_tolerances(
    stages: Sequence[tuple[Floats, Counts]], rows: Counts, most: Counts
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return the tolerance of each stage, and the number of `rows` that it answers.

    The best combination answers the most rows. Of several that answer equally many, the earlier stages answer more.
    """
    error, harm = stages[0][0][rows], stages[0][1][rows]
    found = []
    for share in SHARES if len(stages) > 1 else (1.0,):
        tolerance = _largest_tolerance(error, harm, np.where(most < 0, most, np.floor(most * share)).astype(np.int64))
        sure = error <= tolerance
        later: tuple[tuple[float, ...], tuple[int, ...]] = ((), ())
        if len(stages) > 1:
            later = _best_tolerances(stages[1:], rows[~sure], most - harm[sure].sum(axis=0))
        found.append(((tolerance, *later[0]), (int(sure.sum()), *later[1])))
    return max(found, key=lambda each: (sum(each[1]), each[1]))


def certify(
    cheap: Bools, expensive: Bools, answered: Bools, names: Sequence[str], common: Bools, confidence: float
) -> Certificate:
    """Compare a cascade with its expensive model on sentences that were not used to choose the rule.

    Args:
        cheap, expensive: label sets of the cheaper model that answers each row, and of the expensive model, each of
            shape (n, labels).
        answered: (n,) true for rows answered by a cheaper model.
        names: label names.
        common: (labels,) true for labels with enough positives for a bound.
        confidence: confidence of each individual bound.
    """
    # Only rows answered by a cheaper model can differ.
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
    """Return the largest expected error up to which all rows together do at most `most` harm; `NEVER` if none."""
    # A tolerance answers all rows with at most this error, so only prefixes of this order are possible.
    order = np.argsort(error, kind="stable")
    ranked = error[order]
    # Rows with equal errors are answered together or not at all.
    last_of_value = np.append(ranked[1:] != ranked[:-1], True) & np.isfinite(ranked)
    fits = (np.cumsum(harm[order], axis=0) <= most).all(axis=1)
    within = np.flatnonzero(fits & last_of_value)
    return float(ranked[within[-1]]) if len(within) else NEVER
