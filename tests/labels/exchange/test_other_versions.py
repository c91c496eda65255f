"""Exports of one version of an article, imported into a store that has another version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labels.codebook.schema import Codebook
from labels.exchange.driver import REMOVED, import_file
from labels.records import Sentence
from labels.store import Store, TextCounts
from labels.store.ingestion import ingest
from tests.labels.exchange.steps import Row, export, lines_of
from tests.labels.store.builders import decision

NewStore = Callable[[], Store]
Write = Callable[[str, list[dict[str, Any]]], Path]
FIRST = ["Oslo pledged 40 trucks to the river towns.", "The mayor thanked them.", "The envoy called for a truce."]
EDITED = ["Oslo pledged 60 trucks to the river towns.", "Snow fell.", *FIRST[1:]]
LONG = "The envoy of the northern towns called once more for a truce."


def fill(store: Store, write_jsonl: Write, *texts: list[str], **stated: str) -> None:
    given = {"url": "http://x"} | stated
    ingest(store, [write_jsonl("rows.jsonl", [{"text": " ".join(text), **given} for text in texts])])


def exported(other: Store, codebook: Codebook, path: Path, chosen: list[str] | None = None) -> Path:
    """An export of decisions by ana on the sentences of a store, or on those with the chosen texts."""
    found = [one for one in other.documents.sentences() if not one.boilerplate]
    labelled = [one for one in found if chosen is None or one.text in chosen]
    other.codebooks.add(codebook)
    other.events.add([decision(one.id, codebook_hash=codebook.hash, note=one.text[:4]) for one in labelled])
    export(other, "jsonl", path, codebook)
    return path


def decided(store: Store) -> list[str]:
    texts = {one.id: one.text for one in store.documents.sentences()}
    return sorted(texts[event.sentence_id] for event in store.events.all())


def offered(store: Store) -> list[str]:
    return sorted(one.text for one in store.documents.sentences(store.unseen.ids()))


@pytest.fixture
def old_export(new_store: NewStore, write_jsonl: Write, codebook: Codebook, isolated: Path) -> Path:
    """Decisions on all sentences of the first version, from a store that has only this version."""
    with new_store() as other:
        fill(other, write_jsonl, FIRST)
        return exported(other, codebook, isolated / "old.jsonl")


def test_an_old_export_belongs_to_the_edited_article(
    store: Store, write_jsonl: Write, codebook: Codebook, old_export: Path
) -> None:
    fill(store, write_jsonl, EDITED)
    done = import_file(store, old_export, codebook)

    assert (done.new, done.known_texts) == (3, 2)
    assert [note for note in done.notes if "another version" in note] == [
        "2 sentences of the file were found in another version of the document; the decisions were added there"
    ]
    assert decided(store) == sorted(FIRST)
    assert offered(store) == sorted(EDITED[:2])
    ids = [row["sentence_id"] for row in lines_of(old_export)]
    assert len(store.documents.resolve(ids)) == 2

    again = import_file(store, old_export, codebook)
    assert (again.new, again.known) == (0, 3)


def test_the_versions_are_one_document_in_figures(
    store: Store, write_jsonl: Write, codebook: Codebook, old_export: Path
) -> None:
    fill(store, write_jsonl, EDITED)
    import_file(store, old_export, codebook)

    ids = [one.id for one in store.documents.sentences()]
    assert len({one.document_id for one in store.documents.sentences()}) == 2
    assert len({one.document_id for one in store.documents.by_first_version(ids).values()}) == 1


def test_more_decisions_on_a_known_version_are_recognized(
    store: Store, new_store: NewStore, write_jsonl: Write, codebook: Codebook, isolated: Path
) -> None:
    with new_store() as other:
        fill(other, write_jsonl, FIRST)
        two = exported(other, codebook, isolated / "two.jsonl", [FIRST[0], *FIRST[2:]])
        three = exported(other, codebook, isolated / "three.jsonl", FIRST[1:2])
    fill(store, write_jsonl, [*EDITED, FIRST[0]])
    for path in (two, three):
        import_file(store, path, codebook)

    assert {one.document_id for one in store.documents.sentences()} == {store.removals.summaries()[0].id}


@pytest.mark.parametrize(
    ("shared", "own", "added"),
    [
        (["No comment.", "Rain fell."], [], 0),
        (["No comment."], [], 1),
        ([LONG], [], 0),
        ([LONG], ["The dam broke.", "Nobody was hurt."], 3),
        (["No comment.", "Rain fell."], ["A.", "B.", "C."], 5),
    ],
    ids=["two sentences", "one short sentence", "one long sentence", "a third of the text", "less than half"],
)
def test_how_much_must_agree(
    store: Store, write_jsonl: Write, codebook: Codebook, isolated: Path, shared: list[str], own: list[str], added: int
) -> None:
    fill(store, write_jsonl, ["The mayor left.", *shared, "The port was closed."])
    before = len(store.documents.sentences())
    import_file(store, lines(isolated / "in.jsonl", codebook, [*shared, *own]), codebook)

    assert len(store.documents.sentences()) - before == added


def lines(path: Path, codebook: Codebook, texts: list[str], document: str = "d1") -> Path:
    """A native file with decisions on sentences of a document that nobody has."""
    rows: list[Row] = []
    for number, text in enumerate(texts):
        one = Sentence(document, 100 * number, 100 * number + len(text), text)
        values = {"start": one.start, "end": one.end, "text": text, "state": "reviewed", "labels": []}
        ids = {"event_id": f"{document}-{number}", "sentence_id": one.id, "document_id": document}
        event = {"annotator": "ana", "event": "annotate", "codebook_hash": codebook.hash, "created_at": "2026-01-01"}
        rows.append(ids | values | event)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_sentences_of_several_articles_prove_nothing(
    store: Store, write_jsonl: Write, codebook: Codebook, isolated: Path
) -> None:
    for url in ("http://x", "http://y"):
        fill(store, write_jsonl, FIRST, url=url)
    import_file(store, lines(isolated / "in.jsonl", codebook, FIRST), codebook)

    assert len(store.documents.sentences()) == 9


def test_two_copies_in_one_file_stay_two_documents(
    store: Store, new_store: NewStore, write_jsonl: Write, codebook: Codebook, isolated: Path
) -> None:
    with new_store() as other:
        for url in ("http://x", "http://y"):
            fill(other, write_jsonl, FIRST, url=url)
        path = exported(other, codebook, isolated / "both.jsonl")
    fill(store, write_jsonl, FIRST)
    done = import_file(store, path, codebook)

    assert (done.new, len(store.documents.sentences())) == (6, 6)
    assert store.documents.first_versions() == {}


def test_an_export_with_other_white_space_is_recognized(
    store: Store, new_store: NewStore, write_jsonl: Write, codebook: Codebook, isolated: Path
) -> None:
    with new_store() as other:
        fill(other, write_jsonl, FIRST)
        path = exported(other, codebook, isolated / "old.jsonl")
    fill(store, write_jsonl, ["\n\n" + FIRST[0], *FIRST[1:]])
    import_file(store, path, codebook)

    assert decided(store) == sorted(FIRST)
    assert len(store.documents.sentences()) == 3


@pytest.mark.parametrize("act", ["remove", "purge"])
def test_an_old_export_does_not_bring_a_withdrawn_article_back(
    store: Store, write_jsonl: Write, codebook: Codebook, old_export: Path, act: str
) -> None:
    fill(store, write_jsonl, EDITED)
    (document,) = store.removals.summaries()
    getattr(store.removals, act)([document.id])
    done = import_file(store, old_export, codebook)

    assert (done.new, dict(done.left_out)) == (0, {REMOVED: 3})
    assert len(store.documents.sentences()) == len(EDITED)


def test_purging_erases_the_sentences_of_the_other_version(
    store: Store, write_jsonl: Write, codebook: Codebook, old_export: Path
) -> None:
    fill(store, write_jsonl, EDITED)
    import_file(store, old_export, codebook)
    (document,) = store.removals.summaries()
    store.removals.remove([document.id])
    assert store.events.all() == []
    store.removals.restore([document.id])
    assert len(store.events.all()) == 3
    store.removals.purge([document.id])

    assert {one.text for one in store.documents.sentences()} == {""}
    assert store.counts.texts() == TextCounts(0, 0, 0)
