from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from trainer.active.scoring import uncertainty

PROBABILITIES = npst.arrays(
    np.float32, st.tuples(st.integers(0, 6), st.integers(1, 5)), elements=st.floats(0, 1, width=32)
)


def of(rows: list[list[float]], **settings: Any) -> Any:
    return uncertainty(np.array(rows), **({"exclusive": False, "allow_none": True} | settings))


def test_multilabel_entropy_is_the_mean_of_the_labels_in_bits() -> None:
    # The binary entropy of 1/4 is 2 - 3/4 log2(3) = 0.8113 bits.
    rows = [[0.5, 0.5], [0.0, 1.0], [0.5, 0.0], [0.25, 0.75]]
    assert of(rows, thresholds=[0.5, 0.5]).entropy == pytest.approx([1, 0, 0.5, 0.8113], abs=1e-4)


def test_multilabel_margin_is_the_distance_of_the_nearest_decision() -> None:
    assert of([[0.9, 0.35], [0.6, 0.1]], thresholds=[0.5, 0.3]).margin == pytest.approx([0.05, 0.1])


def test_top_is_the_largest_probability_of_a_label() -> None:
    assert of([[0.2, 0.35], [0.0, 0.0]], thresholds=[0.5, 0.5]).top == pytest.approx([0.35, 0])
    assert of([[0.1, 0.2]], exclusive=True).top == pytest.approx([0.2])


def test_exclusive_figures_count_none_as_a_class_where_it_is_allowed() -> None:
    found = of([[1 / 3, 1 / 3], [0.0, 0.0], [0.5, 0.1], [0.0, 0.5]], exclusive=True)
    assert found.entropy[[0, 1]] == pytest.approx([1, 0])
    assert found.entropy[3] == pytest.approx(np.log(2) / np.log(3))
    assert found.margin == pytest.approx([0, 1, 0.1, 0], abs=1e-12)


def test_exclusive_figures_know_no_none_where_it_is_not_allowed() -> None:
    found = of([[0.5, 0.5], [0.75, 0.25]], exclusive=True, allow_none=False)
    assert found.entropy == pytest.approx([1, 0.8113], abs=1e-4)
    assert found.margin == pytest.approx([0, 0.5])


def test_a_single_class_is_certain() -> None:
    found = of([[1.0]], exclusive=True, allow_none=False)
    assert (found.entropy[0], found.margin[0]) == (0, 1)


@given(PROBABILITIES, st.booleans(), st.booleans())
def test_every_figure_is_in_bounds_one_a_sentence(raw: np.ndarray, exclusive: bool, allow_none: bool) -> None:
    if exclusive:
        raw = raw / np.maximum(raw.sum(axis=1, keepdims=True), 1)
    found = uncertainty(raw, thresholds=[0.5] * raw.shape[1], exclusive=exclusive, allow_none=allow_none)
    for figure in (found.entropy, found.margin, found.top):
        assert figure.shape == (len(raw),)
        assert ((figure >= 0) & (figure <= 1)).all()
