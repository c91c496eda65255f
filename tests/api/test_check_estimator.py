"""scikit-learn's own checks. They feed numbers, so a stand-in turns each row of numbers into words first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn.base import ClassifierMixin
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import validate_data

from communique import TfidfClassifier

EXPECTED_FAILED_CHECKS = {
    "check_class_weight_classifiers": "class_weight is 'balanced' or 'none', as in an experiment file, never a dict",
    "check_supervised_y_2d": "a table of labels has to be an indicator: one with a single column of names is refused",
}


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


@pytest.mark.filterwarnings("ignore")
def test_the_estimator_passes_scikit_learns_checks() -> None:
    results = check_estimator(NumbersAsWords(), expected_failed_checks=EXPECTED_FAILED_CHECKS, on_fail="raise")
    statuses = {result["check_name"]: result["status"] for result in results}
    assert {name for name, status in statuses.items() if status == "xfail"} == set(EXPECTED_FAILED_CHECKS)
    assert sum(status == "passed" for status in statuses.values()) > 40


def test_the_estimator_itself_says_that_it_takes_texts() -> None:
    with pytest.warns(SkipTestWarning, match="Can't test estimator TfidfClassifier which requires input"):
        check_estimator(TfidfClassifier())


def test_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"X has 2 dimensions\. Give a single column"):
        TfidfClassifier().fit(np.ones((4, 2)), ["a", "b", "a", "b"])
