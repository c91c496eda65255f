"""Fit logistic regression: code shared by all kinds with a linear layer, and the kind `embedding`.

scikit-learn fits the regression, which is then stored as weights and biases. Prediction needs only numpy, because
importing scikit-learn takes seconds. Artefacts of format 1 contain skops files instead, which `read_skops` opens.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from labels.codebook.schema import Codebook
from labels.environment.progress import progress_to
from labels.errors import ArtefactError, EncoderError
from labels.records import Example
from trainer.calibration.calibration import Probabilities
from trainer.classifiers import base
from trainer.classifiers.explanations import EncoderParts, ExplainedByGradients
from trainer.config.models import EmbeddingSection
from trainer.encoders.embeddings import Embedder, Vectors, cached_encode
from trainer.encoders.encoder import max_positions

FILE, SETTINGS = "regression.safetensors", "settings.json"
_FORMAT_1 = "regression.skops"
_NEVER = 30.0
"""A logit whose probability differs from 1 by less than 1e-13."""

ClassWeight = Literal["balanced", "none"]


def build_regression(*, exclusive: bool, C: float, class_weight: ClassWeight, seed: int) -> Any:
    """Make an unfitted L2 logistic regression: one per label, or one multinomial regression over exclusive classes."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    regression = LogisticRegression(
        C=C, class_weight=None if class_weight == "none" else class_weight, max_iter=1000, random_state=seed
    )
    return regression if exclusive else OneVsRestClassifier(regression)


def regression_targets(examples: Sequence[Example], labels: Sequence[str], *, exclusive: bool) -> NDArray[Any]:
    """Return the regression targets: (n, labels) booleans, or (n,) class indices with "none" after the last label.

    Raises:
        ExperimentError: all examples are of one class, see `refuse_one_class`.
    """
    base.refuse_one_class(examples, labels, exclusive=exclusive)
    gold = base.label_matrix(examples, labels)
    return base.class_indices(gold) if exclusive else gold


def fit_regression(estimator: Any, features: Any, targets: NDArray[Any], weights: base.Weights = None) -> None:
    """Fit a regression from `build_regression` to targets from `regression_targets`."""
    from sklearn import config_context

    given = {} if weights is None else {"sample_weight": weights}
    # Routing takes the weights through to the regression of each label.
    with warnings.catch_warnings(), config_context(enable_metadata_routing=bool(given)):
        # scikit-learn then predicts a constant for that label, which is correct.
        warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
        if given:
            getattr(estimator, "estimator", estimator).set_fit_request(sample_weight=True)
        estimator.fit(features, targets, **given)


@dataclass(frozen=True)
class LinearLayer:
    """A fitted regression as arrays: weight (outputs, width) and bias (outputs,), both float32.

    Outputs are the labels in codebook order, followed by "none" if an exclusive codebook allows it.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def of(cls, estimator: Any, n_outputs: int, *, exclusive: bool) -> Self:
        """Make a layer with the same logits as a fitted regression from `build_regression`.

        Outputs without train examples get a bias so low that they are never predicted.
        """
        # scikit-learn omits classes without examples; the layer has a row for every class of the codebook.
        weight = np.zeros((n_outputs, estimator.n_features_in_), dtype=np.float32)
        bias = np.full(n_outputs, -_NEVER, dtype=np.float32)
        if not exclusive:
            for row, one in enumerate(estimator.estimators_):
                if hasattr(one, "coef_"):
                    weight[row], bias[row] = one.coef_[0], one.intercept_[0]
                else:  # a constant: either no train example has the label, or all have it
                    bias[row] = _NEVER if one.y_[0] else -_NEVER
        elif len(estimator.classes_) == 2:
            # scikit-learn stores one logit for two classes; plus and minus half of it give the same softmax.
            first, second = estimator.classes_
            weight[second], bias[second] = estimator.coef_[0] / 2, estimator.intercept_[0] / 2
            weight[first], bias[first] = -weight[second], -bias[second]
        else:
            weight[estimator.classes_], bias[estimator.classes_] = estimator.coef_, estimator.intercept_
        return cls(weight, bias)

    def logits(self, features: Any) -> NDArray[np.float32]:
        """Return (n, outputs) logits for (n, width) float32 features, a numpy array or a scipy sparse matrix."""
        return np.asarray(features @ self._by_feature + self.bias, dtype=np.float32)

    def save(self, path: Path) -> None:
        """Write the layer to a safetensors file."""
        from safetensors.numpy import save_file

        save_file({"weight": self.weight, "bias": self.bias}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load a layer written by `save`."""
        from safetensors.numpy import load_file

        tensors = load_file(path)
        return cls(tensors["weight"], tensors["bias"])

    @cached_property
    def _by_feature(self) -> NDArray[np.float32]:
        """The (width, outputs) weights, copied once, because scipy would copy a transposed view for every product."""
        return np.ascontiguousarray(self.weight.T)


class LinearClassifier(base.Classifier):
    """A classifier that ends in a linear layer, with a sigmoid per label or a softmax over exclusive classes.

    "none" is a separate class if an exclusive codebook allows it.
    """

    _section: Any

    def __init__(self, codebook: Codebook, section: Any, seed: int) -> None:
        self.labels = codebook.label_names
        self._exclusive = codebook.exclusive
        self._n_outputs = base.count_outputs(codebook)
        self._section = section
        self._seed = seed

    def _targets(self, examples: Sequence[Example]) -> NDArray[Any]:
        return regression_targets(examples, self.labels, exclusive=self._exclusive)

    def _fit_layer(self, features: Any, targets: NDArray[Any], examples: Sequence[Example]) -> LinearLayer:
        """Fit a regression with the section's `C` and `class_weight` to (n, width) features and `_targets`."""
        section = self._section
        regression = build_regression(
            exclusive=self._exclusive, C=section.C, class_weight=section.class_weight, seed=self._seed
        )
        fit_regression(regression, features, targets, base.example_weights(examples))
        return self._layer_of(regression)

    def _layer_of(self, regression: Any) -> LinearLayer:
        return LinearLayer.of(regression, self._n_outputs, exclusive=self._exclusive)

    def _probabilities(self, logits: NDArray[np.float32]) -> Probabilities:
        return base.output_probabilities(logits, len(self.labels), exclusive=self._exclusive)


class EmbedderSettings(BaseModel):
    """The contents of `settings.json`: the encoder of a model, with the fields of `Embedder`."""

    model_config = ConfigDict(frozen=True)

    encoder: str
    pooling: str
    max_length: int
    identity: str


class EmbeddingClassifier(ExplainedByGradients, LinearClassifier):
    """L2 logistic regression on unit-length pooled vectors from a frozen encoder.

    Multi-label codebooks have one regression per label. Exclusive codebooks have one multinomial regression, in which
    "none" is a separate class if allowed. `trainer.encoders.embeddings` caches the vectors of train and validation.
    """

    _section: EmbeddingSection
    embedder_: Embedder | None = None
    layer_: LinearLayer | None = None

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        """Encode the texts and fit the regression; validation is also encoded, because calibration needs it next.

        Raises:
            EncoderError: the encoder cannot be found or opened.
            ExperimentError: all examples are of one class.
        """
        section = self._section
        # This comes before the encoder is opened, so that examples of one class are refused immediately.
        targets = self._targets(examples)
        self.embedder_ = Embedder(section.encoder, pooling=section.pooling, max_length=section.max_length)
        texts = [example.text for example in (*examples, *validation)]
        self.layer_ = self._fit_layer(cached_encode(self.embedder_, texts)[: len(examples)], targets, examples)
        return self

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """Return (n, labels) probabilities from the regression."""
        return self.predict_embedded(self.embed(texts))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return (n, dimensions) unit-length vectors, from the cache if possible; new vectors are not cached."""
        with progress_to(None):  # the caller reports its own progress over all texts
            return cached_encode(base.fitted(self.embedder_), texts, keep=False)

    def predict_embedded(self, vectors: Vectors) -> Probabilities:
        """Return (n, labels) probabilities for vectors from `embed`."""
        return self._probabilities(base.fitted(self.layer_).logits(vectors))

    def encoder_parts(self) -> EncoderParts:
        """Return the encoder and the regression."""
        embedder, layer = base.fitted(self.embedder_), base.fitted(self.layer_)
        encoder, tokenizer = embedder.opened
        longest = min(embedder.max_length, max_positions(encoder))
        return EncoderParts(encoder, tokenizer, embedder.pooling, True, layer.weight, layer.bias, longest)

    def save(self, folder: Path) -> None:
        """Write `regression.safetensors`, and `settings.json` with the encoder's name and identity."""
        embedder = base.fitted(self.embedder_)
        base.fitted(self.layer_).save(folder / FILE)
        settings = EmbedderSettings(
            encoder=embedder.name,
            pooling=embedder.pooling,
            max_length=embedder.max_length,
            identity=embedder.identity,
        )
        (folder / SETTINGS).write_text(settings.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, codebook: Codebook) -> Self:
        """Load files written by `save`, or the `regression.skops` of a format 1 artefact, and open the encoder.

        Raises:
            ArtefactError: `regression.skops` contains a type that communique never wrote, or the encoder cannot be
                found or has changed.
        """
        settings = EmbedderSettings.model_validate_json((folder / SETTINGS).read_text(encoding="utf-8"))
        classifier = cls(codebook, EmbeddingSection(kind="embedding"), seed=0)
        classifier.embedder_ = _same_encoder(folder, settings)
        if (folder / _FORMAT_1).is_file():
            classifier.layer_ = classifier._layer_of(read_skops(folder / _FORMAT_1))
        else:
            classifier.layer_ = LinearLayer.load(folder / FILE)
        return classifier

    def describe(self) -> dict[str, Any]:
        """Return the encoder and its identity, pooling, length limit, and the dimension of the vectors."""
        embedder = base.fitted(self.embedder_)
        return {
            "encoder": embedder.name,
            "encoder_identity": embedder.identity,
            "pooling": embedder.pooling,
            "max_length": embedder.max_length,
            "dimensions": embedder.dimensions,
        }


def _same_encoder(folder: Path, settings: EmbedderSettings) -> Embedder:
    """Open the encoder that the model in `folder` was fitted on."""
    name = settings.encoder
    try:
        embedder = Embedder(name, pooling=settings.pooling, max_length=settings.max_length)
    except EncoderError as error:
        raise ArtefactError(
            f"{folder}: this model needs the encoder '{name}', which is not in the artefact and was not found: {error}"
        ) from error
    if embedder.identity != settings.identity:
        raise ArtefactError(
            f"{folder}: the encoder '{name}' has changed since this model was trained (identity {embedder.identity}, "
            f"in training {settings.identity}). Restore the encoder's earlier files, or train the model again."
        )
    return embedder


FORMAT_1_TYPES = frozenset(
    {
        "builtins.dict",
        "builtins.list",
        "builtins.str",
        "builtins.tuple",
        "numpy.float32",
        "numpy.float64",
        "numpy.ndarray",
        "sklearn.feature_extraction.text.TfidfTransformer",
        "sklearn.feature_extraction.text.TfidfVectorizer",
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.multiclass.OneVsRestClassifier",
        "sklearn.multiclass._ConstantPredictor",
        "sklearn.pipeline.FeatureUnion",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._label.LabelBinarizer",
    }
)
"""All types that communique wrote to skops files, which are far fewer than the types that skops trusts.

The list is part of the code and is never read from a model. MLflow used to read such a list from the model's own
MLmodel file, so a malicious model could declare itself trusted. Since September 2026 MLflow's setting against pickles
also covers skops files (https://github.com/mlflow/mlflow/pull/25686, GHSA-w582-9x45-8mpx).
"""

_LOADERS = frozenset({"DictNode", "JsonNode", "ListNode", "NdArrayNode", "ObjectNode", "TupleNode", "TypeNode"})
"""Skops loaders for `FORMAT_1_TYPES`. Other loaders read functions, methods or constructor calls from the file."""


def read_skops(path: Path) -> Any:
    """Load the scikit-learn object in a skops file of format 1, after checking its types.

    Raises:
        ArtefactError: the file is not a skops file, or contains a type that communique never wrote.
    """
    try:
        # Read the schema as plain JSON first: skops itself trusts many types that communique never wrote.
        with zipfile.ZipFile(path) as archive:
            schema = json.loads(archive.read("schema.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ArtefactError(f"{path}: not a skops file ({error}). Copy the artefact again.") from error
    strange = sorted(set(_strange_types(schema)))
    if strange:
        raise ArtefactError(
            f"{path}: the file contains types that are not trusted: {', '.join(strange)}. "
            "The file was not loaded. Train the model again."
        )
    from skops.io import load

    return load(path, trusted=sorted(FORMAT_1_TYPES))


def _strange_types(node: Any) -> Iterator[str]:
    """Yield every type in a skops schema that is not in `FORMAT_1_TYPES`, or has a loader not in `_LOADERS`."""
    # JSON strings need no check: skops reads them as plain values.
    if isinstance(node, list):
        for item in node:
            yield from _strange_types(item)
    if not isinstance(node, dict):
        return
    if "__loader__" in node:
        name = f"{node.get('__module__')}.{node.get('__class__')}"
        if name not in FORMAT_1_TYPES or node["__loader__"] not in _LOADERS:
            yield name
    for item in node.values():
        yield from _strange_types(item)
