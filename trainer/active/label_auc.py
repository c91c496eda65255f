"""Measure, for each label, whether the models that doubt gold labels are better than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.calibration.calibration import Bools, Floats

_DRAWS = 300
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class LabelAUC:
    """How well out-of-sample probabilities separate the sentences with a label from the others.

    `auc` is the area under the ROC curve: the chance that a sentence with the label has a higher probability than a
    sentence without it, 0.5 for guesses. `low` and `high` are the bounds of its 95% interval, from a bootstrap over
    documents. All three are None if the figure or the interval cannot be computed.
    """

    label: str
    auc: float | None
    low: float | None
    high: float | None

    @property
    def is_weak(self) -> bool:
        """Return whether the probabilities are not shown to be better than chance."""
        return self.low is None or self.low <= 0.5


def label_aucs(
    probabilities: Floats, gold: Bools, names: Sequence[str], documents: Sequence[str], seed: int
) -> tuple[LabelAUC, ...]:
    """Measure out-of-sample probabilities for each column that has gold labels.

    Args:
        probabilities: out-of-sample probabilities of shape (n, labels); nan where no model could be fitted.
        gold: gold labels of the same shape.
        documents: the document of each row.
    """
    generator = np.random.default_rng(seed)
    groups = np.unique(np.asarray(documents), return_inverse=True)[1]
    weights = [_resampled(groups, generator) for _ in range(_DRAWS)]
    return tuple(
        _label_auc(name, probabilities[:, column], gold[:, column], weights)
        for column, name in enumerate(names)
        if gold[:, column].any()
    )


def _resampled(groups: NDArray[np.int64], generator: np.random.Generator) -> Floats:
    """Return the number of times that each row is drawn if documents are drawn with replacement."""
    size = int(groups.max()) + 1
    return np.bincount(generator.integers(0, size, size), minlength=size).astype(np.float64)[groups]


def _label_auc(name: str, probabilities: Floats, gold: Bools, weights: Sequence[Floats]) -> LabelAUC:
    known = ~np.isnan(probabilities)
    auc = area(probabilities[known], gold[known], np.ones(int(known.sum())))
    drawn = [area(probabilities[known], gold[known], own[known]) for own in weights]
    defined = [value for value in drawn if value is not None]
    if auc is None or len(defined) < len(weights) / 2:
        return LabelAUC(name, auc, None, None)
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]).tolist()
    return LabelAUC(name, auc, low, high)


def area(probabilities: Floats, gold: Bools, weights: Floats) -> float | None:
    """Compute the area under the ROC curve of weighted rows; None without an example or a counterexample.

    It is the Mann-Whitney statistic: ties count half (Hanley & McNeil 1982, Radiology 143).
    """
    values, place = np.unique(probabilities, return_inverse=True)
    positive = np.bincount(place, weights * gold, len(values))
    negative = np.bincount(place, weights * ~gold, len(values))
    total = positive.sum() * negative.sum()
    if not total:
        return None
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / total)
