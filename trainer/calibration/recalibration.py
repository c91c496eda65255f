"""Update the calibration of a finished model: to a labelled sample of the corpus, or to a known prevalence.

An update is a map of the probabilities that the model has given so far. Multi-label codebooks: a scale and a shift of
the log-odds of each label; exclusive codebooks: one scale, and a shift per class. Both keep the form of a calibration,
so an updated model is an ordinary model.

Source: Steyerberg, Borsboom, van Houwelingen, Eijkemans and Habbema (2004), "Validation and updating of predictive
logistic regression models: a study on sample size and shrinkage" (recalibration with a shrunken slope).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from labels.errors import InputError, counted
from trainer.calibration.calibration import (
    Bools,
    Calibration,
    Floats,
    LabelCalibration,
    fit_temperature,
    log_odds,
    with_none,
)
from trainer.calibration.objective import Objective

FEWEST = 10
"""A label with fewer positives, or negatives, in the sample cannot be calibrated."""
_SLOPE_SPREAD = 0.35
"""Standard deviation of the prior of the logarithm of the scale: a scale of 2 needs many positives."""
_START_POSITIVES = 20
_EPSILON = 1e-6


@dataclass(frozen=True)
class LabelledSample:
    """Probabilities that a model gives to n labelled sentences.

    Attributes:
        probabilities, gold: of shape (n, labels).
        weights, groups: the weight of each sentence (above 0), and the number of its document, each of shape (n,).
        names: of the labels.
        prevalence: known shares of labels in the corpus, each in (0, 1), which override those of the sample.
    """

    probabilities: Floats
    gold: Bools
    weights: Floats
    groups: NDArray[np.int_]
    names: tuple[str, ...]
    prevalence: Mapping[str, float] = field(default_factory=dict)

    def rows(self, kept: Bools) -> LabelledSample:
        """Return the sentences where `kept`, of shape (n,), is true."""
        parts = (self.probabilities[kept], self.gold[kept], self.weights[kept], self.groups[kept])
        return LabelledSample(*parts, self.names, self.prevalence)

    @property
    def shares(self) -> Floats:
        """The share of each label in the corpus, known or estimated, of shape (labels,)."""
        estimated = self.weights @ self.gold / self.weights.sum()
        return np.array([self.prevalence.get(name, own) for name, own in zip(self.names, estimated, strict=True)])

    def weights_for(self, i: int) -> Floats:
        """Return the weights with which label `i` has its known share, if it has one, of shape (n,)."""
        known, gold = self.prevalence.get(self.names[i]), self.gold[:, i]
        share = float(self.weights[gold].sum() / self.weights.sum())
        if known is None or not 0 < share < 1:
            return self.weights
        return np.asarray(self.weights * np.where(gold, known / share, (1 - known) / (1 - share)))


def refuse_small(sample: LabelledSample, chosen: Bools, *, exclusive: bool) -> None:
    """Refuse a sample with fewer than `FEWEST` positives or negatives of a chosen label.

    Args:
        chosen: the labels to calibrate, of shape (labels,); all of them for an exclusive codebook.

    Raises:
        InputError: the sample is too small; the message gives the size needed.
    """
    n, found = len(sample.gold), []
    for label, own, wanted in zip(sample.names, sample.gold.T, chosen, strict=True):
        least = int(min(own.sum(), n - own.sum()))
        if wanted and least < FEWEST and not exclusive:
            kind = "positive" if own.sum() <= n - own.sum() else "negative"
            # The share is uncertain: plan with one case more and one standard deviation above the number.
            needed = round(n * (FEWEST + FEWEST**0.5) / (least + 1), -1)
            found.append((label, f"'{label}' has {counted(least, kind)}", needed))
    if exclusive and n < 2 * FEWEST:
        raise InputError(
            f"the sample has {counted(n, 'labelled sentence')}, but at least {2 * FEWEST} are needed. Label more."
        )
    if not found:
        return
    several = ", ".join(text for _, text, _ in found)
    enough = [name for name, own in zip(sample.names, chosen, strict=True) if own and name not in {x[0] for x in found}]
    only = f", or calibrate only the other labels (--labels {','.join(enough)})" if enough else ""
    raise InputError(
        f"the sample of {counted(n, 'sentence')} is too small: {several}, and at least {FEWEST} are needed. At this "
        f"rate, about {max(needed for _, _, needed in found):,.0f} sentences are enough. Label more{only}."
    )


def recalibrate(before: Calibration, sample: LabelledSample, objective: Objective, chosen: Bools) -> Calibration:
    """Return the calibration that fits a labelled sample.

    Args:
        before: the calibration that gave the probabilities of the sample.
        chosen: the labels to update, of shape (labels,); an exclusive codebook updates all of them.

    Raises:
        InputError: no threshold reaches the wanted precision.
    """
    if before.exclusive:
        return _recalibrate_classes(before, sample)
    labels = []
    for i, own in enumerate(before.labels):
        column, gold = sample.probabilities[:, i], sample.gold[:, i]
        if not chosen[i] or gold.all() or not gold.any():
            labels.append(own)
            continue
        weights = sample.weights_for(i)
        scale, shift = _fit_update(log_odds(column), gold, weights)
        fitted = _updated(own, scale, shift)
        threshold = objective.threshold(moved(column, scale, shift), gold, weights, sample.names[i])
        n, positives = _start_counts(len(gold), float(sample.shares[i]))
        labels.append(replace(fitted, threshold=threshold, n=n, positives=positives, reason=""))
    return replace(before, labels=tuple(labels))


def moved(probabilities: Floats, scale: float, shift: float) -> Floats:
    """Return probabilities whose log-odds are scaled and shifted."""
    from scipy.special import expit

    return np.asarray(expit(scale * log_odds(probabilities) + shift))


def _fit_update(logits: Floats, gold: Bools, weights: Floats) -> tuple[float, float]:
    """Return the scale and the shift that minimise the weighted log loss, the scale shrunk towards 1.

    Weights count as many sentences as the sample is worth (Kish), so that shrinkage does not depend on their unit.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    own = weights * weights.sum() / (weights**2).sum()

    def loss(parameters: Floats) -> tuple[float, Floats]:
        scale = np.exp(parameters[0])
        z = scale * logits + parameters[1]
        errors = own * (expit(z) - gold)
        value = own @ (np.logaddexp(0, z) - gold * z) + 0.5 * (parameters[0] / _SLOPE_SPREAD) ** 2
        slopes = (scale * (errors @ logits) + parameters[0] / _SLOPE_SPREAD**2, errors.sum())
        return float(value), np.array(slopes)

    best = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-2, 2), (-20, 20)])
    return float(np.exp(best.x[0])), float(best.x[1])


def _updated(label: LabelCalibration, scale: float, shift: float) -> LabelCalibration:
    """Return the calibration of a label, followed by an update of its log-odds."""
    if label.method == "isotonic":
        return replace(label, y=tuple(map(float, moved(np.array(label.y), scale, shift))))
    if label.method == "temperature":
        return replace(label, a=label.a * scale, b=label.b * scale + shift)
    return replace(label, method="platt", a=label.a * scale, b=label.b * scale + shift)


def _recalibrate_classes(before: Calibration, sample: LabelledSample) -> Calibration:
    classes = _classes_of(before)
    logits = np.log(np.clip(with_none(sample.probabilities, before.none is not None), _EPSILON, 1))
    target = np.where(sample.gold.any(axis=1), sample.gold.argmax(axis=1), sample.gold.shape[1])
    counts = np.bincount(target, minlength=len(classes))
    shares = np.bincount(target, sample.weights, minlength=len(classes)) / sample.weights.sum()
    weights = sample.weights
    if sample.prevalence:
        known = class_shares(sample.prevalence, sample.names, allow_none=before.none is not None)
        weights, shares = weights * (known / np.maximum(shares, _EPSILON))[target], known
    own_weights = weights * weights.sum() / (weights**2).sum()
    scale, shifts = fit_temperature(logits, target, own_weights, counts >= FEWEST)
    n = max(len(target), int(np.ceil(1 / shares[shares > 0].min())))
    return _with_classes(
        before,
        [
            replace(
                _updated(replace(own, method="temperature"), scale, float(shift)),
                n=n,
                positives=round(n * float(share)),
                reason="" if count >= FEWEST else f"{counted(int(count), 'positive')}, fewer than {FEWEST}: no shift",
            )
            for own, shift, share, count in zip(classes, shifts, shares, counts, strict=True)
        ],
    )


def _classes_of(calibration: Calibration) -> list[LabelCalibration]:
    return [*calibration.labels, *([calibration.none] if calibration.none else [])]


def _with_classes(before: Calibration, classes: list[LabelCalibration]) -> Calibration:
    n = len(before.labels)
    return replace(before, labels=tuple(classes[:n]), none=classes[n] if before.none else None)


# -- a prevalence without labels


def shift_to_prevalence(
    before: Calibration,
    prevalence: Mapping[str, float],
    names: tuple[str, ...],
    objective: Objective,
    corpus: Floats | None = None,
) -> Calibration:
    """Return the calibration for a corpus in which labels have other shares (label shift).

    The log-odds move by the difference between the log-odds of the shares in the corpus and in the calibration data.
    Thresholds follow from the probabilities in the corpus. Without a corpus, thresholds for F1 stay the same
    probabilities, because nothing is known about the best ones.

    Args:
        prevalence: share of each label to change, in (0, 1); for an exclusive codebook, of all labels.
        corpus: probabilities that the model gave to the sentences of the corpus so far, of shape (n, labels).

    Raises:
        InputError: the model was not calibrated, so its own shares are unknown, or the objective needs labels.

    Source: Saerens, Latinne and Decaestecker (2002), equation 2.4.
    """
    if corpus is None and objective.aim in ("precision", "recall"):
        raise InputError(
            f"--objective {objective} needs sentences. Give a labelled sample (a file or --store) or a corpus (--prior "
            "PATH), or choose f1 or cost."
        )
    if before.exclusive:
        return _shift_classes(before, prevalence, names)
    labels = []
    for i, (name, own) in enumerate(zip(names, before.labels, strict=True)):
        if name not in prevalence:
            labels.append(own)
            continue
        _refuse_unknown_start(name, own)
        start, wanted = own.positives / own.n, prevalence[name]
        shift = float(log_odds(np.array(wanted)) - log_odds(np.array(start)))
        n, positives = _start_counts(own.n, wanted)
        threshold = own.threshold
        if corpus is not None or objective.aim == "cost":
            found = np.zeros(0) if corpus is None else moved(corpus[:, i], 1.0, shift)
            threshold = objective.threshold(found, None, np.ones(len(found)), name)
        fitted = _updated(own, 1.0, shift)
        labels.append(replace(fitted, n=n, positives=positives, threshold=threshold, reason=_shifted_reason(wanted)))
    return replace(before, labels=tuple(labels))


def _shift_classes(before: Calibration, prevalence: Mapping[str, float], names: tuple[str, ...]) -> Calibration:
    classes = _classes_of(before)
    for name, own in zip((*names, "none"), classes, strict=False):
        _refuse_unknown_start(name, own)
    shares = class_shares(prevalence, names, allow_none=before.none is not None)
    starts = np.array([own.positives / own.n for own in classes])
    n = max(classes[0].n, int(np.ceil(1 / shares.min())))
    made = [
        replace(
            _updated(replace(own, method="temperature"), 1.0, float(np.log(share / start))),
            n=n,
            positives=round(n * float(share)),
            reason=_shifted_reason(float(share)),
        )
        for own, share, start in zip(classes, shares, starts, strict=True)
    ]
    return _with_classes(before, made)


def class_shares(prevalence: Mapping[str, float], names: tuple[str, ...], *, allow_none: bool) -> Floats:
    """Return the share of each class of an exclusive codebook, "none" last, of shape (classes,).

    Raises:
        InputError: a label has no share.
    """
    missing = [name for name in names if name not in prevalence]
    if missing:
        raise InputError(
            f"--prior: the labels exclude each other, so the share of each is needed, but '{missing[0]}' has none. "
            "Write LABEL=SHARE for all labels."
        )
    shares = [prevalence[name] for name in names]
    whole = [*shares, max(1 - sum(shares), 0.0)] if allow_none else shares
    return np.array([min(max(share, _EPSILON), 1.0) for share in whole])


def _refuse_unknown_start(name: str, own: LabelCalibration) -> None:
    # The members of a cascade are calibrated; its own calibration has the method "none", without a reason.
    if (own.method == "none" and own.reason) or not 0 < own.positives < own.n:
        raise InputError(
            f"--prior: the probabilities of '{name}' are not calibrated ({own.reason or 'no positives'}), so the share "
            "they assume is unknown. Calibrate the model on a labelled sample instead."
        )


def _shifted_reason(share: float) -> str:
    return f"shifted to a prevalence of {share:.3g}"


def _start_counts(n: int, share: float) -> tuple[int, int]:
    """Return rows and positives whose ratio is the share to which probabilities are calibrated, precise to 2.5%."""
    rows = (
        n if n * min(share, 1 - share) >= _START_POSITIVES else int(np.ceil(_START_POSITIVES / min(share, 1 - share)))
    )
    return rows, round(rows * share)


# -- how well it works on other sentences


def crossfitted(
    before: Calibration, sample: LabelledSample, objective: Objective, chosen: Bools, *, seed: int, folds: int = 5
) -> tuple[Floats, Bools]:
    """Return the probabilities and label sets of each sentence by a calibration fitted without its document.

    Both have the shape (n, labels). A fold without positives in the rest keeps the calibration from before.
    """
    documents = np.unique(sample.groups)
    order = np.random.default_rng(seed).permutation(len(documents))
    part = np.empty(int(documents.max()) + 1, dtype=int)
    part[documents[order]] = np.arange(len(documents)) % folds
    fold = part[sample.groups]
    probabilities, assigned = sample.probabilities.copy(), before.decide(sample.probabilities)
    for number in range(min(folds, len(documents))):
        left = fold == number
        kept = sample.rows(~left)
        if not len(kept.gold):
            continue
        try:
            fitted = recalibrate(identity_of(before), kept, objective, chosen)
        except InputError:  # a part of the sample may not reach the wanted precision; the whole does
            continue
        probabilities[left] = fitted.apply(sample.probabilities[left])
        assigned[left] = fitted.decide(probabilities[left])
    return probabilities, assigned


def identity_of(calibration: Calibration) -> Calibration:
    """Return a calibration with the same thresholds that leaves probabilities as they are."""
    plain = [replace(own, method="none", a=1.0, b=0.0, x=(), y=()) for own in _classes_of(calibration)]
    return _with_classes(calibration, plain)
