"""How sure a model is of each sentence: arrays in, arrays out. What is asked next is decided by `labels.queue`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.arrays import Floats
from trainer.calibration import with_none


@dataclass(frozen=True)
class SentenceUncertainty:
    """Three figures for each of n sentences, each (n,) in [0, 1].

    `entropy` is 0 where the model is sure of everything and 1 where it knows nothing; `margin` is how far the nearest
    decision is from turning; `top` is the largest probability of a label ("none" is no label).
    """

    entropy: Floats
    margin: Floats
    top: Floats


def uncertainty(
    probabilities: NDArray[np.floating[Any]], *, thresholds: Sequence[float] = (), exclusive: bool, allow_none: bool
) -> SentenceUncertainty:
    """The uncertainty of calibrated probabilities (n, labels).

    Multi-label: entropy is the mean over labels of the binary entropy in bits, margin the smallest distance of a
    probability from its threshold. Exclusive: entropy is that over classes, divided by the logarithm of their number,
    margin the difference of the two likeliest classes; "none" is a class where it is allowed.

    Args:
        thresholds: one for each label; not looked at for exclusive codebooks.

    Source: Settles (2009), "Active Learning Literature Survey", section 3.1.
    """
    scores = np.clip(np.asarray(probabilities, dtype=np.float64), 0, 1)
    top = scores.max(axis=1, initial=0.0)
    if exclusive:
        classes = with_none(scores, allow_none)
        return SentenceUncertainty(_class_entropy(classes), _class_margin(classes), top)
    binary = _plogp(scores) + _plogp(1 - scores)
    margin = np.abs(scores - np.asarray(thresholds, dtype=np.float64)).min(axis=1, initial=1.0)
    return SentenceUncertainty(np.clip(binary.mean(axis=1) / np.log(2), 0, 1), margin, top)


def _class_entropy(classes: Floats) -> Floats:
    if classes.shape[1] < 2:
        return np.zeros(len(classes))
    return np.asarray(np.clip(_plogp(classes).sum(axis=1) / np.log(classes.shape[1]), 0, 1))


def _class_margin(classes: Floats) -> Floats:
    if classes.shape[1] < 2:
        return np.ones(len(classes))
    ordered = np.sort(classes, axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2])


def _plogp(p: Floats) -> Floats:
    """-p log p, which is 0 at 0."""
    return -p * np.log(np.where(p > 0, p, 1))
