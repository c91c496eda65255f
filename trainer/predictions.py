"""`predictions.parquet`: what a run predicted for each labelled example, beside its gold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labels.records import Example
from trainer.evaluation import Outcome


def write_predictions(path: Path, examples: Sequence[Example], outcome: Outcome, split: str) -> None:
    """Write example_id, document_id, text, gold, labels, probabilities (one number a label, in order), split,
    synthetic.
    """
    from datasets import Dataset, Features, List, Value

    def names(row: np.ndarray) -> list[str]:
        return [outcome.labels[i] for i in np.flatnonzero(row)]

    table = Dataset.from_dict(
        {
            "example_id": [example.id for example in examples],
            "document_id": [example.document_id for example in examples],
            "text": [example.text for example in examples],
            "gold": [names(row) for row in outcome.gold],
            "labels": [names(row) for row in outcome.predicted],
            "probabilities": outcome.probabilities.astype(np.float32).tolist(),
            "split": [split] * len(examples),
            "synthetic": [example.synthetic for example in examples],
        },
        features=Features(
            {
                "example_id": Value("string"),
                "document_id": Value("string"),
                "text": Value("string"),
                "gold": List(Value("string")),
                "labels": List(Value("string")),
                "probabilities": List(Value("float32")),
                "split": Value("string"),
                "synthetic": Value("bool"),
            }
        ),
    )
    table.to_parquet(str(path))
