"""How often a corpus says the same: n-grams shared by documents, and the variety of its words. Lists in, shares out."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import mean

_NGRAM = 4
_NGRAM_WORDS, _NGRAM_DRAWS = 80_000, 5
_SEED = 13
_WINDOW = 1000


def share_at_equal_size(sentences: Sequence[Sequence[str]], documents: Sequence[str]) -> float | None:
    """`repeated_ngram_share` of documents drawn at random up to `_NGRAM_WORDS` words, the mean of a few draws.

    The share grows with a corpus: at one size, a corpus that is added to stays comparable with itself.
    """
    own: defaultdict[str, list[Sequence[str]]] = defaultdict(list)
    for words, document in zip(sentences, documents, strict=True):
        own[document].append(words)
    shares: list[float | None] = []
    for seed in range(_SEED, _SEED + _NGRAM_DRAWS):
        taken: dict[str, list[Sequence[str]]] = {}
        size = 0
        for document in random.Random(seed).sample(sorted(own), len(own)):
            if size < _NGRAM_WORDS:
                taken[document] = own[document]
                size += sum(map(len, own[document]))
        homes = [document for document, inside in taken.items() for _ in inside]
        shares.append(repeated_ngram_share([words for inside in taken.values() for words in inside], homes))
    found = [share for share in shares if share is not None]
    return mean(found) if found else None


def repeated_ngram_share(sentences: Sequence[Sequence[str]], documents: Sequence[str], n: int = _NGRAM) -> float | None:
    """Share, in [0, 1], of the word n-gram tokens that occur in more than one document; None without n-grams.

    Args:
        sentences: the words of each sentence; no n-gram reaches over the end of one.
        documents: the document of each sentence.
    """
    homes: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    counts: Counter[tuple[str, ...]] = Counter()
    for words, document in zip(sentences, documents, strict=True):
        for gram in zip(*(words[start:] for start in range(n)), strict=False):
            homes[gram].add(document)
            counts[gram] += 1
    return share(sum(times for gram, times in counts.items() if len(homes[gram]) > 1), counts.total())


def moving_type_token_ratio(words: Sequence[str], window: int = _WINDOW) -> float | None:
    """Mean share of different words in every run of `window` words, in (0, 1]; None with fewer words than that.

    Source: Covington and McFall (2010), "Cutting the Gordian knot: the moving-average type-token ratio (MATTR)".
    """
    if len(words) < window:
        return None
    inside = Counter(words[:window])
    types = [len(inside)]
    for entering, leaving in zip(words[window:], words, strict=False):
        inside[entering] += 1
        inside[leaving] -= 1
        if not inside[leaving]:
            del inside[leaving]
        types.append(len(inside))
    return sum(types) / len(types) / window


def share(part: int, whole: int) -> float | None:
    """In [0, 1]; None where there is nothing to have a share in."""
    return part / whole if whole else None
