"""Find near-duplicate sentences, such as agency reports that several newspapers print with small changes.

Two sentences of at least `MIN_WORDS` words are near-duplicates if the Jaccard similarity of their word 3-shingles is
at least `MIN_JACCARD`. MinHash (datasketch) proposes candidate pairs, and the exact similarity of every pair is then
computed. Shorter sentences are often common phrases and never count as near-duplicates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import combinations, product

from labels.unicode import search_form

MIN_WORDS = 8
MIN_JACCARD = 0.6
_SHINGLE = 3
_PERMUTATIONS = 128
_BANDS, _ROWS = 42, 3
"""A pair with Jaccard 0.6 shares at least one of 42 bands of 3 rows with probability 1 - (1 - 0.6**3)**42 > 0.9999."""
_MIXERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)
_WORD = re.compile(r"\w+")

Shingles = frozenset[str]


def near_duplicate_clusters(texts: Sequence[str]) -> list[int]:
    """Return the cluster number of each text; texts connected by near-duplicate pairs share a number.

    Args:
        texts: n sentences.

    Returns:
        n integers; a text without near-duplicates has a unique number.
    """
    from scipy.cluster.hierarchy import DisjointSet

    sets = DisjointSet(range(len(texts)))
    # Texts with equal shingles are compared as one group: a thousand copies would make half a million pairs.
    copies, similar = _similarities(texts)
    for own in copies:
        for position in own[1:]:
            sets.merge(own[0], position)
    for left, right in similar:
        sets.merge(copies[left][0], copies[right][0])
    return [int(sets[index]) for index in range(len(texts))]


def near_duplicate_pairs(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the positions (i < j) of every near-duplicate pair once; n equal texts make n (n - 1) / 2 pairs."""
    copies, similar = _similarities(texts)
    for own in copies:
        yield from combinations(own, 2)
    for left, right in similar:
        yield from ((min(pair), max(pair)) for pair in product(copies[left], copies[right]))


def near_duplicates_of(texts: Sequence[str], known: Sequence[str]) -> list[int]:
    """Return the sorted positions of the `texts` that are near-duplicates of at least one `known` text."""
    return sorted(known_near_duplicates(texts, known))


def known_near_duplicates(texts: Sequence[str], known: Sequence[str]) -> dict[int, int]:
    """Map the positions of the `texts` that are near-duplicates of a `known` text to the position of one such text.

    A known text with the same words is preferred to a similar one.
    """
    copies, similar = _similarities([*known, *texts])
    neighbours = {group: [group] for group in range(len(copies))}
    for left, right in similar:
        neighbours[left].append(right)
        neighbours[right].append(left)
    found: dict[int, int] = {}
    for group, own in enumerate(copies):
        # Positions are sorted, and known texts come first.
        partner = next((copies[other][0] for other in neighbours[group] if copies[other][0] < len(known)), None)
        if partner is not None:
            found |= {position - len(known): partner for position in own if position >= len(known)}
    return found


def has_few_words(text: str) -> bool:
    """Return whether a text has fewer than `MIN_WORDS` words, so that it is never a near-duplicate."""
    return len(_WORD.findall(search_form(text))) < MIN_WORDS


def words_of(text: str) -> str:
    """Return the words of a text, without case, punctuation and typography, separated by spaces."""
    return " ".join(_WORD.findall(search_form(text)))


def _similarities(texts: Sequence[str]) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """Group the positions of texts with equal shingles; return the groups and the pairs of near-duplicate groups."""
    by_shingles: dict[Shingles, list[int]] = {}
    for position, text in enumerate(texts):
        own = _shingles(text)
        if own:
            by_shingles.setdefault(own, []).append(position)
    shingles = list(by_shingles)
    similar = [
        (other, group)
        for group, others in _candidates(shingles)
        for other in others
        if _jaccard(shingles[group], shingles[other]) >= MIN_JACCARD
    ]
    return list(by_shingles.values()), similar


def _candidates(shingles: Sequence[Shingles]) -> Iterator[tuple[int, list[int]]]:
    """Yield each position with the earlier positions whose sketches share a band with it, if there are any."""
    import numpy as np
    from datasketch import MinHash

    if not shingles:
        return
    encoded = ([shingle.encode("utf-8", "surrogatepass") for shingle in own] for own in shingles)
    sketches = MinHash.generator(encoded, num_perm=_PERMUTATIONS)  # creates the permutations only once
    signatures = np.array([sketch.hashvalues for sketch in sketches], dtype=np.uint64)
    mixers = np.array(_MIXERS, dtype=np.uint64)
    shared = np.zeros((len(shingles), _BANDS), dtype=bool)
    bucket_of, buckets = np.empty((len(shingles), _BANDS), dtype=np.int64), []
    for band in range(_BANDS):
        rows = signatures[:, band * _ROWS : (band + 1) * _ROWS]
        # One number for each band. Two bands may have the same number by chance: every pair is verified later.
        keys = (rows * mixers).sum(axis=1, dtype=np.uint64)
        _, bucket, sizes = np.unique(keys, return_inverse=True, return_counts=True)
        bucket_of[:, band], shared[:, band] = bucket, sizes[bucket] > 1
        buckets.append(np.split(np.argsort(bucket, kind="stable"), np.cumsum(sizes)[:-1]))
    for position in np.flatnonzero(shared.any(axis=1)):
        members = (buckets[band][bucket_of[position, band]] for band in np.flatnonzero(shared[position]))
        earlier = np.unique(np.concatenate([own[: np.searchsorted(own, position)] for own in members]))
        if len(earlier):
            yield int(position), earlier.tolist()


def _shingles(text: str) -> Shingles:
    words = _WORD.findall(search_form(text))
    if len(words) < MIN_WORDS:
        return frozenset()
    return frozenset(" ".join(words[i : i + _SHINGLE]) for i in range(len(words) - _SHINGLE + 1))


def _jaccard(left: Shingles, right: Shingles) -> float:
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)
