from __future__ import annotations

from typing import Any

import pytest

from labels.codebook.changes import FieldChange, LabelChange, diff, shape
from labels.codebook.schema import Codebook, codebook_from_dict

AID: dict[str, Any] = {
    "name": "aid",
    "title": "Aid",
    "key": "a",
    "definition": "Help is promised.",
    "include": ["gifts", "loans"],
    "exclude": ["thanks"],
    "examples": [{"text": "Oslo pledged trucks.", "why": "a gift"}],
    "cues": ["pledg*"],
    "crosswalk": {"CAMEO": ["033"]},
}


def book(*labels: dict[str, Any] | str, **more: Any) -> Codebook:
    rows = [{"name": label} if isinstance(label, str) else label for label in labels]
    return codebook_from_dict({"name": "small", "labels": rows} | more, "small")


def test_a_codebook_does_not_differ_from_itself() -> None:
    found = diff(book(AID, "truce"), book(AID, "truce"))

    assert (found.only_old, found.only_new, found.labels, found.fields) == ((), (), (), ())
    assert found.same_labels


def test_labels_of_one_version_only_are_named_in_codebook_order() -> None:
    found = diff(book("z", "kept", "a"), book("kept", "y", "b"))

    assert (found.only_old, found.only_new) == (("z", "a"), ("y", "b"))
    assert not found.same_labels


@pytest.mark.parametrize(
    ("field", "value", "removed", "added"),
    [
        ("title", "Help", ("Aid",), ("Help",)),
        ("title", "", ("Aid",), ()),
        ("key", "p", ("a",), ("p",)),
        ("definition", "Help is given.", ("Help is promised.",), ("Help is given.",)),
        ("include", ["loans", "arms"], ("gifts",), ("arms",)),
        ("exclude", [], ("thanks",), ()),
        ("examples", [{"text": "Oslo pledged trucks."}], ("Oslo pledged trucks. (a gift)",), ("Oslo pledged trucks.",)),
        ("cues", ["pledg*", "will send"], (), ("will send",)),
        ("crosswalk", {"CAMEO": ["033", "07"]}, ("CAMEO: 033",), ("CAMEO: 033, 07",)),
        ("include", ["loans", "gifts"], (), ()),
        ("include", ["gifts", "loans", "gifts"], (), ("gifts",)),
    ],
)
def test_a_changed_field_says_what_only_one_version_has(
    field: str, value: Any, removed: tuple[str, ...], added: tuple[str, ...]
) -> None:
    found = diff(book(AID), book(AID | {field: value}))

    assert found.labels == (LabelChange("aid", (FieldChange(field, removed, added),)),)
    assert found.same_labels


def test_fields_of_the_codebook_itself_are_told_with_rules_one_by_one() -> None:
    found = diff(book("aid", rules=["one", "two"], version="1"), book("aid", rules=["two", "three"], version="2"))

    assert found.fields == (FieldChange("version", ("1",), ("2",)), FieldChange("rules", ("one",), ("three",)))
    assert found.same_labels


@pytest.mark.parametrize(("flag", "before", "after"), [("exclusive", "no", "yes"), ("allow_none", "yes", "no")])
def test_a_changed_flag_is_more_than_wording(flag: str, before: str, after: str) -> None:
    found = diff(book("aid", "truce"), book("aid", "truce", **{flag: after == "yes"}))

    assert found.fields == (FieldChange(flag, (before,), (after,)),)
    assert not found.same_labels


def test_another_order_of_labels_is_told_and_is_wording_only() -> None:
    found = diff(book("aid", "gone", "truce"), book("truce", "aid", "come"))

    assert found.fields == (FieldChange("order of labels", ("aid, truce",), ("truce, aid",)),)
    assert shape(book("aid", "truce")) == shape(book("truce", "aid"))
