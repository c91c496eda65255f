"""Combine the spans of a document from two sources, such as a splitter and annotations."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from itertools import accumulate

from labels.records import Sentence

Span = tuple[int, int]
"""Start and end of a sentence in its document's text."""


def fill_gaps(kept: Iterable[Sentence], others: Iterable[Sentence]) -> list[Sentence]:
    """Combine the sentences of two sources without overlaps, by document and position; `kept` takes precedence.

    Where two sentences of the same source overlap, the one that starts first is returned.
    """
    first = without_overlaps(kept, {})
    rest = without_overlaps(others, spans_by_document(first))
    return sorted([*first, *rest], key=lambda sentence: (sentence.document_id, sentence.start))


def spans_by_document(sentences: Iterable[Sentence]) -> dict[str, list[Span]]:
    """Map document ids to the spans of their sentences."""
    spans: defaultdict[str, list[Span]] = defaultdict(list)
    for sentence in sentences:
        spans[sentence.document_id].append((sentence.start, sentence.end))
    return spans


def without_overlaps(sentences: Iterable[Sentence], taken: dict[str, list[Span]]) -> list[Sentence]:
    """Return the sentences that overlap neither a taken span of their document nor an earlier returned sentence."""
    by_document: defaultdict[str, list[Sentence]] = defaultdict(list)
    for sentence in sentences:
        by_document[sentence.document_id].append(sentence)
    return [one for document, own in by_document.items() for one in _fitting(own, taken.get(document, []))]


def _fitting(sentences: list[Sentence], taken: list[Span]) -> Iterable[Sentence]:
    taken = sorted(taken)
    starts = [start for start, _ in taken]
    furthest = list(accumulate((end for _, end in taken), max))  # the greatest end up to each taken span
    end = 0  # of the last sentence in the result
    for sentence in sorted(sentences, key=lambda one: (one.start, one.end)):
        before = bisect_left(starts, sentence.end)  # the number of taken spans that begin before the sentence ends
        if sentence.start >= end and (not before or furthest[before - 1] <= sentence.start):
            yield sentence
            end = sentence.end
