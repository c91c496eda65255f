from __future__ import annotations

import numpy as np
import pytest

from labels.records import Example
from trainer.classifiers.base import class_indices, label_matrix, output_probabilities

ROWS = [Example("a", "a", "x", ("truce", "aid")), Example("b", "b", "x"), Example("c", "c", "x", ("truce",))]


def test_the_label_matrix_has_its_columns_in_the_order_of_the_labels() -> None:
    assert label_matrix(ROWS, ("aid", "threat", "truce")).tolist() == [
        [True, False, True],
        [False, False, False],
        [False, False, True],
    ]


def test_the_label_matrix_of_no_example_has_its_columns_nevertheless() -> None:
    matrix = label_matrix([], ("aid", "truce"))
    assert matrix.shape == (0, 2)
    assert matrix.dtype == bool


def test_a_label_outside_the_labels_is_never_dropped_in_silence() -> None:
    with pytest.raises(KeyError, match="truce"):
        label_matrix(ROWS, ("aid",))


def test_rows_without_a_label_are_the_class_after_the_last_label() -> None:
    matrix = np.array([[False, True], [False, False], [True, False]])
    assert class_indices(matrix).tolist() == [1, 2, 0]


@pytest.mark.parametrize("outputs", [2, 3])
def test_exclusive_probabilities_are_a_softmax_without_the_column_of_none(outputs: int) -> None:
    logits = np.log(np.arange(1, 2 * outputs + 1, dtype=np.float64).reshape(2, outputs))
    found = output_probabilities(logits, 2, exclusive=True)
    shares = np.arange(1, 2 * outputs + 1).reshape(2, outputs)
    np.testing.assert_allclose(found, (shares / shares.sum(axis=1, keepdims=True))[:, :2], rtol=1e-6)
    assert found.dtype == np.float32
    assert found.flags["C_CONTIGUOUS"]


def test_multilabel_probabilities_are_a_sigmoid_each_even_of_extreme_logits() -> None:
    found = output_probabilities(np.array([[0.0, 1000.0, -1000.0]], dtype=np.float32), 3, exclusive=False)
    assert found.tolist() == [[0.5, 1.0, 0.0]]


@pytest.mark.parametrize("exclusive", [False, True])
def test_no_rows_give_no_probabilities(exclusive: bool) -> None:
    assert (
        output_probabilities(np.zeros((0, 3), dtype=np.float32), 2 + (not exclusive), exclusive=exclusive).shape[0] == 0
    )
