from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from trainer.active.label_errors import WEIGHT, confident_classes, sentence_scores, suspected_labels

NAN = float("nan")
UNIT = st.floats(0, 1)


def test_the_confident_class_is_the_likeliest_that_reaches_its_mean_among_its_own_rows() -> None:
    given = np.array([0, 0, 1, 1, 1])
    probabilities = np.array(
        [
            [0.9, 0.1, 0.0],
            [0.5, 0.2, 0.3],  # neither class reaches its own: 0.7 and 0.3
            [0.3, 0.4, 0.3],  # only the second does
            [0.0, 0.2, 0.8],  # a class that no row was given never counts
            [0.7, 0.3, 0.0],  # both: the likelier
        ]
    )
    assert confident_classes(probabilities, given).tolist() == [0, 0, 1, 1, 0]


def test_a_label_is_suspected_where_the_other_answer_reaches_its_threshold() -> None:
    gold = np.array([[True], [True], [True], [False], [False], [False]])
    probabilities = np.array([[0.9], [0.8], [0.1], [0.2], [0.1], [0.95]])
    # Thresholds: with the label 0.6, without it 1 - 1.25 / 3 = 0.583.
    assert suspected_labels(probabilities, gold)[:, 0].tolist() == [False, False, True, False, False, True]


def test_what_no_model_could_check_is_not_suspected() -> None:
    gold = np.array([[True], [True], [False], [False], [True]])
    probabilities = np.array([[0.9], [0.8], [0.1], [0.1], [NAN]])
    assert not suspected_labels(probabilities, gold).any()
    assert not suspected_labels(np.full((5, 1), NAN), gold).any()


def test_the_score_of_a_sentence_follows_its_least_confident_label() -> None:
    # 0.8 * 0.1 + 0.16 * 0.5 + 0.04 * 0.9
    assert sentence_scores(np.array([[0.9, 0.1, 0.5]])) == pytest.approx([0.196])
    assert sentence_scores(np.array([[0.4]])) == pytest.approx([0.4])


def test_labels_without_a_probability_change_nothing() -> None:
    checked = sentence_scores(np.array([[0.2], [0.9]])), sentence_scores(np.array([[0.5, 0.7]]))
    assert sentence_scores(np.array([[NAN, 0.2, NAN], [0.9, NAN, NAN]])) == pytest.approx(checked[0])
    assert sentence_scores(np.array([[0.7, NAN, 0.5]])) == pytest.approx(checked[1])
    assert sentence_scores(np.array([[NAN, NAN]])) == pytest.approx([1.0])


@given(npst.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=UNIT))
def test_the_score_is_a_moving_average_from_the_most_to_the_least_confident(confidence: np.ndarray) -> None:
    expected = []
    for row in confidence:
        average, *rest = sorted(row, reverse=True)
        for value in rest:
            average = WEIGHT * value + (1 - WEIGHT) * average
        expected.append(average)
    assert sentence_scores(confidence) == pytest.approx(expected)
