"""The figures of a learning curve, from counts alone: means over repeats, intervals, and the gain from more examples.

Each bootstrap draw resamples test groups, and resamples repeats as whole curves: all sizes use the same drawn groups
and repeats, which keeps the correlation between sizes. An inverse power law, score(n) = ceiling - scale * n ** -rate,
is fitted to each draw. The fit starts at a randomly chosen size, because small data often score below the law that
larger data follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labels.agreement.coefficients import percentile_interval
from labels.text.labelled.label_values import LabelValue
from trainer.calibration.calibration import Bools, Floats
from trainer.evaluation.metrics import Counts, defined

RATES = np.geomspace(0.02, 1.5, 100)
"""Exponents to try: near 0 the law is close to a logarithm, above 1.5 to a step."""


@dataclass(frozen=True)
class PowerLaws:
    """Laws fitted to several draws of the same points.

    Each field has the shape (draws,), with ceiling <= 1, scale >= 0 and rate > 0.
    """

    ceiling: Floats
    scale: Floats
    rate: Floats

    def at(self, n: float) -> Floats:
        """Return the scores at n examples, of shape (draws,)."""
        return np.asarray(self.ceiling - self.scale * float(n) ** -self.rate)


def fit_power_laws(sizes: Floats, scores: Floats, weights: Floats) -> PowerLaws:
    """Fit one law per draw by weighted least squares.

    Args:
        sizes: numbers of examples, at least 1, of shape (points,).
        scores: scores in [0, 1], of shape (draws, points); a score with weight 0 is ignored and may have any value.
        weights: weights of shape (draws, points), 0 for a point that is missing from a draw. Every draw has at least
            one point.

    For a given rate, the law is a straight line in n ** -rate, whose best ceiling and scale within their bounds have a
    closed form. Therefore only the rate is searched (variable projection, Golub and Pereyra 1973), and no start value
    is needed.
    """
    scores = np.where(weights > 0, scores, 0.0)
    lines = [_fit_line(sizes**-rate, scores, weights) for rate in RATES]
    ceiling, scale, missed = (np.array(values) for values in zip(*lines, strict=True))  # (rates, draws) each
    # Rounded: several rates may fit equally well (e.g. level curves), and every machine must choose the lowest of them.
    best = missed.round(12).argmin(axis=0)
    draw = np.arange(len(scores))
    return PowerLaws(ceiling[best, draw], scale[best, draw], RATES[best])


def _fit_line(x: Floats, scores: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Fit scores = ceiling - scale * x by least squares, with ceiling <= 1 and scale >= 0.

    Returns the ceilings, the scales and the sums of squared errors, each of shape (draws,).
    """
    # The sum of squares is convex. If the unbounded optimum violates a bound, the bounded optimum lies on this bound.
    # It never violates both bounds: scores are at most 1, so a ceiling above 1 implies a positive scale.
    total = weights.sum(axis=1)
    middle = weights @ x / total
    mean = (weights * scores).sum(axis=1) / total
    away = x - middle[:, None]
    spread = (weights * away**2).sum(axis=1)
    slope = (weights * away * scores).sum(axis=1) / np.where(spread > 0, spread, 1)
    scale = np.maximum(-slope, 0)
    ceiling = mean + scale * middle
    bound_scale = (weights * x * (1 - scores)).sum(axis=1) / (weights @ x**2)  # the best scale if the ceiling is 1
    scale, ceiling = np.where(ceiling > 1, bound_scale, scale), np.minimum(ceiling, 1)
    missed = (weights * (scores - ceiling[:, None] + scale[:, None] * x) ** 2).sum(axis=1)
    return ceiling, scale, missed


FEWEST_SIZES = 4
"""Minimum number of sizes for a law: with its three parameters, a law fits any three points."""


@dataclass(frozen=True)
class CurveCounts:
    """Counts of correct and wrong decisions, by test group, of all fits of a curve on the same test examples.

    Attributes:
        counts: tp, fp and fn, each of shape (repeats, sizes, groups, labels).
        fitted: whether the model could be fitted, of shape (repeats, sizes).
        labelled: number of train and validation examples of each fit, of shape (repeats, sizes).
    """

    counts: Counts
    fitted: Bools
    labelled: Floats


@dataclass(frozen=True)
class CurveFigures:
    """Means over the drawn repeats; nan if undefined.

    Attributes:
        macro_f1: shape (draws, sizes).
        per_label: F1 per label, of shape (draws, sizes, labels).
        laws: one law per draw; None if fewer than `FEWEST_SIZES` sizes could be fitted.
    """

    macro_f1: Floats
    per_label: Floats
    laws: PowerLaws | None


@dataclass(frozen=True)
class Figure:
    """A figure (None if undefined) and the bounds of its interval (None if there is no interval)."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Outlook:
    """The expected gain in macro-F1 from `more` examples in addition to the `labelled` examples.

    `macro_f1` is the value of the law at `labelled`. The law is ceiling - scale * n ** -rate for n examples.
    """

    labelled: int
    more: int
    macro_f1: float
    gain: Figure
    ceiling: float
    scale: float
    rate: float


@dataclass(frozen=True)
class CurveFit:
    """One model of a curve, fitted to `train` sentences and calibrated on `validation` sentences.

    Attributes:
        counts: counts on test, each of shape (test groups, labels); None if the model could not be fitted.
        uncalibrated: number of labels with too few validation positives for calibration.
        seconds: time for fitting and calibration.
        problem: reason for which the model could not be fitted; empty if it was fitted.
    """

    repeat: int
    train: int
    validation: int
    counts: Counts | None = None
    uncalibrated: int = 0
    seconds: float = 0.0
    problem: str = ""

    @property
    def macro_f1(self) -> float | None:
        """Macro-F1 on test; None if undefined or if the model could not be fitted."""
        return defined(self.counts.summed().macro_f1) if self.counts else None

    @property
    def per_label_f1(self) -> tuple[float | None, ...]:
        """F1 per label on test; empty if the model could not be fitted."""
        return tuple(map(defined, self.counts.summed().f1)) if self.counts else ()


@dataclass(frozen=True)
class CurvePoint:
    """One size of a curve: means over the repeats that could be fitted.

    `train` and `validation` are also means, because subsets consist of whole groups, which differ in size. `labelled`
    is their sum: the number of sentences that people had to label.
    """

    labelled: int
    train: int
    validation: int
    macro_f1: Figure
    per_label_f1: Mapping[str, Figure]
    fits: tuple[CurveFit, ...]


@dataclass(frozen=True)
class LearningCurve:
    """A complete learning curve, with its points in order of size.

    Attributes:
        outlook: expected gain from more examples; None if it cannot be estimated.
        reason: reason for which there is no outlook; empty if there is one.
        intervals_reason: reason for which there are no intervals; empty if there are intervals.
        label_values: values in the label cells that differ from the names of their labels.
    """

    experiment: str
    kind: str
    seed: int
    data: str
    synthetic: bool
    split_hash: str
    labels: tuple[str, ...]
    n_test: int
    n_groups: int
    confidence: float
    points: tuple[CurvePoint, ...]
    outlook: Outlook | None
    reason: str
    intervals_reason: str
    notes: tuple[str, ...]
    label_values: tuple[LabelValue, ...] = ()


def measured_figures(curve: CurveCounts) -> CurveFigures:
    """Return the measured figures: one "draw" that contains each test group and repeat once, with a law through all
    points.
    """
    repeats, _, n_groups, _ = curve.counts.tp.shape
    return _figures(curve, np.ones((1, n_groups)), np.ones((1, repeats)), np.zeros(1, dtype=int))


def drawn_figures(curve: CurveCounts, *, draws: int, seed: int) -> CurveFigures:
    """Return the figures of bootstrap draws.

    A draw has one repeat fewer than the curve: this gives the variance of a mean over few repeats without the bias of
    the plain bootstrap (Rao and Wu 1988).
    """
    generator = np.random.default_rng(seed)
    repeats, _, n_groups, _ = curve.counts.tp.shape
    weights = generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws)
    times = generator.multinomial(max(repeats - 1, 1), np.full(repeats, 1 / repeats), size=draws)
    # Each draw omits a random number of the smallest sizes: it is uncertain from which size on scores follow the law.
    starts = generator.integers(0, max(int(curve.fitted.any(axis=0).sum()) - FEWEST_SIZES, 0) + 1, size=draws)
    return _figures(curve, weights.astype(float), times.astype(float), starts)


def figure(value: float, draws: Floats | None, confidence: float) -> Figure:
    """Return a measured value (nan if undefined) with the percentile interval of its draws, without undefined draws."""
    interval = None if draws is None else percentile_interval(draws, confidence)
    return Figure(defined(value), *(interval or ()))


def look_ahead(
    measured: CurveFigures, drawn: CurveFigures | None, *, labelled: int, more: int, confidence: float
) -> tuple[Outlook | None, str]:
    """Return the outlook for `more` examples in addition to `labelled`, or None and the reason for having none."""
    law = measured.laws
    if law is None:
        return None, f"fewer than {FEWEST_SIZES} sizes could be fitted"
    if law.scale[0] <= 0:
        return None, "macro-F1 does not rise with the number of labelled sentences"
    gain = (law.at(labelled + more) - law.at(labelled))[0]
    gains = None if drawn is None or drawn.laws is None else drawn.laws.at(labelled + more) - drawn.laws.at(labelled)
    ceiling, scale, rate = (float(values[0]) for values in (law.ceiling, law.scale, law.rate))
    now = float(law.at(labelled)[0])
    return Outlook(labelled, more, now, figure(gain, gains, confidence), ceiling, scale, rate), ""


def _figures(curve: CurveCounts, weights: Floats, times: Floats, starts: NDArray[np.int_]) -> CurveFigures:
    """Compute the figures of several draws at once.

    Args:
        weights: how often each draw contains each test group, of shape (draws, groups).
        times: how often each draw contains each repeat, of shape (draws, repeats).
        starts: number of the smallest sizes that the law omits, of shape (draws,).
    """
    # Counts are summed over the drawn groups first, because a mean of F1s per group would be biased.
    drawn = curve.counts.changed(lambda each: np.asarray(np.einsum("dg,rsgl->drsl", weights, each, optimize=True)))
    macro_f1 = np.where(curve.fitted, drawn.macro_f1, np.nan)
    return CurveFigures(
        macro_f1=_mean_over_repeats(macro_f1, times[:, :, None]),
        per_label=_mean_over_repeats(np.where(curve.fitted[..., None], drawn.f1, np.nan), times[:, :, None, None]),
        laws=_laws(curve, macro_f1, times, starts),
    )


def _mean_over_repeats(values: Floats, times: Floats) -> Floats:
    """Mean over axis 1, weighted by how often each repeat was drawn; undefined values are ignored."""
    counted = np.where(np.isnan(values), 0.0, times)
    total = counted.sum(axis=1)
    summed = (counted * np.nan_to_num(values)).sum(axis=1)
    return np.asarray(np.where(total > 0, summed / np.where(total > 0, total, 1), np.nan))


def _laws(curve: CurveCounts, macro_f1: Floats, times: Floats, starts: NDArray[np.int_]) -> PowerLaws | None:
    """Fit a law to each draw that has enough sizes; a point's weight is the number of examples of its fit.

    Points with more examples vary less, and are closer to the size of the forecast (Figueroa et al. 2012).
    """
    fitted = curve.fitted.any(axis=0)
    if fitted.sum() < FEWEST_SIZES:
        return None
    flat = (len(macro_f1), -1)
    # Position of each size among the sizes that could be fitted, so that `starts` never counts a size without a fit.
    begun = (np.cumsum(fitted) - 1)[None, :] >= starts[:, None]
    weights = times[:, :, None] * curve.labelled * begun[:, None, :]
    weights = np.where(np.isnan(macro_f1), 0.0, weights)
    # A draw may contain only repeats that failed at some sizes: such a draw has too few sizes for a law.
    usable = (weights > 0).any(axis=1).sum(axis=1) >= FEWEST_SIZES
    if not usable.any():
        return None
    weights = weights.reshape(flat)
    return fit_power_laws(curve.labelled.ravel(), macro_f1.reshape(flat)[usable], weights[usable])
