"""Define two baselines: label frequencies, which ignore the text, and the codebook's cues, which are phrases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from labels.codebook.cues import Cue
from labels.codebook.schema import Codebook
from labels.errors import ExperimentError
from labels.records import Example
from labels.unicode import Folded
from trainer.calibration.calibration import Floats, Probabilities
from trainer.classifiers.base import Classifier, example_weights, label_matrix
from trainer.config.models import KeywordsSection, MajoritySection


class _RatesClassifier(Classifier):
    """A classifier that consists of one array of frequencies, saved as JSON in `_FILE`."""

    _FILE: ClassVar[str]
    rates_: Floats

    def save(self, folder: Path) -> None:
        """Write the frequencies; the rest of the model is the codebook."""
        (folder / self._FILE).write_text(json.dumps(self.rates_.tolist()), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """Read the frequencies."""
        classifier = cls(codebook, None, seed=0)
        classifier.rates_ = np.array(json.loads((folder / cls._FILE).read_text(encoding="utf-8")))
        return classifier


class MajorityClassifier(_RatesClassifier):
    """Predicts the label frequencies for every text: the baseline that any useful classifier must beat.

    `rates_` has shape (labels,).
    """

    _FILE = "frequencies.json"
    needs_calibration = False

    def __init__(self, codebook: Codebook, section: MajoritySection | None, seed: int) -> None:
        self.labels = codebook.label_names
        self.rates_ = np.zeros(len(self.labels))

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Count the labels."""
        self.rates_[:] = np.average(label_matrix(examples, self.labels), axis=0, weights=example_weights(examples))
        return self

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """Return probabilities of shape (n, labels), with the same row for every text."""
        return np.tile(self.rates_, (len(texts), 1)).astype(np.float32)

    def describe(self) -> dict[str, Any]:
        """Return an empty dictionary, because the model has no settings."""
        return {}


MOST_CUES = 2
"""The largest number of distinct cues that is counted in a sentence."""
_PRIOR = 2.0
"""The number of pseudo-sentences, with the label's overall frequency, that are added to each rate."""


class KeywordsClassifier(_RatesClassifier):
    """Predicts a label from the number of its cues in the sentence (0, 1, or 2 and more), with frequencies from train.

    `rates_` has shape (labels, 3). Rates estimated from few sentences are shrunk towards the label's frequency.
    """

    _FILE = "rates.json"

    def __init__(self, codebook: Codebook, section: KeywordsSection | None, seed: int) -> None:
        without = [label.name for label in codebook.labels if not label.cues]
        if len(without) == len(codebook.labels):
            raise ExperimentError(
                f"model.kind = \"keywords\": no label of codebook '{codebook.name}' has cues. "
                "Add `cues = [...]` to its labels, or use another kind."
            )
        self.labels = codebook.label_names
        self._exclusive, self._allows_none = codebook.exclusive, codebook.allow_none
        self._cues = [[Cue(phrase) for phrase in label.cues] for label in codebook.labels]
        self.rates_ = np.zeros((len(self.labels), MOST_CUES + 1))

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Estimate each label's frequency for each number of cues; more cues never lower a rate."""
        gold = label_matrix(examples, self.labels)
        weights = np.array([example.weight for example in examples])
        counts = self._count_cues([example.text for example in examples])
        for column in range(len(self.labels)):
            frequency = np.average(gold[:, column], weights=weights)
            for number in range(MOST_CUES + 1):
                own = weights * (counts[:, column] == number)
                self.rates_[column, number] = (own[gold[:, column]].sum() + _PRIOR * frequency) / (own.sum() + _PRIOR)
            # In small samples a rate may fall by chance as cues are added; a cue must never count against its label.
            self.rates_[column] = np.maximum.accumulate(self.rates_[column])
        return self

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """Return rates of shape (n, labels).

        For exclusive codebooks each row is scaled to sum to at most 1, or to exactly 1 if "none" is not allowed.
        """
        counts = self._count_cues(texts)
        rates = self.rates_[np.arange(len(self.labels)), counts]
        if self._exclusive:
            # Rates are estimated per label; if they sum to less than 1, the rest is P(none).
            together = rates.sum(axis=1, keepdims=True)
            rates = rates / (np.maximum(together, 1) if self._allows_none else together)
        return np.asarray(rates, dtype=np.float32)

    def _count_cues(self, texts: Sequence[str]) -> NDArray[np.int64]:
        counts = [
            [min(sum(1 for cue in cues if cue.is_in(text)), MOST_CUES) for cues in self._cues]
            for text in map(Folded, texts)
        ]
        return np.array(counts, dtype=np.int64).reshape(len(texts), len(self.labels))

    def describe(self) -> dict[str, Any]:
        """Return the number of cues per label."""
        return {"cues": {name: len(cues) for name, cues in zip(self.labels, self._cues, strict=True)}}
