"""Cells without a value: blank, null, and texts that stand for a missing value."""

from __future__ import annotations

import pytest

from labels.unicode import is_missing, is_no_value, signs_among


@pytest.mark.parametrize("value", ["", " \u200b", None, float("nan"), "NA", "n/a", "#N/A", "NULL", " nan ", "#DIV/0!"])
def test_missing(value: object) -> None:
    assert is_missing(value)
    assert is_no_value(value)


@pytest.mark.parametrize("value", ["-", "—", "...", "?", " – "])
def test_marks_fill_a_cell_but_are_not_missing_elsewhere(value: str) -> None:
    assert is_no_value(value)
    assert not is_missing(value)


@pytest.mark.parametrize("value", ["none", "no", "0", 0, False, "Nana", "national", "-1", "+", "x"])
def test_values(value: object) -> None:
    assert not is_no_value(value)


def test_a_minus_is_a_sign_only_beside_a_plus() -> None:
    assert signs_among(["+", "-", None])("-")
    assert not signs_among(["aid", "-"])("-")
