"""The criterion by which the threshold of a label is chosen: F1, a minimum precision or recall, or costs of errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from labels.errors import InputError, did_you_mean
from trainer.calibration.calibration import DEFAULT_THRESHOLD, Bools, Floats, cut_counts, stable_threshold

Aim = Literal["f1", "precision", "recall", "cost"]


@dataclass(frozen=True)
class Objective:
    """How thresholds are chosen.

    `aim` is "f1" (the highest F1), "precision" or "recall" (the best threshold whose precision or recall is at least
    `value`), or "cost" (a miss costs `value` times as much as a false alarm).
    """

    aim: Aim = "f1"
    value: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Objective:
        """Read `f1`, `precision=0.8`, `recall=0.9` or `cost=5`.

        Raises:
            InputError: it is none of these, or the number is not in its range.
        """
        aim, _, number = text.strip().partition("=")
        known = get_args(Aim)
        if aim not in known:
            raise InputError(
                f"--objective {text}: unknown{did_you_mean(aim, known)}. Write f1, precision=0.8, recall=0.9 or cost=5."
            )
        if aim == "f1":
            if number:
                raise InputError("--objective f1 takes no number. Write --objective f1.")
            return cls("f1")
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not (value > 0 and (value < 1 or (aim == "cost" and value < float("inf")))):
            limits = "above 0" if aim == "cost" else "above 0 and below 1"
            example = {"precision": "precision=0.8", "recall": "recall=0.9", "cost": "cost=5"}[aim]
            raise InputError(f"--objective {text}: give a number {limits}, e.g. {example}.")
        return cls(aim, value)  # type: ignore[arg-type]

    def __str__(self) -> str:
        return self.aim if self.aim == "f1" else f"{self.aim}={self.value:g}"

    def threshold(self, probabilities: Floats, gold: Bools | None, weights: Floats, label: str) -> float:
        """Return the threshold of a label, from arrays of shape (n,).

        Args:
            gold: None to count on the calibrated probabilities instead of labels.

        Raises:
            InputError: no threshold reaches the wanted precision.
        """
        if self.aim == "cost":
            # Of a calibrated probability p, assigning costs 1 - p, and not assigning costs p times `value`.
            return 1 / (1 + self.value)
        if self.aim == "f1" and gold is not None:
            return stable_threshold(probabilities, gold, weights)
        held = probabilities if gold is None else gold.astype(np.float64)
        cuts, hits, assigned = cut_counts(probabilities, held, weights)
        if self.aim == "f1":
            return float(cuts[(2 * hits / (assigned + weights @ held)).argmax()]) if len(cuts) else DEFAULT_THRESHOLD
        reached = hits / assigned if self.aim == "precision" else hits / (weights @ held)
        fits = np.flatnonzero(reached >= self.value - 1e-12)
        if not len(fits):
            best = float(reached.max()) if len(reached) else 0.0
            raise InputError(
                f"--objective {self}: on this sample, the highest {self.aim} of '{label}' at any threshold is "
                f"{best:.2f}. Choose a lower value, or train a better model."
            )
        # Thresholds descend: the lowest one finds the most at this precision, the highest one is the most precise.
        return float(cuts[fits[-1] if self.aim == "precision" else fits[0]])
