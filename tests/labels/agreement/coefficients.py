"""Kappa and alpha of plain values, by the same sums as the reports: what the published examples are compared with."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from labels.agreement.coefficients import MISSING, alpha_of, alpha_sums, distance_matrix, kappa_of, kappa_sums

Value = TypeVar("Value", bound=Hashable)
Integers = NDArray[np.int64]


def cohen_kappa(first: Sequence[Value], second: Sequence[Value]) -> float | None:
    """Cohen's kappa of two raters: `first[i]` and `second[i]` are what they said of unit i. At most 1, may be negative.

    Returns:
        None where it is undefined: no units, or one and the same value throughout.
    """
    units = list(zip(first, second, strict=True))
    codes, values, groups = _as_one_document(units)
    return _or_none(kappa_of(kappa_sums(codes, len(values), groups, 1)))


def krippendorff_alpha(
    units: Sequence[Sequence[Value]], distance: Callable[[Value, Value], float] | None = None
) -> float | None:
    """Krippendorff's alpha of any number of raters: a unit is the values that it was given, as many as there are.

    `distance` (default: nominal) is symmetric, 0 for equal values and positive for others. A unit with fewer than two
    values cannot be paired and counts for nothing. At most 1, may be negative.

    Returns:
        None where it is undefined: nothing to pair, or one and the same value throughout.
    """
    codes, values, groups = _as_one_document(units)
    distances = distance_matrix(values, distance or nominal_distance)
    return _or_none(alpha_of(alpha_sums(codes, distances, groups, 1), distances))


def nominal_distance(first: Hashable, second: Hashable) -> float:
    """0 for equal values, 1 for others."""
    return float(first != second)


def _as_one_document(units: Sequence[Sequence[Value]]) -> tuple[Integers, list[Value], Integers]:
    """Codes (units, raters) padded with `MISSING`, the values they stand for, and a group number a unit."""
    values = list(dict.fromkeys(value for unit in units for value in unit))
    number = {value: code for code, value in enumerate(values)}
    codes = np.full((len(units), max(map(len, units), default=0)), MISSING, dtype=np.int64)
    for row, unit in enumerate(units):
        codes[row, : len(unit)] = [number[value] for value in unit]
    return codes, values, np.zeros(len(units), dtype=np.int64)


def _or_none(figures: NDArray[np.float64]) -> float | None:
    return None if np.isnan(figures[0]) else float(figures[0])
