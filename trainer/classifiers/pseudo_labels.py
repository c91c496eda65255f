"""Label unlabelled texts by the few labelled texts nearest to them, and keep the most certain ones for training.

Labels spread over a graph of nearest neighbours. A class is a label set, so that codebooks of several labels work too,
and "no label" is a class like any other. The same share of each predicted class is kept, its most certain texts: equal
numbers would be wrong, because classes differ in frequency.

Source: Zhou et al. (2003), "Learning with Local and Global Consistency", as in scikit-learn's `LabelSpreading`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labels.records import Example
from trainer.calibration.calibration import Floats
from trainer.encoders.embeddings import Vectors

NEIGHBOURS, ALPHA = 15, 0.5
SHARE = 0.3
"""The share of each predicted class that is kept."""
MOST_TEXTS = 2000
"""Maximum number of texts used; from more, a random sample is drawn."""
_FOLDS = 4

Classes = NDArray[np.int64]


@dataclass(frozen=True)
class Gain:
    """Cross-validated accuracy, in [0, 1], on `n` labelled texts: with their labels alone, and with more texts."""

    alone: float
    with_pool: float
    n: int

    @property
    def is_loss(self) -> bool:
        """Whether accuracy falls by more than its standard error; with few texts, small falls are due to chance."""
        error = math.sqrt(self.alone * (1 - self.alone) / self.n)
        return self.alone - self.with_pool > error


def sample_pool(texts: Sequence[str], seed: int) -> list[str]:
    """Return at most `MOST_TEXTS` texts, drawn at random, in their order."""
    if len(texts) <= MOST_TEXTS:
        return list(texts)
    chosen = np.random.default_rng(seed).choice(len(texts), MOST_TEXTS, replace=False)
    return [texts[row] for row in np.sort(chosen)]


def label_sets(examples: Sequence[Example]) -> tuple[list[tuple[str, ...]], Classes]:
    """Return the distinct label sets, and the (n,) number of each example's set."""
    sets = sorted({tuple(sorted(example.labels)) for example in examples})
    place = {labels: number for number, labels in enumerate(sets)}
    return sets, np.array([place[tuple(sorted(example.labels))] for example in examples], dtype=np.int64)


def surest(vectors: Vectors, classes: Classes, pool: Vectors) -> tuple[Classes, Classes]:
    """Return the positions of the texts of a pool with the most certain classes, in order, and these classes.

    Args:
        vectors, classes: (n, dimensions) vectors of the labelled texts, and their (n,) classes, numbered from 0.
        pool: (m, dimensions) vectors of the other texts.
    """
    spread = _spread(vectors, classes, pool)
    predicted, confidence = spread.argmax(axis=1), spread.max(axis=1)
    kept: list[int] = []
    for number in range(spread.shape[1]):
        # A text that no label reaches has no confidence at all.
        rows = np.flatnonzero((predicted == number) & (confidence > 0))
        kept += rows[np.argsort(-confidence[rows], kind="stable")[: int(np.ceil(SHARE * len(rows)))]].tolist()
    chosen = np.array(sorted(kept), dtype=np.int64)
    return chosen, np.asarray(predicted[chosen], dtype=np.int64)


def _spread(vectors: Vectors, classes: Classes, pool: Vectors) -> Floats:
    """Return the (m, classes) shares of each class for the texts of the pool; zeros where no label arrives."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.semi_supervised import LabelSpreading

    every = np.concatenate([vectors, pool])
    known = np.concatenate([classes, np.full(len(pool), -1)])
    model = LabelSpreading(kernel="knn", n_neighbors=min(NEIGHBOURS, len(every) - 1), alpha=ALPHA, max_iter=100)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # a text that no label reaches: 0 / 0
        model.fit(every, known)
    shares = np.zeros((len(pool), int(classes.max()) + 1))
    shares[:, model.classes_] = np.nan_to_num(model.label_distributions_[len(vectors) :])
    return shares


def measure_gain(vectors: Vectors, classes: Classes, pool: Vectors, *, C: float, seed: int) -> Gain:
    """Cross-validate logistic regression on the labelled texts, with and without the `surest` texts of a pool.

    In each fold, labels spread from the other folds only. The vectors must come from an encoder that has not learned
    the labels; otherwise, the accuracy is too high.
    """
    from sklearn.model_selection import KFold

    from trainer.classifiers.linear import build_regression

    folds = KFold(min(_FOLDS, len(classes)), shuffle=True, random_state=seed)
    right = np.zeros(2)
    for learned, held in folds.split(vectors):
        own, gold = vectors[learned], classes[learned]
        rows, said = surest(own, gold, pool)
        for number, (x, y) in enumerate(((own, gold), (np.vstack([own, pool[rows]]), np.concatenate([gold, said])))):
            if len(set(y.tolist())) < 2:
                right[number] += (classes[held] == y[0]).sum()
                continue
            model = build_regression(exclusive=True, C=C, class_weight="balanced", seed=seed).fit(x, y)
            right[number] += (model.predict(vectors[held]) == classes[held]).sum()
    alone, with_pool = (right / len(classes)).tolist()
    return Gain(alone, with_pool, len(classes))
