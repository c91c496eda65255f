"""Divide the size of a sample among strata."""

from __future__ import annotations

from collections.abc import Sequence


def audit_shares(sizes: Sequence[int], total: int) -> list[int]:
    """Divide `total` among strata of these sizes: half in proportion to the sizes, and half equally.

    The equal half finds rare labels and errors of the model. Without the proportional half, the few sentences drawn
    from the largest stratum would limit the precision of estimates.
    """
    total = min(total, sum(sizes))
    part = [total * size // (2 * sum(sizes)) for size in sizes]
    rest = _equal_shares([size - own for size, own in zip(sizes, part, strict=True)], total - sum(part))
    return [own + more for own, more in zip(part, rest, strict=True)]


def _equal_shares(sizes: Sequence[int], total: int) -> list[int]:
    """Divide `total` equally among strata of these sizes.

    If a stratum is smaller than its share, the larger strata get the rest of the share.
    """
    shares = [0] * len(sizes)
    left = min(total, sum(sizes))
    open_ = sorted((i for i, size in enumerate(sizes) if size), key=sizes.__getitem__)
    # Start with the smallest stratum: the rest of its share is divided among the larger strata.
    for turn, stratum in enumerate(open_):
        shares[stratum] = min(sizes[stratum], left // (len(open_) - turn))
        left -= shares[stratum]
    return shares
