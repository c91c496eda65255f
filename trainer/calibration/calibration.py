"""Calibrate raw probabilities and decide label sets. Calibrations are fitted on validation and stored as numbers.

Multi-label codebooks: Platt scaling (or isotonic regression) and a threshold per label. Exclusive codebooks: one
temperature, and a bias per class; the decision is the argmax.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.codebook.schema import Codebook
from labels.errors import counted

# Array types that several modules use; the docstrings give the shapes.
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Probabilities = NDArray[np.float32]
"""Probabilities returned by models, in [0, 1]."""

DEFAULT_THRESHOLD = 0.5
ISOTONIC_MIN_ROWS, ISOTONIC_MIN_POSITIVES = 1000, 100
_EPSILON = 1e-6
_NOT_ISOTONIC = "isotonic calibration is for multi-label codebooks; temperature and biases were used instead"


@dataclass(frozen=True)
class LabelCalibration:
    """The fitted map of one label from raw to calibrated probabilities.

    `method` is "platt" (slope `a` and intercept `b` on the logit), "isotonic" (interpolation through `x`, `y`, the
    middles of the steps), "temperature" (exclusive: `a` is 1 / temperature, `b` is the bias of the class), or "none".
    `n` and `positives` count the validation rows. `reason` explains why the method is "none" or simpler than requested.
    """

    method: str
    n: int
    positives: int
    threshold: float = DEFAULT_THRESHOLD
    a: float = 1.0
    b: float = 0.0
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Calibration:
    """The calibration of all labels in codebook order, and of "none" if an exclusive codebook allows it."""

    exclusive: bool
    labels: tuple[LabelCalibration, ...]
    none: LabelCalibration | None = None

    @property
    def thresholds(self) -> Floats:
        """The (labels,) probabilities from which labels are assigned; not used for exclusive codebooks."""
        return np.array([label.threshold for label in self.labels])

    def apply(self, raw: NDArray[np.floating[Any]]) -> Floats:
        """Return (n, labels) calibrated probabilities for (n, labels) raw probabilities, both in [0, 1]."""
        scores = np.asarray(raw, dtype=np.float64)
        if self.exclusive:
            return _apply_exclusive(scores, self.labels, self.none)
        return np.column_stack([_apply_label(scores[:, i], label) for i, label in enumerate(self.labels)])

    def decide(self, probabilities: NDArray[np.floating[Any]]) -> Bools:
        """Return (n, labels) booleans, true for assigned labels, for (n, labels) calibrated probabilities.

        In a multi-label codebook, labels at or above their threshold are assigned. In an exclusive codebook, the most
        probable class is assigned, where P(none) = 1 - row sum if the codebook allows "none".
        """
        if not self.exclusive:
            return np.asarray(probabilities >= self.thresholds)
        classes = with_none(np.asarray(probabilities, dtype=np.float64), self.none is not None)
        chosen = classes.argmax(axis=1)
        return np.asarray(chosen[:, None] == np.arange(probabilities.shape[1]))


def uncalibrated(n_labels: int, reason: str, *, exclusive: bool, allow_none: bool) -> Calibration:
    """Make a calibration that leaves probabilities unchanged, with all thresholds at 0.5."""
    label = LabelCalibration("none", 0, 0, reason=reason)
    return Calibration(exclusive, (label,) * n_labels, label if exclusive and allow_none else None)


def not_calibrated(codebook: Codebook) -> Calibration:
    """Make the calibration for kinds of model that do not need one: probabilities stay unchanged."""
    return uncalibrated(
        len(codebook.labels),
        "this kind of model is not calibrated",
        exclusive=codebook.exclusive,
        allow_none=codebook.allow_none,
    )


def fit_calibration(
    raw: NDArray[np.floating[Any]], gold: Bools, codebook: Codebook, *, method: str, min_positives: int
) -> Calibration:
    """Call `fit_exclusive` or `fit_multilabel`, depending on the codebook."""
    if codebook.exclusive:
        return fit_exclusive(raw, gold, allow_none=codebook.allow_none, method=method, min_positives=min_positives)
    return fit_multilabel(raw, gold, method=method, min_positives=min_positives)


def fit_multilabel(raw: NDArray[np.floating[Any]], gold: Bools, *, method: str, min_positives: int) -> Calibration:
    """Fit the calibration and the threshold of each label separately.

    Args:
        raw: (n, labels) raw probabilities of the validation rows.
        gold: (n, labels).
        method: "platt", "isotonic" (falls back to Platt below 1,000 rows or 100 positives) or "none" (thresholds only).
        min_positives: a label with fewer positives stays uncalibrated, with threshold 0.5.

    Source: Platt (1999), with smoothed targets; for thresholds see `stable_threshold`.
    """
    scores = np.asarray(raw, dtype=np.float64)
    return Calibration(
        False, tuple(_fit_label(scores[:, i], gold[:, i], method, min_positives) for i in range(scores.shape[1]))
    )


def fit_exclusive(
    raw: NDArray[np.floating[Any]], gold: Bools, *, allow_none: bool, method: str, min_positives: int
) -> Calibration:
    """Fit one temperature, and a bias per class, by minimising log loss.

    Arguments and return value are as for `fit_multilabel`; classes with fewer than `min_positives` rows keep bias 0.
    Source: Guo et al. (2017), plus biases, which correct for class weights in training.
    """
    logits = np.log(np.clip(with_none(np.asarray(raw, dtype=np.float64), allow_none), _EPSILON, 1))
    target = np.where(gold.any(axis=1), gold.argmax(axis=1), gold.shape[1])
    counts = np.bincount(target, minlength=logits.shape[1])
    n = len(target)
    if method == "none" or n < min_positives:
        reason = "switched off" if method == "none" else f"{n} validation rows, fewer than {min_positives}"
        return uncalibrated(gold.shape[1], reason, exclusive=True, allow_none=allow_none)
    instead = _NOT_ISOTONIC if method == "isotonic" else ""
    scale, biases = fit_temperature(logits, target, np.ones(n), counts >= min_positives)
    classes = tuple(
        LabelCalibration(
            "temperature",
            n,
            int(count),
            a=scale,
            b=float(bias),
            reason=instead
            if count >= min_positives
            else f"{counted(count, 'positive')}, fewer than {min_positives}: no bias",
        )
        for count, bias in zip(counts, biases, strict=True)
    )
    return Calibration(True, classes[: gold.shape[1]], classes[gold.shape[1]] if allow_none else None)


def fit_temperature(logits: Floats, target: NDArray[np.int64], weights: Floats, free: Bools) -> tuple[float, Floats]:
    """Return the scale of the logits (the inverse of the temperature) and a bias per class; 0 if it is not `free`.

    Args:
        logits: logarithms of the probabilities of the classes, of shape (n, classes).
        target: number of the class of each row, of shape (n,).
        weights: of the rows, of shape (n,).
        free: the classes that get a bias, of shape (classes,).
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    rows, n_classes = logits.shape
    n = float(weights.sum())

    def loss(parameters: Floats) -> tuple[float, Floats]:
        """Return the loss and its gradient; a numerical gradient would need one evaluation per class."""
        scale, biases = np.exp(parameters[0]), np.where(free, parameters[1:], 0)
        scaled = logits * scale + biases
        log_shares = scaled - logsumexp(scaled, axis=1, keepdims=True)
        # Without a penalty, the temperature would tend to 0 if all rows are classified correctly.
        penalty = 0.5 * (parameters[0] ** 2 + (biases**2).sum())
        value = (penalty - weights @ log_shares[np.arange(rows), target]) / n
        errors = np.exp(log_shares)
        errors[np.arange(rows), target] -= 1
        errors *= weights[:, None]
        slopes = np.where(free, errors.sum(axis=0) + biases, 0)
        return float(value), np.append((errors * logits).sum() * scale + parameters[0], slopes) / n

    start, bounds = np.zeros(1 + n_classes), [(-3, 3)] + [(-5, 5)] * n_classes
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return float(np.exp(best.x[0])), np.where(free, best.x[1:], 0.0)


def stable_threshold(probabilities: Floats, gold: Bools, weights: Floats | None = None) -> float:
    """Return the most plausible threshold in (0, 1) among those whose F1 is close to the highest F1 on these rows.

    If a label is well separated, F1 hardly changes over a wide range of thresholds, and chance decides which threshold
    is best. A threshold of 0.05, for example, would assign the label to every slightly similar sentence in other texts.
    Therefore, all thresholds qualify whose F1 is within one standard error of the highest F1. The error is binomial, on
    the positives, with one success and one failure added so that it is never 0. Among these thresholds, the nearest to
    half of the highest F1 is chosen, which is the best threshold for calibrated probabilities.

    Args:
        weights: what each row stands for, of shape (n,); None for equal weights.

    Source: Lipton, Elkan and Naryanaswamy (2014), "Optimal Thresholding of Classifiers to Maximize F1 Measure".
    """
    own = np.ones(len(gold)) if weights is None else weights
    cuts, hits, assigned = cut_counts(probabilities, gold, own)
    if not len(cuts):
        return DEFAULT_THRESHOLD
    f1 = 2 * hits / (assigned + own[gold].sum())
    highest = float(f1.max())
    error = _standard_error(highest, int(gold.sum()))
    ideal = float(np.clip(highest / 2, _EPSILON, 1 - _EPSILON))
    # Add 1e-12, because equal F1s may differ in their last digit.
    if _f1_at(ideal, probabilities, gold, own) >= highest - error - 1e-12:
        return ideal
    near = cuts[f1 >= highest - error - 1e-12]
    return float(near[np.abs(near - ideal).argmin()])


def _standard_error(share: float, n: int) -> float:
    """Return the binomial standard error of a share of `n` cases, after adding one success and one failure."""
    moved = (share * n + 1) / (n + 2)
    return math.sqrt(moved * (1 - moved) / (n + 2))


def cut_counts(probabilities: Floats, gold: Bools | Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Return possible thresholds in (0, 1), and the weights of the true positives and of all rows from each on.

    The thresholds are halfway between adjacent distinct probabilities, in descending order. Expected labels in [0, 1]
    may take the place of gold.
    """
    order = np.argsort(-probabilities, kind="stable")
    ranked, own = probabilities[order], weights[order]
    # A threshold cannot separate rows with equal probabilities, so cut only after the last of such rows.
    last_of_value = np.append(ranked[1:] != ranked[:-1], True)
    hits, assigned = np.cumsum(own * gold[order])[last_of_value], np.cumsum(own)[last_of_value]
    values = ranked[last_of_value]
    cuts = (values + np.append(values[1:], 0.0)) / 2
    usable = values > _EPSILON
    return np.clip(cuts[usable], _EPSILON, 1 - _EPSILON), hits[usable], assigned[usable]


def _f1_at(threshold: float, probabilities: Floats, gold: Bools, weights: Floats) -> float:
    assigned = probabilities >= threshold
    total = weights[assigned].sum() + weights[gold].sum()
    return float(2 * weights[assigned & gold].sum() / total) if total > 0 else 0.0


def with_none(scores: Floats, allow_none: bool) -> Floats:
    """Return (n, classes) probabilities for an exclusive codebook: the labels, then 1 - row sum if it allows "none"."""
    if not allow_none:
        return scores
    return np.column_stack([scores, np.clip(1 - scores.sum(axis=1), 0, 1)])


def _fit_label(scores: Floats, gold: Bools, method: str, min_positives: int) -> LabelCalibration:
    n, positives = len(gold), int(gold.sum())
    if positives < min_positives or positives == n:
        few = f"{positives} validation positives, fewer than {min_positives}"
        return LabelCalibration("none", n, positives, reason=few if positives < min_positives else "no negatives")
    # The threshold is tuned on calibrated probabilities, because it is applied to calibrated probabilities.
    fitted = _fit_map(scores, gold, method, n, positives)
    threshold = stable_threshold(_apply_label(scores, fitted), gold)
    return replace(fitted, threshold=threshold)


def _fit_map(scores: Floats, gold: Bools, method: str, n: int, positives: int) -> LabelCalibration:
    if method == "none":
        return LabelCalibration("none", n, positives, reason="switched off")
    if method == "isotonic" and n >= ISOTONIC_MIN_ROWS and positives >= ISOTONIC_MIN_POSITIVES:
        from sklearn.isotonic import IsotonicRegression

        steps = IsotonicRegression(y_min=0, y_max=1).fit_transform(scores, gold)
        x, y = _middles(scores, np.asarray(steps, dtype=np.float64))
        return LabelCalibration("isotonic", n, positives, x=x, y=y)
    a, b = _fit_platt(log_odds(scores), gold)
    needs = f"isotonic calibration needs {ISOTONIC_MIN_ROWS} rows with {ISOTONIC_MIN_POSITIVES} positives"
    too_few = f"{needs}; Platt scaling was used instead"
    return LabelCalibration("platt", n, positives, a=a, b=b, reason=too_few if method == "isotonic" else "")


def _middles(scores: Floats, steps: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean score and the height of each step in an isotonic fit.

    Interpolation between edges of steps would be so steep where edges nearly touch that rounding errors would decide.
    """
    heights, step_of = np.unique(steps, return_inverse=True)
    middles = np.bincount(step_of, weights=scores) / np.bincount(step_of)
    return tuple(map(float, middles)), tuple(map(float, heights))


def _fit_platt(logits: Floats, gold: Bools) -> tuple[float, float]:
    from scipy.optimize import minimize

    positives, negatives = gold.sum(), (~gold).sum()
    # Targets are not exactly 0 and 1: otherwise a few separable rows would make the slope infinite.
    target = np.where(gold, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(parameters: Floats) -> float:
        z = parameters[0] * logits + parameters[1]
        return float((np.logaddexp(0, z) - target * z).mean())

    # The slope stays positive: calibration must never reverse a ranking.
    best = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(1e-3, 50), (-50, 50)])
    return float(best.x[0]), float(best.x[1])


def _apply_label(scores: Floats, label: LabelCalibration) -> Floats:
    if label.method == "platt":
        from scipy.special import expit

        return np.asarray(expit(label.a * log_odds(scores) + label.b))
    if label.method == "isotonic":
        return np.asarray(np.interp(scores, label.x, label.y))
    return scores


def _apply_exclusive(scores: Floats, labels: tuple[LabelCalibration, ...], none: LabelCalibration | None) -> Floats:
    from scipy.special import softmax

    classes = (*labels, none) if none is not None else labels
    if classes[0].method == "none":
        return scores
    logits = np.log(np.clip(with_none(scores, none is not None), _EPSILON, 1))
    scaled = logits * classes[0].a + np.array([label.b for label in classes])
    return np.asarray(softmax(scaled, axis=1)[:, : len(labels)])


def log_odds(scores: Floats) -> Floats:
    """Return the log-odds, clipped so that they are finite for 0 and 1."""
    from scipy.special import logit

    return np.asarray(logit(np.clip(scores, _EPSILON, 1 - _EPSILON)))
