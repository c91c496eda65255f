from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from trainer.active.confident_learning import (
    UNJUDGED,
    class_thresholds,
    confident_classes,
    doubtful_labels,
    normalised_margins,
    self_confidence,
    sentence_scores,
)

NAN = float("nan")
UNIT = st.floats(0, 1)


def test_a_class_threshold_is_its_mean_probability_among_its_own_rows() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.5, 0.5, 0.0], [0.2, 0.8, 0.0]])
    found = class_thresholds(probabilities, np.array([0, 0, 1]))
    assert found == pytest.approx([0.7, 0.8, NAN], nan_ok=True)


def test_the_confident_class_is_the_likeliest_that_reaches_its_threshold() -> None:
    thresholds = np.array([0.7, 0.2, NAN])
    probabilities = np.array(
        [
            [0.6, 0.3, 0.1],  # only the second reaches its own
            [0.75, 0.25, 0.0],  # both: the likelier
            [0.1, 0.1, 0.8],  # a class that nobody was given is never sure
        ]
    )
    assert confident_classes(probabilities, thresholds).tolist() == [1, 0, UNJUDGED]


def test_the_margin_is_that_of_the_given_class_over_the_likeliest_other() -> None:
    probabilities = np.array([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1]])
    assert normalised_margins(probabilities, np.array([0, 1])) == pytest.approx([0.3, -0.3])


def test_self_confidence_is_the_probability_of_what_was_given() -> None:
    found = self_confidence(np.array([[0.9, 0.9]]), np.array([[True, False]]))
    assert found == pytest.approx(np.array([[0.9, 0.1]]))


def test_a_label_is_doubted_where_the_other_answer_reaches_its_threshold() -> None:
    gold = np.array([[True], [True], [True], [False], [False], [False]])
    probabilities = np.array([[0.9], [0.8], [0.1], [0.2], [0.1], [0.95]])
    # Thresholds: borne 0.6, not borne 1 - 1.25 / 3 = 0.583.
    assert doubtful_labels(probabilities, gold)[:, 0].tolist() == [False, False, True, False, False, True]


def test_what_no_model_could_judge_is_not_doubted() -> None:
    gold = np.array([[True], [True], [False], [False], [True]])
    probabilities = np.array([[0.9], [0.8], [0.1], [0.1], [NAN]])
    assert not doubtful_labels(probabilities, gold).any()


def test_the_score_of_a_sentence_is_ruled_by_its_least_sure_label() -> None:
    # 0.8 * 0.1 + 0.16 * 0.5 + 0.04 * 0.9
    assert sentence_scores(np.array([[0.9, 0.1, 0.5]])) == pytest.approx([0.196])
    assert sentence_scores(np.array([[0.4]])) == pytest.approx([0.4])


def test_labels_without_a_probability_change_nothing() -> None:
    judged = sentence_scores(np.array([[0.2], [0.9]])), sentence_scores(np.array([[0.5, 0.7]]))
    assert sentence_scores(np.array([[NAN, 0.2, NAN], [0.9, NAN, NAN]])) == pytest.approx(judged[0])
    assert sentence_scores(np.array([[0.7, NAN, 0.5]])) == pytest.approx(judged[1])
    assert sentence_scores(np.array([[NAN, NAN]])) == pytest.approx([1.0])


@given(npst.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=UNIT), st.floats(0.01, 1))
def test_the_score_is_a_mean_of_the_labels_as_moving_averages_make_it(confidence: np.ndarray, weight: float) -> None:
    expected = []
    for row in confidence:
        average, *rest = sorted(row, reverse=True)
        for value in rest:  # the least sure comes last and weighs most
            average = weight * value + (1 - weight) * average
        expected.append(average)
    assert sentence_scores(confidence, weight) == pytest.approx(expected)
