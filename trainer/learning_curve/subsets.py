"""Nested subsets of examples for a learning curve: whole groups in a seeded order, the smaller inside the larger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from labels.records import Example

HANDFUL = 5
"""Examples of the rarest label that the smallest subset is meant to hold."""
_FEWEST = 20
_LARGEST_START = 0.25


def curve_shares(gold: NDArray[np.bool_], n_groups: int, number: int) -> list[float]:
    """Shares of the groups in (0, 1], up to `number` in geometric steps: from a handful of each label to everything.

    `gold` is (n, labels). The first share is a quarter at most, so that there is a curve even where labels are rare;
    they may be missing from it then. All shares differ by a group at least.
    """
    rarest = max(int(gold.sum(axis=0).min()), 1)
    start = min(max(_FEWEST / len(gold), HANDFUL / rarest), _LARGEST_START)
    counts = {round(count) for count in np.geomspace(max(start * n_groups, 1), n_groups, number)}
    return [count / n_groups for count in sorted(counts)]


def nested_subsets(
    examples: Sequence[Example], groups: Sequence[int], shares: Sequence[float], seed: int
) -> list[list[Example]]:
    """For each share the examples of that share of the groups, in their own order.

    `groups` holds the group number of each example; at least one group is taken where there is one. Groups are taken in
    a seeded order, the same for all shares, so that each subset holds every smaller one.
    """
    order = np.random.default_rng(seed).permutation(sorted(set(groups)))
    wanted = [max(round(share * len(order)), 1) for share in shares]
    rank = {int(group): position for position, group in enumerate(order)}
    return [
        [example for example, group in zip(examples, groups, strict=True) if rank[group] < count] for count in wanted
    ]
