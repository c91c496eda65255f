"""Columns as a notebook has them: which forms of texts, labels and groups are read, and how predictions come back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from labels.codebook.schema import Codebook, codebook_from_dict
from labels.errors import ColumnError, DataError
from tests.lazy import Lazy
from trainer.data.columns import Labelling, build_examples, read_texts

Dataset = Lazy("datasets:Dataset")

TEXTS = ["Oslo pledged aid.", "Rain fell.", "Lima urged a truce."]
SETS = [("aid",), (), ("aid", "truce")]


@pytest.mark.parametrize(
    "column",
    [
        TEXTS,
        tuple(TEXTS),
        pd.Series(TEXTS, index=[7, 8, 9]),
        pd.Series(TEXTS, dtype="string"),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        (text for text in TEXTS),
    ],
    ids=["list", "tuple", "series", "string series", "array", "object array", "generator"],
)
def test_texts_are_read_from_any_column(column: Any) -> None:
    assert read_texts(column) == TEXTS


def test_texts_and_label_sets_are_read_from_columns_of_a_dataset() -> None:
    dataset = Dataset.from_dict({"text": TEXTS, "labels": [list(labels) for labels in SETS]})
    assert read_texts(dataset["text"]) == TEXTS
    labelling = Labelling.of(dataset["labels"])
    assert (labelling.form, labelling.classes, labelling.label_sets(dataset["labels"])) == (
        "set",
        ("aid", "truce"),
        SETS,
    )


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("Oslo", r"X is a single string, but a list is needed. Pass a list: \['Oslo'\]"),
        (pd.DataFrame({"text": TEXTS}), "X has 2 dimensions. Pass a single column, e.g. table"),
        ({"text": TEXTS}, "X is of type dict. Pass a list or another column"),
        (7, "X is of type int"),
        (["Oslo", None], r"X\[1\] is None, not text. Remove rows without text"),
        (pd.Series(["Oslo", None]), r"X\[1\] is nan, not text"),
        ([3.5], r"X\[0\] is 3.5, not text"),
    ],
)
def test_what_is_not_a_column_of_texts_is_refused(column: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_texts(column)


@pytest.mark.parametrize(
    "y",
    [
        SETS,
        [list(labels) for labels in SETS],
        [set(labels) for labels in SETS],
        pd.Series(SETS),
        pd.Series([np.array(labels, dtype=object) for labels in SETS]),
    ],
    ids=["tuples", "lists", "sets", "series", "arrays"],
)
def test_sets_of_labels_make_a_codebook_of_labels_that_go_together(y: Any) -> None:
    labelling = Labelling.of(y)
    assert (labelling.form, labelling.classes) == ("set", ("aid", "truce"))
    assert not labelling.codebook.exclusive
    assert labelling.label_sets(y) == SETS
    assert labelling.written(np.array([[True, True], [False, False]])) == [("aid", "truce"), ()]


@pytest.mark.parametrize("y", [["b", "a", ""], pd.Series(["b", "a", ""]), np.array(["b", "a", ""])])
def test_names_make_an_exclusive_codebook_and_an_empty_one_is_no_label(y: Any) -> None:
    labelling = Labelling.of(y)
    assert (labelling.form, labelling.classes) == ("name", ("a", "b"))
    assert (labelling.codebook.exclusive, labelling.codebook.allow_none) == (True, True)
    assert labelling.label_sets(y) == [("b",), ("a",), ()]
    assert labelling.written(np.array([[False, True], [False, False]])).tolist() == ["b", ""]


def test_without_a_blank_every_text_has_a_label() -> None:
    labelling = Labelling.of(["b", "a", "b"])
    assert not labelling.codebook.allow_none
    assert labelling.written(np.array([[False, True], [True, False]])).tolist() == ["b", "a"]


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([10, 9, -1], [-1, 9, 10]),
        (np.array([1, 0, 1]), [0, 1]),
        (np.array([1.0, 2.0]), [1.0, 2.0]),
        ([True, False], [0, 1]),
    ],
)
def test_numbers_are_names_in_the_order_of_their_size(y: Any, classes: list[int]) -> None:
    labelling = Labelling.of(y)
    assert list(labelling.classes) == classes
    back = labelling.written(np.eye(len(classes), dtype=bool))
    assert back.tolist() == classes
    assert labelling.label_sets(back) == [(name,) for name in labelling.codebook.label_names]


TABLE = [[1, 0], [0, 0], [1, 1]]


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.array(TABLE), (0, 1)),
        (np.array(TABLE, dtype=bool), (0, 1)),
        (np.array(TABLE, dtype=float), (0, 1)),
        (csr_array(TABLE), (0, 1)),
        (TABLE, (0, 1)),
        (pd.DataFrame(TABLE, columns=["aid", "truce"]), ("aid", "truce")),
    ],
    ids=["array", "booleans", "floats", "sparse", "lists", "frame"],
)
def test_a_table_of_0_and_1_is_answered_by_one(y: Any, classes: tuple[Any, ...]) -> None:
    labelling = Labelling.of(y)
    assert (labelling.form, labelling.classes) == ("indicator", classes)
    names = labelling.codebook.label_names
    assert labelling.label_sets(y) == [names[:1], (), names]
    np.testing.assert_array_equal(labelling.written(np.array(TABLE, dtype=bool)), TABLE)


def test_a_column_of_a_table_without_a_1_is_still_a_label() -> None:
    assert Labelling.of(np.array([[1, 0, 0], [0, 0, 1]])).classes == (0, 1, 2)


def test_the_order_of_a_codebook_wins(codebook: Codebook) -> None:
    labelling = Labelling.of([["truce"], ["aid", "truce"], []], codebook)
    assert labelling.classes == ("aid", "truce")
    assert Labelling.of(["truce", ""], codebook).form == "set", "this codebook allows several labels"
    assert Labelling.of(np.array(TABLE), codebook).classes == ("aid", "truce")


def test_labels_may_be_written_as_their_titles() -> None:
    labels = [{"name": "aid_pledge", "title": "Aid pledge"}, {"name": "dismissal", "title": "Dismissal"}]
    titled = codebook_from_dict({"name": "titled", "labels": labels}, "titled")
    labelling = Labelling.of([["Aid pledge"], ["dismissal"]], titled)
    assert labelling.classes == ("Aid pledge", "dismissal")
    assert labelling.label_sets([["aid_pledge"], ["Dismissal"]]) == [("aid_pledge",), ("dismissal",)]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ("aid", "y is a single string"),
        (None, "This method requires y to be passed, but the target y is None"),
        (["aid", None], r"y\[1\] is None, not a label. Write \"\" if no label applies"),
        (pd.Series(["aid", None]), r"y\[1\] is nan, not a label"),
        ([0.5, 1.5], r"y\[0\] is 0.5, a continuous value"),
        (["aid|truce", "aid"], r"is 'aid\|truce': several labels in one string. Split the string: \['aid', 'truce'\]"),
        ([["aid"], "truce"], r"y\[1\] is 'truce', but other rows are sets of labels. Write \['truce'\]"),
        ([["aid", 3.5]], r"y\[0\] is 3.5"),
        (np.array([[0, 2]]), r"y\[0\] is \[0, 2\], but a table of labels has"),
        (pd.DataFrame({"label": ["aid"]}), r"y\[0\] is \['aid'\], but a table of labels has"),
        ([[1, 0], [1]], r"y\[1\] is \[1\], but a table of labels has"),
        (["aid", "aid"], "y has only one class: every row is 'aid'"),
        ([[], []], "y has no labels: every row is empty"),
        (["none", "aid"], "'none' cannot be a label: a sentence without labels has the empty set"),
    ],
)
def test_what_is_not_labels_is_refused(y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Labelling.of(y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([["weapons"]], r"y\[0\]: label 'weapons' is not in codebook 'small'"),
        ([["ayd"]], r"did you mean 'aid'\?"),
        (
            np.array([[1, 0, 0]]),
            "y has the columns 0, 1, 2, but the labels are aid, truce. Pass one column per label",
        ),
        (
            pd.DataFrame([[1, 0]], columns=["truce", "aid"]),
            "y has the columns truce, aid, but the labels are aid, truce",
        ),
    ],
)
def test_labels_that_do_not_fit_the_codebook_are_refused(y: Any, message: str, codebook: Codebook) -> None:
    with pytest.raises(ColumnError, match=message):
        Labelling.of(y, codebook).label_sets(y)


def test_groups_are_documents_and_a_blank_is_a_group_of_its_own() -> None:
    texts = ["a", "b", "c", "d", "e", "f"]
    groups = pd.Series(["x", 1, None, float("nan"), "", "x"], dtype=object)
    examples = build_examples(texts, [()] * 6, groups)
    assert [example.document_id for example in examples[:2]] == ["x", "1"]
    assert [example.document_id == example.id for example in examples] == [False, False, True, True, True, False]
    blank = build_examples(texts[:2], [()] * 2, pd.Series(["x", None], dtype="string"))
    assert blank[1].document_id == blank[1].id


@pytest.mark.parametrize(
    ("texts", "labels", "groups", "message"),
    [
        (["a", "b"], [()], None, "The columns differ in length: X has 2, y has 1, groups has 2 rows"),
        (["a"], [()], ["x", "y"], "X has 1, y has 1, groups has 2 rows"),
        (["a", " "], [(), ()], None, r"X\[1\]: this text is empty. Fix or remove the row"),
        (["a\ud800"], [()], None, r"X\[0\]: this text contains an unpaired surrogate"),
        (["a"], [()], "x", "groups is a single string"),
    ],
)
def test_examples_are_made_of_whole_rows_only(texts: Any, labels: Any, groups: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        build_examples(texts, labels, groups)


# -- labels as they come from files


def test_lists_written_as_text_are_sets_of_labels() -> None:
    column = pd.Series(["['aid', 'truce']", '["aid"]', "[]"])
    labelling = Labelling.of(column)
    assert (labelling.form, labelling.classes) == ("set", ("aid", "truce"))
    assert labelling.label_sets(column) == [("aid", "truce"), ("aid",), ()]


def test_names_that_differ_in_case_or_white_space_are_one_label(caplog: pytest.LogCaptureFixture) -> None:
    labelling = Labelling.of(["aid", "aid", "Aid", " aid\u00a0", "truce"])
    assert labelling.classes == ("aid", "truce")
    assert (
        "y: 'Aid' and 'aid' differ only in case, white space or typography, and count as one label: 'aid'."
        in caplog.text
    )
    assert labelling.label_sets(["AID", "Truce "]) == [("aid",), ("truce",)]


def test_a_minus_beside_a_plus_is_a_label() -> None:
    assert Labelling.of(["+", "-", "+"]).classes == ("+", "-")


@pytest.mark.parametrize("value", ["nan", "NaN", "<NA>", "N/A", "-", None, float("nan"), pd.NA])
def test_a_missing_label_is_refused_never_none(value: Any) -> None:
    with pytest.raises(ColumnError, match=r"^y\[1\] is .*, not a label\. Write \"\" if no label applies, and remove"):
        Labelling.of(["aid", value, "truce"])


def test_a_cell_that_is_not_a_label_is_refused_with_its_row() -> None:
    with pytest.raises(ColumnError, match=r"^y\[1\]: a label cell must contain the name of a label"):
        Labelling.of(["aid", '{"start": 1}'])


def test_minus_1_and_1_have_names_of_their_own() -> None:
    labelling = Labelling.of([-1, 1, 0])
    assert labelling.codebook.label_names == ("minus_1", "0", "1")
    assert labelling.label_sets([1, -1]) == [("1",), ("minus_1",)]
