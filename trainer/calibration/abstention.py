"""Rules for when a model abstains and which sentences to read, with bounds on their errors, as saved in an artefact.

Three errors can be limited (see `trainer.calibration.risk` for what a share of documents means):

- "false-alarms": of the sentences with an assigned label, those that do not have it
- "misses": of the sentences with a label, those that are classified as not having it
- "answered": of the sentences that are decided, those that are decided wrongly
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from labels.errors import InputError
from trainer.calibration.calibration import Bools, Calibration, Floats, with_none
from trainer.calibration.certificate import upper_bound
from trainer.calibration.risk import STARTS, Cut, Risk, certified_cut, lowest_positives

ErrorKind = Literal["answered", "false-alarms", "misses"]


class LabelLimits(BaseModel):
    """The range in which the model abstains from one label, and what is known about its error outside this range.

    - `low`, `high`: sentences do not have the label below `low`, and have it from `high`; between, the model abstains
    - `units`, `errors`: numbers of documents with relevant sentences, and of those whose drawn sentence is wrong
    - `bound`: upper bound of the error
    - `abstained`: share of the sample for which the model abstains, weighted
    - `hindsight`: the same with the best cut-off on this sample, which has no guarantee
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float
    units: int
    errors: int
    bound: float
    abstained: float
    hindsight: float


class Abstention(BaseModel):
    """The section `abstention` of a manifest; `labels` has one entry, "", for an exclusive codebook."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error: ErrorKind
    max_error: float
    confidence: float
    joint: bool
    labels: dict[str, LabelLimits]

    def abstained(
        self, probabilities: NDArray[np.floating[Any]], names: Sequence[str], calibration: Calibration
    ) -> Bools:
        """Return (n, labels) booleans, true where the model abstains; of an exclusive codebook, whole rows."""
        if calibration.exclusive:
            certain = certainties(probabilities, calibration) >= np.float32(self.labels[""].high)
            return np.repeat(~certain[:, None], len(names), axis=1)
        found = np.zeros(probabilities.shape, dtype=bool)
        for i, name in enumerate(names):
            if own := self.labels.get(name):
                found[:, i] = (probabilities[:, i] >= own.low) & (probabilities[:, i] < own.high)
        return found


class Screen(BaseModel):
    """The threshold of one label from which sentences are worth reading.

    `units` and `missed` count documents with the label, and those whose drawn sentence is below the threshold; `bound`
    is the lower bound of the recall, and `read` the share of the corpus from the threshold on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float
    units: int
    missed: int
    bound: float
    read: float


class Screening(BaseModel):
    """The section `screening` of a manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recall: float
    confidence: float
    joint: bool
    labels: dict[str, Screen]

    def screened(self, probabilities: NDArray[np.floating[Any]], names: Sequence[str]) -> Bools:
        """Return (n, labels) booleans, true for sentences to read for a label."""
        found = np.zeros(probabilities.shape, dtype=bool)
        for i, name in enumerate(names):
            if own := self.labels.get(name):
                found[:, i] = probabilities[:, i] >= own.threshold
        return found


def certainties(probabilities: NDArray[np.floating[Any]], calibration: Calibration) -> NDArray[np.floating[Any]]:
    """Return the probability of the most probable class, for an exclusive codebook, of shape (n,)."""
    classes = with_none(np.asarray(probabilities, dtype=np.float64), calibration.none is not None)
    return np.asarray(classes.max(axis=1).astype(probabilities.dtype))


# -- the rules of a model


@dataclass(frozen=True)
class Evidence:
    """What rules are certified on: probabilities and gold of shape (n, labels), documents and weights of shape (n,)."""

    probabilities: Floats
    gold: Bools
    groups: NDArray[np.int_]
    weights: Floats
    names: tuple[str, ...]

    def share(self, rows: Bools) -> float:
        """Return the weighted share of some sentences, given as a mask of shape (n,)."""
        return float(self.weights[rows].sum() / self.weights.sum())


def certify_abstention(
    found: Evidence,
    calibration: Calibration,
    error: ErrorKind,
    risk: Risk,
    labels: Sequence[str],
    *,
    joint: bool,
) -> Abstention:
    """Choose for each label where the model abstains, so that its error is at most `risk.max_error`.

    Args:
        labels: the labels to limit; ignored for an exclusive codebook, where a sentence is answered or not.
        joint: make all bounds hold simultaneously, not only each on its own.

    Raises:
        InputError: an error cannot be certified on this sample; the message says how many documents are needed.
    """
    if calibration.exclusive:
        if error != "answered":
            raise InputError(
                f"--error {error}: the labels exclude each other, so only the error among answered sentences can be "
                "limited. Use --error answered."
            )
        return _exclusive_abstention(found, calibration, risk)
    each = risk.split(len(labels)) if joint else risk
    made: dict[str, LabelLimits] = {}
    problems: list[str] = []
    for label in labels:
        i = found.names.index(label)
        one = _limits(found, i, float(calibration.labels[i].threshold), error, each)
        if isinstance(one, str):
            problems.append(f"{label}: {one}")
        else:
            made[label] = one
    if problems:
        raise InputError(_refusal(problems, [one for one in labels if one in made]))
    return Abstention(error=error, max_error=risk.max_error, confidence=risk.confidence, joint=joint, labels=made)


def _limits(found: Evidence, i: int, threshold: float, error: ErrorKind, risk: Risk) -> LabelLimits | str:
    """The limits of one label, or why there are none."""
    p, gold = found.probabilities[:, i], found.gold[:, i]
    if error == "misses":
        cut, units = lowest_positives(p[gold], found.groups[gold], risk)
        if cut is None:
            return too_few(units, "documents with the label", risk)
        low, hindsight = min(cut.value, threshold), min(cut.hindsight, threshold)
        return _made(found, i, (low, threshold), (hindsight, threshold), cut, risk)
    if error == "false-alarms":
        kept = p >= threshold
        cut, whole = certified_cut(p[kept], ~gold[kept], found.groups[kept], risk)
        if cut is None:
            return uncertain(whole, "documents with the label assigned", risk)
        high = max(cut.value, threshold)
        return _made(found, i, (threshold, high), (threshold, max(cut.hindsight, threshold)), cut, risk)
    distance = np.abs(_odds(p) - _odds(threshold))
    cut, whole = certified_cut(distance, (p >= threshold) != gold, found.groups, risk)
    if cut is None:
        return uncertain(whole, "documents", risk)
    return _made(found, i, _around(threshold, cut.value), _around(threshold, cut.hindsight), cut, risk)


def _made(
    found: Evidence, i: int, limits: tuple[float, float], best: tuple[float, float], cut: Cut, risk: Risk
) -> LabelLimits:
    p = found.probabilities[:, i]
    return LabelLimits(
        low=limits[0],
        high=limits[1],
        units=cut.units,
        errors=cut.errors,
        bound=upper_bound(cut.errors, cut.units, risk.confidence),
        abstained=found.share((p >= limits[0]) & (p < limits[1])),
        hindsight=found.share((p >= best[0]) & (p < best[1])),
    )


def _exclusive_abstention(found: Evidence, calibration: Calibration, risk: Risk) -> Abstention:
    certain = certainties(found.probabilities, calibration).astype(np.float64)
    wrong = (calibration.decide(found.probabilities) != found.gold).any(axis=1)
    cut, whole = certified_cut(certain, wrong, found.groups, risk)
    if cut is None:
        raise InputError(_refusal([uncertain(whole, "documents", risk)], []))
    limits = LabelLimits(
        low=0.0,
        high=cut.value,
        units=cut.units,
        errors=cut.errors,
        bound=upper_bound(cut.errors, cut.units, risk.confidence),
        abstained=found.share(certain < cut.value),
        hindsight=found.share(certain < cut.hindsight),
    )
    return Abstention(
        error="answered", max_error=risk.max_error, confidence=risk.confidence, joint=False, labels={"": limits}
    )


def certify_screening(found: Evidence, risk: Risk, labels: Sequence[str], *, joint: bool) -> Screening:
    """Choose for each label a threshold from which at least 1 - `risk.max_error` of its sentences are found.

    Raises:
        InputError: there are too few documents with a label; the message says how many are needed.
    """
    each = risk.split(len(labels)) if joint else risk
    made: dict[str, Screen] = {}
    problems: list[str] = []
    for label in labels:
        i = found.names.index(label)
        p, gold = found.probabilities[:, i], found.gold[:, i]
        cut, units = lowest_positives(p[gold], found.groups[gold], each)
        if cut is None:
            problems.append(f"{label}: {too_few(units, 'documents with the label', each)}")
            continue
        bound = 1 - upper_bound(cut.errors, cut.units, each.confidence)
        read = found.share(p >= cut.value)
        made[label] = Screen(threshold=cut.value, units=units, missed=cut.errors, bound=bound, read=read)
    if problems:
        raise InputError(_refusal(problems, [one for one in labels if one in made]))
    return Screening(recall=1 - risk.max_error, confidence=risk.confidence, joint=joint, labels=made)


def too_few(units: int, what: str, risk: Risk) -> str:
    """Say how many documents are needed for a monotone error."""
    return (
        f"the sample has {units} {what}, but at least {risk.fewest} without an error are needed to guarantee an error "
        f"of at most {risk.max_error:.1%} with {risk.confidence:.2%} confidence"
    )


def uncertain(whole: tuple[int, int], what: str, risk: Risk) -> str:
    """Say why a non-monotone error cannot be certified at any cut-off."""
    fewest = risk.split(STARTS).fewest
    if whole[0] < fewest:
        return (
            f"the sample has {whole[0]} {what}, but at least {fewest} without an error are needed to guarantee an "
            f"error of at most {risk.max_error:.1%} with {risk.confidence:.2%} confidence, corrected for the cut-offs "
            "tried"
        )
    return (
        f"no cut-off guarantees an error of at most {risk.max_error:.1%} with {risk.confidence:.2%} confidence: "
        f"{whole[1]} of {whole[0]} {what} are wrong, and too many even among the most certain ones"
    )


def _refusal(problems: Sequence[str], possible: Sequence[str]) -> str:
    fix = "Label more documents or allow more errors"
    if possible:
        fix += f", or limit only the labels for which it is possible (--labels {','.join(possible)})"
    lines = "\n".join(f"  {one}" for one in problems)
    return f"the limit cannot be guaranteed with this sample:\n{lines}\n{fix}."


def _odds(p: Any) -> Any:
    from scipy.special import logit

    return logit(np.clip(p, 1e-6, 1 - 1e-6))


def _around(threshold: float, distance: float) -> tuple[float, float]:
    from scipy.special import expit

    if math.isinf(distance):
        return 0.0, math.inf
    middle = _odds(threshold)
    # Probabilities are float32: a sentence exactly at the distance must be answered.
    return float(expit(middle - distance)) * (1 + 1e-6), float(expit(middle + distance)) * (1 - 1e-6)
