from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labels.records import Example
from tests.conftest import make_examples
from trainer.classifiers.base import label_matrix
from trainer.evaluation import Outcome
from trainer.predictions import write_predictions

NAMES = ("aid", "truce")


def outcome(examples: list[Example], *, assigned: bool = True) -> Outcome:
    generator = np.random.default_rng(4)
    probabilities = generator.random((len(examples), 2))
    predicted = probabilities >= (0.5 if assigned else 2)
    gold = label_matrix(examples, NAMES)
    return Outcome(NAMES, False, gold, predicted, probabilities, list(range(len(examples))), np.full(2, 0.5))


def written(examples: list[Example], made: Outcome, split: str = "test") -> pa.Table:
    write_predictions(Path("predictions.parquet"), examples, made, split)
    return pq.read_table("predictions.parquet")


def test_every_example_has_its_row_with_gold_labels_and_probabilities() -> None:
    examples = make_examples(12)
    made = outcome(examples)
    rows = written(examples, made).to_pylist()
    assert [row["example_id"] for row in rows] == [example.id for example in examples]
    assert [row["document_id"] for row in rows] == [example.document_id for example in examples]
    assert [row["text"] for row in rows] == [example.text for example in examples]
    assert [tuple(row["gold"]) for row in rows] == [example.labels for example in examples]
    expected = [[name for name, held in zip(NAMES, row, strict=True) if held] for row in made.predicted]
    assert [row["labels"] for row in rows] == expected
    assert np.array([row["probabilities"] for row in rows]) == pytest.approx(made.probabilities, abs=1e-6)


def test_a_row_says_its_split_and_whether_its_text_was_written_for_the_corpus() -> None:
    examples = [Example("a", "d", "Rain.", (), synthetic=True), Example("b", "d", "Snow.", ())]
    rows = written(examples, outcome(examples), "validation").to_pylist()
    assert [(row["split"], row["synthetic"]) for row in rows] == [("validation", True), ("validation", False)]


def test_the_columns_are_those_of_the_contract() -> None:
    examples = make_examples(6)
    assert written(examples, outcome(examples)).column_names == [
        "example_id",
        "document_id",
        "text",
        "gold",
        "labels",
        "probabilities",
        "split",
        "synthetic",
    ]


@pytest.mark.parametrize("assigned", [True, False])
def test_labels_are_lists_of_strings_even_where_there_is_none(assigned: bool) -> None:
    examples = [example for example in make_examples(40) if not example.labels or assigned]
    schema = written(examples, outcome(examples, assigned=assigned)).schema
    for column in ("gold", "labels"):
        assert schema.field(column).type.value_type == pa.string()
