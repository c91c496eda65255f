from __future__ import annotations

import json
from typing import Any, cast

import pytest

from labels.codebook.changes import (
    FieldChange,
    LabelChange,
    Step,
    StepKind,
    check_steps,
    diff,
    parse_step,
    shape,
    step_from_json,
)
from labels.codebook.schema import Codebook, codebook_from_dict
from labels.errors import CodebookError, InputError

STEPS = [
    ("rename", "aid=help", Step("rename", ("aid",), ("help",))),
    ("merge", "loan,gift=aid", Step("merge", ("loan", "gift"), ("aid",))),
    ("split", "aid=loan,gift,aid", Step("split", ("aid",), ("loan", "gift", "aid"))),
    ("retire", "aid", Step("retire", ("aid",), ())),
    ("add", "aid", Step("add", (), ("aid",))),
]
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


def steps(*typed: str) -> list[Step]:
    """Steps as they are typed: "merge a,b=c"."""
    return [parse_step(cast(StepKind, kind), text) for kind, text in (line.split() for line in typed)]


# -- what differs


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
def test_a_changed_field_lists_the_items_of_one_version_only(
    field: str, value: Any, removed: tuple[str, ...], added: tuple[str, ...]
) -> None:
    found = diff(book(AID), book(AID | {field: value}))

    assert found.labels == (LabelChange("aid", (FieldChange(field, removed, added),)),)
    assert found.same_labels


def test_changed_rules_of_the_codebook_are_listed_one_by_one() -> None:
    found = diff(book("aid", rules=["one", "two"], version="1"), book("aid", rules=["two", "three"], version="2"))

    assert found.fields == (FieldChange("version", ("1",), ("2",)), FieldChange("rules", ("one",), ("three",)))
    assert found.same_labels


@pytest.mark.parametrize(("flag", "before", "after"), [("exclusive", "no", "yes"), ("allow_none", "yes", "no")])
def test_a_changed_flag_is_more_than_wording(flag: str, before: str, after: str) -> None:
    found = diff(book("aid", "truce"), book("aid", "truce", **{flag: after == "yes"}))

    assert found.fields == (FieldChange(flag, (before,), (after,)),)
    assert not found.same_labels


def test_another_order_of_labels_is_reported_as_wording() -> None:
    found = diff(book("aid", "gone", "truce"), book("truce", "aid", "come"))

    assert found.fields == (FieldChange("order of labels", ("aid, truce",), ("truce, aid",)),)
    assert shape(book("aid", "truce")) == shape(book("truce", "aid"))


# -- steps


@pytest.mark.parametrize(("kind", "text", "step"), STEPS)
def test_a_step_is_parsed_and_printed_as_typed(kind: StepKind, text: str, step: Step) -> None:
    assert parse_step(kind, text) == step
    assert str(step) == f"--{kind} {text}"


def test_white_space_around_names_is_ignored() -> None:
    assert parse_step("merge", " loan , gift = aid ") == STEPS[1][2]


@pytest.mark.parametrize("step", [step for _, _, step in STEPS])
def test_a_step_survives_json(step: Step) -> None:
    assert step_from_json(json.loads(json.dumps(step.to_json()))) == step


def test_a_step_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match=r"does not know the step 'swap'.*Upgrade"):
        step_from_json({"kind": "swap", "old": ["a"], "new": ["b"]})


@pytest.mark.parametrize("step", [step for _, _, step in STEPS])
def test_the_inverse_of_the_inverse_is_the_step(step: Step) -> None:
    assert step.inverse != step
    assert step.inverse.inverse == step


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("rename", "aid"),
        ("rename", "aid=aid"),
        ("rename", "a=b=c"),
        ("rename", "a,b=c"),
        ("merge", "a=c"),
        ("merge", "a,a=c"),
        ("merge", "a,b=c,d"),
        ("split", "a=b"),
        ("split", "a=b,b"),
        ("split", "a,b=c,d"),
        ("split", "a=b,"),
        ("retire", "a,b"),
        ("retire", "a=b"),
        ("add", ""),
        ("revise", "a,b"),
        ("revise", "a=b"),
        ("revise", ""),
    ],
)
def test_a_malformed_step_is_refused_with_an_example(kind: StepKind, text: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_step(kind, text)
    assert f"`--{kind} {text}`" in str(raised.value)
    assert f"e.g. --{kind} " in str(raised.value)


def test_a_revision_of_a_label_is_parsed_printed_stored_and_inverted() -> None:
    step = Step("revise", ("aid",), ("aid",))
    assert parse_step("revise", "aid") == step == step.inverse == step_from_json(json.loads(json.dumps(step.to_json())))
    assert str(step) == "--revise aid"


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("rename a=b", "'a' is now called 'b'"),
        ("merge a,b,c=d", "'a', 'b' and 'c' are now 'd'"),
        ("split a=b,c", "'a' is now 'b' or 'c'"),
        ("retire a", "'a' is no longer a label"),
        ("add a", "'a' is a new label"),
        ("revise a", "the rules of 'a' have changed"),
    ],
)
def test_a_step_has_a_meaning_in_words(text: str, meaning: str) -> None:
    assert steps(text)[0].meaning == meaning


# -- steps that explain a change


@pytest.mark.parametrize(
    ("old", "new", "typed"),
    [
        ("a b", "a b", []),
        ("a b", "c b", ["rename a=c"]),
        ("a b", "c", ["merge a,b=c"]),
        ("a b", "b", ["merge a,b=b"]),
        ("a b", "c d b", ["split a=c,d"]),
        ("a b", "a c b", ["split a=a,c"]),
        ("a b", "b", ["retire a"]),
        ("a b", "a b c", ["add c"]),
        ("a b", "a b", ["revise a", "revise b"]),
        ("a b", "a c", ["revise a", "rename b=c"]),
        ("a b c d", "e f g h", ["rename a=e", "split b=f,g", "merge c,d=h"]),
        ("a b", "b c", ["retire a", "add c"]),
    ],
)
def test_steps_that_explain_every_label_once_pass(old: str, new: str, typed: list[str]) -> None:
    check_steps(steps(*typed), book(*old.split()), book(*new.split()))
    check_steps([step.inverse for step in steps(*typed)], book(*new.split()), book(*old.split()))


@pytest.mark.parametrize(
    ("old", "new", "typed", "message"),
    [
        ("a b", "b", [], "'a' is not in the new version. Explain the change with `--retire a`"),
        ("a", "a b", [], "'b' is not in the old version. Explain the change with `--add b`"),
        ("a b", "c b", [], "`--retire a` or `--rename a=c`"),
        ("a b", "c b", ["retire a"], "`--add c`."),
        (
            "aid b",
            "c b",
            ["rename ade=c"],
            "the old version has no label 'ade' (did you mean 'aid'?). Its labels: aid, b",
        ),
        ("a b", "truce b", ["rename a=truse"], "the new version has no label 'truse' (did you mean 'truce'?)"),
        (
            "a b",
            "b",
            ["rename a=b"],
            "the old version already has 'b'. To merge both labels into one, type `--merge a,b=b`",
        ),
        ("a b c", "c", ["merge a,b=c"], "type `--merge a,b,c=c`"),
        ("a b", "b c", ["split a=b,c"], "the old version already has 'b'. The parts of a split are new"),
        ("a b", "a b", ["add a"], "the old version already has 'a'. Omit the step"),
        ("a b", "a b", ["retire a"], "the new version still has 'a'"),
        ("a b", "a b c", ["merge a,b=c"], "the new version still has 'a'"),
        (
            "a b",
            "b c d",
            ["rename a=c", "rename a=d"],
            "`--rename a=c`, `--rename a=d`: several steps explain 'a'",
        ),
        ("a b", "c", ["rename a=c", "rename b=c"], "several steps explain 'c'"),
    ],
)
def test_steps_that_do_not_explain_the_change_are_refused(old: str, new: str, typed: list[str], message: str) -> None:
    with pytest.raises(CodebookError) as raised:
        check_steps(steps(*typed), book(*old.split()), book(*new.split()))
    assert message in str(raised.value)


def test_every_problem_is_listed_at_once_under_the_two_versions() -> None:
    old, new = book("a", "b", "c"), book("c", "d")
    with pytest.raises(CodebookError) as raised:
        check_steps(steps("retire c"), old, new)
    first, *problems = str(raised.value).splitlines()
    assert old.hash in first
    assert new.hash in first
    assert [problem.split("'")[1] for problem in problems] == ["c", "a", "b", "d"]
