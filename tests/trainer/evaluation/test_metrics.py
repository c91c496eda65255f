from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.lazy import Lazy
from trainer.calibration.calibration import Bools, Floats
from trainer.evaluation.estimates import score_all
from trainer.evaluation.metrics import (
    Counts,
    brier_score,
    confusion,
    count,
    exact_match,
    expected_calibration_error,
    jaccard,
    log_loss,
    mcc,
    precision_at,
)
from trainer.evaluation.ranking import rank_average_precision, rank_roc_auc

sk = Lazy("sklearn.metrics")

ROWS = st.integers(1, 12).flatmap(lambda n: st.tuples(arrays(bool, (n, 3)), arrays(bool, (n, 3))))
ONE_LABEL = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=30)


def one_label(rows: list[tuple[int, bool]]) -> tuple[Floats, Bools]:
    return np.array([score / 20 for score, _ in rows]), np.array([held for _, held in rows])


@settings(deadline=None, max_examples=80)
@given(ROWS)
def test_f1_precision_and_recall_are_those_of_scikit_learn(rows: tuple[Bools, Bools]) -> None:
    gold, predicted = rows
    counts = count(gold, predicted)
    for name in ("precision", "recall", "f1"):
        score = getattr(sk, f"{name}_score")
        expected = score(gold, predicted, average=None, zero_division=np.nan)
        if name == "f1":  # without a positive, scikit-learn's depends on whether there is a false positive
            expected = np.where(gold.any(axis=0), expected, np.nan)
        assert getattr(counts, name) == pytest.approx(expected, nan_ok=True), name
    micro = sk.f1_score(gold, predicted, average="micro", zero_division=np.nan) if gold.any() else np.nan
    assert float(counts.micro_f1) == pytest.approx(micro, nan_ok=True)


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_macro_f1_is_the_mean_over_the_labels_that_have_one(rows: tuple[Bools, Bools]) -> None:
    gold, predicted = rows
    seen = [i for i in range(3) if gold[:, i].any()]
    if seen:
        expected = sk.f1_score(gold[:, seen], predicted[:, seen], average="macro", zero_division=np.nan)
        if len(seen) == 1:
            expected = sk.f1_score(gold[:, seen[0]], predicted[:, seen[0]], zero_division=np.nan)
    else:
        expected = np.nan
    assert float(count(gold, predicted).macro_f1) == pytest.approx(expected, nan_ok=True)


def test_counts_worked_by_hand() -> None:
    gold = np.array([[1, 0], [1, 0], [0, 0], [1, 0]], dtype=bool)
    predicted = np.array([[1, 0], [0, 0], [1, 0], [1, 0]], dtype=bool)
    counts = count(gold, predicted)
    assert (counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist()) == ([2, 0], [1, 0], [1, 0])
    assert counts.f1 == pytest.approx([2 * 2 / (2 * 2 + 1 + 1), np.nan], nan_ok=True)
    assert float(counts.macro_f1) == pytest.approx(4 / 6)


def test_counts_of_many_draws_at_once_are_those_of_each() -> None:
    generator = np.random.default_rng(3)
    tp, fp, fn = generator.integers(0, 5, (3, 40, 4)).astype(float)
    together = Counts(tp, fp, fn)
    alone = [Counts(tp[i], fp[i], fn[i]) for i in range(40)]
    assert together.macro_f1 == pytest.approx([float(each.macro_f1) for each in alone], nan_ok=True)
    assert together.micro_f1 == pytest.approx([float(each.micro_f1) for each in alone], nan_ok=True)


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_exact_match_is_subset_accuracy(rows: tuple[Bools, Bools]) -> None:
    assert exact_match(*rows).mean() == pytest.approx(sk.accuracy_score(*rows))


@settings(deadline=None, max_examples=60)
@given(ONE_LABEL)
def test_brier_score_and_log_loss_are_those_of_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    probabilities, gold = one_label(rows)
    assert brier_score(probabilities, gold) == pytest.approx(sk.brier_score_loss(gold, probabilities, pos_label=True))
    clipped = np.clip(probabilities, 1e-6, 1 - 1e-6)
    assert log_loss(probabilities, gold) == pytest.approx(sk.log_loss(gold, clipped, labels=[False, True]))


@settings(deadline=None, max_examples=60)
@given(ONE_LABEL)
def test_rankings_are_those_of_scikit_learn_and_nan_if_undefined(rows: list[tuple[int, bool]]) -> None:
    probabilities, gold = one_label(rows)
    precision, area = rank_average_precision(probabilities, gold).value, rank_roc_auc(probabilities, gold).value
    if gold.any():
        assert precision == pytest.approx(sk.average_precision_score(gold, probabilities))
    else:
        assert np.isnan(precision)
    if gold.any() and not gold.all():
        assert area == pytest.approx(sk.roc_auc_score(gold, probabilities))
    else:
        assert np.isnan(area)


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_jaccard_and_mcc_are_those_of_scikit_learn(rows: tuple[Bools, Bools]) -> None:
    gold, predicted = rows
    expected = sk.jaccard_score(gold, predicted, average="samples", zero_division=1)
    assert jaccard(gold, predicted).mean() == pytest.approx(expected)
    for column, found in enumerate(mcc(count(gold, predicted), len(gold))):
        varies = 0 < gold[:, column].sum() < len(gold) and 0 < predicted[:, column].sum() < len(gold)
        alone = sk.matthews_corrcoef(gold[:, column], predicted[:, column]) if varies else np.nan
        assert found == pytest.approx(alone, nan_ok=True)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_averages_are_those_of_scikit_learn(average: str) -> None:
    generator = np.random.default_rng(8)
    probabilities = generator.random((200, 4)).round(2)
    gold = generator.random((200, 4)) < probabilities * [0.9, 0.6, 0.3, 0.2]
    predicted = probabilities >= 0.5
    found = score_all(gold, predicted, probabilities, range(200), confidence=0.95, min_groups=2).averages[average]
    for name in ("precision", "recall", "f1"):
        assert found[name].value == pytest.approx(getattr(sk, f"{name}_score")(gold, predicted, average=average))
    for name in ("average_precision", "roc_auc"):
        assert found[name].value == pytest.approx(getattr(sk, f"{name}_score")(gold, probabilities, average=average))


def test_the_confusion_of_an_exclusive_codebook_is_that_of_scikit_learn() -> None:
    classes, said = np.random.default_rng(5).integers(0, 4, (2, 100))
    gold, predicted = (each[:, None] == np.arange(3) for each in (classes, said))
    assert confusion(gold, predicted).tolist() == sk.confusion_matrix(classes, said).tolist()


def test_confusion_of_label_sets_worked_by_hand() -> None:
    """aid+truce read as aid+arms; aid read as none; none read as truce; none read as none."""
    gold = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]], dtype=bool)
    predicted = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=bool)
    assert confusion(gold, predicted).tolist() == [[1, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 1]]


def test_precision_among_the_most_probable_rows() -> None:
    probabilities = np.array([0.9, 0.8, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    gold = np.array([1, 0, 1, 0, 0, 0, 0, 0, 0, 1], dtype=bool)
    assert precision_at(probabilities, gold, 0.01) == 1  # at least one row
    assert precision_at(probabilities, gold, 0.2) == 0.5
    assert precision_at(probabilities, gold, 0.3) == pytest.approx(1.5 / 3)  # of two tied rows, one is a positive


def test_expected_calibration_error_worked_by_hand() -> None:
    """Bins of two rows: (0.1, 0.2) with no hit, (0.6, 0.8) with one, (0.9, 0.9) with two."""
    probabilities = np.array([0.9, 0.1, 0.8, 0.2, 0.6, 0.9])
    gold = np.array([True, False, True, False, False, True])
    expected = (2 * 0.15 + 2 * (0.7 - 0.5) + 2 * (1 - 0.9)) / 6
    assert expected_calibration_error(probabilities, gold, bins=3) == pytest.approx(expected)


def test_expected_calibration_error_uses_fifteen_bins_of_equal_mass() -> None:
    generator = np.random.default_rng(2)
    probabilities = generator.random(300) ** 3
    gold = generator.random(300) < 0.5
    order = np.argsort(probabilities)
    gaps = [abs(probabilities[order[i : i + 20]].mean() - gold[order[i : i + 20]].mean()) for i in range(0, 300, 20)]
    assert expected_calibration_error(probabilities, gold) == pytest.approx(np.mean(gaps))


@settings(deadline=None, max_examples=40)
@given(ONE_LABEL)
def test_expected_calibration_error_lies_between_the_whole_gap_and_one(rows: list[tuple[int, bool]]) -> None:
    probabilities, gold = one_label(rows)
    error = expected_calibration_error(probabilities, gold)
    assert abs(probabilities.mean() - gold.mean()) - 1e-9 <= error <= 1


@settings(deadline=None, max_examples=40)
@given(ONE_LABEL, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_the_calibration_error(rows: list[tuple[int, bool]], random: Random) -> None:
    probabilities, gold = one_label(rows)
    order = random.sample(range(len(gold)), len(gold))
    error = expected_calibration_error(probabilities, gold, bins=3)
    assert expected_calibration_error(probabilities[order], gold[order], bins=3) == pytest.approx(error)


def test_one_probability_for_all_rows_is_as_far_off_as_it_is() -> None:
    gold = np.arange(600) < 180
    assert expected_calibration_error(np.full(600, 0.3), gold) == pytest.approx(0)
    assert expected_calibration_error(np.full(600, 0.5), gold) == pytest.approx(0.2)


def test_figures_of_no_row_are_nan() -> None:
    nothing, none = np.zeros(0), np.zeros(0, dtype=bool)
    for figure in (expected_calibration_error, brier_score, log_loss):
        assert np.isnan(figure(nothing, none))
