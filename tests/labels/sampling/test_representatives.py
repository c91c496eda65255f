from __future__ import annotations

import math

import pytest

from labels.sampling.clusters import representatives
from tests.labels.store.builders import vector


def around(corners: int, each: int, spread: float = 0.02) -> list[bytes]:
    """Vectors of length 1: `each` in turn around every corner of a circle, the middle ones exactly at it."""
    angles = [
        2 * math.pi * corner / corners + spread * (turn - each // 2)
        for turn in range(each)
        for corner in range(corners)
    ]
    return [vector(math.cos(angle), math.sin(angle)) for angle in angles]


@pytest.mark.parametrize("seed", range(5))
def test_the_vector_nearest_to_each_cluster_centre_is_chosen(seed: int) -> None:
    chosen = representatives(around(4, 5), 4, seed=seed)

    assert {position % 4 for position in chosen} == {0, 1, 2, 3}
    assert {position // 4 for position in chosen} == {2}


def test_the_seed_decides_the_choice() -> None:
    vectors = around(30, 2)

    assert representatives(vectors, 7, seed=1) == representatives(vectors, 7, seed=1)
    assert len({tuple(representatives(vectors, 7, seed=seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize("count", [3, 5, 100])
def test_all_are_chosen_where_no_more_are_asked_for(count: int) -> None:
    assert representatives(around(3, 1), count, seed=1) == [0, 1, 2]


def test_nothing_is_chosen_from_nothing() -> None:
    assert representatives([], 5, seed=1) == []


@pytest.mark.parametrize("seed", range(3))
def test_weights_pull_the_centres(seed: int) -> None:
    vectors = around(2, 5, spread=0.1)
    heavy = [1000.0 if position in (0, 9) else 1.0 for position in range(10)]

    assert set(representatives(vectors, 2, weights=heavy, seed=seed)) == {0, 9}
    assert set(representatives(vectors, 2, weights=[1.0] * 10, seed=seed)) == {4, 5}


def test_weights_of_nothing_but_zero_are_allowed() -> None:
    assert len(representatives(around(3, 4), 3, weights=[0.0] * 12, seed=1)) == 3


def test_equal_vectors_still_give_as_many_as_were_asked_for() -> None:
    vectors = [*around(2, 1), *[vector(1.0, 0.0)] * 10]

    chosen = representatives(vectors, 5, seed=-3)

    assert len(set(chosen)) == len(chosen) == 5
    assert 1 in chosen
