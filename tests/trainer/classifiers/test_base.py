from __future__ import annotations

import numpy as np
import pytest

from labels.records import Example
from trainer.classifiers.base import class_indices, label_matrix, without_none

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


@pytest.mark.parametrize("columns", [2, 3])
def test_without_none_keeps_the_columns_of_labels_as_float32(columns: int) -> None:
    kept = without_none(np.arange(2 * columns, dtype=np.float64).reshape(2, columns), 2)
    assert kept.tolist() == [[0, 1], [columns, columns + 1]]
    assert kept.dtype == np.float32
    assert kept.flags["C_CONTIGUOUS"]
