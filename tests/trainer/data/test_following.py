"""A manifest and data that have grown since it was made."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels.codebook.schema import Codebook
from labels.errors import ExperimentError
from labels.records import Example
from labels.store import Store
from labels.text.duplicates import near_duplicates_of
from tests.trainer.data.test_old_ids import event, experiment, old_ids  # noqa: F401  a fixture
from trainer.data.dataset import load_dataset
from trainer.data.following import follow_split
from trainer.data.splits import Split

WIRE = "The minister said on Monday that the whole convoy had reached the northern port"
SPLIT = Split(("e0", "e1"), ("e2",), ("e3",))


def rows(*items: tuple[str, str], first: int = 0) -> list[Example]:
    """Examples from (document id, text)."""
    return [Example(f"e{first + number}", document, text, ()) for number, (document, text) in enumerate(items)]


OLD = rows(("a", f"{WIRE} today."), ("b", "Rain."), ("v", "Snow."), ("t", f"{WIRE.replace('minister', 'envoy')}, too."))
"""The examples of `SPLIT`: two of train, one of validation, one of test."""


@pytest.mark.parametrize(
    ("document", "text", "part"),
    [
        ("b", "Hail.", "train"),
        ("new", "Hail.", "train"),
        ("v", "Hail.", "validation"),
        ("t", "Hail.", "test"),
        ("new", f"{WIRE.replace('minister', 'envoy')} at last.", "test"),
    ],
)
def test_a_new_example_follows_its_document_and_its_near_duplicates(document: str, text: str, part: str) -> None:
    found = follow_split(SPLIT, [*OLD, *rows((document, text), first=4)], "split.json")

    assert [one.id for one in found.parts["train"]] == ["e0", "e1", *["e4"] * (part == "train")]
    assert found.held_out == {"validation": int(part == "validation"), "test": int(part == "test")}
    assert found.added == int(part == "train")


@given(st.lists(st.tuples(st.sampled_from("abvtxy"), st.integers(0, 5)), max_size=12))
def test_validation_and_test_stay_and_nothing_of_them_enters_train(new: list[tuple[str, int]]) -> None:
    texts = [f"{WIRE} {number}." for number in range(3)] + [
        "Hail.",
        "Fog.",
        f"Envoys said: {WIRE}.",
    ]
    examples = [*OLD, *rows(*((document, texts[number]) for document, number in new), first=4)]

    found = follow_split(SPLIT, examples, "split.json")

    assert {part: [one.id for one in found.parts[part]] for part in ("validation", "test")} == {
        "validation": ["e2"],
        "test": ["e3"],
    }
    held = [*found.parts["validation"], *found.parts["test"]]
    added = found.parts["train"][2:]
    assert not {one.document_id for one in held} & {one.document_id for one in added}
    assert near_duplicates_of([one.text for one in added], [one.text for one in held]) == []
    assert len(added) + sum(found.held_out.values()) == len(new)


def test_the_notes_name_what_vanished_and_count_what_is_new() -> None:
    grown = [*OLD[1:], *rows(("b", "Hail."), ("t", "Fog."), ("t", "Mist."), first=4)]
    assert list(follow_split(SPLIT, grown, "split.json").notes({"e0": "disputed"})) == [
        "1 example of the split manifest is left out: e0 of train (disputed)",
        "1 new example was added to train",
        "2 new examples were left out: their documents, or near-duplicates of their sentences, belong to other parts "
        "(2 of test)",
    ]


def test_a_manifest_of_other_data_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"^split\.json: 1 example of the manifest's test part is not"):
        follow_split(SPLIT, OLD[:3], "split.json")


@pytest.mark.usefixtures("old_ids")
def test_an_example_that_is_disputed_now_is_named_and_the_run_goes_on(codebook: Codebook) -> None:
    first = load_dataset(experiment())
    first.split.save(Path("split.json"))
    gone = first.split.train[0]
    with Store("store.db") as store:
        store.events.add([event(gone, codebook, 2 if first.parts["train"][0].labels else 0, annotator="ben")])

    again = load_dataset(experiment(split={"manifest": "split.json"}))

    assert again.split.train == first.split.train[1:]
    assert f"1 example of the split manifest is left out: {gone} of train (disputed)" in again.notes
    with pytest.raises(ExperimentError, match="not in the data"):
        load_dataset(experiment(split={"manifest": "split.json", "new_rows": "ignore"}))


@pytest.mark.usefixtures("old_ids")
def test_new_rows_are_ignored_on_request(codebook: Codebook) -> None:
    whole = load_dataset(experiment()).split
    Split(whole.train[1:], whole.validation, whole.test).save(Path("split.json"))

    for new_rows, train in (("follow", {*whole.train}), ("ignore", {*whole.train[1:]})):
        found = load_dataset(experiment(split={"manifest": "split.json", "new_rows": new_rows}))
        assert {*found.split.train} == train
