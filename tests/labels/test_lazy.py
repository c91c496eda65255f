from __future__ import annotations

import fractions
import sys

import pytest

from labels.lazy import lazy_names


def test_a_name_is_found_in_its_home() -> None:
    find = lazy_names("shop", {"Fraction": "fractions"})
    assert find("Fraction") is fractions.Fraction


def test_a_home_is_imported_only_when_its_name_is_asked_for() -> None:
    sys.modules.pop("this", None)
    find = lazy_names("shop", {"s": "this", "Fraction": "fractions"})
    find("Fraction")
    assert "this" not in sys.modules


@pytest.mark.parametrize("name", ["absent", "fractions", "__wrapped__"])
def test_another_name_is_an_attribute_error_that_names_the_package(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'shop' has no attribute '{name}'"):
        lazy_names("shop", {"Fraction": "fractions"})(name)
