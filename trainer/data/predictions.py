"""`predictions.parquet`: the predictions of a run for its labelled examples, beside their gold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.errors import DataError
from labels.records import Example


@dataclass(frozen=True)
class Predicted:
    """n labelled examples with their predictions: label sets as (n, labels) booleans, and probabilities."""

    examples: Sequence[Example]
    predicted: NDArray[np.bool_]
    probabilities: NDArray[np.floating[Any]]


def write_predictions(path: Path, labels: Sequence[str], parts: Mapping[str, Predicted]) -> None:
    """Write example_id, document_id, text, gold, labels, probabilities (one number a label, in order), split,
    synthetic.

    Args:
        parts: by the name of their split; their rows follow one another.
    """
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(
        {
            "example_id": pa.string(),
            "document_id": pa.string(),
            "text": pa.string(),
            "gold": pa.list_(pa.string()),
            "labels": pa.list_(pa.string()),
            "probabilities": pa.list_(pa.float32()),
            "split": pa.string(),
            "synthetic": pa.bool_(),
        }
    )
    rows = [row for split, part in parts.items() for row in _rows(labels, split, part)]
    parquet.write_table(pa.Table.from_pylist(rows, schema), path)


def _rows(labels: Sequence[str], split: str, part: Predicted) -> list[dict[str, Any]]:
    probabilities = part.probabilities.astype(np.float32).tolist()
    return [
        {
            "example_id": example.id,
            "document_id": example.document_id,
            "text": example.text,
            "gold": [label for label in labels if label in example.labels],
            "labels": [label for label, held in zip(labels, assigned, strict=True) if held],
            "probabilities": numbers,
            "split": split,
            "synthetic": example.synthetic,
        }
        for example, assigned, numbers in zip(part.examples, part.predicted, probabilities, strict=True)
    ]


def read_gold(path: Path, split: str) -> list[Example]:
    """The examples of a split with their gold, as `write_predictions` wrote them; none where the split is not there.

    Raises:
        DataError: the file cannot be read as such.
    """
    from pyarrow import ArrowException, parquet

    columns = ["example_id", "document_id", "text", "gold", "split", "synthetic"]
    try:
        rows = parquet.read_table(path, columns=columns).to_pylist()
        return [
            Example(row["example_id"], row["document_id"], row["text"], tuple(row["gold"]), synthetic=row["synthetic"])
            for row in rows
            if row["split"] == split
        ]
    except (OSError, ArrowException, KeyError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise DataError(
            f"{path}: not the predictions of a run ({reason}). Run the experiment again, or give a labelled file."
        ) from error
