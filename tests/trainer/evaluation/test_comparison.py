from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.calibration.calibration import Bools
from trainer.evaluation.comparison import (
    RARE_LABELS,
    Comparison,
    Difference,
    changed_rows,
    compare_predictions,
    holm,
    needed_sentences,
)
from trainer.evaluation.estimates import score_all
from trainer.evaluation.metrics import count
from trainer.evaluation.verdict import judge

LABELS = ("aid", "truce", "threat")


def simulated(n: int = 600, *, wrong: tuple[float, float] = (0.1, 0.1), seed: int = 1) -> tuple[Bools, Bools, Bools]:
    """Gold of two frequent labels and a rare one, and two models that are wrong in these shares of the cells."""
    generator = np.random.default_rng(seed)
    gold = generator.random((n, 3)) < [0.3, 0.2, 0.02]
    first, second = (gold ^ (generator.random(gold.shape) < share) for share in wrong)
    return gold, first, second


def compared(*arrays: Bools, groups: Any = None, **settings: Any) -> Comparison:
    n = len(arrays[0])
    return compare_predictions(LABELS, *arrays, (np.arange(n) // 3).tolist() if groups is None else groups, **settings)


def test_a_label_that_never_occurs_is_undefined_here_and_in_a_report() -> None:
    gold, first, second = simulated()
    gold[:, 2] = False  # but both models predict it
    found = compared(gold, first, second)
    report = score_all(gold, first, first.astype(float), (np.arange(600) // 3).tolist(), confidence=0.95, min_groups=20)
    (rare,) = found.rare
    assert (rare.first, rare.second, report.per_label["f1"][2].value) == (None, None, None)
    assert report.per_label["f1"][2].reason == "the label never occurs"
    assert found.macro_f1.first == pytest.approx(report.averages["macro"]["f1"].value)
    assert found.macro_f1.first == pytest.approx(float(count(gold, first).macro_f1))


def test_effects_are_differences_of_f1_and_rare_labels_are_pooled() -> None:
    gold, first, second = simulated(wrong=(0.2, 0.05))
    found = compared(gold, first, second)
    ours, theirs = count(gold, first), count(gold, second)
    assert [own.name for own in found.decided] == ["aid", "truce", RARE_LABELS]
    assert found.decided[0].effect == pytest.approx(theirs.f1[0] - ours.f1[0])
    assert found.macro_f1.effect == pytest.approx(theirs.macro_f1 - ours.macro_f1)
    assert found.decided[2].labels == ("threat",)
    assert found.rare[0].p is None
    assert "fewer than 30 positives" in found.rare[0].reason


@given(st.integers(0, 200))
def test_exchanging_the_models_exchanges_the_signs(seed: int) -> None:
    gold, first, second = simulated(120, wrong=(0.2, 0.1), seed=seed)
    one, other = compared(gold, first, second), compared(gold, second, first)
    for own, mirrored in zip((one.macro_f1, *one.decided), (other.macro_f1, *other.decided), strict=True):
        assert own.effect == pytest.approx(-mirrored.effect)
        assert own.low == pytest.approx(-mirrored.high)
        assert own.p == pytest.approx(mirrored.p)


@given(st.integers(0, 200), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_interval_and_the_test_never_contradict_each_other(seed: int, confidence: float) -> None:
    found = compared(*simulated(150, wrong=(0.3, 0.2), seed=seed), confidence=confidence)
    for own in (found.macro_f1, *found.decided):
        assert own.low is not None
        assert own.high is not None
        assert own.p is not None
        assert (own.low <= 0 <= own.high) == (own.p >= 1 - confidence)


def test_copies_of_a_document_add_no_certainty() -> None:
    gold, first, second = simulated(150, wrong=(0.2, 0.1))
    groups = np.arange(150) // 3
    rows = np.repeat(np.arange(150), 5)
    once = compared(gold, first, second, groups=groups.tolist(), min_positives=1)
    copied = compared(gold[rows], first[rows], second[rows], groups=groups[rows].tolist(), min_positives=1)
    assert copied.macro_f1.low == pytest.approx(once.macro_f1.low)


def test_equal_predictions_leave_room_for_groups_that_were_not_seen() -> None:
    gold, first, _ = simulated()
    found = compared(gold, first, first)
    assert found.macro_f1.effect == 0
    assert found.macro_f1.p == 1
    assert found.macro_f1.low == -found.macro_f1.high != 0
    assert len(changed_rows(first, first)) == 0


def test_too_few_groups_give_a_reason_and_no_interval() -> None:
    gold, first, second = simulated(57)
    found = compared(gold, first, second)
    assert found.macro_f1.low is None
    assert found.macro_f1.reason == "19 groups, fewer than 20: too few for an interval"
    assert not judge(found).promote


def test_labels_without_positives_or_predictions_are_undefined() -> None:
    gold, first, second = simulated()
    for each in (gold, first, second):
        each[:, 2] = False
    found = compared(gold, first, second)
    assert [own.name for own in found.decided] == ["aid", "truce"]
    assert found.rare[0].effect is None


def test_all_none_sets_are_undefined_and_promote_nothing() -> None:
    nothing = np.zeros((90, 3), dtype=bool)
    verdict = judge(compared(nothing, nothing, nothing))
    assert not verdict.promote
    assert "No label occurs" in verdict.reasons[0]


def difference(name: str, p: float | None) -> Difference:
    return Difference(name, 0.5, 0.6, 50, 0.1, 0.0, 0.2, p)


def test_holm_gives_a_worked_example() -> None:
    """The example of Holm's procedure in Aickin and Gensler (1996): 0.01, 0.04, 0.03, 0.005."""
    found = holm([difference(name, p) for name, p in zip("abcd", (0.01, 0.04, 0.03, 0.005), strict=True)])
    assert [own.adjusted_p for own in found] == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_few_documents_that_differ_are_few_observations() -> None:
    """As in a sign test: five wins out of five are no proof, eight out of eight are, however many documents agree."""
    gold, first, _ = simulated()
    gold[:, 2] = first[:, 2] = False
    second = first.copy()
    wrong = np.flatnonzero(gold[:, 0] & ~first[:, 0])
    found = []
    for wins in (5, 8):
        second[wrong[:wins], 0] = True
        found.append(compared(gold, first, second, groups=list(range(len(gold)))).decided[0].p or 0)
    assert found[0] > 0.05 > found[1]


@pytest.mark.parametrize(
    ("low", "high", "needed"),
    [(-0.06, 0.06, 4000), (-0.02, 0.02, None), (None, None, None), (-0.031, 0.031, 1100)],
)
def test_the_number_of_sentences_needed(low: float | None, high: float | None, needed: int | None) -> None:
    own = replace(difference("aid", 0.5), low=low, high=high)
    assert needed_sentences(own, 1000, 0.03) == needed


def test_a_clearly_better_model_is_promoted_and_a_worse_one_is_not() -> None:
    gold, first, second = simulated(6000, wrong=(0.15, 0.02))
    assert judge(compared(gold, first, second)).promote
    verdict = judge(compared(gold, second, first))
    assert not verdict.promote
    assert verdict.reasons[0].startswith("It is worse on aid")


def test_gains_on_one_label_do_not_pay_for_losses_on_another() -> None:
    gold, first, second = simulated(6000, wrong=(0.15, 0.02))
    mixed = np.column_stack([second[:, 0], ~gold[:, 1], second[:, 2]])
    verdict = judge(compared(gold, first, mixed))
    assert not verdict.promote
    assert next(check.difference.name for check in verdict.checks if check.better) == "aid"


def test_an_interval_wider_than_the_margin_says_how_many_sentences_would_decide() -> None:
    verdict = judge(compared(*simulated(300)), margin=0.01)
    assert not verdict.promote
    assert "labelled sentences would be enough to decide" in verdict.reasons[0]
