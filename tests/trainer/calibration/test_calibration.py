from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy.special import expit, logit, softmax

from tests.lazy import Lazy
from trainer.calibration.calibration import (
    Bools,
    Calibration,
    Floats,
    LabelCalibration,
    fit_exclusive,
    fit_multilabel,
    stable_threshold,
    uncalibrated,
)
from trainer.evaluation.metrics import expected_calibration_error, log_loss

IsotonicRegression = Lazy("sklearn.isotonic:IsotonicRegression")
LogisticRegression = Lazy("sklearn.linear_model:LogisticRegression")


def simulated(n: int, slope: float, shift: float, seed: int = 5) -> tuple[Floats, Floats, Bools]:
    """True probabilities, raw ones off by `slope` and `shift` on the logit, and outcomes; (n, 1) each."""
    generator = np.random.default_rng(seed)
    true = expit(generator.normal(-0.5, 1.5, (n, 1)))
    return true, expit(slope * logit(true) + shift), generator.random((n, 1)) < true


def few(positives: int, n: int = 60) -> tuple[Floats, Bools]:
    """Raw scores and gold of one label with this many positives, better than chance."""
    gold = np.arange(n)[:, None] < positives
    return np.where(gold, 0.7, 0.2) + np.linspace(-0.15, 0.15, n)[:, None], gold


def simulated_classes(n: int, weights: list[float], sharpness: float) -> tuple[Floats, Floats, Bools]:
    """True class probabilities, raw ones sharpened and reweighted, one-hot outcomes; (n, classes) each."""
    generator = np.random.default_rng(11)
    true = softmax(generator.normal(0, 1.5, (n, len(weights))), axis=1)
    raw = softmax(sharpness * np.log(true) + np.log(weights), axis=1)
    drawn = (generator.random((n, 1)) < true.cumsum(axis=1)).argmax(axis=1)
    return true, raw, drawn[:, None] == np.arange(len(weights))


# -- multi-label


def test_platt_scaling_takes_back_what_was_done_to_the_logits() -> None:
    true, raw, gold = simulated(6000, slope=2.0, shift=1.0)
    calibration = fit_multilabel(raw, gold, method="platt", min_positives=20)
    (label,) = calibration.labels
    assert (label.method, label.n, label.positives, label.reason) == ("platt", 6000, int(gold.sum()), "")
    assert (label.a, label.b) == (pytest.approx(0.5, abs=0.05), pytest.approx(-0.5, abs=0.1))
    assert np.abs(calibration.apply(raw) - true).mean() < 0.02
    error = expected_calibration_error(calibration.apply(raw)[:, 0], gold[:, 0])
    assert error < 0.03 < expected_calibration_error(raw[:, 0], gold[:, 0])


def test_platt_scaling_is_logistic_regression_on_smoothed_targets() -> None:
    _, raw, gold = simulated(300, slope=1.5, shift=-0.5)
    positives, negatives = gold.sum(), (~gold).sum()
    target = np.where(gold[:, 0], (positives + 1) / (positives + 2), 1 / (negatives + 2))
    regression = LogisticRegression(C=1e9, tol=1e-10, max_iter=1000)
    twice = np.concatenate([logit(raw), logit(raw)])
    regression.fit(twice, np.repeat([1, 0], 300), sample_weight=np.concatenate([target, 1 - target]))
    (label,) = fit_multilabel(raw, gold, method="platt", min_positives=20).labels
    assert label.a == pytest.approx(regression.coef_[0, 0], abs=1e-3)
    assert label.b == pytest.approx(regression.intercept_[0], abs=1e-3)


def test_applying_platt_is_the_sigmoid_of_a_line_on_the_logit() -> None:
    calibration = Calibration(False, (LabelCalibration("platt", 9, 3, a=1.7, b=-0.4),))
    raw = np.array([[0.02], [0.4], [0.97]])
    assert calibration.apply(raw) == pytest.approx(expit(1.7 * logit(raw) - 0.4))


def test_each_label_is_calibrated_on_its_own() -> None:
    _, raw, gold = simulated(400, slope=2.0, shift=0.0)
    scarce, scarce_gold = few(5, 400)
    both = fit_multilabel(np.hstack([scarce, raw]), np.hstack([scarce_gold, gold]), method="platt", min_positives=20)
    alone = fit_multilabel(raw, gold, method="platt", min_positives=20)
    assert both.labels[1] == alone.labels[0]
    assert both.labels[0].method == "none"
    assert both.apply(np.hstack([scarce, raw]))[:, 0] == pytest.approx(scarce[:, 0])


@pytest.mark.parametrize(("positives", "calibrated"), [(0, False), (19, False), (20, True)])
def test_a_label_with_too_few_positives_keeps_its_threshold_and_says_why(positives: int, calibrated: bool) -> None:
    raw, gold = few(positives)
    (label,) = fit_multilabel(raw, gold, method="platt", min_positives=20).labels
    assert (label.method == "platt") == calibrated
    assert (label.n, label.positives) == (60, positives)
    if not calibrated:
        assert label.threshold == 0.5
        assert label.reason == f"{positives} validation positives, fewer than 20"


def test_a_label_that_all_rows_bear_keeps_its_threshold_and_says_why() -> None:
    (label,) = fit_multilabel(np.full((30, 1), 0.8), np.ones((30, 1), bool), method="platt", min_positives=20).labels
    assert (label.method, label.threshold, label.reason) == ("none", 0.5, "no negatives")


def test_method_none_leaves_probabilities_but_tunes_thresholds() -> None:
    raw, gold = few(30)
    calibration = fit_multilabel(raw / 2, gold, method="none", min_positives=20)
    assert calibration.apply(raw / 2) == pytest.approx(raw / 2)
    assert calibration.labels[0].threshold < 0.5
    assert (calibration.decide(raw / 2) != gold).sum() <= 1  # one of 30 is within the standard error


def test_isotonic_regression_goes_through_the_middles_of_scikit_learns_steps() -> None:
    _, raw, gold = simulated(1500, slope=3.0, shift=0.5)
    calibration = fit_multilabel(raw, gold, method="isotonic", min_positives=20)
    assert calibration.labels[0].method == "isotonic"
    steps = IsotonicRegression(y_min=0, y_max=1).fit_transform(raw[:, 0], gold[:, 0])
    for height in np.unique(steps):
        middle = raw[steps == height, 0].mean()
        assert calibration.apply(np.array([[middle]]))[0, 0] == pytest.approx(height)
    outside = calibration.apply(np.array([[0.0], [1.0]]))[:, 0]
    assert outside == pytest.approx([steps.min(), steps.max()])


def test_isotonic_regression_does_not_magnify_rounding() -> None:
    _, raw, gold = simulated(1500, slope=3.0, shift=0.5)
    calibration = fit_multilabel(raw, gold, method="isotonic", min_positives=20)
    moved = raw + np.random.default_rng(3).normal(0, 1e-7, raw.shape)
    assert calibration.apply(np.clip(moved, 0, 1)) == pytest.approx(calibration.apply(raw), abs=1e-3)


@pytest.mark.parametrize(("n", "positives"), [(999, 400), (1200, 99)])
def test_isotonic_regression_needs_many_rows_and_positives_and_falls_back_to_platt(n: int, positives: int) -> None:
    raw, gold = few(positives, n)
    (label,) = fit_multilabel(raw, gold, method="isotonic", min_positives=20).labels
    assert label.method == "platt"
    assert label.reason == "isotonic calibration needs 1000 rows with 100 positives; Platt scaling was used instead"


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=4, max_size=60))
def test_calibrated_probabilities_keep_the_ranking_and_stay_in_bounds(rows: list[tuple[int, bool]]) -> None:
    raw, gold = np.array([[score / 40] for score, _ in rows]), np.array([[held] for _, held in rows])
    calibration = fit_multilabel(raw, gold, method="platt", min_positives=1)
    grid = np.linspace(0, 1, 201)[:, None]
    applied = calibration.apply(grid)[:, 0]
    assert (np.diff(applied) >= 0).all()
    assert applied.min() >= 0
    assert applied.max() <= 1


def test_extreme_scores_after_a_steep_fit_raise_no_warning() -> None:
    raw = np.repeat([[0.59], [0.61]], 40, axis=0)
    calibration = fit_multilabel(raw, raw > 0.6, method="platt", min_positives=20)
    assert calibration.apply(np.array([[0.0], [1.0]]))[:, 0] == pytest.approx([0, 1])


# -- thresholds


def f1(gold: Bools, predicted: Bools) -> float:
    return float(2 * (gold & predicted).sum() / (gold.sum() + predicted.sum()))


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 32), st.booleans()), min_size=1, max_size=25))
@example([(0, True), (1, False), (2, True)])  # no threshold in (0, 1) takes in the row at 0
def test_the_threshold_is_within_a_standard_error_of_the_best_there_is(rows: list[tuple[int, bool]]) -> None:
    probabilities = np.array([score / 32 for score, _ in rows])
    gold = np.array([held for _, held in rows])
    gold[0] = True
    threshold = stable_threshold(probabilities, gold)
    assert 0 < threshold < 1
    best = max((f1(gold, probabilities >= cut) for cut in probabilities if cut > 0), default=0.0)
    n = gold.sum()
    share = (best * n + 1) / (n + 2)
    error = math.sqrt(share * (1 - share) / (n + 2))
    assert f1(gold, probabilities >= threshold) >= best - error - 1e-9


def test_where_many_thresholds_are_as_good_it_is_half_of_the_best_f1() -> None:
    probabilities = np.array([0.97, 0.9, 0.85, 0.04, 0.02, 0.01])
    assert stable_threshold(probabilities, np.array([True, True, True, False, False, False])) == 0.5


def test_a_chance_maximum_at_the_edge_is_not_followed() -> None:
    """Of 100 positives one lies at 0.03, where taking it in gains less than a standard error."""
    probabilities = np.concatenate([np.linspace(0.6, 1, 99), [0.03], np.linspace(0, 0.02, 300)])
    gold = np.arange(400) < 100
    assert f1(gold, probabilities >= 0.025) == 1
    assert stable_threshold(probabilities, gold) == 0.5


def test_outside_the_range_of_good_thresholds_the_nearest_of_them_is_taken() -> None:
    """The positives all lie below 0.2: half of F1 would lose them."""
    probabilities = np.array([0.19, 0.18, 0.17, 0.02, 0.01])
    gold = np.array([True, True, True, False, False])
    assert stable_threshold(probabilities, gold) == pytest.approx((0.17 + 0.02) / 2)


def test_a_label_is_assigned_at_its_threshold() -> None:
    calibration = Calibration(False, tuple(LabelCalibration("none", 0, 0, threshold=t) for t in (0.5, 0.25)))
    assert calibration.thresholds.tolist() == [0.5, 0.25]
    assert calibration.decide(np.array([[0.5, 0.24], [0.49, 0.25]])).tolist() == [[True, False], [False, True]]


# -- exclusive


def test_temperature_and_biases_take_back_sharpening_and_class_weights() -> None:
    true, raw, gold = simulated_classes(6000, [1.0, 4.0, 0.5], sharpness=2.0)
    calibration = fit_exclusive(raw, gold, allow_none=False, method="platt", min_positives=20)
    assert calibration.none is None
    assert [label.method for label in calibration.labels] == ["temperature"] * 3
    assert [label.positives for label in calibration.labels] == gold.sum(axis=0).tolist()
    assert calibration.labels[0].a == pytest.approx(0.5, abs=0.03)
    applied = calibration.apply(raw)
    assert np.abs(applied - true).mean() < 0.02
    assert applied.sum(axis=1) == pytest.approx(1)
    assert log_loss(applied.ravel(), gold.ravel()) < log_loss(raw.ravel(), gold.ravel())


def test_none_is_a_class_of_its_own_where_it_is_allowed() -> None:
    true, raw, gold = simulated_classes(6000, [1.0, 1.0, 5.0], sharpness=1.0)
    calibration = fit_exclusive(raw[:, :2], gold[:, :2], allow_none=True, method="platt", min_positives=20)
    assert calibration.none is not None
    assert calibration.none.positives == gold[:, 2].sum()
    assert np.abs(calibration.apply(raw[:, :2]) - true[:, :2]).mean() < 0.02


def test_applying_temperature_is_a_softmax_with_biases_and_none() -> None:
    labels = tuple(LabelCalibration("temperature", 9, 3, a=0.7, b=b) for b in (0.3, -0.2))
    calibration = Calibration(True, labels, LabelCalibration("temperature", 9, 3, a=0.7, b=0.1))
    raw = np.array([[0.5, 0.3], [0.05, 0.15], [0.62, 0.35]])
    classes = np.column_stack([raw, 1 - raw.sum(axis=1)])
    expected = softmax(0.7 * np.log(classes) + [0.3, -0.2, 0.1], axis=1)[:, :2]
    assert calibration.apply(raw) == pytest.approx(expected)


def test_a_class_with_too_few_positives_gets_no_bias_and_says_why() -> None:
    _, raw, gold = simulated_classes(300, [1.0, 1.0, 1.0], sharpness=1.0)
    order = np.argsort(gold[:, 2])
    kept = order[: len(order) - int(gold[:, 2].sum()) + 3]
    labels = fit_exclusive(raw[kept], gold[kept], allow_none=False, method="platt", min_positives=20).labels
    assert (labels[2].b, labels[2].reason) == (0.0, "3 positives, fewer than 20: no bias")
    assert [label.reason for label in labels[:2]] == ["", ""]
    assert labels[0].b != 0


def test_rows_that_are_told_apart_without_an_error_do_not_make_all_others_certain() -> None:
    """Few rows are often separable: without a penalty the scale ran to its bound, and probabilities to 0 and 1."""
    generator = np.random.default_rng(4)
    classes = generator.integers(0, 3, 600)
    scores = generator.normal(size=(600, 3))
    scores[np.arange(600), classes] += 3.2
    raw, gold = softmax(scores, axis=1), classes[:, None] == np.arange(3)
    few = np.flatnonzero(raw.argmax(axis=1) == classes)[:25]
    calibration = fit_exclusive(raw[few], gold[few], allow_none=False, method="platt", min_positives=5)
    assert 1 < calibration.labels[0].a < 5
    probabilities = calibration.apply(raw[100:])
    columns = range(3)
    after, before = (sum(log_loss(p[:, i], gold[100:, i]) for i in columns) for p in (probabilities, raw[100:]))
    assert after < 1.2 * before
    assert (probabilities.max(axis=1) < 1).all()


def test_isotonic_is_not_for_exclusive_codebooks_and_that_is_said() -> None:
    _, raw, gold = simulated_classes(300, [1.0, 1.0, 1.0], sharpness=1.0)
    fits = [
        fit_exclusive(raw, gold, allow_none=False, method=method, min_positives=20) for method in ("isotonic", "platt")
    ]
    assert {label.reason for label in fits[0].labels} == {
        "isotonic calibration is for multi-label codebooks; temperature and biases were used instead"
    }
    np.testing.assert_array_equal(fits[0].apply(raw), fits[1].apply(raw))


@pytest.mark.parametrize(
    ("method", "n", "reason"),
    [("none", 100, "switched off"), ("platt", 19, "19 validation rows, fewer than 20"), ("platt", 0, "0 validation")],
)
def test_without_fitting_exclusive_probabilities_stay_as_they_are(method: str, n: int, reason: str) -> None:
    _, raw, gold = simulated_classes(120, [1.0, 2.0, 1.0], sharpness=1.0)
    calibration = fit_exclusive(raw[:n, :2], gold[:n, :2], allow_none=True, method=method, min_positives=20)
    assert all(label.reason.startswith(reason) for label in calibration.labels)
    assert calibration.apply(raw[:, :2]) == pytest.approx(raw[:, :2])


@pytest.mark.parametrize(
    ("allow_none", "chosen"),
    [(True, [[True, False], [False, True], [False, False]]), (False, [[True, False], [False, True], [False, True]])],
)
def test_the_most_probable_class_is_assigned_and_none_counts_where_it_is_allowed(
    allow_none: bool, chosen: list[list[bool]]
) -> None:
    calibration = uncalibrated(2, "because", exclusive=True, allow_none=allow_none)
    assert calibration.decide(np.array([[0.6, 0.4], [0.3, 0.4], [0.1, 0.2]])).tolist() == chosen


def test_probabilities_that_round_to_more_than_one_leave_nothing_for_none() -> None:
    calibration = uncalibrated(2, "because", exclusive=True, allow_none=True)
    assert calibration.decide(np.array([[0.5000001, 0.5000001]], dtype=np.float32)).tolist() == [[True, False]]


# -- kept as plain numbers


def fitted(kind: str) -> tuple[Calibration, Any]:
    if kind == "exclusive":
        _, raw, gold = simulated_classes(200, [1.0, 2.0, 1.0], sharpness=1.5)
        return fit_exclusive(raw[:, :2], gold[:, :2], allow_none=True, method="platt", min_positives=20), raw[:, :2]
    _, raw, gold = simulated(1200, slope=2.0, shift=0.0)
    return fit_multilabel(raw, gold, method=kind, min_positives=20), raw


@pytest.mark.parametrize("kind", ["platt", "isotonic", "none", "exclusive"])
def test_a_calibration_survives_the_manifest_to_the_last_bit(kind: str) -> None:
    calibration, raw = fitted(kind)
    adapter = TypeAdapter(Calibration)
    again = adapter.validate_json(adapter.dump_json(calibration))
    assert again == calibration
    assert (again.apply(raw) == calibration.apply(raw)).all()
    assert (again.decide(again.apply(raw)) == calibration.decide(calibration.apply(raw))).all()


@pytest.mark.parametrize("exclusive", [True, False])
def test_uncalibrated_changes_nothing_and_gives_its_reason(exclusive: bool) -> None:
    calibration = uncalibrated(3, "frequencies", exclusive=exclusive, allow_none=True)
    raw = np.array([[0.2, 0.3, 0.1]])
    assert calibration.apply(raw) == pytest.approx(raw)
    assert [label.reason for label in calibration.labels] == ["frequencies"] * 3
    assert calibration.thresholds.tolist() == [0.5] * 3
    assert (calibration.none is not None) == exclusive
