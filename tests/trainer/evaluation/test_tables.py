"""A report as people read it: text, a pandas table, a picture."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.lazy import Lazy, needed
from trainer.evaluation.report import Outcome, Report, build_report
from trainer.evaluation.report_tables import fold_rows

mpl = Lazy("matplotlib")


def report_of(n: int, *, exclusive: bool = False, min_groups: int = 20) -> Report:
    """On n texts of n groups, of which every fourth has `aid`; a third of these are missed. `truce` never occurs."""
    gold = np.array([[i % 4 == 0, False] for i in range(n)])
    predicted = gold & np.array([[i % 12 != 0] for i in range(n)])
    outcome = Outcome(
        labels=("aid", "truce"),
        exclusive=exclusive,
        gold=gold,
        predicted=predicted,
        probabilities=np.where(predicted, 0.9, 0.1),
        groups=list(range(n)),
        thresholds=np.array([0.4, 0.5]),
    )
    return build_report(outcome, confidence=0.9, min_groups=min_groups)


def test_the_text_is_like_a_classification_report_with_intervals() -> None:
    lines = str(report_of(240)).splitlines()
    assert lines[0].split() == ["precision", "recall", "f1-score", "90%", "interval", "support", "threshold"]
    name, precision, recall, f1, low, dash, high, support, threshold = lines[2].split()
    assert (name, precision, recall, f1, dash, support, threshold) == ("aid", "1.00", "0.67", "0.80", "-", "60", "0.40")
    assert float(low) < 0.8 < float(high)
    assert lines[3].split() == ["truce", "0", "0.50"], "undefined figures are left blank"
    averages = [line.split()[:5] for line in lines[5:8]]
    assert averages == [[name, "avg", "1.00", "0.67", "0.80"] for name in ("micro", "macro", "weighted")]
    assert lines[9].startswith("240 texts in 240 groups: subset accuracy 0.92 (0.8")
    error = report_of(240).calibration.expected_calibration_error
    assert lines[9].endswith(f"), calibration error {error:.2f}")
    assert all(line == line.rstrip() for line in lines)


def test_remarks_follow_the_figures() -> None:
    report = report_of(240).extended(uncalibrated={"truce": "0 validation positives"}, notes=["two texts are the same"])
    assert str(report).splitlines()[10:] == [
        "Not calibrated: truce (0 validation positives).",
        "Note: two texts are the same.",
    ]


def test_a_label_with_too_few_groups_for_an_interval_is_named() -> None:
    text = str(report_of(60, min_groups=60))
    assert (
        "No interval for aid: 15 test groups, fewer than 30. "
        "The interval of macro_f1 understates the uncertainty of such labels." in text
    )


def test_a_fold_without_a_label_says_that_its_macro_f1_averages_fewer() -> None:
    fold = {"n_train": 8, "n_validation": 2, "n_test": 1200, "macro_f1": 0.5, "micro_f1": 0.4, "train_seconds": 1}
    folds = [{"name": "1", "per_label_f1": {"aid": 0.5, "truce": None}, **fold}]
    assert fold_rows(report_of(60).extended(folds=folds)) == [("1", "1200", "8", "2", "0.500 (1 of 2 labels)", "0.400")]


@pytest.mark.parametrize(("p", "shown"), [(0.0, "(p <0.001,"), (0.0004, "(p <0.001,"), (0.022, "(p = 0.022,")])
def test_a_p_value_is_never_zero(p: float, shown: str) -> None:
    own = {"by": "source", "value": "x", "n": 9, "n_groups": 9, "labelled": 0.5, "micro_f1": 0.5, "exact_match": 0.5}
    worse = own | {"difference": -0.1, "adjusted_p": p, "worse": True}
    assert shown in str(report_of(60).extended(slices=[worse]))


def test_many_labels_are_not_all_named() -> None:
    report = report_of(60).extended(uncalibrated={f"label{n:02}": "too few" for n in range(15)})
    assert "label10, label11 and 3 more (too few)." in str(report)


def test_without_intervals_the_text_says_why() -> None:
    text = str(report_of(12, exclusive=True))
    assert "12 texts in 12 groups: accuracy 0.92, calibration error" in text
    assert text.endswith("No intervals: 12 test groups, fewer than 20: too few for intervals.")


def test_the_table_has_every_figure_and_nan_where_undefined() -> None:
    report = report_of(240)
    table = report.to_frame()
    assert list(table.index) == ["aid", "truce", "micro avg", "macro avg", "weighted avg"]
    assert table.loc["aid", "recall"] == pytest.approx(2 / 3)
    assert table.loc["aid", "low"] == report.intervals.per_label_f1["aid"].low
    assert table.support.tolist() == [60, 0, 60, 60, 60]
    assert math.isnan(table.loc["truce", "recall"])
    assert (
        table.loc["aid", "expected_calibration_error"] == report.calibration.per_label["aid"].expected_calibration_error
    )
    assert report_of(12).to_frame()[["low", "high"]].isna().all(axis=None)


def test_the_picture_is_drawn_in_a_new_figure_or_a_given_one(monkeypatch: pytest.MonkeyPatch) -> None:
    mpl.use("agg")
    from matplotlib import pyplot

    report = report_of(240)
    own = report.plot()
    assert [text.get_text() for text in own.get_yticklabels()] == ["aid  (n=60)", "truce  (n=0)"]
    _, axes = pyplot.subplots()
    assert report.plot(axes) is axes
    pyplot.close("all")


def test_a_notebook_shows_the_text() -> None:
    pretty = needed("IPython.lib.pretty")
    report = report_of(60)
    assert pretty.pretty(report) == str(report)
