from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.lazy import Lazy
from trainer.calibration.calibration import Bools
from trainer.evaluation.metrics import Interval, Intervals, bootstrap_intervals, paired_difference

bootstrap = Lazy("scipy.stats:bootstrap")


def simulated(n: int, seed: int) -> tuple[Bools, Bools]:
    """Gold of two labels, and predictions that are wrong in a fifth of the cells."""
    generator = np.random.default_rng(seed)
    gold = generator.random((n, 2)) < [0.5, 0.3]
    return gold, gold ^ (generator.random((n, 2)) < 0.2)


def intervals(gold: Bools, predicted: Bools, groups: Any = None, **more: Any) -> Intervals:
    settings = {"draws": 400, "confidence": 0.95, "min_groups": 2, "seed": 1} | more
    return bootstrap_intervals(gold, predicted, list(range(len(gold))) if groups is None else groups, **settings)


def bounds(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


def test_the_interval_of_exact_match_is_that_of_scipy() -> None:
    gold, predicted = simulated(120, 4)
    right = (gold == predicted).all(axis=1)
    expected = bootstrap(
        (right,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(8)
    ).confidence_interval
    assert bounds(intervals(gold, predicted, draws=4000).exact_match) == pytest.approx(expected, abs=0.015)


def f1(gold: Bools, predicted: Bools) -> float:
    return float(2 * (gold & predicted).sum() / (gold.sum() + predicted.sum()))


def test_the_intervals_of_f1_are_those_of_resampling_rows_one_by_one() -> None:
    gold, predicted = simulated(60, 5)
    found = intervals(gold, predicted, draws=4000)
    generator = np.random.default_rng(9)
    draws = [generator.integers(0, 60, 60) for _ in range(3000)]
    per_label = np.array([[f1(gold[rows, i], predicted[rows, i]) for i in (0, 1)] for rows in draws])
    micro = [f1(gold[rows], predicted[rows]) for rows in draws]
    expected = [per_label[:, 0], per_label[:, 1], per_label.mean(axis=1), micro]
    for interval, values in zip((*found.per_label, found.macro_f1, found.micro_f1), expected, strict=True):
        assert bounds(interval) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.015)


def test_a_group_counts_once_however_many_copies_it_holds() -> None:
    gold, predicted = simulated(30, 6)
    copies = np.repeat(np.arange(30), 7)
    assert intervals(gold[copies], predicted[copies], copies.tolist()) == intervals(gold, predicted)


def test_copies_taken_for_groups_would_feign_certainty() -> None:
    gold, predicted = simulated(30, 6)
    copies = np.repeat(np.arange(30), 7)
    honest = bounds(intervals(gold[copies], predicted[copies], copies.tolist()).macro_f1)
    feigned = bounds(intervals(gold[copies], predicted[copies]).macro_f1)
    assert feigned[1] - feigned[0] < 0.6 * (honest[1] - honest[0])


def test_the_names_of_groups_do_not_matter() -> None:
    gold, predicted = simulated(30, 7)
    groups = np.arange(30) // 2
    assert intervals(gold, predicted, groups.tolist()) == intervals(gold, predicted, (groups * 10 + 3).tolist())


def test_the_seed_decides_the_draws() -> None:
    gold, predicted = simulated(40, 8)
    assert intervals(gold, predicted, seed=3) == intervals(gold, predicted, seed=3)
    assert intervals(gold, predicted, seed=3) != intervals(gold, predicted, seed=4)


def test_more_confidence_gives_a_wider_interval() -> None:
    gold, predicted = simulated(40, 9)
    narrow = bounds(intervals(gold, predicted, confidence=0.5).macro_f1)
    wide = bounds(intervals(gold, predicted, confidence=0.99).macro_f1)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_a_flawless_model_has_no_width() -> None:
    gold, _ = simulated(40, 10)
    found = intervals(gold, gold)
    assert [bounds(each) for each in (found.macro_f1, found.micro_f1, found.exact_match)] == [(1, 1)] * 3


def test_a_label_that_is_undefined_in_a_draw_is_counted_and_leaves_macro_f1_over_the_same_labels() -> None:
    """Label 0 is right in every row; label 1 occurs, unseen by the model, in one group of four; label 2 never."""
    gold = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]], dtype=bool)
    predicted = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]], dtype=bool)
    found = intervals(gold, predicted, draws=2000, min_groups=2)
    assert found.per_label[0] == Interval(1, 1, 0)
    assert found.per_label[1].undefined_draws / 2000 == pytest.approx(0.75**4, abs=0.04)
    assert bounds(found.per_label[1]) == (0, 0)
    assert bounds(found.macro_f1) == (0.5, 0.5)
    assert found.macro_f1.undefined_draws == 0


def test_a_label_of_too_few_groups_has_no_bounds_but_a_reason() -> None:
    """Label 1 occurs in one group, twice, and is predicted in another: in two of forty."""
    gold, predicted = np.zeros((80, 2), dtype=bool), np.zeros((80, 2), dtype=bool)
    gold[:, 0] = predicted[:, 0] = True
    gold[:2, 1] = predicted[40, 1] = True
    groups = (np.arange(80) // 2).tolist()
    refused = intervals(gold, predicted, groups, min_groups=5).per_label[1]
    assert (refused.low, refused.high, refused.reason) == (None, None, "2 test groups, fewer than 3")
    assert intervals(gold, predicted, groups, min_groups=4).per_label[1].reason == ""


def test_a_label_that_is_undefined_in_every_draw_has_no_interval() -> None:
    nothing = np.zeros((5, 1), dtype=bool)
    found = intervals(nothing, nothing, draws=100)
    assert found.per_label == (Interval(None, None, 100, "0 test groups, fewer than 1"),)
    assert found.macro_f1 == Interval(None, None, 100, "undefined in every draw")
    assert bounds(found.exact_match) == (1, 1)


def _clustered(generator: np.random.Generator, n_groups: int) -> tuple[Bools, Bools, list[int]]:
    """Groups of four rows that share how hard they are: predictions are wrong in 2% or in 50% of the cells."""
    hard = np.repeat(generator.random(n_groups) < 0.4, 4)[:, None]
    gold = generator.random((4 * n_groups, 2)) < 0.4
    wrong = generator.random((4 * n_groups, 2)) < np.where(hard, 0.5, 0.02)
    return gold, gold ^ wrong, np.repeat(np.arange(n_groups), 4).tolist()


def test_95_of_100_intervals_hold_the_true_figure_when_rows_come_in_groups() -> None:
    """The expected F1 comes from the rates: TP = 0.4 (1 - w), FP = 0.6 w, FN = 0.4 w, w = 0.4 * 0.5 + 0.6 * 0.02."""
    wrong = 0.4 * 0.5 + 0.6 * 0.02
    true_f1 = 2 * 0.4 * (1 - wrong) / (2 * 0.4 * (1 - wrong) + wrong)
    true_exact = 0.4 * 0.5**2 + 0.6 * 0.98**2
    generator = np.random.default_rng(20)
    held = np.zeros(3)
    trials = 250
    for trial in range(trials):
        gold, predicted, groups = _clustered(generator, 60)
        grouped = intervals(gold, predicted, groups, draws=300, seed=trial)
        alone = intervals(gold, predicted, draws=300, seed=trial)
        figures = ((grouped.macro_f1, true_f1), (grouped.exact_match, true_exact), (alone.exact_match, true_exact))
        held += [low <= figure <= high for (low, high), figure in ((bounds(i), f) for i, f in figures)]
    macro_f1, exact, ungrouped = held / trials
    assert 0.90 <= macro_f1 <= 0.985
    assert 0.90 <= exact <= 0.985
    assert ungrouped < 0.88


def test_a_paired_difference_is_that_of_resampling_groups_for_both_models_at_once() -> None:
    gold, ours = simulated(80, 11)
    theirs = ours ^ (np.random.default_rng(12).random((80, 2)) < 0.1)
    groups = [row // 2 for row in range(80)]
    found = paired_difference(gold, ours, theirs, groups, draws=4000, confidence=0.95, seed=3)
    generator = np.random.default_rng(13)
    gaps = []
    for _ in range(3000):
        rows = np.concatenate([[2 * group, 2 * group + 1] for group in generator.integers(0, 40, 40)])
        macro = [np.mean([f1(gold[rows, i], said[rows, i]) for i in (0, 1)]) for said in (ours, theirs)]
        gaps.append(macro[0] - macro[1])
    assert bounds(found) == pytest.approx(np.quantile(gaps, [0.025, 0.975]), abs=0.015)


def test_a_model_does_not_differ_from_itself() -> None:
    gold, ours = simulated(40, 14)
    same = paired_difference(gold, ours, ours.copy(), list(range(40)), draws=100, confidence=0.95, seed=1)
    assert bounds(same) == (0, 0)
