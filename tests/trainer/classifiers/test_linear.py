from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from labels.records import Example
from tests.conftest import make_examples
from trainer.classifiers.linear import build_regression, label_probabilities, regression_targets

LABELS = ("aid", "truce", "threat")


def features(examples: list[Example]) -> np.ndarray:
    """(n, 3): whether the text holds a word that goes with each label."""
    words = (("pledged", "send", "promised", "set aside"), ("truce", "halt", "silent", "ceasefire"), ("threatened",))
    return np.array([[any(word in e.text for word in group) for group in words] for e in examples], dtype=float)


def test_targets_are_a_column_a_label_or_a_class_with_none_last() -> None:
    examples = make_examples(4, exclusive=True)  # aid, truce, threat, none
    assert regression_targets(examples, LABELS, exclusive=False).tolist() == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
        [False, False, False],
    ]
    assert regression_targets(examples, LABELS, exclusive=True).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("exclusive", [False, True])
def test_probabilities_have_a_column_a_label_in_order(exclusive: bool) -> None:
    examples = make_examples(60, exclusive=True)
    regression = build_regression(exclusive=exclusive, C=10.0, class_weight="balanced", seed=1)
    regression.fit(features(examples), regression_targets(examples, LABELS, exclusive=exclusive))
    found = label_probabilities(regression, features(examples), 3, exclusive=exclusive)
    assert (found.shape, found.dtype) == ((60, 3), np.float32)
    gold = [[label in example.labels for label in LABELS] for example in examples]
    assert ((found > 0.5) == gold).all()


def test_a_class_that_train_lacks_gets_probability_zero() -> None:
    examples = [example for example in make_examples(60, exclusive=True) if example.labels != ("truce",)]
    regression = build_regression(exclusive=True, C=1.0, class_weight="none", seed=1)
    regression.fit(features(examples), regression_targets(examples, LABELS, exclusive=True))
    found = label_probabilities(regression, features(examples), 3, exclusive=True)
    assert (found[:, 1] == 0).all()
    assert (found[:, [0, 2]] > 0).all()


def test_a_single_label_gets_one_column_that_is_its_probability() -> None:
    examples = [replace(e, labels=tuple(x for x in e.labels if x == "aid")) for e in make_examples(40)]
    regression = build_regression(exclusive=False, C=10.0, class_weight="none", seed=1)
    regression.fit(features(examples), regression_targets(examples, LABELS[:1], exclusive=False))
    found = label_probabilities(regression, features(examples), 1, exclusive=False)
    assert ((found[:, 0] > 0.5) == [bool(e.labels) for e in examples]).all()
