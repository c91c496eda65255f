"""The sentences whose label set is wrong, the most confident mistakes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from labels.records import Example
from trainer.evaluation.report import Outcome


@dataclass(frozen=True)
class Mistake:
    """A sentence whose label set is wrong.

    Attributes:
        missed, wrong: labels that were missed, and those that were assigned wrongly.
        confidence: the largest distance of a wrong decision's probability from gold, in [0, 1].
        slices: its value in each column by which the test set is sliced.
    """

    text: str
    document_id: str
    gold: tuple[str, ...]
    missed: tuple[str, ...]
    wrong: tuple[str, ...]
    confidence: float
    slices: Mapping[str, str] = field(default_factory=dict)


def find_mistakes(
    outcome: Outcome, examples: Sequence[Example], columns: Mapping[str, Sequence[str]] | None = None
) -> list[Mistake]:
    """Return all mistakes, the most confident first; of equally confident ones, in the order of the data.

    Args:
        examples: the examples of the rows of `outcome`.
        columns: the value of each example in each column; see `slices.describe_examples`.
    """
    differ = outcome.gold != outcome.predicted
    distance = np.where(differ, np.abs(outcome.probabilities - outcome.gold), 0).max(axis=1)

    def names(held: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(outcome.labels[i] for i in np.flatnonzero(held))

    return [
        Mistake(
            text=examples[row].text,
            document_id=examples[row].document_id,
            gold=names(outcome.gold[row]),
            missed=names(outcome.gold[row] & ~outcome.predicted[row]),
            wrong=names(outcome.predicted[row] & ~outcome.gold[row]),
            confidence=float(distance[row]),
            slices={name: values[row] for name, values in (columns or {}).items()},
        )
        for row in map(int, np.argsort(-distance, kind="stable"))
        if differ[row].any()
    ]
