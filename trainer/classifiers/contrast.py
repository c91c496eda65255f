"""Supervised contrastive learning over whole batches: which examples make a batch, which pull each other, and the loss.

Source: Khosla et al. (2020), "Supervised Contrastive Learning", with Jaccard weights for several labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainer.arrays import Bools

if TYPE_CHECKING:
    from torch import Tensor

Indices = NDArray[np.int64]

FEWEST_POSITIVES = 2
"""A label with a single example in a batch could not be pulled towards anything."""


class BalancedBatches:
    """Batches of P labels x K examples that bear them, and at most as many examples without a label.

    Labels, the examples of each label, and those without one are each dealt from a shuffled pack that is shuffled anew
    when it runs out, so that all turn up equally often. No example stands twice in a batch; one that is dealt for two
    labels leaves its second place empty.

    Args:
        gold: (n, labels). Labels that nobody bears are left out.
        size: examples in a batch, at most; 4 or more.
        per_label: K where there are labels enough to fill a batch with K of each.
        seed: of the shuffling.
    """

    def __init__(self, gold: Bools, *, size: int, per_label: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        bearing = [np.flatnonzero(column) for column in gold.T if column.any()]
        without = np.flatnonzero(~gold.any(axis=1))
        self._n_without = min(len(without), size // 2) if bearing else min(len(without), size)
        room = size - self._n_without
        self._n_labels = max(1, min(len(bearing), room // max(per_label, FEWEST_POSITIVES)))
        self._per_label = max(FEWEST_POSITIVES, room // self._n_labels)
        self._labels = _Pack(np.arange(len(bearing)), rng)
        self._examples = [_Pack(rows, rng) for rows in bearing]
        self._without = _Pack(without, rng)

    def take(self, n: int) -> Iterator[Indices]:
        """The next `n` batches, as sorted row numbers of `gold`."""
        for _ in range(n):
            rows = {row for label in self._labels.deal(self._n_labels) for row in self._bearing(label)}
            n_without = min(self._n_without, len(rows)) if rows else self._n_without
            yield np.array(sorted(rows | set(self._without.deal(n_without))), dtype=np.int64)

    def _bearing(self, label: int) -> Sequence[int]:
        return self._examples[label].deal(self._per_label)


class _Pack:
    """Rows dealt in random order, all of them before any comes again."""

    def __init__(self, rows: Indices, rng: np.random.Generator) -> None:
        self._rows = rows
        self._rng = rng
        self._left: list[int] = []

    def deal(self, n: int) -> Sequence[int]:
        """`n` rows, or as many as there are; none twice."""
        n = min(n, len(self._rows))
        dealt, self._left = self._left[:n], self._left[n:]
        if len(dealt) < n:
            fresh = [int(row) for row in self._rng.permutation(self._rows)]
            more = [row for row in fresh if row not in dealt][: n - len(dealt)]
            self._left = [row for row in fresh if row not in more]
            dealt = dealt + more
        return dealt


def pull_weights(gold: Bools) -> NDArray[np.float32]:
    """(n, n) how strongly each two rows belong together: the Jaccard overlap of their label sets, 0 on the diagonal.

    Rows without a label belong with nobody, not even with each other: nothing is alike in what they lack.
    """
    rows = gold.astype(np.float32)
    shared = rows @ rows.T
    size = rows.sum(axis=1)
    either = size[:, None] + size[None, :] - shared
    weights = np.divide(shared, either, out=np.zeros_like(shared), where=either > 0)
    np.fill_diagonal(weights, 0.0)
    return np.asarray(weights, dtype=np.float32)


def contrastive_loss(vectors: Tensor, weights: Tensor, temperature: float) -> Tensor:
    """Mean over anchors of the weighted cross-entropy of finding their positives among all others of the batch.

    Args:
        vectors: (n, dimensions) of length 1.
        weights: (n, n) as `pull_weights` gives. A row of zeros is no anchor; its vector pushes all the same.
        temperature: above 0; the smaller, the more the nearest wrong neighbours count.

    Returns:
        A scalar; 0 where no row has a positive.
    """
    import torch

    similarities = vectors @ vectors.T / temperature
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    logs = torch.log_softmax(similarities.masked_fill(itself, -torch.inf), dim=1).masked_fill(itself, 0.0)
    pull = weights.sum(dim=1)
    anchors = pull > 0
    if not bool(anchors.any()):
        return vectors.sum() * 0.0
    per_anchor = -(weights * logs).sum(dim=1)[anchors] / pull[anchors]
    return per_anchor.mean()
