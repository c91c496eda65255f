"""Abstention and screening: the guarantees hold on simulated corpora, and what cannot be shown is refused."""

from __future__ import annotations

import numpy as np
import pytest

from labels.errors import InputError
from tests.lazy import Lazy
from trainer.calibration.abstention import ErrorKind, Evidence, certify_abstention, certify_screening
from trainer.calibration.calibration import Calibration, LabelCalibration
from trainer.calibration.certificate import upper_bound
from trainer.calibration.risk import Risk, _path, certified_cut, lowest_positives

binom = Lazy("scipy.stats:binom")

AT_HALF = Calibration(False, (LabelCalibration("platt", 100, 50),))
LIMIT = 0.1


def corpus(documents: int, generator: np.random.Generator) -> Evidence:
    """Documents of one to six sentences that resemble each other in labels and in errors of the probabilities."""
    sizes = generator.integers(1, 7, documents)
    groups = np.repeat(np.arange(documents), sizes)
    tendency, shift = generator.normal(-1, 1.5, documents)[groups], generator.normal(0, 1, documents)[groups]
    gold = generator.random(len(groups)) < 1 / (1 + np.exp(-tendency))
    odds = generator.normal(np.where(gold, 1.5, -1.5), 1.0) + shift
    return Evidence((1 / (1 + np.exp(-odds)))[:, None], gold[:, None], groups, np.ones(len(groups)), ("aid",))


def true_error(found: Evidence, kind: ErrorKind, low: float, high: float) -> float:
    """The error of a rule as a share of documents, in a large corpus."""
    p, gold = found.probabilities[:, 0], found.gold[:, 0]
    concerned, wrong = {
        "false-alarms": (p >= high, ~gold),
        "misses": (gold, p < low),
        "answered": ((p >= high) | (p < low), (p >= high) != gold),
    }[kind]
    count = np.bincount(found.groups, concerned, minlength=found.groups.max() + 1)
    bad = np.bincount(found.groups, concerned & wrong, minlength=found.groups.max() + 1)
    return float((bad[count > 0] / count[count > 0]).mean())


@pytest.mark.parametrize("kind", ["false-alarms", "misses", "answered"])
def test_the_limit_is_exceeded_in_at_most_delta_of_samples(kind: ErrorKind) -> None:
    large, times, violated, decided = corpus(20_000, np.random.default_rng(0)), 100, 0, 0
    for number in range(times):
        found = corpus(400, np.random.default_rng(number + 1))
        try:
            rule = certify_abstention(found, AT_HALF, kind, Risk(LIMIT, 0.9, number), ["aid"], joint=False)
        except InputError:
            continue
        own = rule.labels["aid"]
        decided += 1
        violated += true_error(large, kind, own.low, own.high) > LIMIT
    assert decided > times / 2
    # At most delta = 0.1 of the samples; 0.001 is how often this test would fail by chance at exactly 0.1.
    assert violated <= binom.ppf(0.999, times, 0.1)


def test_screening_finds_the_wanted_share_and_says_what_it_costs() -> None:
    large, violated = corpus(20_000, np.random.default_rng(0)), 0
    for number in range(100):
        found = corpus(300, np.random.default_rng(number + 1))
        own = certify_screening(found, Risk(LIMIT, 0.9, number), ["aid"], joint=False).labels["aid"]
        violated += true_error(large, "misses", own.threshold, 1.0) > LIMIT
        assert own.bound >= 1 - LIMIT - 1e-9
        assert own.read == pytest.approx((found.probabilities[:, 0] >= own.threshold).mean())
    assert violated <= binom.ppf(0.999, 100, 0.1)


def test_fifty_nine_positives_without_a_miss_show_a_recall_of_95_percent() -> None:
    scores = np.linspace(0.4, 0.9, 59)
    cut, units = lowest_positives(scores, np.arange(59), Risk(0.05, 0.95, 1))
    assert units == 59
    assert cut is not None
    assert (cut.value, cut.errors) == (0.4, 0)
    assert lowest_positives(scores[:58], np.arange(58), Risk(0.05, 0.95, 1))[0] is None


def test_many_sentences_of_few_documents_show_nothing() -> None:
    groups = np.arange(1000) % 20
    assert lowest_positives(np.full(1000, 0.9), groups, Risk(0.05, 0.95, 1)) == (None, 20)
    cut, whole = certified_cut(np.full(1000, 0.9), np.zeros(1000, dtype=bool), groups, Risk(0.05, 0.95, 1))
    assert (cut, whole) == (None, (20, 0))


def test_the_cut_off_is_the_lowest_that_passes_and_bounds_are_exact() -> None:
    scores = np.linspace(1, 0, 600)
    wrong = np.arange(600) >= 300  # certain for the first half, always wrong for the second
    cut, _ = certified_cut(scores, wrong, np.arange(600), Risk(0.05, 0.95, 1))
    assert cut is not None
    assert upper_bound(cut.errors, cut.units, 1 - 0.05 / 4) <= 0.05
    assert 300 <= cut.units < 320
    assert cut.hindsight <= cut.value


def test_equal_scores_are_answered_together() -> None:
    scores = np.repeat([0.9, 0.5], 300)
    cut, _ = certified_cut(scores, np.arange(600) >= 310, np.arange(600), Risk(0.05, 0.95, 1))
    assert cut is not None
    assert (cut.value, cut.units) == (0.9, 300)


def test_joint_bounds_are_stricter() -> None:
    one = corpus(500, np.random.default_rng(3))
    both = Evidence(
        np.repeat(one.probabilities, 2, axis=1),
        np.repeat(one.gold, 2, axis=1),
        one.groups,
        one.weights,
        ("aid", "truce"),
    )
    calibration = Calibration(False, AT_HALF.labels * 2)
    risk, labels = Risk(LIMIT, 0.95, 1), ["aid", "truce"]
    each = certify_abstention(both, calibration, "misses", risk, labels, joint=False)
    joint = certify_abstention(both, calibration, "misses", risk, labels, joint=True)
    assert joint.labels["aid"].low <= each.labels["aid"].low
    assert joint.joint


def test_an_impossible_limit_says_how_many_documents_are_needed() -> None:
    few = corpus(60, np.random.default_rng(1))
    with pytest.raises(InputError, match=r"aid: the sample has \d+ documents with the label, but at least 59"):
        certify_abstention(few, AT_HALF, "misses", Risk(0.05, 0.95, 1), ["aid"], joint=False)
    with pytest.raises(InputError, match="at least 86 without an error are needed"):
        certify_abstention(few, AT_HALF, "false-alarms", Risk(0.05, 0.95, 1), ["aid"], joint=False)
    useless = Evidence(np.full((500, 1), 0.9), np.zeros((500, 1), dtype=bool), np.arange(500), np.ones(500), ("aid",))
    with pytest.raises(InputError, match="no cut-off guarantees an error"):
        certify_abstention(useless, AT_HALF, "false-alarms", Risk(0.05, 0.95, 1), ["aid"], joint=False)


def test_labels_that_exclude_each_other_are_answered_or_not() -> None:
    generator = np.random.default_rng(2)
    target = generator.integers(0, 2, 800)
    p = np.clip(generator.normal(np.where(target == 1, 0.7, 0.3), 0.15), 0.01, 0.99)
    probabilities = np.column_stack([1 - p, p]).astype(np.float32)
    found = Evidence(
        probabilities.astype(np.float64), np.eye(2, dtype=bool)[target], np.arange(800), np.ones(800), ("aid", "truce")
    )
    calibration = Calibration(True, AT_HALF.labels * 2)
    rule = certify_abstention(found, calibration, "answered", Risk(0.05, 0.95, 1), ["aid", "truce"], joint=False)
    abstained = rule.abstained(probabilities, ("aid", "truce"), calibration)
    assert 0 < abstained[:, 0].mean() < 0.6
    assert abstained[:, 0].mean() == pytest.approx(rule.labels[""].abstained)
    assert (abstained[:, 0] == abstained[:, 1]).all()
    with pytest.raises(InputError, match="Use --error answered"):
        certify_abstention(found, calibration, "misses", Risk(0.05, 0.95, 1), ["aid"], joint=False)


def test_bounds_agree_with_the_p_values_of_mapie() -> None:
    methods = pytest.importorskip("mapie.risk_control.methods")
    errors, n, limit = np.array([0, 2, 5, 12]), 200, 0.05
    theirs = methods.compute_hoeffding_bentkus_p_value(errors / n, n, np.array([limit]), binary=True)
    assert np.asarray(theirs).ravel() == pytest.approx(binom.cdf(errors, n, limit), abs=1e-9)
    for count, p in zip(errors.tolist(), np.asarray(theirs).ravel().tolist(), strict=True):
        assert (upper_bound(count, n, 0.95) <= limit) == (p <= 0.05)


def test_mapie_finds_the_same_threshold_for_a_wanted_recall() -> None:
    control = pytest.importorskip("mapie.risk_control")
    generator = np.random.default_rng(4)
    y = (generator.random(2000) < 0.3).astype(int)
    p = 1 / (1 + np.exp(-generator.normal(np.where(y == 1, 1.5, -1.5), 1.0)))
    grid = np.linspace(0, 0.99, 100)
    controller = control.BinaryClassificationController(
        lambda X: np.column_stack([1 - X[:, 0], X[:, 0]]),
        risk="recall",
        target_level=0.9,
        confidence_level=0.95,
        list_predict_params=grid,
        fwer_method="fixed_sequence",
    )
    controller.calibrate(p[:, None], y)
    highest = float(np.max(controller.valid_predict_params))
    positives = y == 1
    cut, _ = lowest_positives(p[positives], np.flatnonzero(positives), Risk(0.1, 0.95, 1))
    assert cut is not None
    assert highest <= cut.value <= highest + 0.011


def test_each_document_is_represented_by_one_of_its_sentences_above_the_cut_off() -> None:
    generator = np.random.default_rng(3)
    scores, groups = generator.integers(0, 50, 400) / 50, generator.integers(0, 60, 400)
    wrong = generator.random(400) < 0.3
    path = _path(scores, wrong, groups, seed=5)
    order, draws = np.argsort(-scores, kind="stable"), np.random.default_rng(5).random(400)
    by_row = dict(zip(order.tolist(), draws.tolist(), strict=True))
    seen: dict[int, int] = {}
    drawn: dict[int, bool] = {}
    for cut, units, errors in zip(path.cuts, path.units, path.errors, strict=True):
        for row in order[scores[order] == cut].tolist():
            seen[groups[row]] = seen.get(groups[row], 0) + 1
            # The k-th sentence of a document takes the place of the one before with probability 1 / k.
            if by_row[row] * seen[groups[row]] < 1:
                drawn[groups[row]] = bool(wrong[row])
        assert (units, errors) == (len(drawn), sum(drawn.values()))
