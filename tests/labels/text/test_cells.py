"""One label cell: the values in it, `none`, or no decision."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.codebook.schema import Codebook, codebook_from_dict
from labels.errors import DataError
from labels.text.cells import LabelNames, cell_values, merge_key, parse_cell

PLAIN = st.text("abcdefgZéж停_-.", min_size=1, max_size=8).map(lambda text: f"w{text}w")
"""Values that nothing can mistake for a list, a number or a missing value."""
EDGES = st.text(" \t\u00a0\u200b\ufeff\u2060\r", max_size=3)


@pytest.mark.parametrize(
    ("value", "values"),
    [
        ("aid", ("aid",)),
        ("aid|truce", ("aid", "truce")),
        (" aid | truce |", ("aid", "truce")),
        ("aid|aid", ("aid",)),
        ("World news", ("World news",)),
        ("['aid', 'truce']", ("aid", "truce")),
        ('["aid"]', ("aid",)),
        ('["aid", "truce"]', ("aid", "truce")),
        ('{"choices": ["aid", "truce"]}', ("aid", "truce")),
        ("{'choices': ['aid']}", ("aid",)),
        ('{"choices": "aid"}', ("aid",)),
        ({"choices": ["aid"]}, ("aid",)),
        ("('aid', 'truce')", ("aid", "truce")),
        ("('aid',)", ("aid",)),
        ("{'aid', 'truce'}", ("aid", "truce")),
        ("[u'aid', u'truce']", ("aid", "truce")),
        ("['aid' 'truce']", ("aid", "truce")),
        ("['aid'\n 'truce']", ("aid", "truce")),
        ("array(['aid', 'truce'], dtype=object)", ("aid", "truce")),
        ("frozenset({'aid'})", ("aid",)),
        ("['won\\'t', \"it's\", '\\u043c\\u0438\\u0440']", ("won't", "it's", "мир")),
        ("['aid, and loans', 'truce']", ("aid, and loans", "truce")),
        ('"aid"', ("aid",)),
        ("[1, 3]", ("1", "3")),
        ("[1 3]", ("1", "3")),
        (["aid", "truce"], ("aid", "truce")),
        (("aid",), ("aid",)),
        ({"truce", "aid"}, ("aid", "truce")),
        (np.array(["aid", "truce"], dtype=object), ("aid", "truce")),
        (["aid", None, ""], ("aid",)),
        (0, ("0",)),
        (1.0, ("1",)),
        (103.1, ("103.1",)),
        (Decimal("2.0"), ("2",)),
        (np.int64(3), ("3",)),
        (np.float32(3), ("3",)),
        ([1.0, 2], ("1", "2")),
        ("-1", ("-1",)),
    ],
)
def test_every_way_to_write_labels_is_read(value: Any, values: tuple[str, ...]) -> None:
    assert cell_values(value, "a.csv:1") == values


@pytest.mark.parametrize(
    "value", ["[]", "{'choices': []}", '{"choices": []}', "()", "set()", "[ ]", [], {"choices": []}]
)
def test_an_empty_list_means_no_label(value: Any) -> None:
    assert cell_values(value, "a.csv:1") == ()


MISSING = [None, math.nan, np.float64("nan"), pd.NA, pd.NaT, Decimal("nan"), "nan", "NaN", " nan ", "<NA>", "NaT"]
BLANK = ["", " ", "\t", "\u00a0", "\u200b", "\ufeff", "\u2060 \u00a0", "|", " | "]
EMPTY = [[None], [math.nan], [""], {}, "{}", "[None]", "[null]", {"choices": None}, {"choices": ""}]


@pytest.mark.parametrize("value", [*MISSING, *BLANK, *EMPTY, "null", "NULL"])
def test_a_missing_or_blank_value_is_no_decision(value: Any) -> None:
    assert cell_values(value, "a.csv:1") is None


@pytest.mark.parametrize(
    "value", ["(other)", "(1)", "[unclear]", "A: b", "it's", "5'", "a [b]", "[", "]", "(", '"', "''"]
)
def test_text_with_brackets_or_quotes_is_a_value(value: str) -> None:
    assert cell_values(value, "a.csv:1") == (value,)


@pytest.mark.parametrize(
    "value",
    [
        True,
        math.inf,
        b"aid",
        {"aid": 1},
        '{"aid": 1}',
        "{'aid': 1}",
        [["aid"], ["truce"]],
        [{"choices": ["aid"]}, {"choices": ["truce"]}],
        "[{'start': 0, 'labels': ['aid']}]",
        {"choices": {"aid": 1}},
        {"taxonomy": [["aid"]]},
        [0, 1, 1],
        "[0, 0]",
        "aid \ud83d",
        ["\ud83d"],
    ],
)
def test_a_value_that_is_not_a_label_is_refused_with_its_row(value: Any) -> None:
    with pytest.raises(DataError, match=r"^a\.csv:7: .*(label|Fix)"):
        cell_values(value, "a.csv:7")


@pytest.mark.parametrize(
    ("value", "other"),
    [
        ("Aid", "aid"),
        ("World  news", "world news"),
        ("World\u00a0news", "World news"),
        ("aid\u200b", "aid"),
        ("1.0", "1"),
        ("e\u0301lan", "élan"),
        ("cease\u2011fire", "cease-fire"),
        ("won’t", "won't"),
        ("“aid”", '"aid"'),
        ("'aid'", "aid"),
        ("Ｗｏｒｌｄ", "world"),
        ("\u22121", "-1"),
        ("STRASSE", "straße"),
    ],
)
def test_values_that_look_the_same_have_one_key(value: str, other: str) -> None:
    assert merge_key(value) == merge_key(other)


@pytest.mark.parametrize(("value", "other"), [("1.1", "1"), ("01", "1"), ("1.10", "1.1"), ("-1", "1"), ("a_b", "a b")])
def test_values_that_may_mean_something_else_have_their_own_key(value: str, other: str) -> None:
    assert merge_key(value) != merge_key(other)


# -- with a codebook


def book(*labels: tuple[str, str], exclusive: bool = False) -> Codebook:
    content = {"name": "b", "exclusive": exclusive, "labels": [{"name": n, "title": t} for n, t in labels]}
    return codebook_from_dict(content, "b")


NAMES = LabelNames(book(("aid", "Aid pledge"), ("truce", "Truce, or pause"), ("unclear", "[unclear]"), ("one", "1")))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("Aid pledge", ("aid",)),
        ("AID  PLEDGE", ("aid",)),
        ("Truce", ("truce",)),
        ("Truce, or pause", ("truce",)),
        ("aid, truce", ("aid", "truce")),
        ("aid;truce", ("aid", "truce")),
        ("aid#truce", ("aid", "truce")),
        ("[aid, truce]", ("aid", "truce")),
        ("[aid]", ("aid",)),
        ("{aid,truce}", ("aid", "truce")),
        ("[unclear]", ("unclear",)),
        ("1.0", ("one",)),
        (1.0, ("one",)),
        ("none", ()),
        ("None", ()),
        (["none"], ()),
        ("aid, other", ("aid, other",)),
        (["aid, truce"], ("aid, truce",)),
        ("aid,", ("aid",)),
        (";aid;; truce;", ("aid", "truce")),
        ("other;", ("other;",)),
        (",", (",",)),
        ("#aid", ("#aid",)),
        ("nan", None),
    ],
)
def test_a_value_means_a_label_of_the_codebook(value: Any, names: tuple[str, ...] | None) -> None:
    assert NAMES.read(value, "a.csv:1") == names


def test_none_is_a_label_if_the_codebook_has_one() -> None:
    assert LabelNames(book(("nothing", "None"), ("aid", ""))).read("none", "x") == ("nothing",)


@pytest.mark.parametrize("title", ["A|B", "nan", "null", "[unclear]", "a, b", "{x}"])
def test_a_title_is_one_value_whatever_its_characters(title: str) -> None:
    names = LabelNames(book(("mine", title), ("other", "")))
    for value in (title, [title], json.dumps([title, "other"]), {"choices": [title]}):
        assert (names.read(value, "x") or ())[0] == "mine"


def test_none_beside_a_label_is_refused() -> None:
    with pytest.raises(DataError, match=r"^a\.csv:3: the labels are 'none' and also aid\. Remove"):
        NAMES.read("none|aid", "a.csv:3")


def test_names_that_differ_only_in_case_stay_apart() -> None:
    names = LabelNames(book(("aid", ""), ("Aid", "")))
    assert (names.find("aid"), names.find("Aid"), names.find("AID")) == ("aid", "Aid", None)


# -- properties

WRITERS: list[Callable[[Sequence[str]], Any]] = [
    list,
    tuple,
    "|".join,
    " | ".join,
    json.dumps,
    repr,
    lambda values: repr(tuple(values)),
    lambda values: json.dumps({"choices": list(values)}),
    lambda values: {"choices": list(values)},
    lambda values: str(np.array(values, dtype=object)),
]


@given(st.lists(PLAIN, min_size=1, max_size=5, unique=True), st.sampled_from(WRITERS))
def test_reading_a_written_set_returns_the_set(values: list[str], write: Callable[[Sequence[str]], Any]) -> None:
    assert cell_values(write(values), "x") == tuple(values)


@given(st.lists(PLAIN, min_size=1, max_size=5, unique=True), st.data())
def test_order_and_white_space_do_not_change_the_set(values: list[str], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(values))
    spaced = [data.draw(EDGES) + value + data.draw(EDGES) for value in shuffled]
    for written in ("|".join(spaced), spaced):
        assert set(cell_values(written, "x") or ()) == set(values)


def read_or_refused(text: str) -> tuple[str, ...] | None:
    """The values of a cell; None also if the cell is refused with its place. Any other error fails the test."""
    try:
        return cell_values(text, "x")
    except DataError as error:
        if not str(error).startswith("x: "):
            raise
        return None


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    # Reading the values again gives the same values: nothing is stripped or split twice.
    if values := read_or_refused(text):
        assert all(value == value.strip() and value for value in values)
        assert parse_cell(list(values), "x") is not None
        assert cell_values(list(values), "x") == values


@given(st.text("[](){}'\",|:ab01 \\\n", max_size=30))
def test_any_brackets_and_quotes_are_read_or_refused(text: str) -> None:
    read_or_refused(text)


@given(st.text(), st.text())
def test_the_key_of_a_value_is_its_own_key(value: str, edge: str) -> None:
    assert merge_key(merge_key(value)) == merge_key(value)
    assert merge_key(f" \u200b{value}\ufeff ") == merge_key(value)
