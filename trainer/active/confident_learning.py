"""Confident learning: which given labels a model that never saw them contradicts. Arrays in, arrays out.

Sources: Northcutt, Jiang & Chuang (2021), "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70;
Thyagarajan, Snorrason, Northcutt & Mueller (2022), "Identifying Incorrect Annotations in Multi-Label Classification
Data". Written from the papers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.arrays import Bools, Floats

Classes = NDArray[np.int64]

UNJUDGED = -1
"""The class of a row that is confidently of no class."""
WEIGHT = 0.8
"""How much the least self-confident label of a sentence weighs in its score, in (0, 1]."""


def class_thresholds(probabilities: Floats, given: Classes) -> Floats:
    """(classes,) the mean probability of each class among the rows that were given it; nan where there is none.

    Args:
        probabilities: (n, classes) out of sample.
        given: (n,) the class that each row was given.
    """
    members = given[:, None] == np.arange(probabilities.shape[1])
    counts = members.sum(axis=0)
    sums = np.where(members, probabilities, 0).sum(axis=0)
    return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))


def confident_classes(probabilities: Floats, thresholds: Floats) -> Classes:
    """(n,) the likeliest of the classes whose probability reaches their threshold, or `UNJUDGED`.

    With the given class it says in which cell of the confident joint a row is counted; off the diagonal it is doubted.
    """
    reached = probabilities >= thresholds  # never true of nan
    best = np.where(reached, probabilities, -1.0).argmax(axis=1)
    return np.asarray(np.where(reached.any(axis=1), best, UNJUDGED), dtype=np.int64)


def normalised_margins(probabilities: Floats, given: Classes) -> Floats:
    """(n,) in [-1, 1]: the probability of the given class less that of the likeliest other; low is doubtful."""
    rows = np.arange(len(given))
    others = probabilities.copy()
    others[rows, given] = -np.inf
    return np.asarray(probabilities[rows, given] - others.max(axis=1, initial=0.0))


def self_confidence(probabilities: Floats, gold: Bools) -> Floats:
    """(n, labels) in [0, 1]: the probability of what was given, be it the label or its absence."""
    return np.where(gold, probabilities, 1 - probabilities)


def doubtful_labels(probabilities: Floats, gold: Bools) -> Bools:
    """(n, labels) where confident learning on one label at a time contradicts what was given.

    Args:
        probabilities: (n, labels) out of sample; nan where there is none, which is never doubted.
    """
    doubtful = np.zeros(gold.shape, dtype=bool)
    for column in range(gold.shape[1]):
        known = ~np.isnan(probabilities[:, column])
        given = gold[known, column].astype(np.int64)
        binary = np.column_stack([1 - probabilities[known, column], probabilities[known, column]])
        confident = confident_classes(binary, class_thresholds(binary, given))
        doubtful[known, column] = (confident != UNJUDGED) & (confident != given)
    return doubtful


def sentence_scores(confidence: Floats, weight: float = WEIGHT) -> Floats:
    """(n,) in [0, 1], low is doubtful: an exponentially weighted mean of each row, the least confident label first.

    With s_1 <= ... <= s_K the labels of a row that were judged, the score is the sum of weight (1 - weight)**(k - 1)
    s_k for k < K, and (1 - weight)**(K - 1) s_K; 1 where none was.

    Args:
        confidence: (n, labels) self-confidence; nan where a label was not judged.
    """
    ordered = np.sort(confidence, axis=1)  # nan comes last
    judged = (~np.isnan(confidence)).sum(axis=1, keepdims=True)
    place = np.arange(confidence.shape[1])
    powers = (1 - weight) ** place
    weights = np.where(place < judged - 1, weight * powers, np.where(place < judged, powers, 0.0))
    return np.where(judged[:, 0] > 0, (np.nan_to_num(ordered) * weights).sum(axis=1), 1.0)
