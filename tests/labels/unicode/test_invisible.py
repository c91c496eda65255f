from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from labels.errors import DataError
from labels.unicode import person_name, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("safe\rrm -rf", "safe␍rm -rf"),
        ("abc\b\b\bxyz", "abc␈␈␈xyz"),
        ("bell\a nul\0 del\x7f", "bell␇ nul␀ del␡"),
        ("\x9b31m", "\\x9b31m"),
        ("invoice\u202efdp.txt", "invoice\\u202efdp.txt"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("a\u2028b\x85c", "a␤b␤c"),
        ("caf\udce9", "caf\\udce9"),
        ("one\ntwo\tthree", "one\ntwo\tthree"),
        ("one\r\ntwo", "one \ntwo"),
        ("naïve “quote” שלום 😀", "naïve “quote” שלום 😀"),
    ],
)
def test_control_characters_are_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_nothing_shown_controls_a_terminal(text: str) -> None:
    shown = visible(text)
    assert not [character for character in shown if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
                and character not in "\n\t"]  # fmt: skip
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@given(st.text(), st.text())
def test_characters_are_shown_one_by_one(left: str, right: str) -> None:
    assume(not (left.endswith("\r") and right.startswith("\n")))
    assert visible(left + right) == visible(left) + visible(right)


def test_a_name_loses_invisible_characters_at_its_ends() -> None:
    assert person_name(" Ana Lind\u00a0\u200b", "a.csv:1") == "Ana Lind"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (" \u200b\t", "is empty"),
        ("a\x1b[31mb", r"'a\\x1b\[31mb' contains control characters"),
        ("a\nb", "contains control"),
        ("a\u202eb", "contains control"),
        ("a\tb", "contains control"),
    ],
    ids=["invisible", "escape", "line break", "reversing", "tab"],
)
def test_a_name_that_is_no_name_is_refused(name: str, problem: str) -> None:
    with pytest.raises(DataError, match=rf"^a\.csv:1: .*{problem}"):
        person_name(name, "a.csv:1")
