from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from labels.errors import InputError
from labels.sampling.drawing import DrawRequest
from labels.sampling.strategies import next_assignment
from labels.store import Draft, Store, TextCounts, now, tables
from labels.store.ingestion import ingest
from tests.labels.store.builders import decision, draw, embed_all, rows_of, score_all, stored_document, vector

Write = Callable[[str, list[dict[str, Any]]], Path]
SECRET = "Oslo pledged forty trucks. The mayor of Ostrey thanked them."
OTHER = "Rain fell in Bergen. The envoy called for a truce."


@pytest.fixture
def two(store: Store, write_jsonl: Write) -> tuple[str, str]:
    """The ids of two documents with two sentences each, all labelled by ana, and the first to be labelled again."""
    rows = [{"text": SECRET, "source": "Wire", "title": "Aid", "url": "http://x"}, {"text": OTHER, "source": "Radio"}]
    ingest(store, [write_jsonl("rows.jsonl", rows)])
    score_all(store, [0.2, 0.4, 0.6])
    embed_all(store, [vector(1.0, 0.0)])
    for one in store.documents.sentences():
        store.events.add([decision(one.id, labels=("aid",), note=f"{one.text[:4]}", extra={"csv": {"a": one.text}})])
    first, second = (one.id for one in sorted(store.removals.summaries(), key=lambda one: one.source, reverse=True))
    (sentence, _) = store.documents.sentences(document_id=first)
    store.relabelling.add([(sentence.id, "doubted", ("aid",))], source="doubts")
    return first, second


def ids_of(store: Store, document: str) -> set[str]:
    return {one.id for one in store.documents.sentences(document_id=document)}


def test_documents_are_listed_with_their_counts(store: Store, two: tuple[str, str]) -> None:
    found = store.removals.summaries()

    assert [(one.source, one.title, one.to_label, one.decisions, one.state) for one in found] == [
        ("Radio", "", 2, 2, ""),
        ("Wire", "Aid", 2, 2, ""),
    ]
    assert [one.id for one in store.removals.summaries(source="wi")] == [two[0]]
    assert store.removals.summaries(state="removed") == []


def test_a_removed_document_leaves_queues_counts_and_events(store: Store, two: tuple[str, str]) -> None:
    gone = ids_of(store, two[0])
    store.removals.remove([two[0]])

    assert store.counts.texts() == TextCounts(documents=1, sentences=2, boilerplate=0)
    assert store.counts.reviewed() == (2, 0)
    assert {event.sentence_id for event in store.events.all()} == ids_of(store, two[1])
    assert store.relabelling.waiting() == []
    assert store.scores.count_unscored("m") == 0
    assert store.unseen.frame().size == 0
    assert not gone & set(store.scores.embeddings("m", gone))
    assert next_assignment(store, "ben", DrawRequest("audit", size=9, model_id="m")) is not None
    assert not gone & set(store.unseen.ids())


def test_restoring_brings_every_decision_back(store: Store, two: tuple[str, str]) -> None:
    before = (store.counts.texts(), store.counts.reviewed(), store.events.all(), store.removals.summaries())
    store.removals.remove([two[0]])
    store.removals.restore([two[0]])

    assert (store.counts.texts(), store.counts.reviewed(), store.events.all(), store.removals.summaries()) == before
    assert len(store.relabelling.waiting()) == 1
    assert store.scores.count_unscored("m") == 2


def test_boilerplate_keeps_its_reason(store: Store, write_jsonl: Write) -> None:
    ingest(store, [write_jsonl("rows.jsonl", [{"text": "Rain fell.\n\nLeave a Comment", "source": "Wire"}])])
    (one,) = store.removals.summaries()
    store.removals.remove([one.id])
    store.removals.restore([one.id])

    assert [sentence.boilerplate for sentence in store.documents.sentences()] == ["", "comments"]


def test_an_open_draw_passes_over_removed_sentences(store: Store, write_jsonl: Write) -> None:
    ingest(store, [write_jsonl("rows.jsonl", [{"text": SECRET, "source": "Wire"}, {"text": OTHER, "source": "Radio"}])])
    assert next_assignment(store, "ana", DrawRequest(size=4)) is not None
    (wire,) = store.removals.summaries(source="Wire")
    store.removals.remove([wire.id])

    again = next_assignment(store, "ana", DrawRequest(size=4))
    assert again is not None
    assert {one.document_id for one in store.documents.sentences(again.pending)}.isdisjoint({wire.id})
    assert len(again.pending) == 2


def test_a_second_reading_of_a_removed_sentence_is_not_offered(store: Store, two: tuple[str, str]) -> None:
    ids = ids_of(store, two[0])
    store.draws.add([draw("ana", ids, strategy="overlap")], expires_at="2001", second_readings=ids)
    before = len(store.draws.overlap_candidates("ben"))
    store.removals.remove([two[0]])

    assert (before, store.draws.overlap_candidates("ben")) == (2, [])


def test_a_decision_made_during_the_removal_does_not_count(store: Store, two: tuple[str, str]) -> None:
    (sentence, _) = store.documents.sentences(document_id=two[0])
    store.removals.remove([two[0]])
    store.events.add([decision(sentence.id, "ben")])
    assert store.counts.reviewed() == (2, 0)

    store.removals.restore([two[0]])
    assert store.counts.reviewed() == (4, 1)


def test_a_removed_document_is_not_added_again(store: Store, url: str, two: tuple[str, str], isolated: Path) -> None:
    store.removals.remove([two[0]])
    store.removals.purge([two[1]])

    report = ingest(store, [isolated / "rows.jsonl"])
    assert (report.documents_added, report.documents_present, report.documents_removed) == (0, 1, 1)
    assert report.purged == {now()[:10]: 1}
    assert "Bergen" not in str(rows_of(url, sa.select(tables.documents)))


def test_an_edited_version_of_a_removed_document_is_reported(store: Store, write_jsonl: Write) -> None:
    text, stated = f"{SECRET} Rain fell in Bergen.", {"url": "http://x"}
    ingest(store, [write_jsonl("rows.jsonl", [{"text": text, **stated}])])
    (first,) = store.removals.summaries()
    store.removals.remove([first.id])

    report = ingest(store, [write_jsonl("rows.jsonl", [{"text": text.replace("forty", "fifty"), **stated}])])
    (new,) = store.removals.summaries(state="stored")
    assert (report.sentences_added, report.versions, new.version_of) == (3, [], "")
    (note,) = report.notes
    assert f"document {new.id} was added, but looks like a version of the removed document {first.id}" in note
    assert (
        ingest(store, [write_jsonl("rows.jsonl", [{"text": "Snow fell. Ice melted.", "url": "http://y"}])]).notes == []
    )


def test_purging_erases_the_text_and_keeps_the_decisions(store: Store, url: str, two: tuple[str, str]) -> None:
    sentence = min(ids_of(store, two[0]))
    store.events.add([decision(sentence, "ben", labels=("truce",), note="It says: the MAYOR of Ostrey!")])
    store.events.keep_draft(sentence, "eva", Draft((), "pledged forty trucks"))
    assert store.removals.purge([two[0]]) == 3

    document = stored_document(url, two[0])
    assert (document.text, document.title, document.url, document.source) == ("", "", "", "Wire")
    rows = [rows_of(url, sa.select(table)) for table in tables.metadata.sorted_tables]
    assert not any(word in str(rows) for word in ("trucks", "Ostrey", "http://x"))
    events = rows_of(url, sa.select(tables.events).where(tables.events.c.sentence_id.in_(ids_of(store, two[0]))))
    assert sorted((event.annotator, event.state, event.labels) for event in events) == [
        ("ana", "reviewed", ("aid",)),
        ("ana", "reviewed", ("aid",)),
        ("ben", "reviewed", ("truce",)),
    ]
    assert {event.note for event in events} == {""}
    assert [one.state for one in store.removals.find(two[0])] == ["purged"]
    assert store.counts.texts() == TextCounts(documents=1, sentences=2, boilerplate=0)


def test_a_purged_text_is_not_left_in_the_file(write_jsonl: Write, isolated: Path) -> None:
    with Store("store.db") as store:
        ingest(store, [write_jsonl("rows.jsonl", [{"text": SECRET * 40, "source": "Wire"}, {"text": OTHER}])])
        (one,) = store.removals.summaries(source="Wire")
        store.removals.purge([one.id])
        left = b"".join(path.read_bytes() for path in isolated.glob("store.db*"))
    assert b"Bergen" in left
    assert b"Ostrey" not in left


def test_a_purged_document_stays_purged(store: Store, url: str, two: tuple[str, str]) -> None:
    store.removals.purge([two[0]])
    store.removals.restore([two[0]])
    store.removals.remove([two[0]])

    assert [one.state for one in store.removals.find(two[0])] == ["purged"]


def test_all_versions_are_withdrawn_together(store: Store, write_jsonl: Write) -> None:
    texts = [SECRET + " It rained.", SECRET + " It snowed."]
    ingest(store, [write_jsonl("rows.jsonl", [{"text": text, "url": "http://x"} for text in texts])])
    later = next(one for one in store.removals.summaries() if one.version_of)

    family = store.removals.find(later.id)
    store.removals.remove([one.id for one in family])
    assert store.counts.texts() == TextCounts(0, 0, 0)
    store.removals.restore([one.id for one in family])
    assert store.counts.texts().documents == 2
    assert len(store.unseen.ids()) == 4


def test_a_document_is_found_by_the_start_of_its_id_and_by_an_alias(
    store: Store, url: str, two: tuple[str, str]
) -> None:
    (summary,) = store.removals.find(two[0])

    assert store.removals.find(two[0][:6]) == [summary]
    (alias,) = [row.alias for row in rows_of(url, sa.select(tables.aliases)) if row.id == two[0]]
    assert store.removals.find(alias) == [summary]
    for reference in ("", "zzz", "%"):
        with pytest.raises(InputError, match="document id"):
            store.removals.find(reference)


def test_the_frame_changes_with_a_removal(store: Store, two: tuple[str, str]) -> None:
    before = store.unseen.frame_hash()
    store.removals.remove([two[0]])
    removed = store.unseen.frame_hash()
    store.removals.restore([two[0]])

    assert before == store.unseen.frame_hash() != removed


def test_a_second_purge_changes_nothing(store: Store, two: tuple[str, str]) -> None:
    assert [store.removals.purge([two[0]]) for _ in range(2)] == [2, 0]
    assert [one.state for one in store.removals.find(two[0])] == ["purged"]


def test_nothing_can_be_written_about_a_purged_sentence(store: Store, url: str, two: tuple[str, str]) -> None:
    sentence = min(ids_of(store, two[0]))
    store.removals.purge([two[0]])
    store.events.add([decision(sentence, "ben", note="It is about Ostrey.", extra={"csv": {"a": "Ostrey"}})])
    store.events.keep_draft(sentence, "eva", Draft((), "Ostrey?"))

    assert store.events.draft(sentence, "eva") == Draft()
    assert "Ostrey" not in str(rows_of(url, sa.select(tables.events)))


@pytest.fixture
def purged(store: Store, write_jsonl: Write) -> str:
    """A purged document with a URL and three sentences."""
    ingest(store, [write_jsonl("rows.jsonl", [{"text": f"{SECRET} It rained.", "url": "http://x"}])])
    (one,) = store.removals.summaries()
    store.removals.purge([one.id])
    return one.id


def test_a_later_version_of_a_purged_document_is_not_added(store: Store, purged: str, write_jsonl: Write) -> None:
    edited = write_jsonl("rows.jsonl", [{"text": f"{SECRET} It snowed.", "url": "http://x"}])
    for _ in range(2):
        report = ingest(store, [edited])
        assert (report.documents_added, report.sentences_added, report.notes) == (0, 0, [])
        assert report.purged_versions == {now()[:10]: 1}
    assert [one.id for one in store.removals.summaries()] == [purged]

    report = ingest(store, [edited], even_purged=True)
    assert (report.documents_added, report.sentences_added, report.purged_versions) == (1, 3, {})


@pytest.mark.parametrize(
    "row",
    [
        {"text": "The dam broke. Nobody was hurt.", "url": "http://x"},
        {"text": f"{SECRET} It rained.", "url": "http://y"},
    ],
    ids=["other text", "other URL"],
)
def test_another_document_than_the_purged_one_is_added(
    store: Store, purged: str, write_jsonl: Write, row: dict[str, Any]
) -> None:
    assert ingest(store, [write_jsonl("rows.jsonl", [row])]).documents_added == 1


def test_a_purged_text_with_other_white_space_stays_purged(store: Store, purged: str, write_jsonl: Write) -> None:
    report = ingest(store, [write_jsonl("rows.jsonl", [{"text": f"{SECRET} It rained.\n", "url": "http://x"}])])
    assert (report.documents_added, report.purged) == (0, {now()[:10]: 1})
