"""Evidence that quantities of served sentences have drifted from a model's reference: a sequential test by betting.

**Windows.** Sentences of one document resemble each other, so the test bets on whole documents: a window is a sequence
of documents with a total weight of at least `WINDOW` sentences. A bet on a quantity with values in [0, 1] multiplies
its capital by 1 + b (S - n u), where n is the weight of the window, S the weighted sum of the quantity, and u a bound
of its mean in the reference. If documents are like the documents of the reference, no bet gains on average, however
strong the correlation within a document (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables
by betting", Journal of the Royal Statistical Society B 86). Large and small stakes are averaged.

**Reference.** Its means are estimates, so the test bets against the bounds of an interval: with a probability of 99%,
all intervals contain the true means (`trainer.model.profile.Quantity.interval`).

**Time.** A bet begins with the first window, and another one every `RESTART` windows, because a drift may begin late
(the weighted starts of Shin, Ramdas and Rinaldo 2024, "E-detectors: a nonparametric framework for sequential change
detection", New England Journal of Statistics in Data Science 2). The first bet gets half of the capital; the later
bets share the other half over `HORIZON` windows.

**Alarm.** All capitals together are 1. By Ville's inequality, they grow to 1 / `ALPHA` within the horizon with a
probability of at most 4% if nothing has drifted. Together with the intervals, a watch raises a false alarm with a
probability of at most 5% in 10,000 windows, although it looks at all quantities after each window.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trainer.calibration.calibration import Floats
from trainer.model.profile import DOCUMENT_WEIGHT, Family, Profile

WINDOW = 20
"""Minimum weight of a window in sentences."""
HORIZON, RESTART = 10_000, 20
REFERENCE_ALPHA, ALPHA = 0.01, 0.04
"""Probabilities that an interval of the reference misses its mean, and that the bets alarm without drift."""

_LARGEST = WINDOW - 1 + DOCUMENT_WEIGHT
_STAKES = np.array([0.95, 0.5, 0.25, 0.12, 0.06])
"""Bets as shares of the largest bet whose capital cannot become negative."""
_SHARES: dict[Family, float] = {"label": 1 / 2, "certainty": 1 / 6, "unknown words": 1 / 6, "length": 1 / 6}
_RECENT = 50
"""Number of windows over which recent means are averaged, with exponentially decreasing weights."""


@dataclass
class Evidence:
    """The state of a watch: plain numbers, from which neither texts nor words can be recovered.

    - `capitals`: (quantities, 2, stakes) logarithms of the capitals of bets on a rise and on a fall
    - `recent`: (quantities,) exponentially weighted means; `recent_weight` is the sum of their weights
    - `alarmed`: the names of the quantities that have drifted; empty without an alarm
    """

    capitals: NDArray[np.float64]
    recent: NDArray[np.float64]
    recent_weight: float = 0.0
    windows: int = 0
    sentences: int = 0
    alarmed: list[str] = field(default_factory=list)
    alarmed_at: str = ""

    @classmethod
    def start(cls, quantities: int) -> Self:
        """The state before the first window."""
        return cls(np.full((quantities, 2, len(_STAKES)), -np.inf), np.zeros(quantities))

    def to_json(self) -> dict[str, Any]:
        """Plain values that `from_json` reads; capitals are finite after the first window."""
        return vars(self) | {"capitals": self.capitals.tolist(), "recent": self.recent.tolist()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Read the values of `to_json`."""
        return cls(
            **content | {"capitals": np.array(content["capitals"]), "recent": np.array(content["recent"], dtype=float)}
        )


class Bets:
    """The bets of a profile: intervals, stakes and initial capitals of its quantities."""

    def __init__(self, profile: Profile) -> None:
        self.names = tuple(f"{quantity.family}: {quantity.name}" for quantity in profile.quantities)
        sizes = Counter(quantity.family for quantity in profile.quantities)
        shares = np.array([_SHARES[quantity.family] / sizes[quantity.family] for quantity in profile.quantities])
        self._shares = shares / shares.sum() / 2  # of each of the two directions
        bounds = [
            quantity.interval(REFERENCE_ALPHA * share)
            for quantity, share in zip(profile.quantities, self._shares, strict=True)
        ]
        self.intervals = np.array(bounds)
        lower, upper = self.intervals.T
        # No bet on what is impossible: a rise above 1 or a fall below 0.
        rise = np.where(upper < 1, 1 / np.maximum(upper, 1e-9), 0) / _LARGEST
        fall = np.where(lower > 0, 1 / np.maximum(1 - lower, 1e-9), 0) / _LARGEST
        self._stakes = np.stack([rise, -fall], axis=1)[:, :, None] * _STAKES
        self._bounds = np.stack([upper, lower], axis=1)

    def settle(self, state: Evidence, weights: Floats, sums: Floats, sentences: int) -> None:
        """Settle the bets on w windows, one after another, and note the quantities that drift.

        Args:
            weights: (w,) total weights of the documents, from `WINDOW` to `WINDOW` - 1 + `DOCUMENT_WEIGHT`.
            sums: (w, quantities) weighted sums of the values.
            sentences: total number of sentences.
        """
        state.sentences += sentences
        while len(weights):
            size = RESTART - state.windows % RESTART
            self._settle(state, weights[:size], sums[:size])
            weights, sums = weights[size:], sums[size:]

    def _settle(self, state: Evidence, weights: Floats, sums: Floats) -> None:
        """Settle windows up to the next start of bets."""
        if state.windows % RESTART == 0:
            share = 0.5 * RESTART / HORIZON if state.windows else 0.5
            state.capitals = np.logaddexp(state.capitals, np.log(share / len(_STAKES)))
        gains = sums[:, :, None] - weights[:, None, None] * self._bounds
        path = state.capitals + np.log1p(self._stakes * gains[..., None]).cumsum(axis=0)
        evidence = self._evidence(path)
        self._note(state, evidence)
        state.capitals = path[-1]
        state.windows += len(weights)
        self._remember(state, weights, sums)

    def _note(self, state: Evidence, evidence: Floats) -> None:
        """Note the quantities that drift, from their (w, quantities) evidence: a drift may be over when somebody looks.

        These are the quantities with a tenth of the required capital when the alarm is raised, and any quantity that
        would raise it alone.
        """
        drifted = np.asarray((evidence >= THRESHOLD).any(axis=0))
        reached = np.flatnonzero(_total(evidence) >= THRESHOLD)
        if len(reached) and not state.alarmed:
            drifted = drifted | (evidence[reached[0]] >= THRESHOLD - 1)
        new = [name for name, drifts in zip(self.names, drifted, strict=True) if drifts and name not in state.alarmed]
        state.alarmed = [*state.alarmed, *new]

    @staticmethod
    def _remember(state: Evidence, weights: Floats, sums: Floats) -> None:
        kept = (1 - 1 / _RECENT) ** np.arange(len(weights) - 1, -1, -1)
        before = state.recent_weight * kept[0] * (1 - 1 / _RECENT)
        total = before + float(kept @ weights)
        state.recent = (before * state.recent + kept @ sums) / total
        state.recent_weight = total

    def evidence(self, state: Evidence) -> tuple[Floats, float]:
        """The decimal logarithms of the capital of each quantity, of shape (quantities,), and of the total capital.

        The alarm is raised when the total reaches `THRESHOLD`.
        """
        found = self._evidence(state.capitals)
        return found, float(_total(found))

    def _evidence(self, capitals: Floats) -> Floats:
        with_shares = capitals + np.log(self._shares)[:, None, None]
        return np.asarray(np.logaddexp.reduce(with_shares, axis=(-2, -1)) / np.log(10))


def _total(evidence: Floats) -> Floats:
    return np.asarray(np.logaddexp.reduce(evidence * np.log(10), axis=-1) / np.log(10))


THRESHOLD = float(np.log10(1 / ALPHA))
"""The decimal logarithm of the total capital that raises the alarm."""
