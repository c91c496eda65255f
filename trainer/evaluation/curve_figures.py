"""The figures of a learning curve from counts alone: means over repeats, intervals, the gain from more examples.

Every draw of the bootstrap takes test groups with replacement, the same ones at all sizes, and repeats with
replacement, whole curves at a time, so that sizes stay as correlated as they are. Inverse power laws,
score(n) = ceiling - scale * n ** -rate, are fitted to each draw, from a random size on: small data often score below
the law that larger data follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labels.agreement.coefficients import percentile_interval
from trainer.calibration.calibration import Bools, Floats
from trainer.evaluation.metrics import Counts, defined

RATES = np.geomspace(0.02, 1.5, 100)
"""Exponents that are tried; near 0 the law is a logarithm, above 1.5 practically a step."""


@dataclass(frozen=True)
class PowerLaws:
    """Laws fitted to several draws of the same points; each field (draws,), ceiling <= 1, scale >= 0, rate > 0."""

    ceiling: Floats
    scale: Floats
    rate: Floats

    def at(self, n: float) -> Floats:
        """(draws,) scores at n examples."""
        return np.asarray(self.ceiling - self.scale * float(n) ** -self.rate)


def fit_power_laws(sizes: Floats, scores: Floats, weights: Floats) -> PowerLaws:
    """The laws of least weighted squares.

    Args:
        sizes: (points,) numbers of examples, at least 1.
        scores: (draws, points) in [0, 1]; anything where the weight is 0.
        weights: (draws, points), 0 for a point that a draw lacks; each draw has a point.

    For a given rate the law is a straight line in n ** -rate, whose best ceiling and scale under their bounds are known
    in closed form; so only the rate is searched (variable projection, Golub and Pereyra 1973), and no start value is
    needed.
    """
    scores = np.where(weights > 0, scores, 0.0)
    lines = [_fit_line(sizes**-rate, scores, weights) for rate in RATES]
    ceiling, scale, missed = (np.array(values) for values in zip(*lines, strict=True))  # (rates, draws) each
    # Rounded, so that among laws that fit equally well (level ones) the lowest rate is taken on every machine.
    best = missed.round(12).argmin(axis=0)
    draw = np.arange(len(scores))
    return PowerLaws(ceiling[best, draw], scale[best, draw], RATES[best])


def _fit_line(x: Floats, scores: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """(draws,) ceiling <= 1 and scale >= 0 of least squares for scores = ceiling - scale * x, and those squares.

    The squares are convex, so that a bound which the free optimum crosses holds with equality; it never crosses both.
    """
    total = weights.sum(axis=1)
    middle = weights @ x / total
    mean = (weights * scores).sum(axis=1) / total
    away = x - middle[:, None]
    spread = (weights * away**2).sum(axis=1)
    slope = (weights * away * scores).sum(axis=1) / np.where(spread > 0, spread, 1)
    scale = np.maximum(-slope, 0)
    ceiling = mean + scale * middle
    bound_scale = (weights * x * (1 - scores)).sum(axis=1) / (weights @ x**2)
    scale, ceiling = np.where(ceiling > 1, bound_scale, scale), np.minimum(ceiling, 1)
    missed = (weights * (scores - ceiling[:, None] + scale[:, None] * x) ** 2).sum(axis=1)
    return ceiling, scale, missed


FEWEST_SIZES = 4
"""A law with three parameters fits any three points."""


@dataclass(frozen=True)
class CurveCounts:
    """True and false decisions of all fits of a curve on the same test examples, by test group.

    counts: (repeats, sizes, groups, labels) each. fitted: (repeats, sizes), whether there was a fit at all. labelled:
    (repeats, sizes) examples that each fit was given.
    """

    counts: Counts
    fitted: Bools
    labelled: Floats


@dataclass(frozen=True)
class CurveFigures:
    """Macro-F1 (draws, sizes) and F1 (draws, sizes, labels), means over the drawn repeats; nan where undefined.

    `laws` go through the points of each draw; None where fewer than `FEWEST_SIZES` sizes could be fitted.
    """

    macro_f1: Floats
    per_label: Floats
    laws: PowerLaws | None


@dataclass(frozen=True)
class Figure:
    """A figure and the bounds of its interval; None where undefined, or where there is no interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Outlook:
    """The expected effect of `more` examples beyond the `labelled` ones: macro-F1 now, and the gain.

    `ceiling`, `scale` and `rate` are those of its law, ceiling - scale * labelled ** -rate.
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
    """One model, fitted to `train` and calibrated on `validation` sentences; `problem` says why it could not be.

    counts: (test groups, labels), None where it could not be fitted. `uncalibrated` labels had too few validation
    positives to be calibrated.
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
        """Macro-F1 on test; None where undefined or not fitted."""
        return defined(self.counts.summed().macro_f1) if self.counts else None

    @property
    def per_label_f1(self) -> tuple[float | None, ...]:
        """F1 of each label on test; empty where it could not be fitted."""
        return tuple(map(defined, self.counts.summed().f1)) if self.counts else ()


@dataclass(frozen=True)
class CurvePoint:
    """One size: means over the repeats that could be fitted, of the sentences too, since groups differ in size.

    `labelled` is what people had to label for it: `train` and `validation` together.
    """

    labelled: int
    train: int
    validation: int
    macro_f1: Figure
    per_label_f1: Mapping[str, Figure]
    fits: tuple[CurveFit, ...]


@dataclass(frozen=True)
class LearningCurve:
    """Points in order of size, and the outlook; that is None if it cannot be estimated, for the given `reason`.

    `intervals_reason` says why there are no intervals, where there are none.
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


def measured_figures(curve: CurveCounts) -> CurveFigures:
    """The measured figures: one "draw" with every test group and repeat once, and the law through all points."""
    repeats, _, n_groups, _ = curve.counts.tp.shape
    return _figures(curve, np.ones((1, n_groups)), np.ones((1, repeats)), np.zeros(1, dtype=int))


def drawn_figures(curve: CurveCounts, *, draws: int, seed: int) -> CurveFigures:
    """The figures of bootstrap draws.

    One repeat fewer than there are is drawn, which gives the variance of a mean over few repeats without the bias of
    the plain bootstrap (Rao and Wu 1988).
    """
    generator = np.random.default_rng(seed)
    repeats, _, n_groups, _ = curve.counts.tp.shape
    weights = generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws)
    times = generator.multinomial(max(repeats - 1, 1), np.full(repeats, 1 / repeats), size=draws)
    # From 0 to the most sizes that can be left out: how far the smallest ones follow the law is uncertain, too.
    starts = generator.integers(0, max(int(curve.fitted.any(axis=0).sum()) - FEWEST_SIZES, 0) + 1, size=draws)
    return _figures(curve, weights.astype(float), times.astype(float), starts)


def figure(value: float, draws: Floats | None, confidence: float) -> Figure:
    """A measured value (nan: undefined) with the percentile interval of its defined draws, if there are any."""
    interval = None if draws is None else percentile_interval(draws, confidence)
    return Figure(defined(value), *(interval or ()))


def look_ahead(
    measured: CurveFigures, drawn: CurveFigures | None, *, labelled: int, more: int, confidence: float
) -> tuple[Outlook | None, str]:
    """The outlook for `more` examples beyond `labelled`; or None, and why it cannot be estimated."""
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
    """Figures where test groups count as `weights` (draws, groups) say, and repeats as `times` (draws, repeats).

    `starts` (draws,): how many of the smallest sizes the law leaves out.
    """
    drawn = curve.counts.changed(lambda each: np.asarray(np.einsum("dg,rsgl->drsl", weights, each, optimize=True)))
    macro_f1 = np.where(curve.fitted, drawn.macro_f1, np.nan)
    return CurveFigures(
        macro_f1=_mean_over_repeats(macro_f1, times[:, :, None]),
        per_label=_mean_over_repeats(np.where(curve.fitted[..., None], drawn.f1, np.nan), times[:, :, None, None]),
        laws=_laws(curve, macro_f1, times, starts),
    )


def _mean_over_repeats(values: Floats, times: Floats) -> Floats:
    """Mean over axis 1, each repeat as often as it was drawn; undefined values are left out."""
    counted = np.where(np.isnan(values), 0.0, times)
    total = counted.sum(axis=1)
    summed = (counted * np.nan_to_num(values)).sum(axis=1)
    return np.asarray(np.where(total > 0, summed / np.where(total > 0, total, 1), np.nan))


def _laws(curve: CurveCounts, macro_f1: Floats, times: Floats, starts: NDArray[np.int_]) -> PowerLaws | None:
    """A law for each draw with enough points; each point is weighted by the number of examples of its fit.

    Points with more examples vary less, and are nearer to the size that is asked about (Figueroa et al. 2012).
    """
    fitted = curve.fitted.any(axis=0)
    if fitted.sum() < FEWEST_SIZES:
        return None
    flat = (len(macro_f1), -1)
    begun = (np.cumsum(fitted) - 1)[None, :] >= starts[:, None]
    weights = times[:, :, None] * curve.labelled * begun[:, None, :]
    weights = np.where(np.isnan(macro_f1), 0.0, weights)
    usable = (weights > 0).any(axis=1).sum(axis=1) >= FEWEST_SIZES
    if not usable.any():
        return None
    weights = weights.reshape(flat)
    return fit_power_laws(curve.labelled.ravel(), macro_f1.reshape(flat)[usable], weights[usable])
