from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lazy import Lazy
from trainer.calibration.calibration import Bools, Floats
from trainer.evaluation.estimates import Score, Scores, score_all
from trainer.evaluation.intervals import CORRELATION, Interval, jackknife_influence, logit_interval
from trainer.evaluation.metrics import paired_difference
from trainer.evaluation.ranking import rank_average_precision, rank_roc_auc

sk = Lazy("sklearn.metrics")


def simulated(n: int, seed: int) -> tuple[Bools, Bools]:
    """Gold of two labels, and predictions that are wrong in a fifth of the cells."""
    generator = np.random.default_rng(seed)
    gold = generator.random((n, 2)) < [0.5, 0.3]
    return gold, gold ^ (generator.random((n, 2)) < 0.2)


def scored(gold: Bools, predicted: Bools, groups: list[int] | None = None, **more: float) -> Scores:
    settings = {"confidence": 0.95, "min_groups": 2} | more
    own = list(range(len(gold))) if groups is None else groups
    return score_all(gold, predicted, np.where(predicted, 0.8, 0.3), own, **settings)  # type: ignore[arg-type]


def bounds(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


def f1(gold: Bools, predicted: Bools) -> float:
    return float(2 * (gold & predicted).sum() / (gold.sum() + predicted.sum()))


def macro_f1(scores: Scores) -> Interval:
    return scores.averages["macro"]["f1"].interval


def test_with_many_groups_intervals_are_those_of_resampling_rows_one_by_one() -> None:
    gold, predicted = simulated(400, 5)
    found = scored(gold, predicted)
    generator = np.random.default_rng(9)
    draws = [generator.integers(0, 400, 400) for _ in range(2000)]
    per_label = np.array([[f1(gold[rows, i], predicted[rows, i]) for i in (0, 1)] for rows in draws])
    micro = [f1(gold[rows], predicted[rows]) for rows in draws]
    exact = [(gold[rows] == predicted[rows]).all(axis=1).mean() for rows in draws]
    expected = [per_label[:, 0], per_label[:, 1], per_label.mean(axis=1), micro, exact]
    made = (*found.per_label["f1"], found.averages["macro"]["f1"], found.averages["micro"]["f1"], found.exact_match)
    for score, values in zip(made, expected, strict=True):
        assert bounds(score.interval) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.012)


@pytest.mark.parametrize(("rank", "name"), [(rank_average_precision, "average_precision"), (rank_roc_auc, "roc_auc")])
def test_the_influence_of_a_row_on_a_ranking_is_its_derivative(rank: object, name: str) -> None:
    """By scikit-learn with sample weights, on probabilities with ties."""
    generator = np.random.default_rng(3)
    p = generator.integers(0, 8, 40) / 8
    gold = generator.random(40) < p
    reference = getattr(sk, f"{name}_score")
    found = rank(p, gold)  # type: ignore[operator]
    assert found.value == pytest.approx(reference(gold, p))
    for row in range(40):
        weights = np.ones(40)
        weights[row] += 1e-6
        slope = (reference(gold, p, sample_weight=weights) - found.value) / 1e-6
        assert found.influence[row] == pytest.approx(slope, abs=1e-4)


def test_a_group_counts_once_however_many_copies_it_holds() -> None:
    gold, predicted = simulated(30, 6)
    copies = np.repeat(np.arange(30), 7)
    many, once = scored(gold[copies], predicted[copies], copies.tolist()), scored(gold, predicted)
    for name, scores in once.averages["macro"].items():
        assert bounds(many.averages["macro"][name].interval) == pytest.approx(bounds(scores.interval), abs=1e-9)


def test_copies_taken_for_groups_would_feign_certainty() -> None:
    gold, predicted = simulated(30, 6)
    copies = np.repeat(np.arange(30), 7)
    honest = bounds(macro_f1(scored(gold[copies], predicted[copies], copies.tolist())))
    feigned = bounds(macro_f1(scored(gold[copies], predicted[copies])))
    assert feigned[1] - feigned[0] < 0.6 * (honest[1] - honest[0])


def test_the_names_of_groups_do_not_matter() -> None:
    gold, predicted = simulated(30, 7)
    groups = np.arange(30) // 2
    assert scored(gold, predicted, groups.tolist()) == scored(gold, predicted, (groups * 10 + 3).tolist())


def test_more_confidence_gives_a_wider_interval() -> None:
    gold, predicted = simulated(40, 9)
    narrow = bounds(macro_f1(scored(gold, predicted, confidence=0.5)))
    wide = bounds(macro_f1(scored(gold, predicted, confidence=0.99)))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_a_flawless_model_is_not_flawless_for_certain() -> None:
    """No error in 40 groups: Clopper and Pearson's bound at 95% is 0.025 ** (1 / 40)."""
    gold, _ = simulated(40, 10)
    found = scored(gold, gold)
    assert bounds(found.exact_match.interval) == (pytest.approx(0.025 ** (1 / 40)), 1)
    assert bounds(macro_f1(found))[1] == 1
    assert bounds(found.per_label["recall"][1].interval)[0] < 0.9


def test_a_label_of_too_few_groups_has_no_bounds_but_a_reason() -> None:
    """Label 1 occurs in one group, twice, and is predicted in another: in two of forty."""
    gold, predicted = np.zeros((80, 2), dtype=bool), np.zeros((80, 2), dtype=bool)
    gold[:, 0] = predicted[:, 0] = True
    gold[:2, 1] = predicted[40, 1] = True
    groups = (np.arange(80) // 2).tolist()
    refused = scored(gold, predicted, groups, min_groups=5).per_label["f1"][1].interval
    assert (refused.low, refused.high, refused.reason) == (None, None, "2 test groups, fewer than 3")
    assert scored(gold, predicted, groups, min_groups=4).per_label["f1"][1].interval.reason == ""


def test_a_label_without_which_a_group_is_undefined_keeps_its_place_in_the_macro_average() -> None:
    """Label 1 occurs, missed, in one group of four, and label 2 never: macro-F1 is the mean of labels 0 and 1."""
    gold = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]], dtype=bool)
    found = scored(gold, gold & [True, False, True])
    assert found.averages["macro"]["f1"].value == 0.5
    assert found.per_label["f1"][2] == Score(
        None, Interval(None, None, 0, "the label never occurs"), found.per_label["f1"][2].reason
    )
    low, high = bounds(macro_f1(found))
    assert low < 0.5 < high


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 3))
def test_bounds_hold_their_figure_and_stay_in_its_range(seed: int, n: int, labels: int) -> None:
    generator = np.random.default_rng(seed)
    gold, predicted = generator.random((2, n, labels)) < generator.random()
    found = score_all(
        gold, predicted, generator.integers(0, 4, (n, labels)) / 4, list(range(n)), confidence=0.9, min_groups=2
    )
    scores = [score for own in found.per_label.values() for score in own]
    scores += [score for own in found.averages.values() for score in own.values()]
    for score in [*scores, found.exact_match, found.jaccard]:
        assert (score.value is None) == bool(score.reason)
        if score.interval.low is not None and score.value is not None:
            assert -1 <= score.interval.low <= score.value + 1e-9
            assert score.value - 1e-9 <= bounds(score.interval)[1] <= 1


def test_a_correlation_may_have_an_interval_below_zero() -> None:
    influence = np.random.default_rng(1).normal(0, 0.01, 50)
    found = logit_interval(-0.4, influence, groups=50, confidence=0.95, min_groups=2, scale=CORRELATION)
    assert -1 < bounds(found)[0] < -0.4 < bounds(found)[1] < 0


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
    for _ in range(trials):
        gold, predicted, groups = _clustered(generator, 60)
        grouped, alone = scored(gold, predicted, groups), scored(gold, predicted)
        figures = (
            (macro_f1(grouped), true_f1),
            (grouped.exact_match.interval, true_exact),
            (alone.exact_match.interval, true_exact),
        )
        held += [low <= figure <= high for (low, high), figure in ((bounds(i), f) for i, f in figures)]
    macro, exact, ungrouped = held / trials
    assert 0.90 <= macro <= 0.985
    assert 0.90 <= exact <= 0.985
    assert ungrouped < 0.88


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values: Floats = np.random.default_rng(4).random((30, 1))
    influence = jackknife_influence(lambda sums: sums[..., :1] / sums[..., 1:], np.hstack([values, np.ones((30, 1))]))
    assert np.sqrt(30 / 29 * (influence**2).sum()) == pytest.approx(values.std(ddof=1) / np.sqrt(30))


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
