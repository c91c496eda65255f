from __future__ import annotations

from collections import Counter
from itertools import combinations
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tests.lazy import Lazy
from trainer.classifiers.contrastive import BalancedBatches, contrastive_loss, pull_weights

torch = Lazy("torch")

Golds = st.tuples(st.integers(1, 40), st.integers(1, 9)).flatmap(lambda shape: arrays(bool, shape))
"""(examples, labels): any label can be rare, common or absent, any row can bear none or several."""


def batches_of(
    gold: NDArray[np.bool_], n: int, *, size: int = 16, per_label: int = 4, seed: int = 1
) -> list[NDArray[np.int64]]:
    return list(BalancedBatches(gold, size=size, per_label=per_label, seed=seed).take(n))


def one_label_each(*counts: int, none: int = 0) -> NDArray[np.bool_]:
    """Rows that bear one label each, so many of each label, and then rows without any."""
    classes = np.repeat(np.arange(len(counts)), counts)
    return np.vstack([np.eye(len(counts), dtype=bool)[classes], np.zeros((none, len(counts)), dtype=bool)])


def unit(*rows: list[float]) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float64), dim=1)


# -- batches


@given(Golds, st.integers(4, 40), st.integers(2, 8), st.integers(0, 9))
def test_a_batch_is_never_larger_than_asked_and_holds_no_row_twice(
    gold: NDArray[np.bool_], size: int, per_label: int, seed: int
) -> None:
    for rows in batches_of(gold, 8, size=size, per_label=per_label, seed=seed):
        assert 0 < len(rows) <= size
        assert len(set(rows.tolist())) == len(rows)
        assert set(rows.tolist()) <= set(range(len(gold)))


@given(Golds, st.integers(4, 40))
def test_rows_without_a_label_are_never_more_than_those_that_bear_one(gold: NDArray[np.bool_], size: int) -> None:
    for rows in batches_of(gold, 8, size=size):
        bearing = gold[rows].any(axis=1).sum()
        assert len(rows) - bearing <= (bearing if gold.any() else size)


@given(Golds, st.integers(0, 9))
def test_the_same_seed_gives_the_same_batches(gold: NDArray[np.bool_], seed: int) -> None:
    one, again = batches_of(gold, 5, seed=seed), batches_of(gold, 5, seed=seed)
    assert [rows.tolist() for rows in one] == [rows.tolist() for rows in again]


def test_another_seed_gives_other_batches() -> None:
    gold = one_label_each(20, 20, 20)
    assert [rows.tolist() for rows in batches_of(gold, 3)] != [rows.tolist() for rows in batches_of(gold, 3, seed=2)]


def test_batches_go_on_where_the_last_ones_ended() -> None:
    gold, whole = one_label_each(20, 20, none=10), 6
    batches = BalancedBatches(gold, size=8, per_label=4, seed=1)
    pieces = [*batches.take(2), *batches.take(whole - 2)]
    assert [rows.tolist() for rows in pieces] == [rows.tolist() for rows in batches_of(gold, whole, size=8)]


@pytest.mark.parametrize(
    ("gold", "labels", "of_each", "without"),
    [
        pytest.param(one_label_each(30, 30, 30, 30, 30), 4, 4, 0, id="more-labels-than-a-batch-has-room-for"),
        pytest.param(one_label_each(30, 30), 2, 8, 0, id="few-labels-fill-the-batch-with-more-of-each"),
        pytest.param(one_label_each(30, 30, none=50), 2, 4, 8, id="half-are-without-a-label"),
        pytest.param(one_label_each(30, 30, none=2), 2, 7, 2, id="as-many-without-as-there-are"),
        pytest.param(one_label_each(30), 1, 16, 0, id="one-label-only"),
        pytest.param(one_label_each(30, none=30), 1, 8, 8, id="one-label-or-none"),
        pytest.param(one_label_each(3, 3, none=50), 2, 3, 6, id="few-that-bear-a-label"),
        pytest.param(one_label_each(*[8] * 77), 4, 4, 0, id="77-labels"),
    ],
)
def test_a_batch_of_sixteen_is_made_of(gold: NDArray[np.bool_], labels: int, of_each: int, without: int) -> None:
    for rows in batches_of(gold, 10):
        borne = gold[rows].sum(axis=0)
        assert sorted(borne[borne > 0]) == [of_each] * labels
        assert (~gold[rows].any(axis=1)).sum() == without


def test_labels_that_nobody_bears_take_no_place() -> None:
    gold = np.hstack([one_label_each(20, 20), np.zeros((40, 30), dtype=bool)])
    assert [len(rows) for rows in batches_of(gold, 5)] == [16] * 5


def test_a_label_with_one_example_comes_with_others_to_push_it_away() -> None:
    gold = one_label_each(1, 30)
    for rows in batches_of(gold, 5):
        assert gold[rows].sum(axis=0).tolist() == [1, 8]


def test_without_any_labelled_row_batches_are_drawn_from_all() -> None:
    batches = batches_of(np.zeros((40, 3), dtype=bool), 5)
    assert [len(rows) for rows in batches] == [16] * 5
    assert Counter(np.concatenate(batches).tolist()) == Counter(dict.fromkeys(range(40), 2))


def test_no_rows_at_all_make_empty_batches() -> None:
    assert [rows.tolist() for rows in batches_of(np.zeros((0, 3), dtype=bool), 2)] == [[], []]


@given(st.lists(st.integers(2, 25), min_size=2, max_size=12), st.integers(0, 5))
def test_every_label_comes_equally_often_however_common(counts: list[int], seed: int) -> None:
    gold = one_label_each(*counts)
    seen = np.zeros(len(counts), dtype=int)
    for rows in batches_of(gold, 30, size=12, per_label=4, seed=seed):
        seen += gold[rows].any(axis=0)
        assert seen.max() - seen.min() <= 1


@given(st.lists(st.integers(4, 25), min_size=1, max_size=4), st.integers(0, 30), st.integers(0, 5))
def test_every_example_of_a_label_comes_equally_often(counts: list[int], none: int, seed: int) -> None:
    gold = one_label_each(*counts, none=none)
    seen: Counter[int] = Counter(dict.fromkeys(range(len(gold)), 0))
    for rows in batches_of(gold, 30, size=16, per_label=4, seed=seed):
        seen.update(rows.tolist())
        for kind in [*gold.T, ~gold.any(axis=1)]:
            times = [seen[row] for row in np.flatnonzero(kind)] or [0]
            assert max(times) - min(times) <= 1


# -- pulls


def test_rows_pull_by_the_overlap_of_their_labels() -> None:
    gold = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]], dtype=bool)
    none = [0, 0]
    assert pull_weights(gold).tolist() == [
        [0, 0.5, 0, 1, *none],
        [0.5, 0, pytest.approx(1 / 3), 0.5, *none],
        [0, pytest.approx(1 / 3), 0, 0, *none],
        [1, 0.5, 0, 0, *none],
        [0] * 6,
        [0] * 6,
    ]


@given(Golds)
def test_pulls_are_the_jaccard_index_of_the_label_sets(gold: NDArray[np.bool_]) -> None:
    weights = pull_weights(gold)
    sets = [set(np.flatnonzero(row).tolist()) for row in gold]
    assert weights.dtype == np.float32
    assert not weights.diagonal().any()
    for one, other in combinations(range(len(gold)), 2):
        either = sets[one] | sets[other]
        expected = len(sets[one] & sets[other]) / len(either) if either else 0.0
        assert weights[one, other] == weights[other, one] == pytest.approx(expected)


# -- the loss


def naive_loss(vectors: torch.Tensor, weights: NDArray[np.float32], temperature: float) -> float:
    """Pair by pair: how much each anchor's positives are missed among all others, meant over anchors."""
    rows, n = vectors.tolist(), len(vectors)
    alike = [[sum(x * y for x, y in zip(one, other, strict=True)) / temperature for other in rows] for one in rows]
    anchors = []
    for anchor in range(n):
        total = log(sum(exp(alike[anchor][other]) for other in range(n) if other != anchor))
        pulls = [float(weights[anchor, other]) for other in range(n)]
        if sum(pulls):
            misses = [pull * (total - alike[anchor][other]) for other, pull in enumerate(pulls) if other != anchor]
            anchors.append(sum(misses) / sum(pulls))
    return sum(anchors) / len(anchors) if anchors else 0.0


def loss_of(vectors: torch.Tensor, gold: list[list[int]] | NDArray[np.bool_], temperature: float = 1.0) -> torch.Tensor:
    weights = torch.from_numpy(pull_weights(np.array(gold, dtype=bool))).to(vectors.dtype)
    return contrastive_loss(vectors, weights, temperature)


def test_loss_of_three_vectors_by_hand() -> None:
    vectors = unit([1, 0], [0, 1], [-1, 0])
    # The first two belong together: of (0, -1) the first must find 0, of (0, 0) the second must find the first 0.
    expected = (-log(1 / (1 + exp(-1))) - log(1 / 2)) / 2
    assert float(loss_of(vectors, [[1, 0], [1, 0], [0, 1]])) == pytest.approx(expected)


def test_temperature_divides_similarities() -> None:
    vectors = unit([1, 0], [0, 1], [-1, 0])
    expected = (-log(1 / (1 + exp(-1 / 0.1))) - log(1 / 2)) / 2
    assert float(loss_of(vectors, [[1, 0], [1, 0], [0, 1]], temperature=0.1)) == pytest.approx(expected)


@given(Golds.filter(lambda gold: len(gold) > 1), st.sampled_from([0.05, 0.1, 1.0]), st.integers(0, 99))
def test_loss_is_what_a_loop_over_all_pairs_gives(gold: NDArray[np.bool_], temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit(*rng.standard_normal((len(gold), 5)).tolist())
    found = float(loss_of(vectors, gold, temperature))
    assert found == pytest.approx(naive_loss(vectors, pull_weights(gold), temperature), rel=1e-6, abs=1e-9)


def test_rows_without_a_positive_push_but_do_not_pull() -> None:
    lonely = torch.tensor([[0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    pair = unit([1, 0], [1, 0.2])
    near, far = (float(loss_of(torch.cat([pair, other]), [[1], [1], [0]])) for other in (unit([1, 0.1]), unit([-1, 0])))
    assert near > far
    loss_of(torch.cat([pair, lonely]), [[1], [1], [0]]).backward()
    assert lonely.grad is not None
    # Downhill for the lonely one is away from the pair.
    assert float((-lonely.grad) @ pair.sum(dim=0)) < 0


def test_partial_overlap_pulls_less_than_the_same_labels() -> None:
    same, half = unit([1, 0]), unit([0, 1])
    anchor = torch.tensor([[0.6, 0.6]], dtype=torch.float64, requires_grad=True)
    loss_of(torch.cat([anchor, same, half]), [[1, 0], [1, 0], [1, 1]]).backward()
    assert anchor.grad is not None
    towards_same, towards_half = (-anchor.grad[0]).tolist()
    assert towards_same > towards_half


@pytest.mark.parametrize("gold", [[[0], [0], [0]], [[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[1], [0], [0]]])
def test_without_any_pair_the_loss_is_zero_and_so_is_its_gradient(gold: list[list[int]]) -> None:
    vectors = torch.randn(3, 4, requires_grad=True)
    loss = loss_of(vectors, gold)
    loss.backward()
    assert float(loss.detach()) == 0
    assert vectors.grad is not None
    assert not vectors.grad.any()


def test_a_single_vector_has_no_loss() -> None:
    assert float(loss_of(torch.ones(1, 3), [[1]])) == 0


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_gradient_is_finite_even_where_vectors_coincide(temperature: float) -> None:
    vectors = torch.nn.functional.normalize(torch.ones(6, 4), dim=1).requires_grad_()
    loss = loss_of(vectors, [[1], [1], [1], [0], [0], [0]], temperature)
    loss.backward()
    assert torch.isfinite(loss)
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()


def test_following_the_gradient_brings_those_of_one_label_together() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        raw = torch.randn(8, 4, requires_grad=True)
    gold = one_label_each(3, 3, none=2)
    optimizer = torch.optim.SGD([raw], lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        loss_of(torch.nn.functional.normalize(raw, dim=1), gold, 0.2).backward()
        optimizer.step()
    alike = torch.nn.functional.normalize(raw, dim=1).detach()
    similarity = (alike @ alike.T).numpy()
    together = pull_weights(gold) > 0
    apart = ~together & ~np.eye(8, dtype=bool) & gold.any(axis=1)[:, None]
    assert similarity[together].min() > 0.8
    assert similarity[apart].max() < 0.6
