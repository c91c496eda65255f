"""Updating the calibration of a finished model, and its thresholds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from labels.errors import InputError
from trainer.calibration.calibration import Calibration, LabelCalibration, fit_exclusive, fit_multilabel
from trainer.calibration.objective import Objective
from trainer.calibration.recalibration import (
    LabelledSample,
    crossfitted,
    recalibrate,
    refuse_small,
    shift_to_prevalence,
)

F1 = Objective()
BOTH = np.array([True, True])


def drawn(n: int, share: float, *, seed: int = 1, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Raw log-odds of which the true probabilities at this share are known, and gold, for one label."""
    generator = np.random.default_rng(seed)
    gold = generator.random(n) < share
    # Normal scores with equal variances: the log-odds are linear in the score.
    return generator.normal(np.where(gold, spread, 0.0), 1.0) * spread - spread**2 / 2, gold


def sample_of(probabilities: np.ndarray, gold: np.ndarray, weights: np.ndarray | None = None) -> LabelledSample:
    n = len(gold)
    return LabelledSample(
        probabilities.reshape(n, -1),
        gold.reshape(n, -1),
        np.ones(n) if weights is None else weights,
        np.arange(n) // 2,
        ("aid", "truce")[: probabilities.reshape(n, -1).shape[1]],
    )


def plain(n: int = 1, positives: int = 50) -> Calibration:
    return Calibration(False, (LabelCalibration("platt", 100, positives),) * n)


def test_a_model_trained_on_balanced_data_is_shifted_to_a_rare_label() -> None:
    evidence, gold = drawn(20_000, 0.05)
    after = recalibrate(plain(), sample_of(expit(evidence), gold), F1, BOTH[:1])
    probabilities = after.apply(expit(evidence)[:, None])[:, 0]
    truth = expit(evidence + logit(0.05))
    assert probabilities.mean() == pytest.approx(gold.mean(), abs=0.002)
    assert np.abs(probabilities - truth).mean() < 0.005
    own = after.labels[0]
    assert own.positives / own.n == pytest.approx(gold.mean(), rel=0.03)


def test_weights_undo_a_sample_in_which_positives_were_drawn_more_often() -> None:
    evidence, gold = drawn(20_000, 0.1)
    chance = np.where(expit(evidence) > 0.5, 0.9, 0.1)
    kept = np.random.default_rng(2).random(len(gold)) < chance
    sample = sample_of(expit(evidence)[kept], gold[kept], 1 / chance[kept])
    probabilities = recalibrate(plain(), sample, F1, BOTH[:1]).apply(expit(evidence)[:, None])
    assert probabilities.mean() == pytest.approx(gold.mean(), abs=0.01)
    assert sample.shares[0] == pytest.approx(gold.mean(), abs=0.01)


@pytest.mark.parametrize("method", ["platt", "isotonic", "none"])
def test_an_update_continues_the_calibration_of_the_model(method: str) -> None:
    evidence, gold = drawn(4000, 0.3)
    raw = expit(evidence)[:, None]
    before = fit_multilabel(raw, gold[:, None], method=method, min_positives=20)
    now, later = drawn(2000, 0.1, seed=5)
    probabilities = before.apply(expit(now)[:, None])
    after = recalibrate(before, sample_of(probabilities, later), F1, BOTH[:1])
    alone = recalibrate(
        Calibration(False, (replace(before.labels[0], method="none", a=1, b=0, x=(), y=()),)),
        sample_of(probabilities, later),
        F1,
        BOTH[:1],
    )
    # Between the steps of an isotonic fit, the update is applied before the interpolation, not after it.
    gaps = np.abs(after.apply(expit(now)[:, None]) - alone.apply(probabilities))
    assert gaps.mean() < (0.01 if method == "isotonic" else 1e-4)


def test_a_label_that_was_not_chosen_stays() -> None:
    evidence, gold = drawn(500, 0.3)
    p = np.column_stack([expit(evidence)] * 2)
    before = plain(2)
    after = recalibrate(before, sample_of(p, np.column_stack([gold] * 2)), F1, np.array([True, False]))
    assert after.labels[1] == before.labels[1]
    assert after.labels[0] != before.labels[0]


def test_few_positives_hardly_change_the_slope() -> None:
    generator = np.random.default_rng(3)
    slopes = []
    for n in (60, 6000):
        gold = np.arange(n) < n / 6
        noise = np.clip(
            generator.normal(np.where(gold, 0.1, -0.1), 1), -3, 3
        )  # hardly informative: the slope is near 0
        slopes.append(recalibrate(plain(), sample_of(expit(noise), gold), F1, BOTH[:1]).labels[0].a)
    assert slopes[0] > slopes[1]


def test_an_exclusive_calibration_follows_the_shares_of_the_sample() -> None:
    generator = np.random.default_rng(0)
    target = generator.choice(3, 3000, p=[0.1, 0.2, 0.7])
    logits = generator.normal(0, 1, (3000, 3)) + 2 * np.eye(3)[target]
    raw = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    gold = np.eye(3, dtype=bool)[target][:, :2]
    before = fit_exclusive(raw[:30, :2], gold[:30], allow_none=True, method="none", min_positives=1)
    sample = LabelledSample(before.apply(raw[:, :2]), gold, np.ones(3000), np.arange(3000), ("aid", "truce"))
    after = recalibrate(before, sample, F1, BOTH)
    assert after.apply(raw[:, :2]).mean(axis=0) == pytest.approx(gold.mean(axis=0), abs=0.01)
    assert after.none is not None
    assert sum(own.positives for own in (*after.labels, after.none)) == pytest.approx(after.labels[0].n, abs=2)


@pytest.mark.parametrize(
    ("objective", "check"),
    [
        ("precision=0.9", lambda precision, recall: precision >= 0.9),
        ("recall=0.9", lambda precision, recall: recall >= 0.9),
    ],
)
def test_thresholds_reach_what_is_wanted(objective: str, check: object) -> None:
    evidence, gold = drawn(3000, 0.3)
    sample = sample_of(expit(evidence), gold)
    after = recalibrate(plain(), sample, Objective.parse(objective), BOTH[:1])
    assigned = after.decide(after.apply(expit(evidence)[:, None]))[:, 0]
    assert check((assigned & gold).sum() / assigned.sum(), (assigned & gold).sum() / gold.sum())  # type: ignore[operator]


def test_costs_give_the_threshold_without_any_search() -> None:
    evidence, gold = drawn(500, 0.3)
    after = recalibrate(plain(), sample_of(expit(evidence), gold), Objective.parse("cost=4"), BOTH[:1])
    assert after.labels[0].threshold == pytest.approx(0.2)


@pytest.mark.parametrize("text", ["f2", "precision", "precision=2", "cost=0", "f1=0.5", "recall=x", "cost=inf"])
def test_an_objective_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--objective"):
        Objective.parse(text)


def test_an_unreachable_precision_names_the_best_one() -> None:
    gold = np.arange(100) % 4 == 0
    sample = sample_of(np.where(gold, 0.4, 0.5), gold)
    with pytest.raises(InputError, match=r"highest precision of 'aid' at any threshold is 0\.\d\d"):
        recalibrate(plain(), sample, Objective.parse("precision=0.9"), BOTH[:1])


def test_a_small_sample_is_refused_with_the_size_that_would_do() -> None:
    gold = np.zeros((150, 2), dtype=bool)
    gold[:4, 0] = gold[:60, 1] = True
    sample = sample_of(np.full((150, 2), 0.5), gold)
    with pytest.raises(InputError, match=r"'aid' has 4 positives.*about 390 sentences.*--labels truce"):
        refuse_small(sample, BOTH, exclusive=False)
    refuse_small(sample, np.array([False, True]), exclusive=False)


def test_a_stated_prevalence_shifts_calibrated_probabilities() -> None:
    evidence, gold = drawn(50_000, 0.02)
    after = shift_to_prevalence(plain(), {"aid": 0.02}, ("aid",), F1)
    probabilities = after.apply(expit(evidence)[:, None])
    assert probabilities.mean() == pytest.approx(gold.mean(), abs=0.002)
    assert after.labels[0].threshold == 0.5
    cheap = shift_to_prevalence(plain(), {"aid": 0.02}, ("aid",), Objective.parse("cost=3"))
    assert cheap.labels[0].threshold == 0.25


def test_a_corpus_gives_the_threshold_with_the_highest_expected_f1() -> None:
    evidence, gold = drawn(20_000, 0.05, spread=3)
    after = shift_to_prevalence(plain(), {"aid": 0.05}, ("aid",), F1, expit(evidence)[:, None])

    def f1(threshold: float) -> float:
        assigned = after.apply(expit(evidence)[:, None])[:, 0] >= threshold
        return float(2 * (assigned & gold).sum() / (assigned.sum() + gold.sum()))

    assert f1(after.labels[0].threshold) >= max(f1(t) for t in np.linspace(0.05, 0.95, 19)) - 0.01


def test_a_prevalence_needs_a_calibrated_model_and_no_precision() -> None:
    unknown = Calibration(False, (LabelCalibration("none", 0, 0, reason="not calibrated"),))
    with pytest.raises(InputError, match="labelled sample instead"):
        shift_to_prevalence(unknown, {"aid": 0.02}, ("aid",), F1)
    with pytest.raises(InputError, match="needs sentences"):
        shift_to_prevalence(plain(), {"aid": 0.02}, ("aid",), Objective.parse("recall=0.9"))


def test_a_known_prevalence_reweights_a_balanced_sample() -> None:
    evidence, gold = drawn(4000, 0.5)
    sample = replace(sample_of(expit(evidence), gold), prevalence={"aid": 0.02})
    after = recalibrate(plain(), sample, F1, BOTH[:1])
    rare, _ = drawn(20_000, 0.02, seed=9)
    assert after.apply(expit(rare)[:, None]).mean() == pytest.approx(0.02, abs=0.004)


def test_cross_fitted_figures_are_not_those_of_the_fit() -> None:
    generator = np.random.default_rng(7)
    gold = generator.random(80) < 0.3
    sample = sample_of(generator.random(80), gold)  # probabilities without information
    fitted = recalibrate(plain(), sample, F1, BOTH[:1]).apply(sample.probabilities)
    crossed, assigned = crossfitted(plain(), sample, F1, BOTH[:1], seed=1)

    def loss(p: np.ndarray) -> float:
        return float(-np.where(gold, np.log(p[:, 0]), np.log(1 - p[:, 0])).mean())

    assert loss(crossed) > loss(fitted)
    assert assigned.shape == (80, 1)
