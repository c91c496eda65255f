"""A frozen sentence encoder with logistic regression on its vectors: quick to fit, and right with few examples.

The encoder is not saved with the model. Its name is, and the digest that tells whether it is still the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from labels.codebook.schema import Codebook
from labels.errors import ArtefactError, EncoderError, ExperimentError
from labels.progress import progress_to
from labels.records import Example
from trainer.arrays import Probabilities
from trainer.classifiers.linear import (
    build_regression,
    fit_regression,
    label_probabilities,
    load_estimator,
    regression_targets,
)
from trainer.config.models import EmbeddingSection
from trainer.encoders.cache import cached_encode
from trainer.encoders.embeddings import Embedder, Vectors

FILE, SETTINGS = "regression.skops", "settings.json"


class EmbeddingClassifier:
    """Pooled vectors of length 1 of an encoder that is not trained -> L2 logistic regression.

    Multi-label codebooks: one regression for each label. Exclusive ones: one multinomial regression, with "none" as a
    class of its own where it is allowed. Vectors of train and validation are kept by `trainer.encoders.cache`.
    """

    needs_calibration = True
    distributed = False
    stops_early = False
    notes: tuple[str, ...] = ()

    def __init__(self, codebook: Codebook, section: EmbeddingSection, seed: int) -> None:
        self.labels = codebook.label_names
        self._exclusive = codebook.exclusive
        self._section = section
        self._seed = seed
        self.embedder_: Embedder | None = None
        self.regression_: Any = None

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Encode, and fit the regression; validation is encoded too, since calibration asks for it next.

        Raises:
            EncoderError: the encoder cannot be found or opened.
            ExperimentError: the examples are of one class only.
        """
        section = self._section
        targets = regression_targets(examples, self.labels, exclusive=self._exclusive)
        self.embedder_ = Embedder(section.encoder, pooling=section.pooling, max_length=section.max_length)
        texts = [example.text for example in (*examples, *validation)]
        vectors = cached_encode(self.embedder_, texts)[: len(examples)]
        self.regression_ = build_regression(
            exclusive=self._exclusive, C=section.C, class_weight=section.class_weight, seed=self._seed
        )
        fit_regression(self.regression_, vectors, targets)
        return self

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """(n, labels) probabilities of the regression."""
        return self.predict_embedded(self.embed(texts))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(n, dimensions) vectors of length 1; known texts come from the cache, others are not added to it."""
        with progress_to(None):  # whoever predicts many texts reports its own progress
            return cached_encode(self._fitted_embedder(), texts, keep=False)

    def predict_embedded(self, vectors: Vectors) -> Probabilities:
        """`predict_proba` from the vectors that `embed` gave."""
        if not len(vectors):
            return np.zeros((0, len(self.labels)), dtype=np.float32)
        return label_probabilities(self.regression_, vectors, len(self.labels), exclusive=self._exclusive)

    def save(self, folder: Path) -> None:
        """Write `regression.skops`, and `settings.json` with the encoder's name and identity."""
        from skops.io import dump

        embedder = self._fitted_embedder()
        dump(self.regression_, folder / FILE)
        settings = {
            "encoder": embedder.name,
            "pooling": embedder.pooling,
            "max_length": embedder.max_length,
            "identity": embedder.identity,
        }
        (folder / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """Read what `save` wrote, and find the encoder again.

        Raises:
            ArtefactError: `regression.skops` holds a type that is not allowed, or the encoder is gone or another one.
        """
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        classifier = cls(codebook, EmbeddingSection(kind="embedding"), seed=0)
        classifier.embedder_ = _same_encoder(folder, settings)
        classifier.regression_ = load_estimator(folder / FILE)
        return classifier

    def describe(self) -> dict[str, Any]:
        """Encoder with its identity, pooling, length limit, and the length of its vectors."""
        embedder = self._fitted_embedder()
        return {
            "encoder": embedder.name,
            "encoder_identity": embedder.identity,
            "pooling": embedder.pooling,
            "max_length": embedder.max_length,
            "dimensions": embedder.dimensions,
        }

    def _fitted_embedder(self) -> Embedder:
        if self.embedder_ is None:
            raise ExperimentError("this classifier was not fitted: call `fit`, or load a saved one.")
        return self.embedder_


def _same_encoder(folder: Path, settings: dict[str, Any]) -> Embedder:
    """The encoder that the model in `folder` was fitted on."""
    name = settings["encoder"]
    try:
        embedder = Embedder(name, pooling=settings["pooling"], max_length=int(settings["max_length"]))
    except EncoderError as error:
        raise ArtefactError(
            f"{folder}: this model reads its texts through encoder '{name}', which is not saved with it and was not "
            f"found: {error}"
        ) from error
    if embedder.identity != settings["identity"]:
        raise ArtefactError(
            f"{folder}: this model was fitted on vectors of another encoder: '{name}' is {embedder.identity} here and "
            f"was {settings['identity']} in training. Put the files of then there again, or train the model again."
        )
    return embedder
