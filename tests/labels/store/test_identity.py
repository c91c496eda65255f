from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from labels.records import Document, Origin, Sentence, former_document_id
from labels.store import Store, TextCounts, tables
from labels.store.ingestion import ingest
from tests.labels.store.builders import decision, make_first_store, rows_of, stored_document

Write = Callable[[str, list[dict[str, Any]]], Path]
TEXT = "Oslo pledged 40 trucks. The mayor thanked them."


def spans(document: str) -> list[Sentence]:
    return [Sentence(document, 0, 23, TEXT[:23]), Sentence(document, 24, 47, TEXT[24:])]


def old_store(database: str, source: str, **stated: str) -> str:
    """A store of the first revision with one document; returns the id of the document, which an old release gave."""
    identifier = former_document_id(source, TEXT)
    engine = sa.create_engine(database)
    make_first_store(engine)
    found = sa.MetaData()
    with engine.begin() as connection:
        found.reflect(connection)
        row = {"url": "", "title": "", "date": "", "language": "en", "synthetic": False} | stated
        row = {"text": TEXT} | row | {"id": identifier, "source": source}
        connection.execute(sa.insert(found.tables["documents"]), [row])
        connection.execute(
            sa.insert(found.tables["sentences"]),
            [{"id": one.id, **vars(one)} for one in spans(identifier)],
        )
    engine.dispose()
    return identifier


# -- one text is one document


def test_a_renamed_table_and_a_renamed_article_are_recognized(store: Store, isolated: Path, write_jsonl: Write) -> None:
    rows = [{"text": TEXT}, {"text": "Rain fell."}, {"text": "Rain fell."}]
    (isolated / "a.txt").write_text("The envoy left. He will be back.", encoding="utf-8")
    first = ingest(store, [write_jsonl("one.jsonl", rows), isolated / "a.txt"])
    (isolated / "a.txt").rename(isolated / "b.txt")
    again = ingest(store, [write_jsonl("other.jsonl", rows), isolated / "b.txt"])

    assert (first.documents_added, first.documents_present) == (4, 0)
    assert (again.documents_added, again.sentences_added, again.documents_present) == (0, 0, 4)


def test_line_ends_and_normalization_do_not_make_another_document(store: Store, write_jsonl: Write) -> None:
    ingest(store, [write_jsonl("unix.jsonl", [{"text": "Café talks failed.\nRain fell."}])])
    report = ingest(store, [write_jsonl("windows.jsonl", [{"text": "Cafe\u0301 talks failed.\r\nRain fell."}])])

    assert (report.documents_added, report.documents_present) == (0, 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TEXT, f"{TEXT}\n"),
        (f"\n\n  {TEXT}\u00a0\r\n", TEXT),
        ("Talks failed. \nRain fell.\t\n\n", "Talks failed.\nRain fell."),
        (f"{TEXT} ", f"\t{TEXT}"),
    ],
    ids=["last line end", "both ends", "ends of lines", "neither is trimmed"],
)
def test_white_space_at_ends_does_not_make_another_document(
    store: Store, write_jsonl: Write, one: str, other: str
) -> None:
    rows = [[{"text": text, "url": "http://x"}] for text in (one, other)]
    ingest(store, [write_jsonl("one.jsonl", rows[0])])
    before = store.documents.sentences()
    report = ingest(store, [write_jsonl("other.jsonl", rows[1])])

    assert (report.documents_added, report.sentences_added, report.documents_present) == (0, 0, 1)
    assert store.documents.sentences() == before
    assert [sentence.text for sentence in before] == [one[sentence.start : sentence.end] for sentence in before]
    ids = [Document("other.jsonl", text, origin=Origin(url="https://x")).id for text in (one, other)]
    assert ids[0] != ids[1]
    assert [store.removals.find(identifier)[0].id for identifier in ids] == [ids[0]] * 2


def test_white_space_at_ends_does_not_make_two_documents_of_one_call(store: Store, isolated: Path) -> None:
    for name, text in (("a.txt", TEXT), ("b.txt", f"\n\n{TEXT}\n")):
        (isolated / name).write_text(text, encoding="utf-8")

    report = ingest(store, [isolated / "a.txt", isolated / "b.txt"])
    assert (report.documents_added, report.sentences_added, report.documents_present) == (1, 2, 1)
    assert ingest(store, [isolated / "b.txt"]).documents_present == 1


def test_rows_that_differ_in_white_space_at_ends_are_numbered(store: Store, write_jsonl: Write) -> None:
    path = write_jsonl("rows.jsonl", [{"text": TEXT}, {"text": f"{TEXT}\n"}])
    assert [ingest(store, [path]).documents_added for _ in range(2)] == [2, 0]


@pytest.mark.parametrize("column", ["id", "document_id", "url", "source"])
def test_copies_with_different_provenance_are_different_documents(
    store: Store, write_jsonl: Write, column: str
) -> None:
    rows = [{"text": TEXT, column: "one"}, {"text": TEXT, column: "two"}, {"text": TEXT}]

    assert ingest(store, [write_jsonl("rows.jsonl", rows)]).documents_added == 3
    assert ingest(store, [write_jsonl("sorted.jsonl", rows[::-1])]).documents_added == 0


def test_the_date_distinguishes_texts_of_one_source(store: Store, write_jsonl: Write) -> None:
    rows = [{"text": "No comment.", "source": "Ministry", "date": day} for day in ("2024-05-01", "2024-05-02")]
    assert ingest(store, [write_jsonl("rows.jsonl", rows)]).documents_added == 2


def test_two_equal_files_without_provenance_are_one_document(store: Store, isolated: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (isolated / name).write_text(TEXT, encoding="utf-8")

    report = ingest(store, [isolated / "a.txt", isolated / "b.txt"])
    assert (report.documents_read, report.documents_added, report.documents_present) == (2, 1, 1)


# -- stores of earlier releases


@pytest.mark.parametrize(
    ("source", "row"),
    [
        ("rows.jsonl", {}),
        ("Wire", {"source": "Wire"}),
        ("Wire", {"source": "Wire", "date": "2024-05-01", "url": "http://x"}),
        ("d-17", {"id": "d-17"}),
        ("d-17", {"document_id": "d-17", "url": "http://x"}),
    ],
    ids=["file name", "source", "source, date and url", "id", "id and url"],
)
@pytest.mark.parametrize("name", ["rows.jsonl", "renamed.jsonl"])
def test_a_document_of_an_old_store_is_recognized(
    empty_url: str, write_jsonl: Write, source: str, row: dict[str, str], name: str
) -> None:
    stated = {key: value for key, value in row.items() if key in ("url", "date")}
    identifier = old_store(empty_url, source, **stated)
    path = write_jsonl(name, [{"text": TEXT, **row}])
    with Store(empty_url) as store:
        report = ingest(store, [path])

        assert (report.documents_added, report.sentences_added, report.documents_present) == (0, 0, 1)
        assert store.documents.sentences() == spans(identifier)


def test_an_old_text_is_recognized_without_its_white_space(empty_url: str, write_jsonl: Write) -> None:
    old_store(empty_url, "Wire", text=f" {TEXT}\n")
    with Store(empty_url) as store:
        assert ingest(store, [write_jsonl("rows.jsonl", [{"text": TEXT, "source": "Wire"}])]).documents_present == 1


@pytest.mark.parametrize(("date", "added"), [("2024-05-01", 0), ("2024-05-01 12:30", 0), ("2024-05-02", 1), ("", 0)])
def test_an_old_document_of_another_day_is_another_document(
    empty_url: str, write_jsonl: Write, date: str, added: int
) -> None:
    old_store(empty_url, "Wire", date="2024-05-01", title="Aid")
    path = write_jsonl("rows.jsonl", [{"text": TEXT, "source": "Wire", "date": date, "title": "Aid"}])
    with Store(empty_url) as store:
        report = ingest(store, [path])

    assert (report.documents_added, report.sentences_added, report.versions) == (added, 2 * added, [])


@pytest.mark.parametrize("stated", [{"url": "http://x"}, {"title": "Aid"}, {"date": "2024-05-01"}])
def test_an_edited_document_of_an_old_store_is_a_new_version(
    empty_url: str, write_jsonl: Write, stated: dict[str, str]
) -> None:
    old_store(empty_url, "Wire", **stated)
    path = write_jsonl("rows.jsonl", [{"text": f"{TEXT} It rained.", "source": "Wire", **stated}])
    with Store(empty_url) as store:
        report = ingest(store, [path])

    assert [(one.unchanged, one.new) for one in report.versions] == [(2, 1)]


def test_the_upgrade_changes_no_id(empty_url: str) -> None:
    identifier = old_store(empty_url, "Wire", date="2024-05-01")
    with Store(empty_url) as store:
        assert [one.id for one in store.documents.sentences()] == [one.id for one in spans(identifier)]
        assert store.documents.metadata()[identifier]["date"] == "2024-05-01"


# -- old ids in new stores


def test_old_ids_of_sentences_are_resolved(store: Store, write_jsonl: Write) -> None:
    ingest(store, [write_jsonl("rows.jsonl", [{"text": TEXT, "source": "Wire", "date": "2024-05-01"}])])
    (first, second) = store.documents.sentences()
    old = [one.id for one in spans(former_document_id("Wire", TEXT))]

    assert store.documents.resolve([*old, first.id, "0123456789abcdef", "s1"]) == {old[0]: first.id, old[1]: second.id}


def test_articles_after_their_old_annotations_keep_the_old_ids(store: Store, url: str, write_jsonl: Write) -> None:
    old = former_document_id("Wire", TEXT)
    store.add_annotated(spans(old)[:1], [decision(spans(old)[0].id)])

    report = ingest(store, [write_jsonl("rows.jsonl", [{"text": TEXT, "source": "Wire", "date": "2024-05-01"}])])
    assert (report.documents_added, report.sentences_added) == (1, 1)
    assert [one.id for one in store.documents.sentences()] == [one.id for one in spans(old)]
    assert stored_document(url, old).date == "2024-05-01"


def test_new_spans_never_overlap_annotated_spans(store: Store, write_jsonl: Write) -> None:
    old = former_document_id("Wire", TEXT)
    early = Sentence(old, 5, 23, TEXT[5:23])
    store.add_annotated([early], [decision(early.id)])

    ingest(store, [write_jsonl("rows.jsonl", [{"text": TEXT, "source": "Wire"}])])
    assert [(one.start, one.end) for one in store.documents.sentences()] == [(5, 23), (24, 47)]


def test_documents_added_in_code_are_recognized_under_their_old_ids(store: Store) -> None:
    old = former_document_id("Wire", TEXT)
    store.add_annotated(spans(old), [])
    document = Document("Wire", TEXT)

    assert store.documents.add([(document, spans(document.id))]) == (1, 0)
    assert store.counts.texts() == TextCounts(1, 2, 0)


def test_an_alias_is_never_the_id_of_a_document(store: Store, url: str, write_jsonl: Write) -> None:
    rows = [{"text": TEXT, "source": "Wire", "date": day} for day in ("2024-05-01", "2024-05-02")]
    ingest(store, [write_jsonl("rows.jsonl", [*rows, {"text": TEXT, "source": "Wire"}])])

    ids = {row.id for row in rows_of(url, sa.select(tables.documents))}
    aliases = {row.alias for row in rows_of(url, sa.select(tables.aliases))}
    assert len(ids) == 3
    assert aliases == {former_document_id("Wire", TEXT)}
    assert not ids & aliases


def test_the_text_of_a_document_is_hashed_once() -> None:
    document = Document("hansard.txt", "Hear, hear. " * 1000, origin=Origin())
    assert document.id is document.id


def test_ids_of_rows_may_be_numbers(store: Store, isolated: Path) -> None:
    (isolated / "rows.jsonl").write_text(json.dumps({"id": 3, "text": TEXT}) + "\n", encoding="utf-8")
    (isolated / "rows.csv").write_text(f'id,text\n3,"{TEXT}"\n', encoding="utf-8")

    assert ingest(store, [isolated / "rows.jsonl"]).documents_added == 1
    assert ingest(store, [isolated / "rows.csv"]).documents_added == 0
