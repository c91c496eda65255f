from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.codebook.changes import Step, StepKind, check_steps, parse_step
from labels.codebook.reading import CodebookHistory, Edge, Reading, Reread, VersionReader, reread, reread_between, route
from labels.codebook.schema import Codebook, codebook_from_dict
from labels.errors import CodebookError
from labels.records import Annotation


def book(labels: str, version: str = "1", **more: Any) -> Codebook:
    rows = [{"name": label} for label in labels.split()]
    return codebook_from_dict({"name": "small", "version": version, "labels": rows} | more, "small")


def steps(*typed: str) -> tuple[Step, ...]:
    """Steps as they are typed: "merge a,b=c"."""
    return tuple(parse_step(cast(StepKind, kind), text) for kind, text in (line.split() for line in typed))


def made(codebook: Codebook | str, *labels: str) -> Annotation:
    """An annotation made under a version, or under a hash that nobody knows."""
    version = codebook if isinstance(codebook, str) else codebook.hash
    return Annotation("e1", "s1", "ana", "annotate", "reviewed", labels, version, "2026-01-01")


def history(
    *versions: Codebook, edges: Sequence[tuple[Codebook | str, Codebook, tuple[Step, ...]]] = ()
) -> CodebookHistory:
    hashes = {version.hash: version for version in versions}
    return CodebookHistory(
        hashes, tuple(Edge(old if isinstance(old, str) else old.hash, new.hash, way) for old, new, way in edges)
    )


# -- a label set and steps


@pytest.mark.parametrize(
    ("labels", "typed", "sure", "undecided"),
    [
        ("a b", ["rename a=c"], "b c", ""),
        ("b", ["rename a=c"], "b", ""),
        ("a d", ["merge a,b=c"], "c d", ""),
        ("a b", ["merge a,b=c"], "c", ""),
        ("b", ["merge a,b=a"], "a", ""),
        ("d", ["merge a,b=c"], "d", ""),
        ("a d", ["retire a"], "d", ""),
        ("a", ["retire a"], "", ""),
        ("a d", ["split a=b,c"], "d", "b c"),
        ("d", ["split a=b,c"], "d", ""),
        ("a", ["split a=a,b"], "", "a b"),
        ("", ["add b"], "", "b"),
        ("a", ["add b"], "a", "b"),
        ("a", ["split a=b,c", "rename b=d"], "", "c d"),
        ("a d", ["split a=b,c", "merge b,d=d"], "d", "c"),
        ("a", ["split a=b,c", "merge b,c=e"], "", "e"),
        ("a", ["split a=b,c", "retire b"], "", "c"),
        ("a", ["split a=b,c", "split b=e,f"], "", "c e f"),
        ("", ["add b", "retire b"], "", ""),
        ("a d", ["revise a"], "a d", ""),
        ("d", ["revise a"], "d", ""),
        ("a", ["split a=b,c", "revise b"], "", "b c"),
    ],
)
def test_steps_leave_labels_certain_or_undecided(labels: str, typed: list[str], sure: str, undecided: str) -> None:
    read = reread(labels.split(), steps(*typed))

    assert (sorted(read.labels), sorted(read.undecided)) == (sure.split(), undecided.split())


@st.composite
def changes(draw: st.DrawFn, before: Sequence[str], tag: str) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Steps from the labels `before`, in any order, and the labels that result."""
    made_steps: list[Step] = []
    after: list[str] = []
    left = list(draw(st.permutations(before)))
    while left:
        label, new = left.pop(), f"{tag}{len(made_steps)}"
        fate = draw(st.sampled_from(("keep", "rename", "merge", "split", "narrow", "retire")))
        if fate == "merge" and left:
            target = draw(st.sampled_from((new, label)))
            made_steps.append(Step("merge", (label, left.pop()), (target,)))
        elif fate == "rename":
            made_steps.append(Step("rename", (label,), (new,)))
        elif fate in ("split", "narrow"):
            made_steps.append(Step("split", (label,), (new if fate == "split" else label, f"{new}x")))
        elif fate == "retire":
            made_steps.append(Step("retire", (label,), ()))
        after += made_steps[-1].new if fate != "keep" and made_steps and label in made_steps[-1].old else (label,)
    for number in range(draw(st.integers(0, 1)) or not after):
        made_steps.append(Step("add", (), (f"{tag}new{number}",)))
        after += made_steps[-1].new
    return tuple(draw(st.permutations(made_steps))), tuple(after)


@st.composite
def chains(draw: st.DrawFn) -> tuple[tuple[str, ...], list[tuple[tuple[Step, ...], tuple[str, ...]]]]:
    """The labels of a first version, and up to three changes with the labels that they lead to."""
    labels = start = tuple("abcd"[: draw(st.integers(1, 4))])
    chain = []
    for tag in "xyz"[: draw(st.integers(1, 3))]:
        chain.append(draw(changes(labels, tag)))
        labels = chain[-1][1]
    return start, chain


Chain = tuple[tuple[str, ...], list[tuple[tuple[Step, ...], tuple[str, ...]]]]


def some_of(data: st.DataObject, labels: Sequence[str]) -> tuple[str, ...]:
    return tuple(data.draw(st.lists(st.sampled_from(labels), unique=True)))


def by_three_values(labels: Sequence[str], chain: Chain) -> tuple[set[str], set[str]]:
    """Oracle: each label is false (0), open (1) or true (2); a label's value is the largest of its sources'."""
    start, way = chain
    values = {label: 2 if label in labels else 0 for label in start}
    for taken, after in way:
        following = {label: values.get(label, 0) for label in after}
        for step in taken:
            source = max((values[label] for label in step.old), default=1)
            for label in step.new:
                following[label] = min(source, 1) if step.kind == "split" else source
        values = following
    return {label for label in values if values[label] == 2}, {label for label in values if values[label] == 1}


@given(chains())
def test_generated_steps_explain_their_changes_in_both_directions(chain: Chain) -> None:
    start, way = chain
    for taken, after in way:
        old, new = book(" ".join(start)), book(" ".join(after))
        check_steps(taken, old, new)
        check_steps([step.inverse for step in taken], new, old)
        start = after


@given(chains(), st.data())
def test_reading_along_a_chain_follows_three_valued_logic(chain: Chain, data: st.DataObject) -> None:
    labels = some_of(data, chain[0])
    read = reread(labels, [step for taken, _ in chain[1] for step in taken])

    assert (set(read.labels), set(read.undecided)) == by_three_values(labels, chain)


@given(chains(), st.data())
def test_reading_step_by_step_is_reading_along_the_whole_chain(chain: Chain, data: st.DataObject) -> None:
    labels = some_of(data, chain[0])
    read = Reread(labels)
    for taken, _ in chain[1]:
        for step in taken:
            read = reread(read.labels, [step], read.undecided)

    assert read == reread(labels, [step for taken, _ in chain[1] for step in taken])


@given(chains(), st.data(), st.booleans(), st.booleans())
def test_reading_never_invents_a_label_or_contradicts_itself(
    chain: Chain, data: st.DataObject, exclusive: bool, allow_none: bool
) -> None:
    labels = some_of(data, chain[0])
    way = [step for taken, _ in chain[1] for step in taken]
    new = book(" ".join(chain[1][-1][1]), exclusive=exclusive, allow_none=allow_none or len(chain[1][-1][1]) < 2)
    for read in (reread(labels, way), reread_between(labels, way, book(" ".join(chain[0])), new)):
        assert set(read.labels) | set(read.undecided) <= set(new.label_names)
        assert not set(read.labels) & set(read.undecided)


@given(chains(), st.data())
def test_the_order_of_the_steps_of_one_change_does_not_matter(chain: Chain, data: st.DataObject) -> None:
    labels = some_of(data, chain[0])
    taken, after = chain[1][0]
    new = book(" ".join(after))
    mixed = data.draw(st.permutations(taken))

    old = book(" ".join(chain[0]))
    assert reread_between(labels, taken, old, new) == reread_between(labels, mixed, old, new)


@given(chains(), st.data())
def test_reading_forth_and_back_never_contradicts(chain: Chain, data: st.DataObject) -> None:
    """There and back, each label of the set is sure or undecided again unless it was forgotten; no other is sure."""
    labels = some_of(data, chain[0])
    taken = [step for steps_, _ in chain[1] for step in steps_]
    there = reread(labels, taken)
    back = reread(there.labels, [step.inverse for step in reversed(taken)], there.undecided)

    assert set(back.labels) <= set(labels)
    assert set(labels) <= set(back.labels) | set(back.undecided)


@given(st.lists(st.sampled_from("abcd"), unique=True))
def test_no_steps_change_nothing(labels: list[str]) -> None:
    assert reread(labels, []) == Reread(tuple(labels))


# -- what the flags add


ONE = {"exclusive": True}
ONE_OR_NONE = {"exclusive": True, "allow_none": True}
MUST = {"exclusive": True, "allow_none": False}


@pytest.mark.parametrize(
    ("labels", "old", "typed", "new", "expected"),
    [
        # Only one label: another may be the new one, or the one chosen instead of the rest is gone.
        ("a", book("a b", **ONE), ["add c"], book("a b c", **ONE), Reread(("a",), ("c",))),
        ("", book("a b", **ONE), ["add c"], book("a b c", **ONE), Reread((), ("c",))),
        ("a", book("a b", **ONE), ["split a=c,d"], book("c d b", **ONE), Reread((), ("c", "d"))),
        ("b", book("a b", **ONE), ["split a=c,d"], book("c d b", **ONE), Reread(("b",))),
        ("a", book("a b", **ONE), ["merge a,b=b"], book("b", **ONE), Reread(("b",))),
        ("a", book("a b", **ONE), ["rename a=c"], book("c b", **ONE), Reread(("c",))),
        ("a", book("a b c", **ONE_OR_NONE), ["retire a"], book("b c", **ONE_OR_NONE), Reread((), ("b", "c"))),
        ("a", book("a b c", **MUST), ["retire a"], book("b c", **MUST), Reread((), ("b", "c"))),
        ("", book("a b c", **ONE_OR_NONE), ["retire a"], book("b c", **ONE_OR_NONE), Reread(())),
        ("b", book("a b c", **ONE_OR_NONE), ["retire a"], book("b c", **ONE_OR_NONE), Reread(("b",))),
        # One or several.
        ("a", book("a b"), ["retire a"], book("b"), Reread(())),
        ("a", book("a b", **ONE), [], book("a b"), Reread(("a",), ("b",))),
        ("", book("a b", **ONE), [], book("a b"), Reread(())),
        ("a b", book("a b c"), [], book("a b c", **ONE), Reread((), ("a", "b"))),
        ("a", book("a b c"), [], book("a b c", **ONE), Reread(("a",))),
        ("a b", book("a b c"), ["merge a,b=d"], book("d c", **ONE), Reread(("d",))),
        # None or at least one.
        ("", book("a b", **ONE_OR_NONE), [], book("a b", **MUST), Reread((), ("a", "b"))),
        ("a", book("a b", **ONE_OR_NONE), [], book("a b", **MUST), Reread(("a",))),
        ("", book("a b", **MUST | {"allow_none": True}), ["add c"], book("a b c", **MUST), Reread((), ("c",))),
    ],
)
def test_flags_decide_which_labels_stay_open(
    labels: str, old: Codebook, typed: list[str], new: Codebook, expected: Reread
) -> None:
    check_steps(steps(*typed), old, new)

    assert reread_between(labels.split(), steps(*typed), old, new) == expected


# -- routes


def test_the_shortest_route_is_taken() -> None:
    edges = [Edge("1", "2"), Edge("2", "3"), Edge("3", "4"), Edge("1", "3", steps("add a")), Edge("4", "1")]

    assert route(edges, "1", "4") == (edges[3], edges[2])
    assert route(edges, "2", "1") == (edges[1], edges[2], edges[4])


def test_a_route_to_the_same_version_is_empty_and_a_missing_one_is_none() -> None:
    assert route([], "1", "1") == ()
    assert route([Edge("1", "2")], "2", "1") is None


@given(st.lists(st.tuples(st.sampled_from("12345"), st.sampled_from("12345")), max_size=12))
def test_a_route_leads_from_end_to_end_and_none_is_shorter(pairs: list[tuple[str, str]]) -> None:
    edges = [Edge(*pair) for pair in pairs]
    reached, distance = {"1": 0}, 0
    while any(edge.old_hash in reached and edge.new_hash not in reached for edge in edges):
        distance += 1
        reached = {edge.new_hash: distance for edge in edges if edge.old_hash in reached} | reached
    for goal in "12345":
        found = route(edges, "1", goal)
        assert (found is None) == (goal not in reached)
        if found is not None:
            assert len(found) == reached[goal]
            assert ["1", *(edge.new_hash for edge in found)] == [*(edge.old_hash for edge in found), goal]


# -- annotations under a version

FIRST = book("a b")
SECOND = book("c d b", "2")
THIRD = book("c e", "3")
WAY = [(FIRST, SECOND, steps("split a=c,d")), (SECOND, THIRD, steps("merge d,b=e"))]
ALL = history(FIRST, SECOND, THIRD, edges=WAY)


def test_an_annotation_of_the_version_itself_is_read_as_it_is_in_codebook_order() -> None:
    assert VersionReader(FIRST, ALL).read(made(FIRST, "b", "a")) == Reading(("a", "b"))


def test_an_annotation_of_other_wording_is_read_unchanged_and_marked() -> None:
    reworded = book("b a", "1.1", rules=["Judge the sentence alone."])

    for known in (history(FIRST, reworded), history(FIRST)):
        assert VersionReader(reworded, known).read(made(FIRST, "a")) == Reading(("a",), reworded=True)


def test_an_annotation_is_read_through_every_recorded_change() -> None:
    reader = VersionReader(THIRD, ALL)

    assert reader.read(made(FIRST, "b")) == Reading(("e",), changes=2)
    assert reader.read(made(FIRST, "a", "b")) == Reading(("e",), ("c",), changes=2)
    assert reader.read(made(SECOND, "d")) == Reading(("e",), changes=1)


def test_an_annotation_of_a_later_version_is_read_back_under_an_earlier_one() -> None:
    assert VersionReader(FIRST, ALL).read(made(SECOND, "d")) == Reading(("a",), changes=1)
    assert VersionReader(FIRST, ALL).read(made(THIRD, "c")) == Reading(("a",), changes=2)
    assert VersionReader(FIRST, ALL).read(made(THIRD, "e")) == Reading((), ("a", "b"), changes=2)


def test_a_change_recorded_between_versions_serves_their_rewordings() -> None:
    before, after = book("a b", "1.1"), book("c e", "3.1")
    known = history(FIRST, SECOND, THIRD, before, edges=WAY)

    assert VersionReader(after, known).read(made(before, "b")) == Reading(("e",), changes=2)


def test_an_unknown_version_is_read_as_this_one() -> None:
    assert VersionReader(THIRD, ALL).read(made("unknown", "e")) == Reading(("e",))
    with pytest.raises(CodebookError, match=r"sentence s1, annotator 'ana': label 'a' is not in codebook"):
        VersionReader(THIRD, ALL).read(made("unknown", "a"))


def test_an_unknown_version_is_read_as_the_one_recorded_for_it() -> None:
    known = history(FIRST, SECOND, THIRD, edges=[*WAY, ("unknown", FIRST, ())])

    assert VersionReader(THIRD, known).read(made("unknown", "b")) == Reading(("e",), changes=2)


def test_a_label_that_the_annotations_own_version_lacks_is_refused() -> None:
    with pytest.raises(CodebookError, match=r"sentence s1, annotator 'ana': label 'd' is not in codebook 'small' 1"):
        VersionReader(THIRD, ALL).read(made(FIRST, "d"))


def test_annotations_without_a_recorded_change_are_refused_with_versions_count_and_command() -> None:
    other = book("x y", "9")
    reader = VersionReader(other, ALL)
    with pytest.raises(CodebookError) as raised:
        reader.check_readable([made(FIRST, "a"), made(FIRST), made(THIRD, "e"), made("unknown", "x")])
    first, *lines = str(raised.value).splitlines()
    assert f"'small' 9 ({other.hash})" in first
    assert [line.split()[0] for line in lines] == ["2", "1"]
    assert f"'small' 1 ({FIRST.hash})" in lines[0]
    assert f"communique codebook migrate {FIRST.hash} NEW" in lines[0]
    with pytest.raises(CodebookError, match="codebook migrate"):
        reader.read(made(FIRST))


def test_annotations_that_can_be_read_pass() -> None:
    VersionReader(THIRD, ALL).check_readable([made(FIRST, "a"), made(THIRD), made("unknown", "x")])


def test_flags_of_the_first_and_last_version_count() -> None:
    one, several, again = book("a b", "1", **ONE), book("a b", "2"), book("b a", "3", **ONE)
    known = history(one, several, again, edges=[(one, several, ())])

    assert VersionReader(several, known).read(made(one, "a")) == Reading(("a",), ("b",), changes=1)
    assert VersionReader(again, known).read(made(one, "a")) == Reading(("a",), reworded=True)
    assert VersionReader(again, known).read(made(several, "a", "b")) == Reading((), ("b", "a"), changes=1)


@pytest.mark.parametrize(
    ("shown", "read"),
    [
        (("a", "c"), ("b", "c")),
        (("d",), None),
        (("c", "weather"), ("c",)),
        ((), ()),
        (None, None),
    ],
)
def test_a_suggestion_is_read_as_a_label_set_is(shown: tuple[str, ...] | None, read: tuple[str, ...] | None) -> None:
    old, new = book("a c d"), book("b c e f", "2")
    known = history(old, new, edges=[(old, new, steps("rename a=b", "split d=e,f"))])
    shown_then = replace(made(old, "c"), suggestion=shown)

    assert VersionReader(new, known).read_suggestion(shown_then) == read
    assert VersionReader(old, known).read_suggestion(shown_then) == shown
