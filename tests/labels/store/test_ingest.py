from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labels.errors import DataError
from labels.store import Store, TextCounts
from labels.store.ingestion import ingest
from tests.conftest import progress_reports
from tests.labels.store.builders import stored_document

Write = Callable[[str, list[dict[str, Any]]], Path]

ARTICLE = """Oslo pledged 40 trucks on Friday. The mayor thanked them.

Leave a Comment

The envoy called for a truce along the river.
"""


@pytest.fixture
def store() -> Iterator[Store]:
    with Store("store.db") as opened:
        yield opened


@pytest.fixture
def articles(isolated: Path) -> Path:
    """A folder with two articles of three sentences and one line of boilerplate each."""
    folder = isolated / "articles"
    folder.mkdir()
    (folder / "a.txt").write_text(ARTICLE, encoding="utf-8")
    (folder / "b.md").write_text(ARTICLE.replace("Oslo", "Bergen"), encoding="utf-8")
    return folder


def test_documents_and_sentences_are_added_and_counted(store: Store, articles: Path) -> None:
    report = ingest(store, [articles])

    assert (report.documents_read, report.documents_added, report.sentences_added) == (2, 2, 8)
    assert report.boilerplate == Counter({"comments": 2})
    assert report.rejected == []
    assert store.counts.texts() == TextCounts(documents=2, sentences=8, boilerplate=2)


def test_each_sentence_is_its_span_of_the_stored_document(store: Store, articles: Path) -> None:
    ingest(store, [articles])

    for sentence in store.documents.sentences():
        document = stored_document(store.url, sentence.document_id)
        assert document.text[sentence.start : sentence.end] == sentence.text


def test_boilerplate_is_kept_with_its_reason_but_not_to_be_labelled(store: Store, articles: Path) -> None:
    ingest(store, [articles])

    aside = [sentence for sentence in store.documents.sentences() if sentence.boilerplate]
    assert [(sentence.text, sentence.boilerplate) for sentence in aside] == [("Leave a Comment", "comments")] * 2
    assert set(store.unseen.ids()) == {sentence.id for sentence in store.documents.sentences()} - {
        each.id for each in aside
    }


def test_ingesting_again_adds_nothing(store: Store, articles: Path) -> None:
    ingest(store, [articles])
    before = store.counts.texts()

    report = ingest(store, [articles, articles / "a.txt"])

    assert (report.documents_read, report.documents_added, report.sentences_added) == (3, 0, 0)
    assert store.counts.texts() == before


def test_a_document_that_changed_is_a_new_one(store: Store, articles: Path) -> None:
    ingest(store, [articles / "a.txt"])
    (articles / "a.txt").write_text(ARTICLE + "\nRain fell.\n", encoding="utf-8")

    assert ingest(store, [articles / "a.txt"]).documents_added == 1
    assert store.counts.texts().documents == 2


def test_unreadable_files_are_reported_and_the_rest_is_added(store: Store, articles: Path, write_jsonl: Write) -> None:
    (articles / "latin.txt").write_bytes("Zürich pledged aid.".encode("latin-1"))
    rows = write_jsonl("rows.jsonl", [{"text": "Rain fell."}, {"body": "x"}, {"text": "Snow fell."}])

    report = ingest(store, [articles, rows])

    assert report.documents_added == 4
    assert len(report.rejected) == 2
    assert "latin.txt: the file is not UTF-8" in report.rejected[0]
    assert "rows.jsonl:2: this row has no column `text`" in report.rejected[1]


@pytest.mark.parametrize(
    "row",
    [
        # Half of a surrogate pair, as scrapers leave it when they cut a text inside an emoji.
        {"text": "Snow fell \ud83d"},
        {"text": "Snow fell.", "title": "Snow \ud83d"},
        {"text": "Snow\0fell."},
        {"text": "Snow fell.", "date": "the first Sunday after the second full moon"},
        {"text": "Snow fell.", "language": "English (United States)"},
    ],
    ids=["half a character", "in the title", "NUL", "long date", "long language"],
)
def test_a_row_the_store_cannot_hold_is_reported(url: str, isolated: Path, row: dict[str, Any]) -> None:
    rows = [{"text": "Rain fell."}, row, {"text": "Hail fell."}]
    (isolated / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    with Store(url) as store:
        report = ingest(store, [isolated / "rows.jsonl"])

    assert report.documents_added == 2
    assert len(report.rejected) == 1
    assert "rows.jsonl:2" in report.rejected[0]


def test_more_documents_than_one_transaction_are_all_added(store: Store, isolated: Path) -> None:
    rows = isolated / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": i, "text": f"Rain fell on day {i}."}) + "\n" for i in range(450)))

    report = ingest(store, [rows])

    assert (report.documents_read, report.documents_added, report.sentences_added) == (450, 450, 450)
    assert store.counts.texts().documents == 450


@pytest.mark.parametrize("name", ["missing.txt", "picture.png", "empty"])
def test_a_path_without_articles_is_refused_first(store: Store, articles: Path, isolated: Path, name: str) -> None:
    (isolated / "picture.png").touch()
    (isolated / "empty").mkdir()
    paths = [isolated / name] if name == "empty" else [articles, isolated / name]

    with pytest.raises(DataError, match=name):
        ingest(store, paths)
    assert store.counts.texts().documents == 0


def test_progress_counts_files_up_to_all_of_them(store: Store, articles: Path) -> None:
    with progress_reports() as reports:
        ingest(store, [articles])

    assert reports == [("Reading", done, 2) for done in (0, 1, 2)]
