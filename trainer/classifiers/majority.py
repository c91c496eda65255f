"""The floor: predicts how frequent each label is in train, whatever the text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from labels.codebook import Codebook
from labels.progress import Progress
from labels.records import Example
from trainer.arrays import Probabilities
from trainer.classifiers.base import label_matrix
from trainer.config.models import MajoritySection


class MajorityClassifier:
    """Label frequencies as probabilities: what a classifier must beat to have learned anything."""

    needs_calibration = False
    distributed = False
    stops_early = False
    notes: tuple[str, ...] = ()

    def __init__(
        self, codebook: Codebook, section: MajoritySection, seed: int, progress: Progress | None = None
    ) -> None:
        self.labels = codebook.label_names
        self.frequencies_ = np.zeros(len(self.labels))

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Count."""
        self.frequencies_ = label_matrix(examples, self.labels).mean(axis=0)
        return self

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """The same row (labels,) for each of n texts."""
        return np.tile(self.frequencies_, (len(texts), 1)).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write `frequencies.json`."""
        (folder / "frequencies.json").write_text(json.dumps(self.frequencies_.tolist()), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """Read `frequencies.json`."""
        classifier = cls(codebook, MajoritySection(kind="majority"), seed=0)
        classifier.frequencies_ = np.array(json.loads((folder / "frequencies.json").read_text(encoding="utf-8")))
        return classifier

    def describe(self) -> dict[str, Any]:
        """Nothing beside the frequencies."""
        return {}
