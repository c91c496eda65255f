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
    copies, similar = _similarities([*known, *texts])
    neighbours = {group: {group} for group in range(len(copies))}
    for left, right in similar:
        neighbours[left].add(right)
        neighbours[right].add(left)
    has_known = [own[0] < len(known) for own in copies]  # positions are sorted, and known texts come first
    near = (own for group, own in enumerate(copies) if any(has_known[other] for other in neighbours[group]))
    return sorted(position - len(known) for own in near for position in own if position >= len(known))


def _similarities(texts: Sequence[str]) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """Group the positions of texts with equal shingles; return the groups and the pairs of near-duplicate groups."""
    from datasketch import MinHash, MinHashLSH

    by_shingles: dict[Shingles, list[int]] = {}
    for position, text in enumerate(texts):
        own = _shingles(text)
        if own:
            by_shingles.setdefault(own, []).append(position)
    shingles = list(by_shingles)
    index = MinHashLSH(num_perm=_PERMUTATIONS, params=(_BANDS, _ROWS))
    similar: list[tuple[int, int]] = []
    encoded = ([shingle.encode("utf-8", "surrogatepass") for shingle in own] for own in shingles)
    sketches = MinHash.generator(encoded, num_perm=_PERMUTATIONS)  # creates the permutations only once
    for group, (own, sketch) in enumerate(zip(shingles, sketches, strict=True)):
        similar += [(other, group) for other in index.query(sketch) if _jaccard(own, shingles[other]) >= MIN_JACCARD]
        index.insert(group, sketch, check_duplication=False)
    return list(by_shingles.values()), similar


def _shingles(text: str) -> Shingles:
    words = _WORD.findall(search_form(text))
    if len(words) < MIN_WORDS:
        return frozenset()
    return frozenset(" ".join(words[i : i + _SHINGLE]) for i in range(len(words) - _SHINGLE + 1))


def _jaccard(left: Shingles, right: Shingles) -> float:
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)
