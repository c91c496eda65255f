"""An estimator for scikit-learn's checks. A module of its own: its base class imports scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sklearn.base import ClassifierMixin
from sklearn.utils.validation import validate_data

from communique import TfidfClassifier


@dataclass(eq=False, repr=False)
class NumbersAsWords(TfidfClassifier):
    """The real estimator on rows of numbers: each rounded number is a word, "x3is12"."""

    def words(self, X: Any, *, reset: bool) -> list[str]:
        numbers = validate_data(self, X, reset=reset)
        return [" ".join(f"x{j}is{round(2 * value)}" for j, value in enumerate(row)) for row in numbers]

    def fit(self, X: Any, y: Any, groups: Any = None) -> NumbersAsWords:
        return super().fit(self.words(X, reset=True), y, groups)

    def predict_proba(self, X: Any) -> Any:
        return super().predict_proba(self.words(X, reset=False))

    def score(self, X: Any, y: Any) -> float:
        return float(ClassifierMixin.score(self, X, y))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = False
        tags.input_tags.two_d_array = True
        return tags
