"""Choose diverse sentences by clustering their embeddings."""

from __future__ import annotations

from collections.abc import Sequence


def representatives(
    vectors: Sequence[bytes], count: int, *, weights: Sequence[float] | None = None, seed: int
) -> list[int]:
    """The positions of `count` diverse vectors: the vector nearest to the centre of each k-means cluster.

    Returns all positions if there are at most `count` vectors.

    Args:
        vectors: n little-endian float16 vectors of the same length.
        weights: a weight >= 0 per vector; the centres move towards vectors with large weights.
        seed: the seed of k-means.

    Source: Zhdanov (2019), "Diverse mini-batch Active Learning".
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
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct vectors than clusters
        clusters = KMeans(n_clusters=count, n_init=1, random_state=seed % 2**32).fit(matrix, sample_weight=mass)
    distances = np.linalg.norm(matrix - clusters.cluster_centers_[clusters.labels_], axis=1)
    order = np.argsort(distances, kind="stable").tolist()
    # From the farthest to the nearest: a nearer vector of the same cluster overwrites a farther one.
    chosen = set({int(clusters.labels_[position]): position for position in reversed(order)}.values())
    # Equal vectors leave clusters empty: add the vectors that are next nearest to their centres.
    chosen.update([position for position in order if position not in chosen][: count - len(chosen)])
    return [position for position in order if position in chosen]
