"""What classifiers on logistic regression share: fitting it with scikit-learn, and the plain linear layer that is kept.

After fitting only numbers matter, so a regression is kept as weights and biases: predicting needs numpy, not
scikit-learn, whose import takes seconds. Artefacts of format 1 hold skops files instead; `read_skops` opens those.
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

from labels.errors import ArtefactError
from labels.records import Example
from trainer.calibration.calibration import Probabilities
from trainer.classifiers.base import class_indices, label_matrix, output_probabilities, refuse_one_class

_NEVER = 30.0
"""A logit as good as certain: 1e-13 away from it."""

ClassWeight = Literal["balanced", "none"]


def build_regression(*, exclusive: bool, C: float, class_weight: ClassWeight, seed: int) -> Any:
    """L2 logistic regression, not fitted yet: one for each label, or one multinomial over exclusive classes."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    regression = LogisticRegression(
        C=C, class_weight=None if class_weight == "none" else class_weight, max_iter=1000, random_state=seed
    )
    return regression if exclusive else OneVsRestClassifier(regression)


def regression_targets(examples: Sequence[Example], labels: Sequence[str], *, exclusive: bool) -> NDArray[Any]:
    """What the regression is fitted to: (n, labels) booleans, or (n,) classes with "none" after the last label.

    Raises:
        ExperimentError: the examples are of one class, as in `refuse_one_class`.
    """
    refuse_one_class(examples, labels, exclusive=exclusive)
    gold = label_matrix(examples, labels)
    return class_indices(gold) if exclusive else gold


def fit_regression(estimator: Any, features: Any, targets: NDArray[Any]) -> None:
    """Fit a regression of `build_regression` to `regression_targets`."""
    with warnings.catch_warnings():
        # scikit-learn then answers that label with a constant, which is the right answer.
        warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
        estimator.fit(features, targets)


@dataclass(frozen=True)
class LinearLayer:
    """A fitted regression as numbers: weight (outputs, width) and bias (outputs,), both float32.

    Outputs are the labels in codebook order; in an exclusive codebook "none" follows where it is an answer.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def of(cls, estimator: Any, n_outputs: int, *, exclusive: bool) -> Self:
        """The layer that gives the logits of a fitted `build_regression`.

        Outputs that the train part lacked get a bias that no text overcomes.
        """
        weight = np.zeros((n_outputs, estimator.n_features_in_), dtype=np.float32)
        bias = np.full(n_outputs, -_NEVER, dtype=np.float32)
        if not exclusive:
            for row, one in enumerate(estimator.estimators_):
                if hasattr(one, "coef_"):
                    weight[row], bias[row] = one.coef_[0], one.intercept_[0]
                else:  # a constant: no train example has the label, or all have it
                    bias[row] = _NEVER if one.y_[0] else -_NEVER
        elif len(estimator.classes_) == 2:
            # scikit-learn keeps one logit for two classes; half of it on each side gives the same softmax.
            first, second = estimator.classes_
            weight[second], bias[second] = estimator.coef_[0] / 2, estimator.intercept_[0] / 2
            weight[first], bias[first] = -weight[second], -bias[second]
        else:
            weight[estimator.classes_], bias[estimator.classes_] = estimator.coef_, estimator.intercept_
        return cls(weight, bias)

    def probabilities(self, features: Any, n_labels: int, *, exclusive: bool) -> Probabilities:
        """(n, labels) probabilities of (n, width) float32 features, an array or a sparse matrix of scipy."""
        return output_probabilities(features @ self._by_feature + self.bias, n_labels, exclusive=exclusive)

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        write_tensors(path, {"weight": self.weight, "bias": self.bias})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        from safetensors.numpy import load_file

        tensors = load_file(path)
        return cls(tensors["weight"], tensors["bias"])

    @cached_property
    def _by_feature(self) -> NDArray[np.float32]:
        """(width, outputs); laid out once, as scipy would copy a transposed view at every product."""
        return np.ascontiguousarray(self.weight.T)


def write_tensors(path: Path, tensors: dict[str, NDArray[np.float32]]) -> None:
    """Write a safetensors file that others may read: the library's own `save_file` makes it private to its owner."""
    from safetensors.numpy import save

    path.write_bytes(save(tensors))


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
"""All types that communique wrote to skops files, which is far less than skops itself trusts.

The list is part of the code and never read from a model. MLflow took it from the model's own MLmodel file, so that a
hostile model could trust itself; since September 2026 its switch against pickles covers skops files too
(https://github.com/mlflow/mlflow/pull/25686, GHSA-w582-9x45-8mpx).
"""

_LOADERS = frozenset({"DictNode", "JsonNode", "ListNode", "NdArrayNode", "ObjectNode", "TupleNode", "TypeNode"})
"""How skops builds those types. Other loaders take functions, methods or constructor calls from the file."""


def read_skops(path: Path) -> Any:
    """The scikit-learn object in a skops file of format 1; its types are checked before skops opens it.

    Raises:
        ArtefactError: the file is not a skops file, or names a type that communique never wrote.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            schema = json.loads(archive.read("schema.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ArtefactError(f"{path}: not a skops file ({error}). Copy the artefact again.") from error
    strange = sorted(set(_strange_types(schema)))
    if strange:
        raise ArtefactError(
            f"{path}: it holds types that are not trusted: {', '.join(strange)}. "
            "It was not loaded; train the model again."
        )
    from skops.io import load

    return load(path, trusted=sorted(FORMAT_1_TYPES))


def _strange_types(node: Any) -> Iterator[str]:
    """Every type in a skops schema that is not in `FORMAT_1_TYPES`, or is not built as data."""
    # JSON strings need no look: skops reads them as plain values.
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
