from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.agreement.coefficients import (
    MISSING,
    Bootstrap,
    alpha_of,
    alpha_sums,
    kappa_of,
    kappa_sums,
    masi_distance,
    mean_of_defined,
    percentile_interval,
    resample,
)
from tests.labels.agreement.coefficients import cohen_kappa, krippendorff_alpha, nominal_distance

VALUES = st.sampled_from("abcd")
SETS = st.frozensets(st.sampled_from("abc"))


def units_of(*observers: str) -> list[list[str]]:
    """Units from one row an observer, as the literature prints them; a dot is a missing value."""
    return [[value for value in column if value != "."] for column in zip(*observers, strict=True)]


def pairwise_alpha(units: Sequence[Sequence[Any]], distance: Callable[[Any, Any], float]) -> float | None:
    """Alpha by its definition: mean distance of values within units, over that of all values that can be paired."""
    pairable = [unit for unit in units if len(unit) > 1]
    everything = [value for unit in pairable for value in unit]
    n = len(everything)
    expected = sum(distance(a, b) for a, b in permutations(everything, 2))
    if not expected:
        return None
    observed = sum(distance(a, b) / (len(unit) - 1) for unit in pairable for a, b in permutations(unit, 2))
    return 1 - (observed / n) / (expected / (n * (n - 1)))


# -- Krippendorff's alpha


def test_alpha_of_two_observers_and_binary_data_as_published() -> None:
    """Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section A."""
    units = units_of("0100000010", "1110010000")

    assert krippendorff_alpha(units) == pytest.approx(0.095, abs=5e-4)


def test_alpha_of_two_observers_and_five_values_as_published() -> None:
    """Krippendorff (2011), section B."""
    units = units_of("aabbdcccedda", "babbbccceddd")

    assert krippendorff_alpha(units) == pytest.approx(0.692, abs=5e-4)


def test_alpha_of_four_observers_with_missing_data_as_published() -> None:
    """Krippendorff (2011), section C: the last unit has one value only, and counts for nothing."""
    units = units_of("123321412...", "1233224125.3", ".3332342251.", "12332441251.")

    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(units[:-1]) == krippendorff_alpha(units)


@given(units=st.lists(st.lists(VALUES, max_size=4), max_size=12))
def test_nominal_alpha_is_that_of_the_definition(units: list[list[str]]) -> None:
    assert krippendorff_alpha(units) == pytest.approx(pairwise_alpha(units, nominal_distance))


@given(units=st.lists(st.lists(SETS, max_size=4), max_size=12))
def test_masi_alpha_is_that_of_the_definition(units: list[list[frozenset[str]]]) -> None:
    assert krippendorff_alpha(units, masi_distance) == pytest.approx(pairwise_alpha(units, masi_distance))


def test_perfect_agreement_on_several_values_is_one() -> None:
    assert krippendorff_alpha([["a", "a"], ["b", "b", "b"]]) == 1


@pytest.mark.parametrize("units", [[], [[]], [["a"], ["b"]], [["a", "a"], ["a", "a", "a"], ["b"]]])
def test_alpha_is_undefined_without_pairs_or_variation(units: list[list[str]]) -> None:
    assert krippendorff_alpha(units) is None


def test_masi_gives_credit_for_overlapping_sets() -> None:
    units = [[("a",), ("a", "b")], [("c",), ("c",)], [(), ()]]

    nominal, masi = krippendorff_alpha(units), krippendorff_alpha(units, masi_distance)

    assert nominal is not None
    assert masi is not None
    assert masi > nominal


# -- MASI


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("", "", 0),
        ("", "a", 1),
        ("a", "b", 1),
        ("ab", "ab", 0),
        ("ab", "a", 1 - 1 / 2 * 2 / 3),
        ("abcd", "ab", 1 - 1 / 2 * 2 / 3),
        ("abc", "a", 1 - 1 / 3 * 2 / 3),
        ("ab", "bc", 1 - 1 / 3 * 1 / 3),
        ("abc", "bcd", 1 - 1 / 2 * 1 / 3),
    ],
)
def test_masi_is_jaccard_weighted_by_monotonicity(first: str, second: str, expected: float) -> None:
    """Passonneau (2006): monotonicity is 1 for equal sets, 2/3 for a subset, 1/3 for an overlap, 0 if disjoint."""
    assert masi_distance(set(first), set(second)) == pytest.approx(expected)


@given(first=SETS, second=SETS)
def test_masi_is_a_symmetric_distance_in_the_unit_interval(first: frozenset[str], second: frozenset[str]) -> None:
    distance = masi_distance(first, second)

    assert 0 <= distance <= 1
    assert (distance == 0) == (first == second)
    assert distance == masi_distance(second, first)


# -- Cohen's kappa


def test_kappa_of_the_well_known_table_is_two_fifths() -> None:
    """The worked example of Wikipedia's "Cohen's kappa": both readers say yes to 20 of 50 grant proposals, only the
    first to 5, only the second to 10.
    """
    first = "y" * 25 + "n" * 25
    second = "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15

    assert cohen_kappa(first, second) == pytest.approx(0.4)


def test_kappa_is_negative_where_agreement_is_below_chance() -> None:
    """Marginals .5 .3 .2 and .4 .3 .3 meet by chance in .35 of the units; .29 are on the diagonal."""
    table = {"aa": 25, "ab": 13, "ac": 12, "ba": 12, "bb": 2, "bc": 16, "ca": 3, "cb": 15, "cc": 2}
    first = "".join(cell[0] * count for cell, count in table.items())
    second = "".join(cell[1] * count for cell, count in table.items())

    assert cohen_kappa(first, second) == pytest.approx((0.29 - 0.35) / (1 - 0.35))


@given(pairs=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=30))
@settings(deadline=None)  # the first example imports scikit-learn
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    from sklearn.metrics import cohen_kappa_score

    first, second = zip(*pairs, strict=True)
    kappa = cohen_kappa(first, second)

    assert (kappa is None) == (len({*first, *second}) == 1)
    if kappa is not None:
        assert kappa == pytest.approx(cohen_kappa_score(first, second))


def test_kappa_is_zero_where_only_one_rater_varies() -> None:
    assert cohen_kappa("aaaa", "aaab") == 0


@pytest.mark.parametrize("units", ["", "a", "aaa"])
def test_kappa_is_undefined_without_variation(units: str) -> None:
    assert cohen_kappa(units, units) is None


# -- sums over documents


@given(
    codes=st.lists(st.lists(st.integers(MISSING, 2), min_size=3, max_size=3), min_size=1, max_size=10),
    copies=st.lists(st.integers(0, 3), min_size=10, max_size=10),
)
def test_weighting_documents_is_the_same_as_repeating_their_units(codes: list[list[int]], copies: list[int]) -> None:
    """The shortcut of the bootstrap."""
    rows = np.array(codes)
    groups = np.arange(len(rows)) % 4
    weights = np.array([copies[:4]], dtype=float)
    repeated = np.repeat(rows, [copies[group] for group in groups], axis=0)
    one_group = np.zeros(len(repeated), dtype=int)
    distances = 1 - np.eye(3)

    alpha = alpha_of(weights @ alpha_sums(rows, distances, groups, 4), distances)
    kappa = kappa_of(weights @ kappa_sums(rows[:, :2], 3, groups, 4))

    assert alpha == pytest.approx(alpha_of(alpha_sums(repeated, distances, one_group, 1), distances), nan_ok=True)
    assert kappa == pytest.approx(kappa_of(kappa_sums(repeated[:, :2], 3, one_group, 1)), nan_ok=True)


def test_a_mean_leaves_out_what_is_undefined_in_a_draw() -> None:
    nan = math.nan

    mean = mean_of_defined([np.array([1.0, nan, nan]), np.array([0.0, 0.5, nan])])

    assert mean == pytest.approx([0.5, 0.5, nan], nan_ok=True)


# -- intervals


def documents(n: int) -> list[str]:
    return [f"d{number}" for number in range(n)]


@pytest.mark.parametrize(("n", "rows"), [(0, 1), (19, 1), (20, 101)])
def test_draws_are_made_of_twenty_documents_or_more(n: int, rows: int) -> None:
    weights = resample(documents(n), Bootstrap(100, 1, 0.95)).weights

    assert weights.shape == (rows, n)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == n).all()


def test_units_of_a_document_are_drawn_together() -> None:
    resampling = resample(["b", "a", "b"], Bootstrap(10, 1, 0.95))

    assert resampling.groups.tolist() == [1, 0, 1]
    assert resampling.n_documents == 2


def test_draws_depend_on_the_seed_alone() -> None:
    def weights(seed: int) -> list[list[float]]:
        return resample(documents(30), Bootstrap(5, seed, 0.95)).weights.tolist()  # type: ignore[no-any-return]

    assert weights(1) == weights(1)
    assert weights(1) != weights(2)


def test_an_interval_spans_the_percentiles_of_the_defined_draws() -> None:
    resampling = resample(documents(20), Bootstrap(103, 1, 0.9))
    figures = np.array([0.5, *np.linspace(0, 1, 101), math.nan, math.nan])

    estimate = resampling.estimate(figures, "no reason")

    assert estimate.value == 0.5
    assert (estimate.low, estimate.high) == (pytest.approx(0.05), pytest.approx(0.95))
    assert estimate.undefined_draws == 2
    assert (estimate.undefined, estimate.no_interval) == ("", "")


def test_draws_that_are_all_undefined_have_no_percentiles() -> None:
    assert percentile_interval(np.array([math.nan, math.nan]), 0.9) is None
    assert percentile_interval(np.array([math.nan, *np.linspace(0, 1, 101)]), 0.9) == pytest.approx((0.05, 0.95))


def test_an_undefined_figure_says_why_and_has_no_interval() -> None:
    estimate = resample(documents(20), Bootstrap(2, 1, 0.9)).estimate(np.array([math.nan, 0.1, 0.2]), "no variation")

    assert (estimate.value, estimate.undefined) == (None, "no variation")
    assert (estimate.low, estimate.high) == (None, None)


@pytest.mark.parametrize(("bearing", "reason"), [(19, "fewer than 20 documents: 19"), (20, ""), (None, "")])
def test_a_figure_of_few_documents_has_no_interval(bearing: int | None, reason: str) -> None:
    estimate = resample(documents(30), Bootstrap(2, 1, 0.9)).estimate(
        np.array([0.3, 0.2, 0.4]), "", n_documents=bearing
    )

    assert estimate.value == 0.3
    assert estimate.no_interval == reason
    assert (estimate.low is None) == bool(reason)


def test_a_figure_undefined_in_every_draw_has_no_interval() -> None:
    estimate = resample(documents(20), Bootstrap(2, 1, 0.9)).estimate(np.array([0.3, math.nan, math.nan]), "")

    assert (estimate.no_interval, estimate.undefined_draws) == ("undefined in every draw", 2)
    assert estimate.low is None
