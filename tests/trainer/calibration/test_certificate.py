from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tests.lazy import Lazy
from trainer.calibration.calibration import Bools, Floats
from trainer.calibration.certificate import (
    LIKELY,
    NEVER,
    Certificate,
    DeferralRule,
    LabelCertificate,
    Limits,
    certify,
    choose_rules,
    fewest_cases,
    likely_failures,
    most_failures,
    upper_bound,
)

binom = Lazy("scipy.stats:binom")
binomtest = Lazy("scipy.stats:binomtest")

SHARES = st.floats(0.005, 0.6)
CONFIDENCES = st.floats(0.5, 0.999)
LIMITS = Limits(max_disagreement=0.2, max_lost=0.4, confidence=0.8)
NAMES = ("aid", "truce")
EXAMPLES = settings(deadline=None, max_examples=60)


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    """Failures and cases."""
    cases = draw(st.integers(1, 400))
    return draw(st.integers(0, cases)), cases


def tail(failures: int, cases: int, share: float) -> float:
    """The chance of at most so many failures, summed."""
    return sum(math.comb(cases, k) * share**k * (1 - share) ** (cases - k) for k in range(failures + 1))


# -- bounds


@EXAMPLES
@given(counts(), CONFIDENCES)
def test_the_bound_is_the_share_under_which_so_few_failures_have_the_chance_that_is_left(
    count: tuple[int, int], confidence: float
) -> None:
    failures, cases = count
    bound = upper_bound(failures, cases, confidence)
    if failures == cases:
        assert bound == 1
    else:
        assert tail(failures, cases, bound) == pytest.approx(1 - confidence, rel=1e-6)


@EXAMPLES
@given(counts(), CONFIDENCES)
def test_the_bound_is_that_of_scipys_exact_test(count: tuple[int, int], confidence: float) -> None:
    failures, cases = count
    other = binomtest(failures, cases, alternative="less").proportion_ci(confidence, method="exact").high
    assert upper_bound(failures, cases, confidence) == pytest.approx(other)


@EXAMPLES
@given(counts(), CONFIDENCES)
def test_the_bound_rises_with_failures_and_confidence_and_falls_with_cases(
    count: tuple[int, int], confidence: float
) -> None:
    failures, cases = count
    bound = upper_bound(failures, cases, confidence)
    assert failures / cases <= bound <= 1
    assert upper_bound(failures, cases + 1, confidence) < bound or failures == cases
    assert upper_bound(failures + 1, cases + 1, confidence) >= bound
    assert upper_bound(failures, cases, (1 + confidence) / 2) >= bound


@EXAMPLES
@given(st.integers(1, 200), st.floats(0.001, 0.999), CONFIDENCES)
def test_the_bound_lies_below_the_true_share_as_rarely_as_it_promises(
    cases: int, share: float, confidence: float
) -> None:
    """Exactly: the chances of all outcomes whose bound holds are summed."""
    bounds = np.array([upper_bound(failures, cases, confidence) for failures in range(cases + 1)])
    assert binom.pmf(np.arange(cases + 1), cases, share)[bounds >= share].sum() >= confidence - 1e-9


def test_without_a_case_nothing_is_ruled_out() -> None:
    assert upper_bound(0, 0, 0.95) == 1


@pytest.mark.parametrize(("failures", "cases", "confidence"), [(-1, 5, 0.9), (6, 5, 0.9), (1, 5, 0.0), (1, 5, 1.0)])
def test_impossible_counts_have_no_bound(failures: int, cases: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="cannot compute a bound"):
        upper_bound(failures, cases, confidence)


@pytest.mark.parametrize(("share", "fewest"), [(0.01, 299), (0.05, 59), (0.1, 29)])
def test_one_percent_takes_299_cases_at_95_percent_confidence(share: float, fewest: int) -> None:
    assert fewest_cases(share, 0.95) == fewest


@EXAMPLES
@given(SHARES, CONFIDENCES)
def test_one_case_fewer_would_not_do(share: float, confidence: float) -> None:
    fewest = fewest_cases(share, confidence)
    assert upper_bound(0, fewest, confidence) <= share
    assert upper_bound(0, fewest - 1, confidence) > share


@EXAMPLES
@given(st.integers(0, 400), SHARES, CONFIDENCES)
def test_one_failure_more_would_be_too_many(cases: int, share: float, confidence: float) -> None:
    most = most_failures(cases, share, confidence)
    assert most == -1 or upper_bound(most, cases, confidence) <= share
    assert most == cases or upper_bound(most + 1, cases, confidence) > share


@EXAMPLES
@given(st.integers(0, 400), SHARES, CONFIDENCES)
def test_likely_failures_leave_room_and_never_exceed_what_is_allowed(
    cases: int, share: float, confidence: float
) -> None:
    likely, most = (count(cases, share, confidence) for count in (likely_failures, most_failures))
    assert min(most, 0) <= likely <= most
    if likely > 0:  # drawn again from what these failures make credible, the cases pass often enough
        rates = np.random.default_rng(1).beta(likely + 0.5, cases - likely + 0.5, 4000)
        assert binom.cdf(most, cases, rates).mean() >= LIKELY - 0.02


# -- choosing


@st.composite
def worlds(draw: st.DrawFn, exclusive: bool = False) -> tuple[Floats, Bools, Floats | None]:
    """Probabilities, with many ties among them, the expensive model's label sets, and thresholds.

    Probabilities are binary fractions: of rounding errors nothing is to be seen here.
    """
    n, n_labels = draw(st.integers(9, 40)), draw(st.integers(1, 3))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if exclusive:
        probabilities = np.floor(64 * generator.dirichlet(np.full(n_labels + 1, 0.3), n)) / 64
        probabilities[:, -1] = 1 - probabilities[:, :-1].sum(axis=1)
        classes = np.where(generator.random(n) < 0.8, probabilities.argmax(axis=1), generator.integers(0, n_labels, n))
        return probabilities, classes[:, None] == np.arange(n_labels), None
    parts = 2 ** draw(st.integers(2, 20))
    probabilities = np.round(parts * generator.beta(0.4, 0.6, (n, n_labels))) / parts
    thresholds = generator.uniform(0.2, 0.7, n_labels)
    noise = generator.normal(0, draw(st.floats(0, 0.4)), (n, n_labels))
    return probabilities, probabilities + noise >= thresholds, thresholds


def all_common(wanted: Bools) -> Bools:
    return np.ones(wanted.shape[1], dtype=bool)


def sets_of(probabilities: Floats, thresholds: Floats | None, n_labels: int) -> Bools:
    """The cheap model's label sets."""
    if thresholds is not None:
        return probabilities >= thresholds
    return np.asarray((probabilities.argmax(axis=1)[:, None] == np.arange(probabilities.shape[1]))[:, :n_labels])


@cache
def allowed(cases: int, share: float) -> int:
    return likely_failures(cases, share, LIMITS.confidence)


def keeps_limits(answered: Bools, said: Bools, wanted: Bools) -> bool:
    """Whether these answers differ and lose no more than is likely to pass a second time, by counting one by one."""
    n = len(wanted)
    wrong = sum(bool(answered[i] and tuple(said[i]) != tuple(wanted[i])) for i in range(n))
    if wrong > allowed(n, LIMITS.max_disagreement):
        return False
    for label in range(wanted.shape[1]):
        positives = [i for i in range(n) if wanted[i, label]]
        lost = sum(bool(answered[i] and not said[i, label]) for i in positives)
        if lost > allowed(len(positives), LIMITS.max_lost):
            return False
    return True


def most_answers(probabilities: Floats, said: Bools, wanted: Bools) -> int:
    """The most sentences that any tolerance within the limits answers: each one is tried, errors added one by one."""
    n, n_classes = probabilities.shape
    none = said.sum(axis=1) == 0
    assigned = np.column_stack([said, none]) if n_classes > said.shape[1] else said
    errors = [
        sum(1 - p if yes else p for p, yes in zip(probabilities[i].tolist(), assigned[i].tolist(), strict=True))
        for i in range(n)
    ]
    found = (np.array(errors) <= tolerance for tolerance in set(errors))
    return max((int(answered.sum()) for answered in found if keeps_limits(answered, said, wanted)), default=0)


@EXAMPLES
@given(st.booleans().flatmap(worlds))
def test_the_rule_answers_as_many_sentences_as_any_tolerance_within_the_limits(
    world: tuple[Floats, Bools, Floats | None],
) -> None:
    probabilities, wanted, thresholds = world
    rule = choose_rules([probabilities], wanted, thresholds, all_common(wanted), LIMITS)[0]
    said = sets_of(probabilities, thresholds, wanted.shape[1])
    answered = rule.sure(probabilities)
    assert not answered.any() or keeps_limits(answered, said, wanted)
    assert answered.sum() == most_answers(probabilities, said, wanted)


@EXAMPLES
@given(worlds())
def test_what_is_chosen_keeps_the_upper_bounds_themselves(world: tuple[Floats, Bools, Floats]) -> None:
    probabilities, wanted, thresholds = world
    rule = choose_rules([probabilities], wanted, thresholds, all_common(wanted), LIMITS)[0]
    answered = rule.sure(probabilities)
    if not answered.any():
        return
    found = certify(
        probabilities >= thresholds,
        wanted,
        answered,
        [str(label) for label in range(wanted.shape[1])],
        all_common(wanted),
        LIMITS.confidence,
    )
    assert found.upper_bound <= LIMITS.max_disagreement
    assert all(label.upper_bound is not None and label.upper_bound <= LIMITS.max_lost for label in found.labels)


def test_where_both_models_agree_all_is_answered() -> None:
    probabilities = np.random.default_rng(1).random((60, 2))
    thresholds = np.array([0.3, 0.6])
    wanted = probabilities >= thresholds
    assert choose_rules([probabilities], wanted, thresholds, all_common(wanted), LIMITS)[0].sure(probabilities).all()


def test_where_there_are_too_few_sentences_none_is_answered() -> None:
    probabilities = np.random.default_rng(1).random((LIMITS.fewest_sentences - 1, 1))
    wanted = probabilities >= 0.5
    rule = choose_rules([probabilities], wanted, np.array([0.5]), all_common(wanted), LIMITS)[0]
    assert rule.tolerance == NEVER
    assert not rule.sure(np.array([[0.0], [0.5], [1.0]])).any()


def rare_label(probabilities: list[float], positives: list[bool]) -> tuple[Floats, Bools]:
    """A label of these probabilities beside one on which both models always agree; 40 times over."""
    column = np.tile(probabilities, 40)
    easy = np.tile([0.01, 0.99], (len(column) + 1) // 2)[: len(column)]
    return np.column_stack([column, easy]), np.column_stack([np.tile(positives, 40), easy > 0.5])


ONE_RARE = np.array([False, True])
HALVES = np.array([0.5, 0.5])


def test_a_sentence_to_which_the_cheap_model_would_give_a_rare_label_is_never_answered() -> None:
    probabilities, wanted = rare_label([0.05, 0.35, 0.6, 0.9, 0.999], [False, False, True, True, True])
    rule = choose_rules([probabilities], wanted, HALVES, ONE_RARE, LIMITS)[0]
    assert rule.deferred == (True, False)
    assert rule.sure(np.array([[0.35, 0.01], [0.6, 0.01], [0.999, 0.99]])).tolist() == [True, False, False]


@pytest.mark.parametrize(("positives", "lost"), [(1, 1), (2, 1), (3, 2), (5, 2), (8, 4)])
def test_a_rare_label_loses_no_larger_share_than_a_common_one_may(positives: int, lost: int) -> None:
    """0.4 of them, rounded up: its positives are the sentences where the cheap model is least sure of its absence."""
    scores = np.linspace(0.0, 0.4, 200)
    wanted = np.arange(200) >= 200 - positives
    rule = choose_rules([scores[:, None]], wanted[:, None], HALVES[:1], ONE_RARE[:1], LIMITS)[0]
    answered = rule.sure(scores[:, None])
    assert (answered & wanted).sum() == lost
    assert answered.sum() == 200 - positives + lost


def test_a_class_too_rare_is_left_to_the_expensive_model() -> None:
    generator = np.random.default_rng(2)
    probabilities = generator.dirichlet(np.full(3, 0.2), 300)
    wanted = (probabilities.argmax(axis=1)[:, None] == np.arange(3))[:, :2]
    answered = choose_rules([probabilities], wanted, None, ONE_RARE, LIMITS)[0].sure(probabilities)
    np.testing.assert_array_equal(answered, ~wanted[:, 0])


def test_of_exclusive_classes_the_likeliest_is_wrong_as_often_as_the_others_are_right() -> None:
    rule = DeferralRule(tolerance=0.6, thresholds=None, deferred=(False, True, False))
    asked = np.array([[0.75, 0.125, 0.125], [0.625, 0.375, 0.0], [0.125, 0.75, 0.125], [0.125, 0.125, 0.75]])
    assert rule.expected_errors(asked).tolist() == [0.5, 0.75, np.inf, 0.5]
    assert rule.sure(asked).tolist() == [True, False, False, True]


def test_the_errors_of_a_label_set_add_up() -> None:
    rule = DeferralRule(tolerance=0.5, thresholds=(0.25, 0.5), deferred=(False, False))
    asked = np.array([[0.125, 0.25], [0.25, 0.25], [0.875, 0.75], [0.125, 0.5]])
    assert rule.expected_errors(asked).tolist() == [0.375, 1.0, 0.375, 0.625]
    assert rule.sure(asked).tolist() == [True, False, True, False]


@pytest.mark.parametrize("thresholds", [None, (0.25, 0.5)])
def test_a_rule_comes_back_from_json(thresholds: tuple[float, ...] | None) -> None:
    rule = DeferralRule(tolerance=0.25, thresholds=thresholds, deferred=(False, True))
    adapter = TypeAdapter(DeferralRule)
    assert adapter.validate_json(adapter.dump_json(rule)) == rule


# -- certifying


@EXAMPLES
@given(worlds(), st.data())
def test_a_certificate_counts_what_the_cascade_changes(
    world: tuple[Floats, Bools, Floats], data: st.DataObject
) -> None:
    probabilities, expensive, thresholds = world
    n, n_labels = expensive.shape
    cheap = probabilities >= thresholds
    answered = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    common = np.array(data.draw(st.lists(st.booleans(), min_size=n_labels, max_size=n_labels)))
    names = [f"label{label}" for label in range(n_labels)]
    found = certify(cheap, expensive, answered, names, common, 0.9)
    cascade = [cheap[i] if answered[i] else expensive[i] for i in range(n)]
    assert found.cases == n
    assert found.answered == sum(answered.tolist())
    assert found.disagreements == sum((cascade[i] != expensive[i]).any() for i in range(n))
    assert found.upper_bound == upper_bound(found.disagreements, n, 0.9)
    for label, one in enumerate(found.labels):
        assert one.name == names[label]
        assert one.positives == expensive[:, label].sum()
        assert one.lost == sum(bool(expensive[i, label] and not cascade[i][label]) for i in range(n))
        assert one.upper_bound == (upper_bound(one.lost, one.positives, 0.9) if common[label] else None)
    rare = [(i, label) for i in range(n) for label in np.flatnonzero(~common) if expensive[i, label]]
    lost = sum(not cascade[i][label] for i, label in rare)
    together = (len(rare), lost, upper_bound(lost, len(rare), 0.9)) if rare else None
    assert (found.rare and (found.rare.positives, found.rare.lost, found.rare.upper_bound)) == together


def test_a_certificate_says_its_shares_and_comes_back_from_json() -> None:
    labels = (LabelCertificate("aid", 40, 1, 0.11), LabelCertificate("truce", 20, 1, None))
    certificate = Certificate(200, 120, 1, 0.0235, 0.95, labels)
    assert (certificate.share, certificate.answered_share) == (0.005, 0.6)
    assert [label.share for label in labels] == [0.025, 0.05]
    adapter = TypeAdapter(Certificate)
    content: dict[str, Any] = json.loads(adapter.dump_json(certificate))
    assert adapter.validate_python(content) == certificate
    assert (content["share"], content["answered_share"], content["labels"][0]["share"]) == (0.005, 0.6, 0.025)
    assert content["rare"]["share"] == 0.05


# -- both together, on sentences drawn from one source


def drawn(n: int, generator: np.random.Generator) -> tuple[Floats, Bools]:
    """A cheap model's probabilities of two labels and the expensive model's sets, which it foretells but for noise."""
    certain = generator.normal(-3, 6, (n, 2))
    heard = certain + generator.normal(0, 2, (n, 2))
    return 1 / (1 + np.exp(-heard)), certain >= 0


@pytest.fixture(scope="module")
def repetitions() -> list[tuple[Certificate, float]]:
    """Chosen on 400 sentences and certified on 400 others, 120 times; with the disagreement on very many."""
    generator = np.random.default_rng(5)
    limits = Limits(0.03, 0.1, 0.9)
    many, many_wanted = drawn(20_000, generator)
    found = []
    for _ in range(120):
        probabilities, wanted = drawn(800, generator)
        rule = choose_rules([probabilities[:400]], wanted[:400], HALVES, np.array([True, True]), limits)[0]
        sure = rule.sure(probabilities[400:])
        common = np.array([True, True])
        certificate = certify(probabilities[400:] >= 0.5, wanted[400:], sure, NAMES, common, limits.confidence)
        wrong = ((many >= 0.5) != many_wanted).any(axis=1) & rule.sure(many)
        found.append((certificate, float(wrong.mean())))
    return found


def test_certified_bounds_hold_for_new_sentences_as_often_as_they_promise(
    repetitions: list[tuple[Certificate, float]],
) -> None:
    held = np.mean([share <= certificate.upper_bound for certificate, share in repetitions])
    assert held >= 0.9 - 3 * math.sqrt(0.9 * 0.1 / 120)


def test_what_was_chosen_mostly_passes_where_it_is_certified(repetitions: list[tuple[Certificate, float]]) -> None:
    passed = [certificate.upper_bound <= 0.03 for certificate, _ in repetitions]
    assert np.mean(passed) >= 0.8


def test_a_cheap_model_of_some_use_answers_a_good_part(repetitions: list[tuple[Certificate, float]]) -> None:
    assert np.mean([certificate.answered_share for certificate, _ in repetitions]) > 0.25
