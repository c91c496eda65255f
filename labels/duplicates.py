"""Near-duplicate clusters of sentences: wire copy that is printed again with small changes.

Two sentences of at least `MIN_WORDS` words are near-duplicates when the Jaccard similarity of their word 3-shingles is
at least `MIN_JACCARD`. Candidates come from MinHash (datasketch); each is verified exactly. Shorter sentences are
common phrases and never count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

MIN_WORDS = 8
MIN_JACCARD = 0.6
_SHINGLE = 3
_PERMUTATIONS = 128
_BANDS, _ROWS = 42, 3
"""A pair at Jaccard 0.6 meets in at least one of 42 bands of 3 rows with probability 1 - (1 - 0.6**3)**42 > 0.9999."""
_WORD = re.compile(r"\w+")

Shingles = frozenset[str]


def near_duplicate_clusters(texts: Sequence[str]) -> list[int]:
    """Cluster number of each text: equal numbers are connected through near-duplicate pairs.

    Args:
        texts: n sentences.

    Returns:
        n integers; a text without a near-duplicate has a number of its own.
    """
    from scipy.cluster.hierarchy import DisjointSet

    sets = DisjointSet(range(len(texts)))
    for left, right in near_duplicate_pairs(texts):
        sets.merge(left, right)
    return [int(sets[index]) for index in range(len(texts))]


def near_duplicate_pairs(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the positions (i < j) of every near-duplicate pair, each once."""
    from datasketch import MinHash, MinHashLSH

    shingles = [_shingles(text) for text in texts]
    first: dict[Shingles, int] = {}
    index = MinHashLSH(num_perm=_PERMUTATIONS, params=(_BANDS, _ROWS))
    for position, own in enumerate(shingles):
        if not own:
            continue
        if own in first:
            yield first[own], position
            continue
        first[own] = position
        sketch = MinHash(num_perm=_PERMUTATIONS)
        sketch.update_batch([shingle.encode("utf-8", "surrogatepass") for shingle in own])
        for other in index.query(sketch):
            if _jaccard(own, shingles[other]) >= MIN_JACCARD:
                yield other, position
        index.insert(position, sketch, check_duplication=False)


def _shingles(text: str) -> Shingles:
    words = _WORD.findall(text.casefold())
    if len(words) < MIN_WORDS:
        return frozenset()
    return frozenset(" ".join(words[i : i + _SHINGLE]) for i in range(len(words) - _SHINGLE + 1))


def _jaccard(left: Shingles, right: Shingles) -> float:
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)
