"""scikit-learn's own checks. They feed numbers, so a stand-in turns each row of numbers into words first."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lazy import Lazy

check_estimator = Lazy("sklearn.utils.estimator_checks:check_estimator")
TfidfClassifier = Lazy("communique:TfidfClassifier")

EXPECTED_FAILED_CHECKS = {
    "check_class_weight_classifiers": "class_weight is 'balanced' or 'none', as in an experiment file, never a dict",
    "check_supervised_y_2d": "a table of labels has to be an indicator: one with a single column of names is refused",
}


@pytest.mark.filterwarnings("ignore")
def test_the_estimator_passes_scikit_learns_checks() -> None:
    from tests.api.numbers_as_words import NumbersAsWords

    results = check_estimator(NumbersAsWords(), expected_failed_checks=EXPECTED_FAILED_CHECKS, on_fail="raise")
    statuses = {result["check_name"]: result["status"] for result in results}
    assert {name for name, status in statuses.items() if status == "xfail"} == set(EXPECTED_FAILED_CHECKS)
    assert sum(status == "passed" for status in statuses.values()) > 40


def test_the_estimator_itself_says_that_it_takes_texts() -> None:
    from sklearn.exceptions import SkipTestWarning

    with pytest.warns(SkipTestWarning, match="Can't test estimator TfidfClassifier which requires input"):
        check_estimator(TfidfClassifier())


def test_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"X has 2 dimensions\. Pass a single column"):
        TfidfClassifier().fit(np.ones((4, 2)), ["a", "b", "a", "b"])
