"""A classifier with its calibration and codebook: texts in, calibrated probabilities and label sets out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from labels.codebook.schema import Codebook
from labels.errors import refuse_lone_string
from trainer.calibration.calibration import Calibration
from trainer.classifiers.base import Classifier
from trainer.model.artefact import Manifest, load_artefact


@dataclass(frozen=True)
class Model:
    """What `train` makes, and `serve`, `predict` and `evaluate` use. Before it is saved it has no manifest."""

    codebook: Codebook
    classifier: Classifier
    calibration: Calibration
    manifest: Manifest | None = None

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Open an artefact.

        Raises:
            ArtefactError: it is missing, not an artefact, or altered.
        """
        opened = load_artefact(Path(folder))
        return cls(opened.codebook, opened.classifier, opened.manifest.calibration, opened.manifest)

    @property
    def id(self) -> str:
        """The artefact's digest; empty before it is saved."""
        return self.manifest.digest if self.manifest else ""

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names in codebook order: the columns of everything below."""
        return self.codebook.label_names

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, labels) calibrated probabilities in [0, 1].

        Raises:
            DataError: `texts` is a single string.
        """
        refuse_lone_string(texts, "texts")
        return self.calibrated(self.classifier.predict_proba(texts))

    def calibrated(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, labels) calibrated probabilities from the classifier's own."""
        return self.calibration.apply(raw).astype(np.float32)

    def decide(self, probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(n, labels) booleans: which labels are assigned."""
        return self.calibration.decide(probabilities)

    def label_sets(self, probabilities: NDArray[np.floating]) -> list[tuple[str, ...]]:
        """The labels assigned to each row, in codebook order."""
        names = self.labels
        return [tuple(names[i] for i in np.flatnonzero(row)) for row in self.decide(probabilities)]
