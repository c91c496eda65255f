"""Predictions for labelled examples, and the Parquet file that holds those of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labels.errors import DataError
from labels.records import Example

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Predicted:
    """n labelled examples with their predictions.

    `predicted` (booleans) and `probabilities` (in [0, 1]) have the shape (n, labels).
    """

    examples: Sequence[Example]
    predicted: NDArray[np.bool_]
    probabilities: NDArray[np.floating[Any]]


def write_predictions(path: Path, labels: Sequence[str], parts: Mapping[str, Predicted]) -> None:
    """Write predictions as a Parquet file.

    The columns are example_id, document_id, text, gold, labels, probabilities (one number per label, in label order),
    split, synthetic, date and metadata (pairs of a name and a value).

    Args:
        parts: predictions by the name of their split; the file has the rows of all parts in this order.
    """
    import pyarrow as pa
    from pyarrow import parquet

    # Column by column: as rows of Python objects, 20,000 examples with 77 labels would take seconds.
    tables = [_table(labels, split, part) for split, part in parts.items()]
    parquet.write_table(pa.concat_tables(tables), path)


def _table(labels: Sequence[str], split: str, part: Predicted) -> pa.Table:
    import pyarrow as pa

    examples, n = part.examples, len(part.examples)
    place = {label: number for number, label in enumerate(labels)}
    gold = [sorted(example.labels, key=place.__getitem__) for example in examples]
    rows, columns = np.nonzero(part.predicted)
    flat = pa.array(part.probabilities.astype(np.float32).ravel())
    # Explicit types: from rows without a label, pyarrow would infer the type null for the lists.
    return pa.table(
        {
            "example_id": pa.array([example.id for example in examples], pa.string()),
            "document_id": pa.array([example.document_id for example in examples], pa.string()),
            "text": pa.array([example.text for example in examples], pa.string()),
            "gold": pa.array(gold, pa.list_(pa.string())),
            "labels": _lists(np.searchsorted(rows, np.arange(n + 1)), pa.array(labels, pa.string()).take(columns)),
            "probabilities": _lists(np.arange(n + 1) * len(labels), flat),
            "split": pa.array([split] * n, pa.string()),
            "synthetic": pa.array([example.synthetic for example in examples], pa.bool_()),
            "date": pa.array([example.date for example in examples], pa.string()),
            "metadata": pa.array(
                [list(example.metadata.items()) for example in examples], pa.map_(pa.string(), pa.string())
            ),
        }
    )


def _lists(offsets: NDArray[np.int_], values: pa.Array) -> pa.ListArray:
    import pyarrow as pa

    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def read_gold(path: Path, split: str) -> list[Example]:
    """Read the examples of a split, with their gold, from a file written by `write_predictions`.

    Returns an empty list if the file does not contain the split.

    Raises:
        DataError: the file cannot be read, or was not written by `write_predictions`.
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
            f"{path}: not the predictions of a run ({reason}). Run the experiment again, or use a labelled file."
        ) from error
