"""The estimators against brute force: every sample of a small corpus, and simulated audits."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from trainer.estimate.coverage import exact_interval, score_interval
from trainer.estimate.estimators import (
    Corpus,
    Sample,
    adjusted_counts,
    assign_folds,
    difference_shares,
    sample_shares,
    tuned_shares,
)
from trainer.estimate.shares import Documents, estimate_shares, share_differences

GENERATOR = np.random.default_rng(5)
N = 12
GOLD = (GENERATOR.random((N, 2)) < [0.5, 0.3]).astype(float)
PREDICTED = np.clip(0.6 * GOLD + 0.4 * GENERATOR.random((N, 2)), 0, 1)
STRATUM = np.repeat([0, 1], [7, 5])
WHOLE = Corpus(np.array([float(N)]), PREDICTED.sum(axis=0)[None], (PREDICTED > 0.5).sum(axis=0)[None].astype(float))


def drawn(places: list[int], stratum: np.ndarray, sizes: list[int], member: np.ndarray | None = None) -> Sample:
    """A sample of sentences drawn one by one from strata of these sizes."""
    own = stratum[places]
    counts = np.bincount(own, minlength=len(sizes)).astype(float)
    weights = (np.array(sizes) / np.maximum(counts, 1))[own]
    inside = np.ones((len(places), 1), dtype=bool) if member is None else member[places]
    return Sample(
        GOLD[places], PREDICTED[places], (PREDICTED[places] > 0.5).astype(float), inside, np.ones(len(places)),
        np.arange(len(places)), weights, own, counts, counts / sizes,
    )  # fmt: skip


def all_samples() -> list[Sample]:
    """Every stratified sample of 3 and 2 sentences."""
    first, second = combinations(range(7), 3), combinations(range(7, 12), 2)
    return [drawn([*one, *other], STRATUM, [7, 5]) for one, other in product(list(first), list(second))]


def test_over_all_samples_the_difference_estimator_has_no_bias_and_the_stated_variance() -> None:
    found = [difference_shares(WHOLE, sample) for sample in all_samples()]
    shares, variances = (np.array([getattr(one, name)[0] for one in found]) for name in ("shares", "variances"))

    assert shares.mean(axis=0) == pytest.approx(GOLD.mean(axis=0))
    assert variances.mean(axis=0) == pytest.approx(shares.var(axis=0))


def test_over_all_samples_the_sample_alone_has_no_bias() -> None:
    shares = np.array([sample_shares(sample).shares[0] for sample in all_samples()])

    assert shares.mean(axis=0) == pytest.approx(GOLD.mean(axis=0))


def test_clusters_are_the_units_of_the_variance() -> None:
    cluster = np.arange(N) // 3
    found = []
    for chosen in combinations(range(4), 2):
        places = np.flatnonzero(np.isin(cluster, chosen))
        ones = np.ones((len(places), 1), dtype=bool)
        sample = Sample(
            GOLD[places], PREDICTED[places], np.zeros((len(places), 2)), ones, np.ones(len(places)),
            np.unique(cluster[places], return_inverse=True)[1], np.full(2, 2.0), np.zeros(2, dtype=int),
            np.array([2.0]), np.array([0.5]),
        )  # fmt: skip
        found.append(difference_shares(WHOLE, sample))
    shares, variances = (np.array([getattr(one, name)[0] for one in found]) for name in ("shares", "variances"))

    assert shares.mean(axis=0) == pytest.approx(GOLD.mean(axis=0))
    assert variances.mean(axis=0) == pytest.approx(shares.var(axis=0))


def test_a_corpus_read_completely_is_known_exactly() -> None:
    sample = drawn(list(range(N)), STRATUM, [7, 5])
    shares, _ = estimate_shares(WHOLE, sample)

    for method in ("ppi", "difference", "sample"):
        assert shares[method].share[0] == pytest.approx(GOLD.mean(axis=0))
        assert shares[method].low[0] == pytest.approx(shares[method].high[0])


def test_adjusted_counts_undo_known_errors() -> None:
    sample = drawn(list(range(N)), np.zeros(N, dtype=int), [N])

    assert adjusted_counts(WHOLE, sample).shares[0] == pytest.approx(GOLD.mean(axis=0))


@pytest.mark.parametrize(
    ("positives", "n", "low", "high"), [(0, 20, 0.0, 0.1684), (3, 50, 0.0125, 0.1655), (5, 10, 0.1871, 0.8129)]
)
def test_the_exact_interval_is_clopper_and_pearsons(positives: int, n: int, low: float, high: float) -> None:
    """The published limits, as R's `binom.test` gives them."""
    found = exact_interval(np.array([positives / n]), np.array([float(n)]), 0.95)

    assert [float(one[0]) for one in found] == pytest.approx([low, high], abs=1e-4)


def test_the_score_interval_is_wilsons() -> None:
    """15 of 148, from Newcombe (1998), table I, method 3."""
    found = score_interval(np.array([15 / 148]), np.array([148.0]), np.array(1.959964))

    assert [float(one[0]) for one in found] == pytest.approx([0.0624, 0.1605], abs=1e-4)


def test_for_a_simple_sample_it_is_prediction_powered_inference() -> None:
    """Point and half-width are those of `ppi_mean_pointestimate` and `ppi_mean_ci` of ppi-python 0.2.3, lam=1."""
    generator = np.random.default_rng(1)
    n, size = 400, 20_000
    gold = (generator.random(n) < 0.3).astype(float)
    predicted = np.clip(0.7 * gold + 0.3 * generator.random(n), 0, 1)
    unlabelled = np.clip(0.7 * (generator.random(size) < 0.3) + 0.3 * generator.random(size), 0, 1)
    corpus = Corpus(np.array([float(size)]), np.array([[unlabelled.sum()]]), np.array([[0.3 * size]]))
    sample = Sample(
        gold[:, None], predicted[:, None], np.round(predicted)[:, None], np.ones((n, 1), dtype=bool), np.ones(n),
        np.arange(n), np.full(n, size / n), np.zeros(n, dtype=int), np.array([float(n)]), np.array([1e-9]),
    )  # fmt: skip
    found = difference_shares(corpus, sample)

    assert float(found.shares[0, 0]) == pytest.approx(0.30339893, abs=1e-8)
    # Their unlabelled sentences are a sample themselves, and ours are the corpus.
    variance = float(found.variances[0, 0]) + float(unlabelled.var()) / size
    assert 1.959964 * np.sqrt(variance) == pytest.approx((0.31980034 - 0.28699753) / 2, rel=2e-3)
    tuned = tuned_shares(corpus, sample, assign_folds(sample, generator))
    assert float(tuned.slope[0]) == pytest.approx(1.0)


# -- simulated audits

SIZE, DRAWN = 4000, 300


def audits(quality: float, times: int, seed: int) -> list[tuple[Corpus, Sample, float]]:
    """Simple samples of a corpus in which a label has the share 0.15, with predictions of this quality."""
    generator = np.random.default_rng(seed)
    gold = (generator.random((SIZE, 1)) < 0.15).astype(float)
    predicted = np.clip(0.5 + quality * (gold - 0.5) + 0.2 * generator.normal(size=gold.shape), 0, 1)
    corpus = Corpus(np.array([float(SIZE)]), predicted.sum(axis=0)[None], np.round(predicted).sum(axis=0)[None])
    found = []
    for _ in range(times):
        places = generator.choice(SIZE, DRAWN, replace=False)
        ones = np.ones((DRAWN, 1), dtype=bool)
        found.append((corpus, Sample(
            gold[places], predicted[places], np.round(predicted[places]), ones, np.ones(DRAWN), np.arange(DRAWN),
            np.full(DRAWN, SIZE / DRAWN), np.zeros(DRAWN, dtype=int), np.array([float(DRAWN)]),
            np.array([DRAWN / SIZE]),
        ), float(gold.mean())))  # fmt: skip
    return found


@pytest.mark.parametrize("quality", [0.8, 0.0, -0.8])
def test_intervals_hold_with_good_useless_and_inverted_predictions(quality: float) -> None:
    covered, ratios = 0, []
    for corpus, sample, truth in audits(quality, 250, 3):
        shares, _ = estimate_shares(corpus, sample)
        ppi, alone = shares["ppi"], shares["sample"]
        covered += bool(ppi.low[0, 0] <= truth <= ppi.high[0, 0])
        ratios.append(float((ppi.high - ppi.low)[0, 0] / (alone.high - alone.low)[0, 0]))

    # 250 audits have a standard error of 1.4 points.
    assert covered / 250 >= 0.91
    assert np.mean(ratios) <= 1.05
    assert quality < 0.5 or np.mean(ratios) < 0.7


def test_the_process_is_less_certain_than_the_corpus() -> None:
    corpus, sample, _ = audits(0.8, 1, 3)[0]
    document = np.arange(SIZE) // 20
    generator = np.random.default_rng(0)
    topic = np.repeat(generator.random(SIZE // 20), 20)[:, None]
    sums = np.add.reduceat(topic, np.arange(0, SIZE, 20))
    parts = Documents(
        np.arange(SIZE // 20), np.zeros(SIZE // 20, dtype=int), np.full(SIZE // 20, 20.0), sums, sums,
        document[:DRAWN], np.ones((1, 1), dtype=bool),
    )  # fmt: skip
    own, _ = estimate_shares(corpus, sample)
    process, _ = estimate_shares(corpus, sample, parts)

    assert process["ppi"].low[0, 0] < own["ppi"].low[0, 0]
    assert process["ppi"].high[0, 0] > own["ppi"].high[0, 0]
    assert process["ppi"].share[0, 0] == own["ppi"].share[0, 0]


def test_few_positives_leave_the_sample_alone() -> None:
    corpus, sample, _ = audits(0.8, 1, 3)[0]
    gold = np.zeros_like(sample.gold)
    gold[:3] = 1
    few = Sample(**vars(sample) | {"gold": gold})
    shares, _ = estimate_shares(corpus, few)

    assert shares["ppi"].small[0, 0]
    assert shares["ppi"].share[0, 0] == pytest.approx(0.01)
    low, high = exact_interval(np.array([0.01]), np.array([300.0]), 0.95)
    fpc = np.sqrt(1 - DRAWN / SIZE)
    assert shares["ppi"].low[0, 0] == pytest.approx(0.01 - (0.01 - low[0]) * fpc)
    assert shares["ppi"].high[0, 0] == pytest.approx(0.01 + (high[0] - 0.01) * fpc)


def test_the_difference_of_two_groups_covers_the_true_one() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    gold = (generator.random((SIZE, 1)) < np.repeat([0.1, 0.25], SIZE // 2)[:, None]).astype(float)
    group = np.repeat([0, 1], SIZE // 2)
    member = np.column_stack([group == 0, group == 1])
    sums = np.vstack([gold[group == one].sum(axis=0) for one in (0, 1)])
    corpus = Corpus(np.full(2, SIZE / 2), sums * 0 + SIZE * 0.08, sums)
    truth = float(gold[group == 1].mean() - gold[group == 0].mean())
    for _ in range(200):
        places = generator.choice(SIZE, DRAWN, replace=False)
        sample = Sample(
            gold[places], np.full((DRAWN, 1), 0.16), gold[places], member[places], np.ones(DRAWN), np.arange(DRAWN),
            np.full(DRAWN, SIZE / DRAWN), np.zeros(DRAWN, dtype=int), np.array([float(DRAWN)]),
            np.array([DRAWN / SIZE]),
        )  # fmt: skip
        shares, found = estimate_shares(corpus, sample)
        change = share_differences(sample, shares["ppi"], found["ppi"], np.array([[0, 1]]))
        covered += bool(change.low[0, 0] <= truth <= change.high[0, 0])

    assert covered / 200 >= 0.91
