"""Inverse power laws through learning curves: score(n) = ceiling - scale * n ** -rate.

Source: Figueroa et al. (2012), "Predicting sample size required for classification performance"; that this is the form
which extrapolates best of the common ones: Viering and Loog (2021), "The Shape of Learning Curves: a Review".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.arrays import Floats

RATES = np.geomspace(0.02, 1.5, 100)
"""Exponents that are tried; near 0 the law is a logarithm, above 1.5 it is as good as a step."""


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
    in closed form; so the rate alone is searched (variable projection, Golub and Pereyra 1973), and no start value can
    lead astray.
    """
    scores = np.where(weights > 0, scores, 0.0)
    best = PowerLaws(*(np.zeros(len(scores)) for _ in range(3)))
    least = np.full(len(scores), np.inf)
    for rate in RATES:
        ceiling, scale = _fit_line(sizes**-rate, scores, weights)
        missed = (weights * (scores - ceiling[:, None] + scale[:, None] * sizes**-rate) ** 2).sum(axis=1)
        better = missed < least - 1e-12
        least = np.where(better, missed, least)
        best = PowerLaws(
            np.where(better, ceiling, best.ceiling),
            np.where(better, scale, best.scale),
            np.where(better, rate, best.rate),
        )
    return best


def _fit_line(x: Floats, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """(draws,) ceiling <= 1 and scale >= 0 of least squares for scores = ceiling - scale * x.

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
    return np.minimum(ceiling, 1), np.where(ceiling > 1, bound_scale, scale)
