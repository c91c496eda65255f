"""All sentences to label, document by document."""

from __future__ import annotations

import pytest

from labels.records import Document
from labels.store import Extent, Store
from labels.text.sentences import split_sentences
from tests.labels.store.builders import added

LATE = 10**9


@pytest.fixture
def filled(store: Store) -> list[str]:
    """A store with three documents with a text; returns their ids in order."""
    documents = [
        Document(f"source {n}", f"Oslo pledged {n} trucks. Rain fell.\n\nShare this article\n") for n in range(3)
    ]
    store.documents.add([(one, split_sentences(one)) for one in documents])
    return sorted(one.id for one in documents)


def read(store: Store, limit: int, last: int = LATE) -> list[tuple[str, str, list[str]]]:
    """All documents in pages of `limit`: id, source, texts of the sentences."""
    found: list[tuple[str, str, list[str]]] = []
    while page := store.contents.after(found[-1][0] if found else "", last, limit):
        assert len(page) <= limit
        found += [(identifier, document.source, [one.text for one in own]) for identifier, document, own in page]
    return found


@pytest.mark.parametrize("limit", [1, 2, 10])
def test_documents_come_in_pages_in_the_order_of_their_ids(store: Store, filled: list[str], limit: int) -> None:
    found = read(store, limit)
    assert [identifier for identifier, _, _ in found] == filled
    assert all(texts == [f"Oslo pledged {source[-1]} trucks.", "Rain fell."] for _, source, texts in found)


def test_boilerplate_and_removed_documents_are_left_out(store: Store, filled: list[str]) -> None:
    assert store.contents.extent().sentences == 6
    store.removals.remove(filled[:1])
    assert [identifier for identifier, _, _ in read(store, 10)] == filled[1:]
    assert store.contents.extent().sentences == 4


def test_sentences_added_later_are_outside_an_earlier_extent(store: Store, filled: list[str]) -> None:
    before = store.contents.extent()
    added(store, 2, "d9")
    assert store.contents.extent(before.last) == before
    assert store.contents.extent() == Extent(before.sentences + 2, before.last + 2)
    assert [identifier for identifier, _, _ in read(store, 10, before.last)] == filled


def test_sentences_without_a_document_have_an_empty_one(store: Store) -> None:
    added(store, 2, "d9")
    assert read(store, 10) == [("d9", "", ["Text 0000", "Text 0001"])]


def test_an_empty_store_has_nothing(store: Store) -> None:
    assert store.contents.extent() == Extent(0, 0)
    assert read(store, 10) == []
