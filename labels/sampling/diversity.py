"""Sentences that differ from one another: representatives of clusters of embeddings."""

from __future__ import annotations

from collections.abc import Sequence


def representatives(
    vectors: Sequence[bytes], count: int, *, weights: Sequence[float] | None = None, seed: int
) -> list[int]:
    """Positions of `count` vectors, one nearest to the centre of each k-means cluster; all, if there are no more.

    With `weights` (0 or more) the centres are pulled towards the heavier vectors, as in Zhdanov (2019), "Diverse
    mini-batch Active Learning".

    Args:
        vectors: n little-endian float16 vectors of one length.
    """
    if count >= len(vectors):
        return list(range(len(vectors)))
    import warnings

    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    matrix = np.stack([np.frombuffer(vector, dtype="<f2") for vector in vectors]).astype(np.float32)
    mass = None if weights is None else np.maximum(np.asarray(weights, dtype=np.float64), 1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different vectors than clusters
        clusters = KMeans(n_clusters=count, n_init=1, random_state=seed % 2**32).fit(matrix, sample_weight=mass)
    distances = np.linalg.norm(matrix - clusters.cluster_centers_[clusters.labels_], axis=1)
    order = [int(position) for position in np.argsort(distances, kind="stable")]
    nearest: dict[int, int] = {}
    for position in order:
        nearest.setdefault(int(clusters.labels_[position]), position)
    chosen = set(nearest.values())
    # Equal vectors leave clusters empty: what is next nearest to its centre takes their places.
    chosen.update([position for position in order if position not in chosen][: count - len(chosen)])
    return [position for position in order if position in chosen]
