from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labels.errors import DataError
from tests.lazy import Lazy
from trainer.evaluation.metrics import expected_calibration_error
from trainer.evaluation.report import Outcome, Report, build_report

sk = Lazy("sklearn.metrics")


def outcome(n: int = 60, *, exclusive: bool = False, seed: int = 2) -> Outcome:
    """Two labels, in exclusive codebooks at most one of them in a row; three rows a group."""
    generator = np.random.default_rng(seed)
    if exclusive:
        probabilities = generator.dirichlet([1, 1, 1], n)[:, :2]
        drawn = generator.integers(0, 3, n)
        gold = drawn[:, None] == np.arange(2)
        predicted = probabilities == np.maximum(probabilities.max(axis=1), 1 - probabilities.sum(axis=1))[:, None]
    else:
        probabilities = generator.random((n, 2))
        gold = generator.random((n, 2)) < probabilities
        predicted = probabilities >= [0.5, 0.4]
    groups = (np.arange(n) // 3).tolist()
    return Outcome(("aid", "truce"), exclusive, gold, predicted, probabilities, groups, np.array([0.5, 0.4]))


def report(of: Outcome, **more: Any) -> Report:
    return build_report(of, **({"confidence": 0.9, "min_groups": 20} | more))


def test_the_figures_are_those_of_scikit_learn() -> None:
    made = outcome()
    found = report(made)
    assert found.macro_f1 == pytest.approx(sk.f1_score(made.gold, made.predicted, average="macro"))
    assert found.micro_f1 == pytest.approx(sk.f1_score(made.gold, made.predicted, average="micro"))
    assert found.subset_accuracy == pytest.approx(sk.accuracy_score(made.gold, made.predicted))
    assert (found.n_test, found.n_groups, found.labels) == (60, 20, ["aid", "truce"])
    for column, label in enumerate(("aid", "truce")):
        gold, predicted, p = made.gold[:, column], made.predicted[:, column], made.probabilities[:, column]
        own = found.per_label[label].model_dump(exclude={"precision_at", "undefined", "intervals"})
        assert own == {
            "precision": pytest.approx(sk.precision_score(gold, predicted)),
            "recall": pytest.approx(sk.recall_score(gold, predicted)),
            "f1": pytest.approx(sk.f1_score(gold, predicted)),
            "support": gold.sum(),
            "predicted": predicted.sum(),
            "threshold": (0.5, 0.4)[column],
            "average_precision": pytest.approx(sk.average_precision_score(gold, p)),
            "roc_auc": pytest.approx(sk.roc_auc_score(gold, p)),
            "mcc": pytest.approx(sk.matthews_corrcoef(gold, predicted)),
        }
        assert found.calibration.per_label[label].model_dump() == {
            "expected_calibration_error": pytest.approx(expected_calibration_error(p, gold)),
            "brier_score": pytest.approx(sk.brier_score_loss(gold, p)),
            "log_loss": pytest.approx(sk.log_loss(gold, p)),
        }


def test_calibration_figures_are_means_over_labels_with_fifteen_bins() -> None:
    calibration = report(outcome()).calibration
    assert calibration.bins == 15
    for name in ("expected_calibration_error", "brier_score", "log_loss"):
        means = np.mean([getattr(each, name) for each in calibration.per_label.values()])
        assert getattr(calibration, name) == pytest.approx(means)


def test_an_exclusive_report_has_accuracy_and_no_thresholds() -> None:
    made = outcome(exclusive=True)
    found = report(made)
    assert found.accuracy == pytest.approx((made.gold == made.predicted).all(axis=1).mean())
    assert "subset_accuracy" not in found.to_dict()
    assert [found.per_label[label].threshold for label in made.labels] == [None, None]
    assert found.intervals
    assert found.intervals.accuracy
    assert found.intervals.accuracy.low <= found.accuracy <= found.intervals.accuracy.high


def test_intervals_hold_their_figures_and_say_how_they_were_made() -> None:
    found = report(outcome())
    intervals = found.intervals
    assert intervals
    assert found.intervals_reason == ""
    assert (intervals.method, intervals.confidence) == ("jackknife over groups, logit scale", 0.9)
    for name in ("macro_f1", "micro_f1", "subset_accuracy"):
        bounds = getattr(intervals, name)
        assert bounds.low < getattr(found, name) < bounds.high
    for label in ("aid", "truce"):
        bounds = intervals.per_label_f1[label]
        assert bounds.low < found.per_label[label].f1 < bounds.high
        assert (bounds.undefined_draws, bounds.reason) == (0, "")


@pytest.mark.parametrize(("n_groups", "given"), [(19, False), (20, True)])
def test_below_the_least_number_of_groups_there_are_no_intervals_but_a_reason(n_groups: int, given: bool) -> None:
    found = report(outcome(3 * n_groups))
    assert (found.intervals is not None) == given
    expected = "" if given else "19 test groups, fewer than 20: too few for intervals"
    assert found.intervals_reason == expected


def test_what_is_undefined_is_null_in_strict_json() -> None:
    made = outcome()
    nothing = np.zeros((60, 2), dtype=bool)
    found = report(replace(made, gold=nothing, predicted=nothing))
    assert (found.macro_f1, found.micro_f1, found.subset_accuracy) == (None, None, 1)
    label = found.per_label["aid"]
    assert {name: getattr(label, name) for name in label.undefined} == dict.fromkeys(
        ("precision", "recall", "f1", "average_precision", "roc_auc", "mcc")
    )
    assert label.undefined["recall"] == "the label never occurs"
    assert label.undefined["precision"] == "the label is never predicted"
    assert found.intervals
    assert found.intervals.macro_f1.low is None
    assert found.intervals.macro_f1.reason.startswith("undefined for every label: the label never occurs")
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()


def test_a_report_comes_back_from_its_file(isolated: Path) -> None:
    found = report(outcome(exclusive=True)).extended(kind="tfidf", notes=["3 left out"])
    Path("report.json").write_text(json.dumps(found.to_dict(), allow_nan=False))
    assert Report.read(Path("report.json")) == found


def test_keys_of_newer_versions_survive_reading_and_writing(isolated: Path) -> None:
    content = report(outcome()).to_dict() | {"fairness": {"gap": 0.1}}
    Path("report.json").write_text(json.dumps(content))
    assert Report.read(Path("report.json")).to_dict() == content


def test_intervals_without_reasons_as_older_versions_wrote_them_are_read(isolated: Path) -> None:
    content = report(outcome()).to_dict()
    del content["intervals"]["macro_f1"]["reason"]
    Path("report.json").write_text(json.dumps(content))
    found = Report.read(Path("report.json"))
    assert found.intervals
    assert found.intervals.macro_f1.reason == ""


@pytest.mark.parametrize("content", ["", "[]", '{"labels": []}'])
def test_a_file_that_is_not_a_report_is_refused(isolated: Path, content: str) -> None:
    Path("report.json").write_text(content)
    with pytest.raises(DataError, match=r"report\.json: (not a report|key `exclusive`: Field required)"):
        Report.read(Path("report.json"))
