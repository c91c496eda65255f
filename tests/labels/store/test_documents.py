from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from labels.errors import StoreError
from labels.records import Document, Sentence
from labels.store import Context, Store, TextCounts, tables
from tests.labels.store.builders import added, rows_of, sentences, stored_document


def numbers_of(url: str) -> list[int]:
    table = tables.sentences
    return [row.number for row in rows_of(url, table.select().order_by(table.c.number))]


def cut(text: str, *parts: str, **more: Any) -> tuple[Document, list[Sentence]]:
    """A document and those parts of its text as sentences."""
    document = Document("paper", text, title="The title", date="2026-02-03")
    places = [text.index(part) for part in parts]
    return document, [
        Sentence(document.id, place, place + len(part), part, **more) for place, part in zip(places, parts, strict=True)
    ]


# -- documents and sentences


def test_documents_round_trip(store: Store, url: str) -> None:
    text = "Zürich — “peace” 🕊\nline two\r\n\ttabbed"
    document = Document("src", text, "http://x.y", "A 'title'", "2026-02-03", "de", synthetic=True)

    assert store.documents.add([(document, [])]) == (1, 0)
    assert stored_document(url, document.id) == document


def test_sentences_are_ordered_by_document_and_position(store: Store) -> None:
    first = sentences(3, "d1", splitter="sentencex/1", boilerplate="share line", synthetic=True)
    second = sentences(2, "d2")
    store.add_annotated([*reversed(second), *reversed(first)], [])

    assert store.documents.sentences() == [*first, *second]
    assert store.documents.sentences(document_id="d2") == second
    assert store.documents.sentences([second[1].id, first[0].id, "unknown"]) == [first[0], second[1]]
    assert store.documents.sentences([]) == []


def test_many_sentences_by_id_come_back_in_order(store: Store) -> None:
    rows = sentences(1000)
    store.add_annotated(rows, [])
    ids = [row.id for row in rows]
    random.Random(1).shuffle(ids)

    assert store.documents.sentences(ids) == rows


def test_known_texts_stay_as_they_are_and_are_not_counted(store: Store, url: str) -> None:
    document = Document("src", "One. Two.", title="First title")
    row = Sentence(document.id, 0, 4, "One.", boilerplate="caption")
    store.documents.add([(document, [row])])

    again = [
        (replace(document, title="Second title"), [replace(row, boilerplate=""), Sentence(document.id, 5, 9, "Two.")])
    ]

    assert store.documents.add(again) == (0, 1)
    assert stored_document(url, document.id) == document
    assert store.documents.sentences()[0] == row


def test_a_document_given_twice_at_once_is_kept_once(store: Store) -> None:
    document = Document("src", "One.")
    row = Sentence(document.id, 0, 4, "One.")

    assert store.documents.add([(document, [row]), (document, [row])]) == (1, 1)


def test_nothing_of_refused_documents_is_kept(store: Store) -> None:
    document = Document("src", "One.")
    textless: Any = None
    bad = Sentence(document.id, 0, 4, textless)

    with pytest.raises(StoreError, match=r"could not be written \(.*text"):
        store.documents.add([(document, [*sentences(500), bad])])

    assert store.counts.texts() == TextCounts(0, 0, 0)


def test_numbers_have_no_gap_over_several_additions(store: Store, url: str) -> None:
    store.add_annotated(sentences(500, "d1"), [])
    store.add_annotated([*sentences(510, "d1"), *sentences(3, "d2", boilerplate="caption"), *sentences(3, "d2")], [])
    document = Document("src", "One.")
    store.documents.add([(document, [Sentence(document.id, 0, 4, "One.")])])
    store.add_annotated(sentences(2, "d1"), [])

    assert numbers_of(url) == list(range(1, 515))


def test_a_refused_addition_takes_no_numbers(store: Store, url: str) -> None:
    textless: Any = None
    added(store, 2)
    with pytest.raises(StoreError):
        store.add_annotated([*sentences(3, "d2"), Sentence("d3", 0, 4, textless)], [])
    added(store, 1, "d4")

    assert numbers_of(url) == [1, 2, 3]


def test_documents_sentences_and_boilerplate_are_counted(store: Store) -> None:
    assert store.counts.texts() == TextCounts(0, 0, 0)
    documents = [Document("src", f"Text {i}") for i in range(2)]
    store.documents.add([(document, []) for document in documents])
    rows = [*sentences(3, "d1"), *sentences(4, "d2", boilerplate="caption")]
    store.add_annotated(rows, [])

    assert store.counts.texts() == TextCounts(documents=2, sentences=7, boilerplate=4)


def test_dates_leave_out_documents_without_one(store: Store) -> None:
    dated, undated = Document("src", "One.", date="2026-02-03"), Document("src", "Two.")
    store.documents.add([(dated, []), (undated, [])])

    assert {one: own["date"] for one, own in store.documents.metadata().items() if "date" in own} == {
        dated.id: "2026-02-03"
    }


# -- what surrounds a sentence


def test_the_context_is_two_sentences_on_each_side(store: Store) -> None:
    document, rows = cut("A. B. C. D. E. F.", "A.", "B.", "C.", "D.", "E.", "F.")
    store.documents.add([(document, rows)])
    added(store, 3, "another document")

    middle = Context((rows[0], rows[1]), (rows[3], rows[4]), "The title", "2026-02-03")
    assert store.documents.context(rows[2]) == middle
    assert store.documents.context(rows[0]) == Context((), (rows[1], rows[2]), "The title", "2026-02-03")
    assert store.documents.context(rows[5]) == Context((rows[3], rows[4]), (), "The title", "2026-02-03")
    assert store.documents.context(rows[2], reach=1) == replace(middle, before=(rows[1],), after=(rows[3],))


def test_boilerplate_is_part_of_the_context(store: Store) -> None:
    document, rows = cut("A. Share this. B.", "A.", "Share this.", "B.")
    furniture = replace(rows[1], boilerplate="share line")
    store.documents.add([(document, [rows[0], furniture, rows[2]])])

    assert store.documents.context(rows[2]).before == (rows[0], furniture)


def test_without_its_document_a_sentence_has_context_but_no_title(store: Store) -> None:
    rows = sentences(2, "elsewhere")
    store.add_annotated(rows, [])

    assert store.documents.context(rows[0]) == Context((), (rows[1],), "", "")
    assert store.documents.paragraph_breaks(rows) == [False]


def test_a_paragraph_begins_where_a_line_ends_between_two_sentences(store: Store) -> None:
    document, rows = cut("Ünü “A”. B🕊.\n\nC\nc. D.\r\nE.", "Ünü “A”.", "B🕊.", "C\nc.", "D.", "E.")
    store.documents.add([(document, rows)])

    assert store.documents.paragraph_breaks(rows) == [False, True, False, True]
    assert store.documents.paragraph_breaks(rows[2:]) == [False, True]
    assert store.documents.paragraph_breaks(rows[:1]) == []
    assert store.documents.paragraph_breaks([]) == []
