"""Evidence that quantities of served sentences have drifted from a model's reference: a sequential test by betting.

**Windows.** Sentences of one document resemble each other, so the test bets on whole documents: a window is a sequence
of documents with a total weight of at least `WINDOW` sentences. A bet on a quantity with values in [0, 1] multiplies
its capital by 1 + b (S - n u), where n is the weight of the window, S the weighted sum of the quantity, and u a bound
of its mean in the reference. If documents are like the documents of the reference, no bet gains on average, however
strong the correlation within a document (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables
by betting", Journal of the Royal Statistical Society B 86). Large and small stakes are averaged.

**Reference.** Its means are estimates, and the true mean may be any number. Against a mean, the reference itself is
evidence: the likelihood ratio of smaller means and this mean, for a bet on a rise. The evidence of a drift is the
smallest product, over all means, of the evidence of the reference and the capital of a bet against this mean
(universal inference: Wasserman, Ramdas and Balakrishnan 2020, Proceedings of the National Academy of Sciences 117).

**Time.** A bet begins with the first window, and another one every `RESTART` windows, because a drift may begin late
(the weighted starts of Shin, Ramdas and Rinaldo 2024, "E-detectors: a nonparametric framework for sequential change
detection", New England Journal of Statistics in Data Science 2). The first bet gets half of the capital; the later
bets share the other half over `HORIZON` windows.

**Alarm.** All capitals together are 1. By Ville's inequality, the evidence grows to 1 / `ALPHA` within the horizon with
a probability of at most 4% if nothing has drifted, although the watch looks at all quantities after each window.
 || Where the evidence of a drift watch is kept: in memory, or in a folder that several worker processes share."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from labels.output.drafts import whole_file
from trainer.calibration.calibration import Floats
from trainer.model.profile import DOCUMENT_WEIGHT, Family, Profile

WINDOW = 20
"""Minimum weight of a window in sentences."""
HORIZON, RESTART = 10_000, 20
ALPHA = 0.04
"""Probability of an alarm without a drift within the horizon. Below 5%, because the precision of the reference is an
estimate, too.
"""

_LARGEST = WINDOW - 1 + DOCUMENT_WEIGHT
_STAKES = np.array([0.95, 0.5, 0.25, 0.12, 0.06])
"""Bets as shares of the largest bet whose capital cannot become negative."""
_SHARES: dict[Family, float] = {"label": 1 / 2, "certainty": 1 / 6, "unknown words": 1 / 6, "length": 1 / 6}
_MEANS = np.arange(0, 6.6, 0.2)
"""The means that are bet against, as distances from the mean of the reference in standard errors."""
_SHIFTS, _WEIGHTS = np.array([0.0, 1.5, 2.5, 3.5]), np.array([0.4, 0.2, 0.2, 0.2])
"""Alternatives to a mean in the evidence of the reference, in standard errors towards the reference; their weights."""
_RECENT = 50
"""Number of windows over which recent means are averaged, with exponentially decreasing weights."""


@dataclass
class Evidence:
    """The state of a watch: plain numbers, from which neither texts nor words can be recovered.

    - `capitals`: (quantities, 2, means, stakes) logarithms of the capitals of bets on a rise and on a fall
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
        return cls(np.full((quantities, 2, len(_MEANS), len(_STAKES)), -np.inf), np.zeros(quantities))

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
        means, sizes_ = (np.array([getattr(one, name) for one in profile.quantities]) for name in ("mean", "effective"))
        rise = _against(means, sizes_)
        # A fall of a quantity is a rise of its complement.
        fall = _against(1 - means, sizes_)
        self._bounds = np.stack([rise[0], 1 - fall[0]], axis=1)
        self._reference = np.stack([rise[1], fall[1]], axis=1)
        # No bet on what is impossible: a rise above 1 or a fall below 0.
        stakes = [np.where(bounds < 1, 1 / np.maximum(bounds, 1e-9), 0) / _LARGEST for bounds in (rise[0], fall[0])]
        self._stakes = np.stack([stakes[0], -stakes[1]], axis=1)[..., None] * _STAKES
        self.intervals = self._intervals()

    def _intervals(self) -> Floats:
        """(quantities, 2) lower and upper bounds outside which a lasting mean raises the alarm by itself."""
        needed = np.log(1 / ALPHA) - np.log(self._shares)
        enough = np.maximum.accumulate(self._reference, axis=-1) >= needed[:, None, None]
        first = np.where(enough.any(axis=-1), enough.argmax(axis=-1), -1)
        found = np.take_along_axis(self._bounds, first[..., None], axis=-1)[..., 0]
        return np.asarray(found[:, ::-1])

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
        gains = sums[:, :, None, None] - weights[:, None, None, None] * self._bounds
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
        smallest = (np.logaddexp.reduce(capitals, axis=-1) + self._reference).min(axis=-1)
        return np.asarray(np.logaddexp.reduce(smallest + np.log(self._shares)[:, None], axis=-1) / np.log(10))


def _against(means: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """The (quantities, means) means against which a rise is bet, and the logarithm of the reference's evidence.

    A true mean between two of them is at most the larger one, so a bet against the larger one is fair or better; and at
    least the smaller one, so the evidence of the reference against the smaller one holds.
    """
    z, x, n = _MEANS, means[:, None], sizes[:, None]
    # The mean that is z standard errors away from the reference mean (Wilson 1927, JASA 22).
    upper = (x + z**2 / (2 * n) + z * np.sqrt(x * (1 - x) / n + z**2 / (4 * n**2))) / (1 + z**2 / n)
    upper = np.minimum(upper, 1.0)
    evidence = _reference_evidence(upper, x, n)
    # Nothing is known of true means below the reference mean; none is above 1.
    smaller = np.concatenate([np.zeros_like(x), evidence[:, :-1]], axis=1)
    upper[:, -1] = 1.0
    return upper, smaller


def _reference_evidence(mean: Floats, x: Floats, n: Floats) -> Floats:
    """The logarithm of the evidence against true means of at least `mean`, in n observations whose mean is x."""
    mean = np.clip(mean, 1e-9, 1 - 1e-9)[..., None]
    x, n = x[..., None], n[..., None]
    other = np.maximum(mean - _SHIFTS * np.sqrt(mean * (1 - mean) / n), mean * 1e-3)
    ratios = n * (x * np.log(other / mean) + (1 - x) * np.log((1 - other) / (1 - mean)))
    return np.asarray(np.logaddexp.reduce(ratios + np.log(_WEIGHTS), axis=-1))


def _total(evidence: Floats) -> Floats:
    return np.asarray(np.logaddexp.reduce(evidence * np.log(10), axis=-1) / np.log(10))


THRESHOLD = float(np.log10(1 / ALPHA))
"""The decimal logarithm of the total capital that raises the alarm."""


# -- keeping the evidence


class States:
    """The state of each model by its id. Windows of all workers become one sequence: a change waits for the others.

    Args:
        folder: the folder that the workers share; None to keep the states in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._in_memory: dict[str, Evidence] = {}
        self._lock = threading.Lock()

    def read(self, model_id: str, quantities: int) -> Evidence:
        """The state of a model; a new one if no window was recorded."""
        if self._folder is None:
            return self._in_memory.get(model_id) or Evidence.start(quantities)
        path = self._path(model_id)
        if not path.exists():
            return Evidence.start(quantities)
        return Evidence.from_json(json.loads(path.read_text(encoding="utf-8")))

    @contextmanager
    def changing(self, model_id: str, quantities: int) -> Iterator[Evidence]:
        """Yield the state of a model, and keep it as changed inside the block."""
        with self._alone(model_id):
            state = self.read(model_id, quantities)
            yield state
            if self._folder is None:
                self._in_memory[model_id] = state
                return
            with whole_file(self._path(model_id)) as draft:
                draft.write_text(json.dumps(state.to_json(), allow_nan=False), encoding="utf-8")

    @contextmanager
    def _alone(self, model_id: str) -> Iterator[None]:
        from filelock import FileLock

        with self._lock:
            if self._folder is None:
                yield
            else:
                with FileLock(self._path(model_id).with_suffix(".lock")):
                    yield

    def _path(self, model_id: str) -> Path:
        assert self._folder is not None
        return self._folder / f"drift-{model_id}.json"
