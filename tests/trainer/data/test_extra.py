"""`data.extra`: rows that join train only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from labels.codebook.schema import dump_codebook, load_codebook
from labels.errors import DataError, ExperimentError
from labels.records import Example
from tests.conftest import make_examples
from tests.trainer.conftest import MakeExperiment, fill_store, plain_codebook, write_examples
from trainer.config.experiment import parse_experiment
from trainer.config.sections import DataSection
from trainer.data.dataset import Dataset, files_read, load_dataset
from trainer.runs.run import fit_model

WIRE = "The minister said on Monday that the whole convoy had reached the northern port"


def others(n: int = 40) -> list[Example]:
    """Examples with the words of `make_examples` in another order, which are no near-duplicates of these."""
    return [
        replace(one, id=f"x{one.id}", document_id=f"x{one.document_id}", text=" ".join(reversed(one.text.split())))
        for one in make_examples(n)
    ]


def renamed(examples: list[Example]) -> list[Example]:
    """Examples with labels of the codebook "diplomatic"."""
    names = {"aid": "aid_pledge", "truce": "ceasefire_call"}
    return [replace(one, labels=tuple(names[label] for label in one.labels)) for one in examples]


@pytest.fixture
def load(experiment_of: MakeExperiment, isolated: Path) -> Callable[..., Dataset]:
    """Load the 150 examples with extra rows from a file."""

    def load(extra: list[Example], weight: float = 1.0) -> Dataset:
        write_examples(isolated / "extra.jsonl", extra)
        return load_dataset(experiment_of("tfidf", data={"extra": "extra.jsonl", "extra_weight": weight}))

    return load


def test_extra_rows_are_only_for_training(load: Callable[..., Dataset], experiment_of: MakeExperiment) -> None:
    plain, dataset = load_dataset(experiment_of("tfidf")), load(others(), 0.25)

    assert dataset.parts == plain.parts
    assert dataset.split == plain.split
    assert dataset.evaluation_hash == plain.evaluation_hash
    assert dataset.training_hash not in (plain.training_hash, load(others()).training_hash)
    assert [one.text for one in dataset.extra] == [one.text for one in others()]
    assert {one.weight for one in dataset.extra} == {0.25}
    assert "train also has 40 rows from extra.jsonl, each with weight 0.25" in dataset.notes
    assert "extra.jsonl" in files_read(experiment_of("tfidf", data={"extra": "extra.jsonl"}))


def test_relatives_of_own_rows_are_left_out_and_counted(
    load: Callable[..., Dataset], experiment_of: MakeExperiment
) -> None:
    parts = load_dataset(experiment_of("tfidf")).parts
    relatives = [
        relative
        for name, part in parts.items()
        for relative in (
            replace(part[0], id=f"copy {name}", document_id=f"copy {name}"),
            replace(part[1], text=f"Another text for {name}.", document_id=f"same id {name}"),
            Example(f"same document {name}", part[2].document_id, f"A third text for {name}."),
        )
    ]
    dataset = load([*others(), *relatives])

    assert [one.id for one in dataset.extra] == [one.id for one in others()]
    left_out = "9 rows of data.extra left out: near-duplicates of rows in the data, or from the same documents"
    assert left_out in dataset.notes


def test_near_duplicates_of_test_rows_are_left_out(isolated: Path) -> None:
    own = make_examples(30)
    files = {"train": own[:20], "test": [*own[20:], Example("w", "w", f"{WIRE}, his office said.")]}
    for name, rows in files.items():
        write_examples(isolated / f"{name}.jsonl", rows)
    write_examples(isolated / "extra.jsonl", [*others(), Example("near", "near", f"{WIRE}, an aide said.", ("aid",))])
    (isolated / "book.toml").write_text(dump_codebook(plain_codebook("aid", "truce")), encoding="utf-8")
    data = {"train": "train.jsonl", "test": "test.jsonl", "extra": "extra.jsonl", "codebook": "book.toml"}
    dataset = load_dataset(parse_experiment({"model": {"kind": "tfidf"}, "data": data}, "here"))
    assert len(dataset.extra) == 40
    assert any(note.startswith("1 row of data.extra left out: near-duplicates") for note in dataset.notes)


def test_a_label_may_occur_only_in_the_extra_rows(experiment_of: MakeExperiment, isolated: Path) -> None:
    write_examples(isolated / "data.jsonl", [replace(one, labels=one.labels[:0]) for one in make_examples(60)])
    write_examples(isolated / "extra.jsonl", others())
    with pytest.raises(ExperimentError, match="no train example has the label"):
        load_dataset(experiment_of("tfidf"))
    assert load_dataset(experiment_of("tfidf", data={"extra": "extra.jsonl"})).extra


def test_rows_that_are_all_there_already_are_refused(load: Callable[..., Dataset]) -> None:
    with pytest.raises(ExperimentError, match=r'data\.extra = "extra\.jsonl": all 150 rows are already in the data'):
        load(make_examples(150))


def test_extra_rows_of_another_codebook_are_refused_with_their_file(load: Callable[..., Dataset]) -> None:
    with pytest.raises(DataError, match=r"extra\.jsonl.*'threat'"):
        load([*others(), Example("t", "t", "They will pay for this.", ("threat",))])


@pytest.mark.parametrize(
    "data", [{"extra_weight": 0.5}, {"extra": "a.csv", "extra_weight": 0}, {"text_column": "body"}]
)
def test_settings_that_would_have_no_effect_are_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DataSection(**data)
    assert DataSection(extra="a.csv", text_column="body").text_column == "body"


def test_the_starter_corpus_joins_a_store(isolated: Path) -> None:
    codebook = load_codebook("diplomatic")
    fill_store(isolated / "own.db", codebook, renamed(make_examples(60)))
    data = {"source": "store", "store": "own.db", "extra": "seeds", "extra_weight": 0.5}
    dataset = load_dataset(parse_experiment({"model": {"kind": "tfidf"}, "data": data}, "here"))

    assert len(dataset.extra) > 10_000
    assert sum(map(len, dataset.parts.values())) == 60
    assert not dataset.synthetic
    assert any("invented rows from seeds, each with weight 0.5" in note for note in dataset.notes)


def test_calibration_never_sees_extra_rows(experiment_of: MakeExperiment, isolated: Path) -> None:
    write_examples(isolated / "extra.jsonl", others())
    experiment = experiment_of("tfidf", data={"extra": "extra.jsonl"}, calibration={"crossfit": True, "folds": 3})
    dataset = load_dataset(experiment)
    own = len(dataset.parts["train"]) + len(dataset.parts["validation"])

    assert {label.n for label in fit_model(experiment, dataset).model.calibration.labels} == {own}


@pytest.mark.parametrize("kind", ["majority", "keywords", "tfidf"])
def test_the_weight_decides_how_much_extra_rows_count(kind: str, experiment_of: MakeExperiment, isolated: Path) -> None:
    book = plain_codebook("aid", "truce")
    cued = [label.model_copy(update={"cues": ("pledg*", "loan*", "truce", "fire")}) for label in book.labels]
    book = book.model_copy(update={"labels": tuple(cued)})
    (isolated / "codebook.toml").write_text(dump_codebook(book), encoding="utf-8")
    everywhere = [replace(one, labels=("aid", "truce")) for one in others(100)]
    write_examples(isolated / "extra.jsonl", everywhere)
    texts = [one.text for one in make_examples(50)]

    def raw(**data: Any) -> np.ndarray[Any, Any]:
        # With balanced classes, more rows of a class would not make it more probable.
        model = {"class_weight": "none"} if kind == "tfidf" else {}
        experiment = experiment_of(kind, data=data, model=model)
        return fit_model(experiment, load_dataset(experiment)).model.classifier.predict_proba(texts)

    plain = raw()
    light, half, full = (raw(extra="extra.jsonl", extra_weight=weight) for weight in (1e-6, 0.5, 1.0))
    if kind != "tfidf":  # whose vocabulary also grows with rows of little weight
        np.testing.assert_allclose(light, plain, atol=1e-4)
    assert plain.mean() < half.mean() < full.mean()
    assert light.mean() < half.mean()
