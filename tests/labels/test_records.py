from __future__ import annotations

import dataclasses
import hashlib
import unicodedata
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.records import (
    Document,
    Example,
    Origin,
    Sentence,
    document_id,
    former_document_id,
    same_text,
    sentence_id,
)


def digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def test_a_document_is_identified_by_its_text_and_stated_provenance() -> None:
    document = Document("wire", "Guns fell silent.", "http://x", "A", "2024-05-01")
    same = dataclasses.replace(document, title="B", language="fr", synthetic=True)

    assert document.id == same.id
    others = [{"source": "radio"}, {"text": "Guns fell silent"}, {"url": "http://y"}, {"date": "2024-05-02"}]
    changed = [dataclasses.replace(document, **change).id for change in others]  # type: ignore[arg-type]
    assert len({document.id, *changed}) == 5


def test_the_name_of_a_file_is_not_part_of_the_identity() -> None:
    one, other = (Document(name, "Guns fell silent.", origin=Origin()) for name in ("a.csv", "b.csv"))
    assert one.id == other.id != Document("a.csv", "Guns fell silent.").id


def test_equal_texts_without_provenance_are_numbered() -> None:
    ids = {Document("a.csv", "No comment.", origin=Origin(number=number)).id for number in (1, 2, 3)}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("row", "origin"),
    [
        ({"id": 7}, Origin(identifier="7")),
        ({"id": 7.0, "document_id": " d1 "}, Origin(identifier="d1\n7")),
        ({"id": float("nan"), "url": None, "source": " "}, Origin()),
        (
            {"url": "http://x", "title": "T", "annotator": "ana", "note": "n", "created_at": "now"},
            Origin(url="https://x"),
        ),
        ({"source": "Wire", "date": "2024-05-01"}, Origin(source="Wire", date="2024-05-01")),
        ({"date": "2024-05-01"}, Origin()),
    ],
)
def test_the_origin_is_what_the_data_state_about_the_text(row: dict[str, object], origin: Origin) -> None:
    assert Origin.of(row) == origin


def test_the_former_id_is_that_of_earlier_releases() -> None:
    document = Document("a.csv", "One.\r\nTwo.", origin=Origin())
    assert document.former_ids == (digest("a.csv\nOne.\r\nTwo."), digest("a.csv\nOne.\nTwo."))
    assert Document("wire", "One.").former_ids == (former_document_id("wire", "One."),)


@settings(deadline=None, max_examples=100)
@given(st.text(st.sampled_from("ae\u0301é\r\n ."), min_size=1, max_size=12), st.sampled_from(["NFC", "NFD"]))
def test_line_ends_and_normalization_do_not_change_the_identity(text: str, form: Literal["NFC", "NFD"]) -> None:
    unix = text.replace("\r\n", "\n").replace("\r", "\n")
    windows = unicodedata.normalize(form, unix).replace("\n", "\r\n")

    assert Document("wire", windows).id == Document("wire", unix).id
    assert same_text(windows, unix)
    assert Document("wire", windows).text == windows


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
    assert len(document_id(Origin(), text)) == 16
    assert int(document_id(Origin(), text), 16) >= 0


def test_a_text_with_a_lone_surrogate_has_an_id() -> None:
    assert Document("s", "broken \ud83d emoji").id != Document("s", "broken  emoji").id


@pytest.mark.parametrize(("record", "field"), [(Document("s", "t"), "text"), (Example("e", "d", "t"), "labels")])
def test_records_cannot_be_changed(record: object, field: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, field, "other")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ({"id": 8}, {"id": "8.0"}, True),
        ({"id": "8"}, {"id": 8.0}, True),
        ({"id": "1.0.0"}, {"id": "1.0"}, False),
        ({"url": "http://X.org/a"}, {"url": "https://x.org/a/#part"}, True),
        ({"url": "https://x.org/a?n=1"}, {"url": "https://x.org/a?n=2"}, False),
        ({"url": "https://x.org/A"}, {"url": "https://x.org/a"}, False),
        ({"url": "page 3"}, {"url": "page 3/"}, False),
        ({"url": "http://[half"}, {"url": "http://[half"}, True),
    ],
)
def test_spellings_of_one_id_or_url_are_one_origin(
    one: dict[str, object], other: dict[str, object], is_same: bool
) -> None:
    assert (Origin.of(one).key == Origin.of(other).key) is is_same
