from __future__ import annotations

import fractions
import sys

import pytest

from labels.lazy import lazy_names


def test_a_name_is_found_in_its_home() -> None:
    find, _ = lazy_names("shop", {"Fraction": "fractions"})
    assert find("Fraction") is fractions.Fraction


def test_a_home_is_imported_only_when_its_name_is_asked_for() -> None:
    sys.modules.pop("this", None)
    find, _ = lazy_names("shop", {"s": "this", "Fraction": "fractions"})
    find("Fraction")
    assert "this" not in sys.modules


@pytest.mark.parametrize("name", ["absent", "fractions", "__wrapped__"])
def test_another_name_is_an_attribute_error_that_names_the_package(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'shop' has no attribute '{name}'"):
        lazy_names("shop", {"Fraction": "fractions"})[0](name)


def test_all_names_are_listed_beside_the_packages_own() -> None:
    import email

    _, names = lazy_names("email", {"Fraction": "fractions"})
    assert {"Fraction", "__path__"} <= set(names())
    assert "message_from_string" not in names(), "only what `homes` makes public"
    assert "Fraction" not in vars(email)
