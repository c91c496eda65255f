from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from labels.errors import ExperimentError
from tests.lazy import Lazy
from trainer.calibration.calibration import Bools, Calibration, Floats, LabelCalibration
from trainer.evaluation.label_shift.class_reweighting import class_figures_at_estimated, class_figures_at_given
from trainer.evaluation.label_shift.prevalence import (
    Unlabelled,
    check_prevalence,
    check_shares,
    check_shift,
    draw_weights,
    drawn_class_prevalences,
    drawn_prevalences,
    estimate_prevalence,
    label_prevalence,
    reweight,
    threshold_curve,
)
from trainer.evaluation.label_shift.reweighting import (
    IntervalSettings,
    LabelledTest,
    figures_at_estimated,
    figures_at_given,
)

sk = Lazy("sklearn.metrics")

HOW = IntervalSettings(draws=200, seed=1, confidence=0.95, min_groups=20)
START = 0.3


def scores(n: int, prevalence: float, seed: int, *, hard: float = 0.0) -> tuple[Floats, Bools]:
    """Probabilities that are calibrated at a prevalence of `START`, and gold at another prevalence.

    The log odds of a sentence are normal with standard deviation 2 and means of 2 and -2. `hard` is the share of the
    negatives that look like positives.
    """
    generator = np.random.default_rng(seed)
    gold = generator.random(n) < prevalence
    looks = gold | (generator.random(n) < hard)
    evidence = generator.normal(np.where(looks, 2, -2), 2)
    return 1 / (1 + np.exp(-evidence - np.log(START / (1 - START)))), gold


def labelled() -> LabelledTest:
    columns = [scores(4000, START, 2 + i) for i in range(2)]
    probabilities, gold = (np.column_stack(each) for each in zip(*columns, strict=True))
    return LabelledTest(("aid", "truce"), gold, probabilities >= 0.5, probabilities, (np.arange(4000) // 5).tolist())


def calibration(method: str = "platt") -> Calibration:
    own = LabelCalibration("platt", 1000, round(1000 * START))
    return Calibration(False, (own, replace(own, method=method)))


def counts(gold: Bools, predicted: Bools) -> tuple[Floats, Floats, Floats, Floats]:
    pairs = ((gold, predicted), (~gold, predicted), (gold, ~predicted), (~gold, ~predicted))
    tp, fp, fn, tn = (np.asarray(float((one & other).sum())) for one, other in pairs)
    return tp, fp, fn, tn


def test_reweighted_figures_are_those_of_scikit_learn_with_weights() -> None:
    test = labelled()
    found = figures_at_given(test, {"aid": 0.05, "truce": 0.02}, HOW)
    weights = []
    for i, (label, share) in enumerate((("aid", 0.05), ("truce", 0.02))):
        gold, predicted = test.gold[:, i], test.predicted[:, i]
        own = np.where(gold, share / gold.mean(), (1 - share) / (1 - gold.mean()))
        weights.append(own)
        for name in ("precision", "recall", "f1"):
            expected = getattr(sk, f"{name}_score")(gold, predicted, sample_weight=own)
            assert getattr(found.per_label[label], name) == pytest.approx(expected)
    pooled = sk.f1_score(test.gold.T.ravel(), test.predicted.T.ravel(), sample_weight=np.concatenate(weights))
    assert found.micro
    assert found.micro.f1 == pytest.approx(pooled)
    assert found.macro.f1 == pytest.approx((found.per_label["aid"].f1 + found.per_label["truce"].f1) / 2)
    interval = found.per_label["aid"].intervals["f1"]
    assert interval.low < found.per_label["aid"].f1 < interval.high


def test_the_mean_over_thinned_test_sets_is_the_reweighted_figure() -> None:
    """Positives are left out at random until they are 5% of the sentences."""
    probabilities, gold = scores(8000, START, 3)
    predicted, generator = probabilities >= 0.5, np.random.default_rng(4)
    positives, n = np.flatnonzero(gold), round((~gold).sum() * 0.05 / 0.95)
    f1 = []
    for _ in range(500):
        kept = np.concatenate([np.flatnonzero(~gold), generator.choice(positives, n, replace=False)])
        tp, fp, fn, _ = counts(gold[kept], predicted[kept])
        f1.append(2 * tp / (2 * tp + fp + fn))
    assert float(reweight(*counts(gold, predicted), 0.05).f1) == pytest.approx(np.mean(f1), abs=0.005)


def test_the_threshold_curve_has_the_figures_of_each_threshold() -> None:
    probabilities, gold = scores(500, START, 5)
    curve = threshold_curve(probabilities, gold, 0.1, points=9)
    assert curve.thresholds == pytest.approx(np.arange(1, 10) / 10)
    for i, threshold in enumerate(curve.thresholds):
        expected = reweight(*counts(gold, probabilities >= threshold), 0.1)
        assert curve.figures.f1[i] == pytest.approx(float(expected.f1), nan_ok=True)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.6])
def test_the_prevalence_of_a_corpus_is_found_from_probabilities_alone(share: float) -> None:
    probabilities, gold = scores(20_000, share, 6)
    found = label_prevalence(probabilities, START)
    assert found == pytest.approx(gold.mean(), abs=0.01)
    assert abs(probabilities.mean() - gold.mean()) > abs(found - gold.mean())  # the mean probability is further off


def test_the_estimate_has_the_greatest_likelihood() -> None:
    probabilities, _ = scores(2000, 0.1, 7)
    present, absent = probabilities / START, (1 - probabilities) / (1 - START)
    grid = np.linspace(0.001, 0.5, 2000)
    likelihood = np.log(grid[:, None] * present + (1 - grid[:, None]) * absent).sum(axis=1)
    assert label_prevalence(probabilities, START) == pytest.approx(grid[likelihood.argmax()], abs=3e-4)


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 1.0])
def test_the_fast_way_to_the_estimate_of_one_label_leads_where_expectation_maximisation_does(share: float) -> None:
    probabilities, _ = scores(1000, share, 14)
    both = np.column_stack([probabilities, 1 - probabilities])
    expected = estimate_prevalence(both, np.array([START, 1 - START]))[0]
    assert label_prevalence(probabilities, START) == pytest.approx(expected, abs=1e-6)


def test_a_model_that_knows_nothing_leaves_the_prevalence_as_it_was() -> None:
    assert label_prevalence(np.full(100, START), START) == pytest.approx(START)


def test_classes_of_an_exclusive_codebook_are_estimated_together() -> None:
    generator = np.random.default_rng(8)
    start, true = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])
    classes = generator.choice(3, 20_000, p=true)
    likelihoods = np.exp(generator.normal(0, 1, (20_000, 3)) + 2 * np.eye(3)[classes] - 0.5)
    posteriors = likelihoods**2 * start  # of two normals 2 apart with variance 1, up to a factor of the row
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    assert estimate_prevalence(posteriors, start) == pytest.approx(np.bincount(classes) / 20_000, abs=0.02)


def test_draws_of_the_prevalence_vary_around_the_estimate_as_documents_do() -> None:
    probabilities, _ = scores(4000, 0.1, 9)
    groups = np.arange(4000) // 4
    weights = np.vstack([np.ones(1000), draw_weights(np.random.default_rng(1), 1000, 200)])
    drawn = drawn_prevalences(probabilities, groups, START, weights)
    assert drawn[0] == pytest.approx(label_prevalence(probabilities, START), abs=1e-3)
    rows = [label_prevalence(probabilities[np.repeat(w[groups] > 0, 1)], START) for w in weights[1:4]]
    assert drawn[1:4] == pytest.approx(rows, abs=0.02)
    assert 0.002 < drawn[1:].std() < 0.02


def test_label_shift_raises_no_alarm_and_another_kind_of_negatives_does() -> None:
    test, gold = scores(3000, START, 10)
    both, groups = np.column_stack([gold, ~gold]), (np.arange(3000) // 3).tolist()

    def two(share: float) -> Floats:
        return np.array([share, 1 - share])

    def drawn(seed: int) -> dict[str, Any]:
        generator = np.random.default_rng(seed)
        return {name: draw_weights(generator, 1000, 200) for name in ("test_draws", "corpus_draws")}

    def checked(seed: int, hard: float) -> Any:
        corpus, _ = scores(3000, 0.05, seed, hard=hard)
        share = label_prevalence(corpus, START)
        return check_shift(test, both, groups, corpus, np.arange(3000) // 3, two(share), **drawn(seed))

    assert sum(checked(seed, 0.0).p_value < 0.05 for seed in range(20, 40)) <= 4
    odd = np.clip(scores(3000, 0.05, 41)[0], 0.2, 0.4)  # texts on which the model is never certain
    found = check_shift(test, both, groups, odd, np.arange(3000) // 3, two(0.1), **drawn(1))
    assert found.p_value < 0.01
    assert found.distance > 0.3


def test_figures_at_an_estimated_prevalence_and_a_warning_where_the_assumption_fails() -> None:
    test = labelled()
    corpus = np.column_stack([scores(6000, 0.05, 11)[0], np.clip(scores(6000, 0.05, 12)[0], 0.2, 0.4)])
    found = figures_at_estimated(test, Unlabelled(corpus, np.arange(6000) // 6), calibration(), "news/", HOW)
    aid = found.per_label["aid"]
    assert aid.prevalence == pytest.approx(0.05, abs=0.015)
    assert aid.low < aid.prevalence < aid.high
    assert aid.intervals["f1"].low < aid.f1 < aid.intervals["f1"].high
    assert (found.n_sentences, found.n_documents, found.source) == (6000, 1000, "news/")
    assert [warning.split(":")[0] for warning in found.warnings] == ["truce"]


def test_an_uncalibrated_label_is_refused_and_left_out_of_the_averages() -> None:
    corpus = Unlabelled(np.column_stack([scores(2000, 0.05, 13)[0]] * 2), np.arange(2000) // 4)
    found = figures_at_estimated(labelled(), corpus, calibration("none"), "news/", HOW)
    refused = found.per_label["truce"]
    assert (refused.prevalence, refused.f1) == (None, None)
    assert refused.reason == "the label is not calibrated, so its prevalence cannot be estimated"
    assert found.macro.f1 == found.per_label["aid"].f1
    assert found.micro is None


def test_a_test_set_without_a_label_has_no_figures_at_a_prevalence_but_a_reason() -> None:
    test = labelled()
    bare = replace(test, gold=test.gold & [True, False])
    found = figures_at_given(bare, {"aid": 0.05, "truce": 0.05}, HOW).per_label["truce"]
    assert (found.f1, found.reason) == (None, "the test set has no sentence with the label")


def test_without_false_positives_the_interval_allows_for_those_that_were_not_seen() -> None:
    test = labelled()
    flawless = replace(test, predicted=test.predicted & test.gold)
    bounds = []
    for share in (0.0001, 0.02, 0.3):
        found = figures_at_given(flawless, {"aid": share, "truce": share}, HOW).per_label["aid"].intervals
        bounds.append((found["precision"].low, found["f1"].low))
        assert found["precision"].high == 1.0
    assert bounds == sorted(bounds)
    # 800 documents: a false-positive rate of at most 1 - 0.025^(1/800) = 0.0046.
    assert bounds[0][0] < 0.03
    assert bounds[2][0] > 0.98

    corpus = Unlabelled(test.probabilities[:200], np.arange(200) // 5)
    guess = figures_at_estimated(flawless, corpus, calibration(), "40 documents", HOW).per_label["aid"]
    assert guess.low is not None
    given = figures_at_given(flawless, {"aid": guess.low}, HOW).per_label["aid"]
    assert guess.intervals["precision"].low == pytest.approx(given.intervals["precision"].low, abs=0.01)


def test_a_corpus_of_two_documents_gives_no_interval() -> None:
    test = labelled()
    corpus = Unlabelled(test.probabilities[:40], np.arange(40) // 20)
    found = figures_at_estimated(test, corpus, calibration(), "two documents", HOW).per_label["aid"]
    assert (found.low, found.intervals["f1"].low) == (None, None)
    assert found.intervals["f1"].reason == "2 documents in the corpus, fewer than 20"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"aid": 0.0}, "the prevalence of 'aid' is 0. Give the share"),
        ({"aid": 1.5}, "the prevalence of 'aid' is 1.5. Give the share"),
        ({"arms": 0.1}, "the codebook has no label 'arms'. Its labels: aid, truce."),
    ],
)
def test_prevalences_that_cannot_be_are_refused(given: dict[str, float], said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        check_prevalence(given, ("aid", "truce"))


# -- classes that exclude each other

TRUE = np.array([0.1, 0.2, 0.7])


def exclusive(n: int, shares: Floats, seed: int) -> tuple[Floats, Bools]:
    """Probabilities of three classes, calibrated at equal shares, and gold at other shares; the last class is none."""
    generator = np.random.default_rng(seed)
    classes = generator.choice(3, n, p=shares)
    evidence = np.exp(2 * (generator.normal(0, 1, (n, 3)) + 1.5 * np.eye(3)[classes]))
    # Of normals 1.5 apart with variance 1: the likelihood ratios are exp(1.5 x).
    likelihoods = evidence**0.75
    return likelihoods / likelihoods.sum(axis=1, keepdims=True), np.eye(3, dtype=bool)[classes]


EVEN = np.full(3, 1 / 3)


def exclusive_test(shares: Floats = EVEN, seed: int = 30) -> LabelledTest:
    probabilities, gold = exclusive(6000, shares, seed)
    predicted = probabilities.argmax(axis=1)[:, None] == np.arange(3)
    return LabelledTest(
        ("aid", "truce"), gold[:, :2], predicted[:, :2], probabilities[:, :2], (np.arange(6000) // 3).tolist()
    )


def class_calibration() -> Calibration:
    own = LabelCalibration("temperature", 900, 300)
    return Calibration(True, (own, own), own)


def test_figures_of_classes_are_those_of_scikit_learn_with_weights() -> None:
    test = exclusive_test()
    found = class_figures_at_given(test, {"aid": 0.1, "truce": 0.2}, HOW, allow_none=True)
    classes, said = (np.where(own.any(axis=1), own.argmax(axis=1), 2) for own in (test.gold, test.predicted))
    weights = (TRUE / np.bincount(classes) * len(classes))[classes]
    for i, label in enumerate(test.labels):
        for name in ("precision", "recall", "f1"):
            expected = getattr(sk, f"{name}_score")(classes == i, said == i, sample_weight=weights)
            assert getattr(found.per_label[label], name) == pytest.approx(expected)
        assert found.per_label[label].intervals["f1"].low < found.per_label[label].f1
    assert found.micro
    assert found.micro.f1 == pytest.approx(
        sk.f1_score(classes, said, labels=[0, 1], average="micro", sample_weight=weights)
    )


def test_the_shares_of_classes_are_estimated_and_their_figures_are_those_of_the_corpus() -> None:
    probabilities, gold = exclusive(9000, TRUE, 31)
    corpus = Unlabelled(probabilities[:, :2], np.arange(9000) // 6)
    found = class_figures_at_estimated(exclusive_test(), corpus, class_calibration(), "news/", HOW)
    there = probabilities.argmax(axis=1)
    for i, label in enumerate(("aid", "truce")):
        own = found.per_label[label]
        assert own.prevalence == pytest.approx(gold[:, i].mean(), abs=0.02)
        assert own.low < own.prevalence < own.high
        assert own.f1 == pytest.approx(sk.f1_score(gold[:, i], there == i), abs=0.05)
        assert own.intervals["f1"].low < own.f1 < own.intervals["f1"].high
    assert found.warnings == []


def test_draws_of_classes_vary_around_the_estimate() -> None:
    probabilities, _ = exclusive(3000, TRUE, 32)
    groups, start = np.arange(3000) // 3, np.full(3, 1 / 3)
    weights = np.vstack([np.ones(1000), draw_weights(np.random.default_rng(1), 1000, 50)])
    drawn = drawn_class_prevalences(probabilities, groups, start, weights)
    assert drawn[0] == pytest.approx(estimate_prevalence(probabilities, start), abs=5e-3)
    assert drawn.sum(axis=1) == pytest.approx(1)
    for row, weight in zip(drawn[1:4], weights[1:4], strict=True):
        assert row == pytest.approx(estimate_prevalence(probabilities, start, weight[groups]), abs=5e-3)


def test_texts_of_other_kinds_than_the_classes_of_the_test_set_raise_an_alarm() -> None:
    odd = np.clip(exclusive(3000, TRUE, 33)[0], 0.25, 0.45)
    corpus = Unlabelled(odd[:, :2] / odd.sum(axis=1, keepdims=True), np.arange(3000) // 3)
    found = class_figures_at_estimated(exclusive_test(), corpus, class_calibration(), "news/", HOW)
    assert [warning.split(":")[0] for warning in found.warnings] == ["aid", "truce"]


@pytest.mark.parametrize(
    ("absent", "calibrated", "reason"),
    [
        (True, True, "the test set has no sentence of 'aid', which the corpus has"),
        (False, False, "the model is not calibrated, so prevalences cannot be estimated"),
    ],
)
def test_classes_without_figures_have_a_reason(absent: bool, calibrated: bool, reason: str) -> None:
    test = exclusive_test(np.array([0.0, 0.5, 0.5]) if absent else TRUE)
    corpus = Unlabelled(exclusive(600, TRUE, 34)[0][:, :2], np.arange(600) // 6)
    own = class_calibration()
    none = LabelCalibration("none", 0, 0)
    known = own if calibrated else Calibration(True, (none, none), none)
    found = class_figures_at_estimated(test, corpus, known, "news/", HOW)
    assert {label: (each.f1, each.reason) for label, each in found.per_label.items()} == dict.fromkeys(
        ("aid", "truce"), (None, reason)
    )
    assert found.micro is None


@pytest.mark.parametrize(
    ("shares", "allow_none", "said"),
    [
        ({"aid": 0.7, "truce": 0.4}, True, "must sum to at most 1; these sum to 1.1"),
        ({"aid": 0.3, "truce": 0.4}, False, "must sum to 1, because every sentence has a label; these sum to 0.7"),
    ],
)
def test_shares_of_classes_that_cannot_be_are_refused(shares: dict[str, float], allow_none: bool, said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        check_shares(shares, ("aid", "truce"), allow_none=allow_none)
