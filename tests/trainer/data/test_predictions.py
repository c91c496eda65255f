from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labels.errors import DataError
from labels.records import Example
from tests.conftest import make_examples
from trainer.data.predicted import Predicted, read_gold, write_predictions

NAMES = ("aid", "truce")
PATH = Path("predictions.parquet")


def said_of(examples: list[Example], *, assigned: bool = True) -> Predicted:
    probabilities = np.random.default_rng(4).random((len(examples), 2))
    return Predicted(examples, probabilities >= (0.5 if assigned else 2), probabilities)


def written(**parts: Predicted) -> pa.Table:
    write_predictions(PATH, NAMES, parts)
    return pq.read_table(PATH)


def test_every_example_has_its_row_with_gold_labels_and_probabilities() -> None:
    examples = make_examples(12)
    said = said_of(examples)
    rows = written(test=said).to_pylist()
    assert [row["example_id"] for row in rows] == [example.id for example in examples]
    assert [row["document_id"] for row in rows] == [example.document_id for example in examples]
    assert [row["text"] for row in rows] == [example.text for example in examples]
    assert [tuple(row["gold"]) for row in rows] == [example.labels for example in examples]
    expected = [[name for name, held in zip(NAMES, row, strict=True) if held] for row in said.predicted]
    assert [row["labels"] for row in rows] == expected
    assert np.array([row["probabilities"] for row in rows]) == pytest.approx(said.probabilities, abs=1e-6)


def test_gold_stands_in_the_order_of_the_codebook() -> None:
    [row] = written(test=said_of([Example("a", "d", "Oslo pledged fuel.", ("truce", "aid"))])).to_pylist()
    assert row["gold"] == ["aid", "truce"]


def test_a_row_says_its_split_and_whether_its_text_was_written_for_the_corpus() -> None:
    examples = [Example("a", "d", "Rain.", (), synthetic=True), Example("b", "d", "Snow.", ())]
    rows = written(test=said_of(examples[:1]), validation=said_of(examples[1:])).to_pylist()
    assert [(row["example_id"], row["split"], row["synthetic"]) for row in rows] == [
        ("a", "test", True),
        ("b", "validation", False),
    ]


def test_the_columns_are_those_of_the_contract() -> None:
    assert written(test=said_of(make_examples(6))).column_names == [
        "example_id",
        "document_id",
        "text",
        "gold",
        "labels",
        "probabilities",
        "split",
        "synthetic",
        "date",
        "metadata",
    ]


@pytest.mark.parametrize("assigned", [True, False])
def test_labels_are_lists_of_strings_even_where_there_is_none(assigned: bool) -> None:
    examples = [example for example in make_examples(40) if not example.labels or assigned]
    schema = written(test=said_of(examples, assigned=assigned)).schema
    for column in ("gold", "labels"):
        assert schema.field(column).type.value_type == pa.string()


def test_gold_of_a_split_is_read_back_as_examples() -> None:
    examples = make_examples(12)
    written(test=said_of(examples[:4]), validation=said_of(examples[4:]))
    assert read_gold(PATH, "validation") == examples[4:]
    assert read_gold(PATH, "train") == []


def test_what_is_no_predictions_file_is_named() -> None:
    PATH.write_text("no table")
    with pytest.raises(DataError, match=r"predictions\.parquet: not the predictions of a run"):
        read_gold(PATH, "validation")
    pq.write_table(pa.table({"text": ["Rain."]}), PATH)
    with pytest.raises(DataError, match="example_id"):
        read_gold(PATH, "validation")
