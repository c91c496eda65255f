"""A frozen sentence encoder with logistic regression on its vectors: quick to fit, and good with few examples.

The encoder itself is not saved with the model, only its name and a digest that shows whether it has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from labels.codebook.schema import Codebook
from labels.errors import ArtefactError, EncoderError
from labels.progress import progress_to
from labels.records import Example
from trainer.calibration.calibration import Probabilities
from trainer.classifiers.base import Classifier, count_outputs, not_fitted
from trainer.classifiers.linear import LinearLayer, build_regression, fit_regression, read_skops, regression_targets
from trainer.config.models import EmbeddingSection
from trainer.encoders.cache import cached_encode
from trainer.encoders.embeddings import Embedder, Vectors

FILE, SETTINGS = "regression.safetensors", "settings.json"
_FORMAT_1 = "regression.skops"


class EmbedderSettings(BaseModel):
    """The encoder that a model was fitted on: the content of `settings.json`, as `Embedder` has them."""

    model_config = ConfigDict(frozen=True)

    encoder: str
    pooling: str
    max_length: int
    identity: str


class EmbeddingClassifier(Classifier):
    """Pooled vectors of length 1 of an encoder that is not trained -> L2 logistic regression.

    Multi-label codebooks: one regression for each label. Exclusive ones: one multinomial regression, with "none" as a
    class of its own where it is allowed. Vectors of train and validation are kept by `trainer.encoders.cache`.
    """

    def __init__(self, codebook: Codebook, section: EmbeddingSection, seed: int) -> None:
        self.labels = codebook.label_names
        self._exclusive = codebook.exclusive
        self._n_outputs = count_outputs(codebook)
        self._section = section
        self._seed = seed
        self.embedder_: Embedder | None = None
        self.layer_: LinearLayer | None = None

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Encode, and fit the regression; validation is encoded too, since calibration asks for it next.

        Raises:
            EncoderError: the encoder cannot be found or opened.
            ExperimentError: the examples are of one class only.
        """
        section = self._section
        # Before the encoder, so that examples of one class are refused at once.
        targets = regression_targets(examples, self.labels, exclusive=self._exclusive)
        self.embedder_ = Embedder(section.encoder, pooling=section.pooling, max_length=section.max_length)
        texts = [example.text for example in (*examples, *validation)]
        vectors = cached_encode(self.embedder_, texts)[: len(examples)]
        regression = build_regression(
            exclusive=self._exclusive, C=section.C, class_weight=section.class_weight, seed=self._seed
        )
        fit_regression(regression, vectors, targets)
        self.layer_ = LinearLayer.of(regression, self._n_outputs, exclusive=self._exclusive)
        return self

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """(n, labels) probabilities of the regression."""
        return self.predict_embedded(self.embed(texts))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(n, dimensions) vectors of length 1; known texts come from the cache, others are not added to it."""
        with progress_to(None):  # the caller reports its own progress over all texts
            return cached_encode(self._fitted_embedder(), texts, keep=False)

    def predict_embedded(self, vectors: Vectors) -> Probabilities:
        """`predict_proba` from the vectors that `embed` gave."""
        return self._fitted_layer().probabilities(vectors, len(self.labels), exclusive=self._exclusive)

    def save(self, folder: Path) -> None:
        """Write `regression.safetensors`, and `settings.json` with the encoder's name and identity."""
        embedder = self._fitted_embedder()
        self._fitted_layer().save(folder / FILE)
        settings = EmbedderSettings(
            encoder=embedder.name,
            pooling=embedder.pooling,
            max_length=embedder.max_length,
            identity=embedder.identity,
        )
        (folder / SETTINGS).write_text(settings.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """Read what `save` wrote, or the `regression.skops` of a format 1 artefact, and find the encoder again.

        Raises:
            ArtefactError: `regression.skops` names a type that communique never wrote, or the encoder cannot be found
                or has changed.
        """
        settings = EmbedderSettings.model_validate_json((folder / SETTINGS).read_text(encoding="utf-8"))
        classifier = cls(codebook, EmbeddingSection(kind="embedding"), seed=0)
        classifier.embedder_ = _same_encoder(folder, settings)
        if (folder / _FORMAT_1).is_file():
            regression = read_skops(folder / _FORMAT_1)
            classifier.layer_ = LinearLayer.of(regression, classifier._n_outputs, exclusive=codebook.exclusive)
        else:
            classifier.layer_ = LinearLayer.load(folder / FILE)
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
            raise not_fitted()
        return self.embedder_

    def _fitted_layer(self) -> LinearLayer:
        if self.layer_ is None:
            raise not_fitted()
        return self.layer_


def _same_encoder(folder: Path, settings: EmbedderSettings) -> Embedder:
    """The encoder that the model in `folder` was fitted on."""
    name = settings.encoder
    try:
        embedder = Embedder(name, pooling=settings.pooling, max_length=settings.max_length)
    except EncoderError as error:
        raise ArtefactError(
            f"{folder}: this model needs the encoder '{name}', which is not saved with it and was not found: {error}"
        ) from error
    if embedder.identity != settings.identity:
        raise ArtefactError(
            f"{folder}: the encoder '{name}' has changed since this model was trained (identity {embedder.identity}, "
            f"in training {settings.identity}). Restore its earlier files, or train the model again."
        )
    return embedder
