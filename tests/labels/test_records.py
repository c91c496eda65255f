from __future__ import annotations

import dataclasses
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.records import Document, Example, Sentence, document_id, sentence_id


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def test_a_document_is_identified_by_source_and_text_alone() -> None:
    document = Document("wire", "Guns fell silent.", title="A", date="2024-05-01")
    assert document.id == document_id("wire", "Guns fell silent.") == digest("wire\nGuns fell silent.")
    assert document.id == dataclasses.replace(document, title="B", url="u", date="", language="fr", synthetic=True).id
    assert document.id != dataclasses.replace(document, source="radio").id
    assert document.id != dataclasses.replace(document, text="Guns fell silent").id


def test_a_sentence_is_identified_by_document_and_span() -> None:
    sentence = Sentence("d1", 4, 20, "Guns fell silent", splitter="one/1")
    assert sentence.id == sentence_id("d1", 4, 20) == digest("d1\n4\n20")
    assert sentence.id == dataclasses.replace(sentence, splitter="two/2", boilerplate="caption").id
    assert len({sentence.id, sentence_id("d1", 4, 21), sentence_id("d1", 5, 20), sentence_id("d2", 4, 20)}) == 4


@settings(deadline=None, max_examples=50)
@given(st.tuples(st.integers(0, 999), st.integers(0, 999)), st.tuples(st.integers(0, 999), st.integers(0, 999)))
def test_similar_spans_have_different_ids(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (sentence_id("d", *one) == sentence_id("d", *other)) == (one == other)


@settings(deadline=None, max_examples=50)
@given(st.text(st.characters(), max_size=40))
def test_every_text_has_an_id_of_16_hex_digits(text: str) -> None:
    assert len(document_id("s", text)) == 16
    assert int(document_id("s", text), 16) >= 0


def test_a_text_with_a_lone_surrogate_has_an_id() -> None:
    assert Document("s", "broken \ud83d emoji").id != Document("s", "broken  emoji").id


@pytest.mark.parametrize(("record", "field"), [(Document("s", "t"), "text"), (Example("e", "d", "t"), "labels")])
def test_records_cannot_be_changed(record: object, field: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, field, "other")
