from __future__ import annotations

import json
from typing import cast

import pytest

from labels.codebook.changes import Step, StepKind, check_steps, parse_step, step_from_json
from labels.codebook.schema import Codebook, codebook_from_dict
from labels.errors import CodebookError, InputError

STEPS = [
    ("rename", "aid=help", Step("rename", ("aid",), ("help",))),
    ("merge", "loan,gift=aid", Step("merge", ("loan", "gift"), ("aid",))),
    ("split", "aid=loan,gift,aid", Step("split", ("aid",), ("loan", "gift", "aid"))),
    ("retire", "aid", Step("retire", ("aid",), ())),
    ("add", "aid", Step("add", (), ("aid",))),
]


def book(*labels: str) -> Codebook:
    return codebook_from_dict({"name": "small", "labels": [{"name": label} for label in labels]}, "small")


def steps(*typed: str) -> list[Step]:
    """Steps as they are typed: "merge a,b=c"."""
    return [parse_step(cast(StepKind, kind), text) for kind, text in (line.split() for line in typed)]


@pytest.mark.parametrize(("kind", "text", "step"), STEPS)
def test_a_step_is_read_as_it_is_typed_and_written_so_again(kind: StepKind, text: str, step: Step) -> None:
    assert parse_step(kind, text) == step
    assert str(step) == f"--{kind} {text}"


def test_white_space_around_names_does_not_count() -> None:
    assert parse_step("merge", " loan , gift = aid ") == STEPS[1][2]


@pytest.mark.parametrize("step", [step for _, _, step in STEPS])
def test_a_step_survives_json(step: Step) -> None:
    assert step_from_json(json.loads(json.dumps(step.to_json()))) == step


def test_a_step_of_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(InputError, match=r"'swap' is not a step.*Upgrade"):
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
    ],
)
def test_a_step_that_makes_no_sense_is_refused_with_what_was_typed_and_an_example(kind: StepKind, text: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_step(kind, text)
    assert f"`--{kind} {text}`" in str(raised.value)
    assert f"e.g. --{kind} " in str(raised.value)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("rename a=b", "'a' is now called 'b'"),
        ("merge a,b,c=d", "'a', 'b' and 'c' are now 'd'"),
        ("split a=b,c", "'a' is now 'b' or 'c'"),
        ("retire a", "'a' is no longer a label"),
        ("add a", "'a' is a new label"),
    ],
)
def test_a_step_can_be_said_in_plain_words(text: str, meaning: str) -> None:
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
        ("a b c d", "e f g h", ["rename a=e", "split b=f,g", "merge c,d=h"]),
        ("a b", "b c", ["retire a", "add c"]),
    ],
)
def test_steps_that_tell_of_every_label_once_pass(old: str, new: str, typed: list[str]) -> None:
    check_steps(steps(*typed), book(*old.split()), book(*new.split()))
    check_steps([step.inverse for step in steps(*typed)], book(*new.split()), book(*old.split()))


@pytest.mark.parametrize(
    ("old", "new", "typed", "message"),
    [
        ("a b", "b", [], "'a' is not in the new version: what became of it? `--retire a`"),
        ("a", "a b", [], "'b' is not in the old version: where does it come from? `--add b`"),
        ("a b", "c b", [], "`--retire a` or `--rename a=c`"),
        ("a b", "c b", ["retire a"], "`--add c`."),
        (
            "aid b",
            "c b",
            ["rename ade=c"],
            "the old version has no label 'ade' (did you mean 'aid'?). Its labels: aid, b",
        ),
        ("a b", "truce b", ["rename a=truse"], "the new version has no label 'truse' (did you mean 'truce'?)"),
        ("a b", "b", ["rename a=b"], "the old version already has 'b'. To make both one label, type `--merge a,b=b`"),
        ("a b c", "c", ["merge a,b=c"], "type `--merge a,b,c=c`"),
        ("a b", "b c", ["split a=b,c"], "the old version already has 'b'. The parts of a split are new"),
        ("a b", "a b", ["add a"], "the old version already has 'a'. Leave the step out"),
        ("a b", "a b", ["retire a"], "the new version still has 'a'"),
        ("a b", "a b c", ["merge a,b=c"], "the new version still has 'a'"),
        ("a b", "b c d", ["rename a=c", "rename a=d"], "`--rename a=c`, `--rename a=d`: each explains 'a'"),
        ("a b", "c", ["rename a=c", "rename b=c"], "each explains 'c'"),
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
