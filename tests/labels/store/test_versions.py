from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labels.sampling.drawing import DrawRequest
from labels.sampling.strategies import next_assignment
from labels.store import Store, TextCounts
from labels.store.ingestion import IngestReport, ingest
from labels.store.texts.versions import UNCHANGED, NewVersion
from tests.labels.store.builders import decision

Write = Callable[[str, list[dict[str, Any]]], Path]
SENTENCES = ["Oslo pledged 40 trucks.", "The mayor thanked them.", "The envoy called for a truce.", "Rain fell."]
EDITED = ["Oslo pledged 60 trucks.", *SENTENCES[1:]]
OTHER = ["The dam broke.", "Nobody was hurt.", "The mayor thanked them."]


def read(store: Store, write_jsonl: Write, sentences: list[str], **stated: Any) -> IngestReport:
    """Ingest one row with these sentences."""
    return ingest(store, [write_jsonl("rows.jsonl", [{"text": " ".join(sentences), **stated}])])


def to_label(store: Store) -> list[str]:
    return sorted(one.text for one in store.documents.sentences() if not one.boilerplate)


@pytest.mark.parametrize(
    "stated",
    [
        {"url": "http://x"},
        {"id": 7},
        {"source": "Wire", "title": "Aid", "date": "2024-05-01"},
        {"source": "Wire", "date": "2024-05-01"},
    ],
    ids=["url", "id", "source and title", "source and date"],
)
def test_an_edited_article_is_a_version_with_only_its_new_sentences(
    store: Store, write_jsonl: Write, stated: dict[str, Any]
) -> None:
    read(store, write_jsonl, SENTENCES, **stated)
    (first,) = {one.document_id for one in store.documents.sentences()}
    report = read(store, write_jsonl, EDITED, **stated)

    assert report.versions == [NewVersion(first, str(stated.get("title", "")), unchanged=3, new=1)]
    assert (report.documents_added, report.sentences_added) == (1, 1)
    assert to_label(store) == sorted({*SENTENCES, *EDITED})
    assert sorted(store.unseen.ids()) == sorted(one.id for one in store.documents.sentences() if not one.boilerplate)


def test_a_file_with_the_same_name_is_a_version_if_the_texts_agree(store: Store, isolated: Path) -> None:
    path = isolated / "a.txt"
    for sentences, versions, documents in ((SENTENCES, 0, 1), (EDITED, 1, 2), (OTHER, 0, 3)):
        path.write_text(" ".join(sentences), encoding="utf-8")
        assert len(ingest(store, [path]).versions) == versions
        assert store.counts.texts().documents == documents


@pytest.mark.parametrize(
    ("first", "second", "sentences"),
    [
        ({"url": "http://x"}, {"url": "http://x"}, OTHER),
        ({"url": "http://x"}, {"url": "http://y"}, EDITED),
        ({"id": 1, "source": "Wire", "title": "Aid"}, {"id": 2, "source": "Wire", "title": "Aid"}, EDITED),
        ({"source": "Wire", "title": "Aid"}, {"source": "Radio", "title": "Aid"}, EDITED),
        ({}, {}, EDITED),
        # Half of the longer text, because a title alone says little.
        ({"source": "Wire", "title": "Aid"}, {"source": "Wire", "title": "Aid"}, [*SENTENCES[:2], *OTHER[:2], "No."]),
    ],
    ids=["other text", "other URL", "other id", "other source", "rows of a table", "digest"],
)
def test_documents_that_may_differ_are_no_versions(
    store: Store, write_jsonl: Write, first: dict[str, Any], second: dict[str, Any], sentences: list[str]
) -> None:
    read(store, write_jsonl, SENTENCES, **first)
    report = read(store, write_jsonl, sentences, **second)

    assert report.versions == []
    assert report.sentences_added == len(sentences)


def test_an_article_that_grew_is_a_version_if_the_url_is_equal(store: Store, write_jsonl: Write) -> None:
    read(store, write_jsonl, SENTENCES[:3], url="http://x")
    report = read(store, write_jsonl, [*SENTENCES[:3], *(f"Update {i} came." for i in range(9))], url="http://x")

    assert [(one.unchanged, one.new) for one in report.versions] == [(3, 9)]


def test_decisions_stand_on_the_sentence_of_the_first_version(store: Store, write_jsonl: Write) -> None:
    read(store, write_jsonl, SENTENCES, url="http://x")
    store.events.add([decision(identifier) for identifier in store.unseen.ids()])
    read(store, write_jsonl, EDITED, url="http://x")

    assignment = next_assignment(store, "ana", DrawRequest(size=100))
    assert assignment is not None
    assert [one.text for one in store.documents.sentences(assignment.pending)] == [EDITED[0]]
    texts = store.counts.texts()
    assert texts.sentences - texts.boilerplate == 5


def test_the_context_of_a_new_sentence_has_the_unchanged_sentences(store: Store, write_jsonl: Write) -> None:
    read(store, write_jsonl, SENTENCES, url="http://x")
    read(store, write_jsonl, EDITED, url="http://x")
    (new,) = [one for one in store.documents.sentences() if one.text == EDITED[0]]

    after = store.documents.context(new).after
    assert [(one.text, one.boilerplate) for one in after] == [(text, UNCHANGED) for text in EDITED[1:3]]


def test_an_id_from_the_new_version_refers_to_the_first_sentence(store: Store, write_jsonl: Write) -> None:
    read(store, write_jsonl, SENTENCES, url="http://x")
    before = {one.text: one for one in store.documents.sentences()}
    read(store, write_jsonl, EDITED, url="http://x")
    repeated = [one for one in store.documents.sentences() if one.boilerplate == UNCHANGED]

    assert store.documents.stored([(None, one) for one in repeated]) == [before[one.text] for one in repeated]


def test_a_statement_that_is_repeated_on_another_day_is_another_document(store: Store, write_jsonl: Write) -> None:
    for day in ("2024-05-01", "2024-05-02"):
        report = read(store, write_jsonl, SENTENCES, source="Ministry", title="No comment", date=day)
        assert (report.versions, report.sentences_added) == ([], 4)

    edited = read(store, write_jsonl, EDITED, source="Ministry", title="No comment", date="2024-05-03")
    assert [(one.unchanged, one.new) for one in edited.versions] == [(3, 1)]


def test_the_versions_of_an_article_are_one_document_in_figures(store: Store, write_jsonl: Write) -> None:
    for sentences in (SENTENCES, EDITED):
        read(store, write_jsonl, sentences, url="http://x")
    ids = [one.id for one in store.documents.sentences()]

    grouped = store.documents.by_first_version(ids)
    assert list(grouped) == ids
    assert len({one.document_id for one in grouped.values()}) == 1
    assert {one.document_id for one in grouped.values()} == set(store.documents.first_versions().values())


def test_a_third_version_repeats_sentences_of_both(store: Store, write_jsonl: Write) -> None:
    for sentences in (SENTENCES, EDITED):
        read(store, write_jsonl, sentences, url="http://x")
    report = read(store, write_jsonl, [*EDITED, SENTENCES[0], "Snow fell."], url="http://x")

    assert [(one.unchanged, one.new) for one in report.versions] == [(5, 1)]
    assert len(set(store.documents.first_versions().values())) == 1
    assert to_label(store) == sorted({*SENTENCES, *EDITED, "Snow fell."})


def test_versions_in_one_file_are_found(store: Store, write_jsonl: Write) -> None:
    rows = [{"text": " ".join(sentences), "url": "http://x"} for sentences in (SENTENCES, EDITED, SENTENCES)]
    report = ingest(store, [write_jsonl("rows.jsonl", rows)])

    assert (report.documents_read, report.documents_added, len(report.versions)) == (3, 2, 1)
    assert store.counts.texts() == TextCounts(documents=2, sentences=8, boilerplate=3)


def test_repeated_sentences_of_an_article_are_matched_one_by_one(store: Store, write_jsonl: Write) -> None:
    read(store, write_jsonl, ["No comment.", *SENTENCES], url="http://x")
    report = read(store, write_jsonl, ["No comment.", *SENTENCES, "No comment."], url="http://x")

    assert [(one.unchanged, one.new) for one in report.versions] == [(5, 1)]
