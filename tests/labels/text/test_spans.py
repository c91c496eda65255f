from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from labels.records import Sentence
from labels.text.spans import fill_gaps, spans_by_document, without_overlaps

SPANS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(1, 6)), max_size=12).map(
    lambda drawn: [Sentence(document, start, start + length, "x" * length) for document, start, length in drawn]
)


def overlap(one: Sentence, other: Sentence) -> bool:
    return one.document_id == other.document_id and one.start < other.end and other.start < one.end


@given(SPANS, SPANS)
def test_filled_gaps_never_overlap_and_prefer_the_first_source(kept: list[Sentence], others: list[Sentence]) -> None:
    found = fill_gaps(kept, others)
    for index, one in enumerate(found):
        assert not any(overlap(one, other) for other in found[index + 1 :])
    for left_out in {*kept, *others} - set(found):
        assert any(overlap(left_out, one) for one in found)
    assert set(without_overlaps(kept, {})) <= set(found)


@given(SPANS, SPANS)
def test_no_sentence_overlaps_a_taken_span(sentences: list[Sentence], taken: list[Sentence]) -> None:
    found = without_overlaps(sentences, spans_by_document(taken))
    assert not any(overlap(one, other) for one in found for other in taken)
