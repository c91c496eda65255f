"""What classifiers on logistic regression share: the regression itself, its targets and probabilities, and its file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from labels.errors import ArtefactError
from labels.records import Example
from trainer.arrays import Probabilities
from trainer.classifiers.base import class_indices, label_matrix, refuse_one_class, without_none

TRUSTED: tuple[str, ...] = ("sklearn.multiclass._ConstantPredictor",)
"""Types beyond skops's own allow-list that a file may hold: scikit-learn's answer for a label that all bear."""

_NEVER = 30.0
"""A logit as good as certain: 1e-13 away from it."""

ClassWeight = Literal["balanced", "none"]


def build_regression(*, exclusive: bool, C: float, class_weight: ClassWeight, seed: int) -> Any:  # noqa: N803
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
        ExperimentError: there is nothing to tell apart, as `refuse_one_class` says.
    """
    refuse_one_class(examples, labels, exclusive=exclusive)
    gold = label_matrix(examples, labels)
    return class_indices(gold) if exclusive else gold


def fit_regression(estimator: Any, features: Any, targets: NDArray[Any]) -> None:
    """Fit a regression of `build_regression`, or a pipeline that ends in one, to `regression_targets`."""
    with warnings.catch_warnings():
        # Then scikit-learn's answer for it is a constant, which is what should be.
        warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
        estimator.fit(features, targets)


def label_probabilities(estimator: Any, features: Any, n_labels: int, *, exclusive: bool) -> Probabilities:
    """(n, labels) probabilities of a fitted regression, or of a pipeline that ends in one.

    Args:
        features: n rows of what `estimator` was fitted to. A class that its train part lacked gets 0.
    """
    probabilities = np.asarray(estimator.predict_proba(features))
    if not exclusive:
        # Of a single label scikit-learn gives both columns, "not" first.
        return probabilities[:, -n_labels:].astype(np.float32)
    full = np.zeros((len(probabilities), n_labels + 1))
    full[:, estimator.classes_] = probabilities
    return without_none(full, n_labels)


def load_estimator(path: Path) -> Any:
    """Read a skops file, after its types were held against skops's allow-list.

    Raises:
        ArtefactError: the file holds a type that is not allowed.
    """
    from skops.io import get_untrusted_types, load

    unknown = sorted(set(get_untrusted_types(file=path)) - set(TRUSTED))
    if unknown:
        raise ArtefactError(
            f"{path}: it holds types that are not trusted: {', '.join(unknown)}. "
            "It was not loaded; train the model again."
        )
    return load(path, trusted=list(TRUSTED))


def linear_layer(
    estimator: Any, n_outputs: int, width: int, *, exclusive: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight (outputs, width) and bias (outputs,) of a linear layer that gives a fitted regression's logits.

    Outputs that the train part lacked get a bias no text overcomes; the two columns of a binary softmax are half the
    regression's logit each, with opposite signs.
    """
    weight = np.zeros((n_outputs, width), dtype=np.float32)
    bias = np.full(n_outputs, -_NEVER, dtype=np.float32)
    if not exclusive:
        for row, one in enumerate(estimator.estimators_):
            if hasattr(one, "coef_"):
                weight[row], bias[row] = one.coef_[0], one.intercept_[0]
            else:  # scikit-learn's answer for a label that all or none bear
                bias[row] = _NEVER if one.y_[0] else -_NEVER
    elif len(estimator.classes_) == 2:
        first, second = estimator.classes_
        weight[second], bias[second] = estimator.coef_[0] / 2, estimator.intercept_[0] / 2
        weight[first], bias[first] = -weight[second], -bias[second]
    else:
        weight[estimator.classes_], bias[estimator.classes_] = estimator.coef_, estimator.intercept_
    return weight, bias
