from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labels.errors import ExperimentError
from labels.records import PAGE, Example
from tests.conftest import make_examples
from tests.trainer.conftest import MakeExperiment, write_examples
from trainer.config.experiment import parse_experiment
from trainer.config.sections import SplitSection
from trainer.data.dataset import load_dataset
from trainer.data.divisions import divide, make_folds
from trainer.data.splits import Split, group_examples

WIRE = "The minister said on Monday that the whole convoy had reached the northern port"
DAYS = ("2024-01-10", "2024-02-10", "2024-03-10", "2024-04-10", "2024-05-10")
SOURCES = ("Reuters", "AP", "AFP", "dpa")


def described(n: int = 120) -> list[Example]:
    """Examples whose documents have a date and a source in turn."""
    made = make_examples(n)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(one.document_id for one in made))}
    return [
        replace(
            one, date=DAYS[numbers[one.document_id] % 5], metadata={"source": SOURCES[numbers[one.document_id] % 4]}
        )
        for one in made
    ]


def section(**values: Any) -> SplitSection:
    return parse_experiment({"model": {"kind": "majority"}, "split": values}, "here").split


def dates_of(examples: list[Example]) -> set[str]:
    return {example.date for example in examples}


# -- time


@pytest.mark.parametrize(
    ("keys", "train", "test"),
    [
        ({"train_before": "2024-03-10"}, DAYS[:2], DAYS[2:]),
        ({"test_after": "2024-03-10"}, DAYS[:3], DAYS[3:]),
        ({"train_before": "2024-03-10", "test_after": "2024-03-10"}, DAYS[:2], DAYS[3:]),
        ({"train_before": "2024-03", "test_after": "2024-03"}, DAYS[:2], DAYS[3:]),
    ],
)
def test_dates_divide_strictly_and_one_limit_implies_the_other(
    keys: dict[str, str], train: tuple[str, ...], test: tuple[str, ...]
) -> None:
    parts, notes = divide(described(), section(**keys), 7)
    assert dates_of(parts["train"]) | dates_of(parts["validation"]) == set(train)
    assert dates_of(parts["test"]) == set(test)
    assert f"the split is by time: {train[0]} to {train[-1]} for training, {test[0]} to {test[-1]} for" in notes[-1]
    assert any("dated between" in note for note in notes) == (len(train) + len(test) < 5)


def test_validation_is_cut_from_the_training_period_by_document() -> None:
    parts, _ = divide(described(), section(train_before="2024-04"), 7)
    documents = {name: {example.document_id for example in part} for name, part in parts.items()}
    assert parts["validation"]
    assert not documents["train"] & documents["validation"]
    assert not (documents["train"] | documents["validation"]) & documents["test"]


def test_train_keeps_nothing_of_the_documents_and_near_duplicates_of_test() -> None:
    late = Example("late", "late", f"{WIRE} today.", date="2024-05-01")
    reprint = Example("reprint", "early", f"{WIRE} at last.", date="2024-01-01")
    again = Example("again", "late", "Rain fell.", date="2024-01-02")
    parts, notes = divide([*described(), late, reprint, again], section(train_before="2024-04"), 7)
    kept = {example.id for part in parts.values() for example in part}
    assert kept & {"late", "reprint", "again"} == {"late"}
    assert re.search(r"would know test: 1 sentence of a test document and \d+ near-duplicates of test", notes[0])


def test_rows_without_a_date_are_named_or_left_out() -> None:
    undated = [Example("u1", "u", "Rain fell.", date=""), Example("u2", "u", "Snow fell.", date="3/4/2024")]
    with pytest.raises(ExperimentError, match=r"2 examples have no date that can be read: u1, u2 \('3/4/2024'\)"):
        divide([*described(), *undated], section(train_before="2024-03"), 7)
    parts, notes = divide([*described(), *undated], section(train_before="2024-03", missing="leave_out"), 7)
    assert not {"u1", "u2"} & {example.id for part in parts.values() for example in part}
    assert any("2 examples have no date that can be read and were left out" in note for note in notes)


@pytest.mark.parametrize("limit", ["2020", "2030"])
def test_an_empty_period_is_refused_with_the_dates_of_the_data(limit: str) -> None:
    with pytest.raises(ExperimentError, match="The dates in the data are 2024-01-10 to 2024-05-10"):
        divide(described(), section(train_before=limit), 7)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"train_before": "2024-06", "test_after": "2024-04"}, "the periods overlap"),
        ({"train_before": "soon"}, "write a date such as 2024-05-31"),
        ({"train_before": "2024", "folds": 5}, "divide the examples in different ways"),
        ({"manifest": "split.json", "by": "source"}, "divide the examples in different ways"),
        ({"leave_one_out": True}, "needs the column"),
        ({"folds": 1}, "at least 2"),
    ],
)
def test_contradicting_keys_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        section(**keys)


def test_dates_of_toml_are_dates() -> None:
    assert section(**tomllib.loads("train_before = 2024-05-01\ntest_after = 2024")).train_before == "2024-05-01"


# -- groups


def test_values_of_a_column_never_cross_parts() -> None:
    parts, notes = divide(described(), section(by="source"), 7)
    held = [{example.metadata["source"] for example in part} for part in parts.values()]
    assert all(held)
    assert set.union(*held) == set(SOURCES)
    assert sum(map(len, held)) == len(SOURCES)
    assert notes[0].startswith("the split is by source: train: ")


def test_an_unknown_column_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ExperimentError, match=r"did you mean 'source'.*Their columns: document_id, date, source"):
        divide(described(), section(by="sourc"), 7)


def test_too_few_values_are_refused() -> None:
    two = [example for example in described() if example.metadata["source"] in SOURCES[:2]]
    with pytest.raises(ExperimentError, match="2 groups with different values of 'source', too few"):
        divide(two, section(by="source"), 7)


# -- folds


def test_each_example_is_in_one_fold_and_groups_are_not_divided() -> None:
    examples = [*described(), *(Example(f"w{i}", f"w{i}", f"{WIRE} {i}.") for i in range(3))]
    folds, _ = make_folds(examples, section(folds=5), 0.15, 7)
    assert [fold.name for fold in folds] == ["1", "2", "3", "4", "5"]
    tested = [example.id for fold in folds for example in fold.parts["test"]]
    assert sorted(tested) == sorted(example.id for example in examples)
    group = dict(zip([example.id for example in examples], group_examples(examples), strict=True))
    for fold in folds:
        known = {group[example.id] for part in ("train", "validation") for example in fold.parts[part]}
        assert not known & {group[example.id] for example in fold.parts["test"]}
        assert sum(map(len, fold.parts.values())) == len(examples)
        assert fold.parts["validation"]


def test_leave_one_out_tests_each_value_without_its_near_duplicates_in_train() -> None:
    wire = [Example(f"w{i}", f"w{i}", f"{WIRE} {i}.", metadata={"source": SOURCES[i]}) for i in range(2)]
    folds, notes = make_folds([*described(), *wire], section(by="source", leave_one_out=True), 0.15, 7)
    assert {fold.name for fold in folds} == set(SOURCES)
    for fold in folds:
        assert {example.metadata["source"] for example in fold.parts["test"]} == {fold.name}
    reuters = next(fold for fold in folds if fold.name == "Reuters").parts
    assert "w1" not in {example.id for example in (*reuters["train"], *reuters["validation"])}
    assert any(note.startswith("fold 'Reuters': left out of train") for note in notes)


def test_corrections_from_the_page_are_only_learned() -> None:
    correction = Example("c", "c", "Rain fell on the page.", drawn=PAGE)
    folds, _ = make_folds([*described(), correction], section(folds=3), 0.15, 7)
    for fold in folds:
        assert [name for name, part in fold.parts.items() if correction in part] == ["train"]


def test_more_folds_than_documents_and_a_single_document_are_refused() -> None:
    few = described(9)
    with pytest.raises(ExperimentError, match=r"split.folds = 5: the data have only 3 groups"):
        make_folds(few, section(folds=5, allow_large_groups=True), 0.15, 7)
    with pytest.raises(ExperimentError, match="every example before 2024-03-01 is in a document of the test part"):
        divide([replace(example, document_id="one") for example in described()], section(train_before="2024-03"), 7)
    same = [replace(example, metadata={"source": "AP"}) for example in described()]
    with pytest.raises(ExperimentError, match="has only the value 'AP'"):
        make_folds(same, section(by="source", leave_one_out=True), 0.15, 7)


# -- datasets


def test_a_label_that_train_lacks_without_a_fold_is_named(experiment_of: MakeExperiment, isolated: Path) -> None:
    rows = [replace(one, labels=tuple(label for label in one.labels if label == "aid")) for one in make_examples(60)]
    write_examples(isolated / "data.jsonl", [*rows[:-1], replace(rows[-1], labels=("truce",))])
    with pytest.raises(ExperimentError, match=r"without fold '\d', no train example has the label truce"):
        load_dataset(experiment_of("majority", split={"folds": 3}), folds=True)


def test_files_have_metadata_and_folds_only_where_they_are_expected(
    experiment_of: MakeExperiment, isolated: Path
) -> None:
    lines = (isolated / "data.jsonl").read_text("utf-8").splitlines()
    rows = [
        json.loads(line) | {"source": f"s{i // 3 % 3}", "page": i, "body": "x" * 300} for i, line in enumerate(lines)
    ]
    (isolated / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    experiment = experiment_of("majority", split={"by": "source", "leave_one_out": True})
    with pytest.raises(ExperimentError, match="only `communique train` cross-validates"):
        load_dataset(experiment)
    dataset = load_dataset(experiment, folds=True)
    first = next(one for one in dataset.parts["train"] if one.id == rows[1]["example_id"])
    assert first.metadata == {"source": "s0", "page": "1"}
    assert sorted(dataset.split.folds) == ["s0", "s1", "s2"]


def test_a_manifest_keeps_folds_and_divides_nothing_by_them(experiment_of: MakeExperiment) -> None:
    dataset = load_dataset(experiment_of("majority", split={"folds": 3}), folds=True)
    other = load_dataset(experiment_of("majority", split={"folds": 4}), folds=True)
    dataset.split.save(Path("split.json"))
    loaded = Split.load(Path("split.json"))
    assert (loaded, loaded.hash) == (dataset.split, dataset.split.hash)
    assert loaded.hash != other.split.hash
    with pytest.raises(ExperimentError, match="this manifest has the folds of a cross-validation"):
        load_dataset(experiment_of("majority", split={"manifest": "split.json"}))
