"""Combine the spans of a document from two sources, such as a splitter and annotations, and shift spans."""

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


class Shift:
    """The positions of a text's characters in the same text with other white space."""

    def __init__(self, old: str, new: str) -> None:
        before = 0
        self._counts = [before := before + (not one.isspace()) for one in old]
        self._places = [place for place, one in enumerate(new) if not one.isspace()]
        self._length = len(new)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The span with the same characters."""
        first = self._counts[start - 1] if start else 0
        last = self._counts[end - 1] if end else 0
        if last <= first:  # a span of white space
            return (self._places[first] if first < len(self._places) else self._length,) * 2
        return self._places[first], self._places[last - 1] + 1
