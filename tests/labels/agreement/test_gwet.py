"""Gwet's AC1 against published examples."""

from __future__ import annotations

import numpy as np
import pytest

from labels.agreement.coefficients import MISSING, ac1_of, ac1_sums

X = MISSING
# Twelve units by four raters: Krippendorff (2011), also in Gwet (2014) and the R package irrCAC (`cac.raw4raters`).
FOUR_RATERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, X, X, X],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, X, 3],
    [X, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, X],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, X],
]


def ac1(codes: list[list[int]], n_values: int) -> float:
    """AC1 of units by raters, with every unit a document."""
    array = np.array(codes)
    sums = ac1_sums(array, n_values, np.arange(len(array)), len(array))
    return float(ac1_of(sums.sum(axis=0, keepdims=True))[0])


def test_four_raters_with_missing_values() -> None:
    codes = [[value - 1 if value != X else X for value in unit] for unit in zip(*FOUR_RATERS, strict=True)]

    assert ac1(codes, 5) == pytest.approx(0.77544, abs=5e-6)  # irrCAC: gwet.ac1.raw


def test_two_raters_where_kappa_is_negative() -> None:
    """Gwet (2002), "Kappa statistic is not satisfactory": 118 yes-yes, 5 yes-no, 2 no-yes; kappa is -0.0234."""
    codes = [[1, 1]] * 118 + [[1, 0]] * 5 + [[0, 1]] * 2

    assert ac1(codes, 2) == pytest.approx(0.9408, abs=5e-5)


@pytest.mark.parametrize(("codes", "expected"), [([[0, 0], [1, 1]], 1.0), ([[0, 0], [0, 0]], 1.0), ([[0, 1]], -1.0)])
def test_agreement_without_variation_is_perfect(codes: list[list[int]], expected: float) -> None:
    assert ac1(codes, 2) == expected


def test_without_pairs_it_is_undefined() -> None:
    assert np.isnan(ac1([[0, X], [X, 1]], 2))
