from __future__ import annotations

import numpy as np
import pytest

from tests.lazy import Lazy
from trainer.active.label_auc import area, label_aucs

roc_auc_score = Lazy("sklearn.metrics:roc_auc_score")


def test_the_area_is_that_of_scikit_learn_with_ties_and_weights() -> None:
    generator = np.random.default_rng(1)
    probabilities, gold = generator.integers(0, 8, 60) / 8, generator.random(60) < 0.3
    weights = generator.integers(0, 4, 60).astype(float)
    assert area(probabilities, gold, weights) == pytest.approx(
        roc_auc_score(gold, probabilities, sample_weight=weights)
    )
    assert area(probabilities, np.zeros(60, dtype=bool), weights) is None


def test_guesses_are_weak_and_good_probabilities_are_not() -> None:
    generator = np.random.default_rng(2)
    gold = generator.random((200, 3)) < 0.3
    gold[:, 2] = False
    guesses, good = generator.random(200), np.where(gold[:, 1], 0.7, 0.3) + generator.random(200) / 4
    unknown = np.full(200, np.nan)
    documents = [f"d{row // 5}" for row in range(200)]

    found = label_aucs(np.column_stack([guesses, good, unknown]), gold, ("a", "b", "c"), documents, 13)
    assert [(one.label, one.is_weak) for one in found] == [("a", True), ("b", False)]

    (lost,) = label_aucs(unknown[:, None], gold[:, :1], ("a",), documents, 13)
    assert (lost.auc, lost.is_weak) == (None, True)
