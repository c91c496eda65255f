from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from labels.errors import DataError, ExperimentError
from labels.records import Example
from labels.text.duplicates import near_duplicate_pairs
from tests.conftest import make_examples
from trainer.data.splits import Split, apply_split, group_examples, leaked_examples, make_split

FRACTIONS = (0.6, 0.2, 0.2)
WIRE = "The minister said on Monday that the whole convoy had reached the northern port"
"""Near-duplicates of it: the same words with another ending."""


def rows(*items: tuple[str, str], labels: tuple[str, ...] = ()) -> list[Example]:
    """Examples from (document id, text)."""
    return [Example(f"e{number}", document, text, labels) for number, (document, text) in enumerate(items)]


def part_of(parts: list[list[Example]]) -> dict[str, int]:
    return {example.id: number for number, part in enumerate(parts) for example in part}


def tied_corpus(tied: int, others: int) -> list[Example]:
    """`tied` documents that share a wire sentence, and `others` that share nothing."""
    shared = [(f"t{i}", f"{WIRE} {i}.") for i in range(tied)]
    return rows(*shared, *((f"o{i}", f"Rain {i}.") for i in range(others)))


# -- groups


def test_documents_tied_by_near_duplicates_are_one_group_also_through_a_third() -> None:
    examples = rows(("a", f"{WIRE} today."), ("b", f"{WIRE} at last."), ("b", "Rain fell."), ("c", "Rain fell."))
    a, b, b_again, c = group_examples(examples, allow_large=True)
    assert a == b == b_again
    assert c != a


def test_common_short_phrases_tie_nothing() -> None:
    assert len(set(group_examples(rows(*((f"d{i}", "He did not elaborate.") for i in range(30)))))) == 30


def test_groups_are_numbered_from_zero_without_gaps() -> None:
    groups = group_examples(make_examples(60), allow_large=True)
    assert set(groups) == set(range(max(groups) + 1))


def test_a_large_group_stops_the_split_and_shows_the_sentences_that_tie_it() -> None:
    with pytest.raises(ExperimentError, match=r"^5 of 30 documents are connected") as caught:
        group_examples(tied_corpus(5, 25))
    assert f"'{WIRE} 0.' ~ '{WIRE} 1.'" in str(caught.value)
    assert "`split.allow_large_groups = true`" in str(caught.value)


def test_a_large_group_may_be_allowed_and_then_stays_whole() -> None:
    parts = make_split(tied_corpus(5, 25), FRACTIONS, 1, allow_large=True)
    tied = {number for number, part in enumerate(parts) for row in part if row.document_id.startswith("t")}
    assert len(tied) == 1


def test_a_group_of_a_tenth_of_the_documents_is_no_large_one() -> None:
    assert len(set(group_examples(tied_corpus(3, 27)))) == 28


def test_one_long_document_is_no_tie() -> None:
    long = [("long", f"Sentence {i}.") for i in range(200)]
    assert len(set(group_examples(rows(*long, ("b", "Rain."), ("c", "Snow."))))) == 3


# -- divisions

LABELS = st.sets(st.sampled_from(["aid", "truce", "threat"]))
CORPORA = st.lists(st.tuples(st.integers(0, 14), st.integers(0, 9), LABELS), min_size=3, max_size=40).filter(
    lambda drawn: len({document for document, _, _ in drawn}) >= 3
)
LONG = [(0, 9, set()) for _ in range(100)]
UNEVEN: list[tuple[int, int, set[str]]] = [
    *LONG,
    (1, 9, {"aid", "truce", "threat"}),
    *((d, 9, set()) for d in range(2, 8)),
]
"""One long document, and all labels in one short one."""


def corpus(drawn: list[tuple[int, int, set[str]]]) -> list[Example]:
    """Sentence numbers below 4 are one of two wire sentences, so that some documents are tied."""
    examples = []
    for number, (document, sentence, labels) in enumerate(drawn):
        wire = f"{WIRE} {sentence // 2 * 'and then one more time was seen at sea '}{sentence}."
        text = wire if sentence < 4 else f"Plain sentence {sentence}."
        examples.append(Example(f"e{number}", f"d{document}", text, tuple(sorted(labels))))
    return examples


@settings(deadline=None, max_examples=25)
@given(CORPORA, st.integers(0, 2**31 - 1))
@example(UNEVEN, 13)
def test_parts_are_complete_and_disjoint_in_documents_and_near_duplicates_and_none_is_empty(
    drawn: list[tuple[int, int, set[str]]], seed: int
) -> None:
    examples = corpus(drawn)
    if len(set(group_examples(examples, allow_large=True))) < 3:
        return
    parts = make_split(examples, FRACTIONS, seed, allow_large=True)
    assert sorted(row.id for part in parts for row in part) == sorted(row.id for row in examples)
    part = part_of(parts)
    homes: dict[str, set[int]] = {}
    for row in examples:
        homes.setdefault(row.document_id, set()).add(part[row.id])
    assert all(len(numbers) == 1 for numbers in homes.values())
    for left, right in near_duplicate_pairs([row.text for row in examples]):
        assert part[examples[left].id] == part[examples[right].id]
    assert all(parts)


def test_parts_have_about_the_sizes_asked_for() -> None:
    parts = make_split(make_examples(150), FRACTIONS, 7)
    assert [len(part) for part in parts] == pytest.approx([90, 30, 30], abs=6)


def test_rare_labels_are_shared_out() -> None:
    examples = [Example(f"e{i}", f"d{i}", f"Sentence {i}.", ("rare",) if i % 10 == 0 else ()) for i in range(200)]
    parts = make_split(examples, FRACTIONS, 13)
    assert [sum(row.labels == ("rare",) for row in part) for part in parts] == pytest.approx([12, 4, 4], abs=1)


def test_the_same_seed_divides_alike_and_another_one_otherwise() -> None:
    examples = make_examples(90)
    assert make_split(examples, FRACTIONS, 1) == make_split(examples, FRACTIONS, 1)
    assert part_of(make_split(examples, FRACTIONS, 1)) != part_of(make_split(examples, FRACTIONS, 2))


def test_every_part_keeps_the_order_of_the_examples() -> None:
    examples = make_examples(60)
    order = {row.id: position for position, row in enumerate(examples)}
    for part in make_split(examples, (0.5, 0.5), 3):
        assert [order[row.id] for row in part] == sorted(order[row.id] for row in part)


@pytest.mark.parametrize("documents", [0, 1, 2])
def test_fewer_groups_than_parts_raise_with_the_repair(documents: int) -> None:
    examples = rows(*((f"d{i}", f"Sentence {i}.") for i in range(documents)))
    with pytest.raises(ExperimentError, match=rf"have {documents} groups? .*Add documents"):
        make_split(examples, FRACTIONS, 1)


def test_as_many_groups_as_parts_give_one_to_each() -> None:
    parts = make_split(rows(("a", "One."), ("b", "Two."), ("c", "Three.")), FRACTIONS, 1)
    assert [len(part) for part in parts] == [1, 1, 1]


# -- the manifest


def a_split() -> Split:
    return Split(("a", "b"), ("c",), ("d", "é"))


def test_a_manifest_reads_back_as_it_was_written() -> None:
    a_split().save(Path("split.json"))
    assert Split.load(Path("split.json")) == a_split()


def test_the_hash_does_not_depend_on_the_order_of_ids_but_on_their_part() -> None:
    assert Split(("b", "a"), ("c",), ("é", "d")).hash == a_split().hash
    assert Split(("a", "b", "c"), (), ("d", "é")).hash != a_split().hash
    assert len(a_split().hash) == 16
    assert int(a_split().hash, 16) >= 0


def _drop_test(content: dict[str, Any]) -> Any:
    return {key: value for key, value in content.items() if key != "test"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop_test, "not a split manifest"),
        (lambda content: [content], "not a split manifest"),
        (lambda content: content | {"train": None}, "not a split manifest"),
        (lambda content: content | {"train": [1, "a"]}, "not a split manifest"),
        (lambda content: content | {"train": ["a", "x"]}, "the manifest was altered"),
        (lambda content: content | {"train": [*content["train"], "c"], "validation": []}, "the manifest was altered"),
        (lambda content: content | {"hash": "0" * 16}, "the manifest was altered"),
    ],
)
def test_an_altered_manifest_raises_with_its_name_and_the_repair(change: Any, message: str) -> None:
    a_split().save(Path("split.json"))
    content = json.loads(Path("split.json").read_text(encoding="utf-8"))
    Path("split.json").write_text(json.dumps(change(content)), encoding="utf-8")
    with pytest.raises(ExperimentError, match=rf"^split\.json: {message}"):
        Split.load(Path("split.json"))


@pytest.mark.parametrize("content", [None, b"", b"train: a", b"\xff"])
def test_a_file_that_is_no_manifest_raises(content: bytes | None) -> None:
    if content is not None:
        Path("split.json").write_bytes(content)
    with pytest.raises(ExperimentError, match=r"split\.json: not a split manifest .*Remove `split\.manifest`"):
        Split.load(Path("split.json"))


def test_a_manifest_that_cannot_be_written_leaves_nothing() -> None:
    with pytest.raises(DataError, match="does not exist"):
        a_split().save(Path("absent/split.json"))
    assert list(Path().iterdir()) == []


def test_a_manifest_divides_shuffled_examples_as_before() -> None:
    examples = make_examples(30)
    parts = make_split(examples, FRACTIONS, 1)
    split = Split(*(tuple(row.id for row in part) for part in parts))
    random.Random(3).shuffle(examples)
    applied = apply_split(split, examples, "split.json")
    assert applied == dict(zip(("train", "validation", "test"), parts, strict=True))


def test_a_manifest_may_name_fewer_examples_than_there_are() -> None:
    applied = apply_split(Split(("e0001",), (), ("e0000",)), make_examples(9), "split.json")
    assert Counter({name: len(part) for name, part in applied.items()}) == Counter(train=1, validation=0, test=1)


def test_a_manifest_of_other_data_raises_with_file_part_and_id() -> None:
    split = Split(("e0000",), ("e0001",), ("gone", "lost"))
    with pytest.raises(ExperimentError, match=r"^split\.json: 2 examples of the manifest's test part .* e\.g\. 'gone'"):
        apply_split(split, make_examples(9), "split.json")


# -- leaks


@pytest.mark.parametrize(
    ("train", "test", "leaked"),
    [
        ([f"{WIRE} again."], [f"{WIRE} at last.", "Rain fell."], [0]),
        (["Rain fell."], ["Snow fell.", "Rain fell."], [1]),
        (["Rain fell."], ["rain fell!"], []),
        (["Rain fell."], [f"{WIRE} again.", f"{WIRE} at last."], []),
        ([f"{WIRE} again."], [f"{WIRE}.", f"{WIRE}!", f"{WIRE}."], [0, 1, 2]),
        ([f"{WIRE}.", f"{WIRE}!"], [f"{WIRE} again."], [0]),
        ([], ["Rain fell."], []),
    ],
)
def test_leaked_examples_are_all_test_rows_that_train_knows(
    train: list[str], test: list[str], leaked: list[int]
) -> None:
    test_rows = [Example(f"x{i}", f"x{i}", text) for i, text in enumerate(test)]
    found = leaked_examples(rows(*((f"d{i}", text) for i, text in enumerate(train))), test_rows)
    assert found == [test_rows[i] for i in leaked]
