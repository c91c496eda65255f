"""One text is one sentence, whichever file, coder or tool it comes from."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labels.codebook.schema import load_codebook
from labels.exchange.driver import Imported, import_file
from labels.records import former_document_id, sentence_id
from labels.store import Store
from labels.store.ingestion import ingest
from tests.labels.exchange.steps import MULTI, Row, decided, export, write_json

TEXTS = ["Take this.", "Stop.", "It rained.", "Stop."]


def load(store: Store, format: str, path: Path, annotator: str = "") -> Imported:
    return import_file(store, path, MULTI, format, annotator)


def write_table(path: Path, rows: list[Row]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def coded(label: str, **more: Any) -> list[Row]:
    """A coder's table over the same texts."""
    return [{"text": text, "label": label, **more} for text in TEXTS]


def sentences(store: Store) -> int:
    return len(store.documents.sentences())


def test_a_renamed_table_adds_nothing(store: Store, isolated: Path) -> None:
    first = load(store, "csv", write_table(isolated / "one.csv", coded("aid")), annotator="ana")
    again = load(store, "csv", write_table(isolated / "other.csv", coded("aid")), annotator="ana")

    assert (*first, first.texts, first.known_texts) == (4, 0, {}, 4, 0)
    assert (*again, again.texts, again.known_texts) == (0, 4, {}, 4, 4)
    assert sentences(store) == 4


def test_coders_with_a_table_each_share_all_sentences(store: Store, isolated: Path) -> None:
    ana = coded("aid", note="clear", created_at="2026-01-01T00:00:00Z")
    load(store, "csv", write_table(isolated / "ana.csv", ana), annotator="ana")
    ben = load(store, "csv", write_table(isolated / "ben.csv", coded("truce")), annotator="ben")

    assert (ben.new, ben.known_texts, sentences(store)) == (4, 4, 4)
    assert len(store.events.shared_sentences()) == 4


def test_coders_in_one_long_table_share_all_sentences(store: Store, isolated: Path) -> None:
    rows = [
        row for pair in zip(coded("aid", annotator="ana"), coded("truce", annotator="ben"), strict=True) for row in pair
    ]

    assert load(store, "csv", write_table(isolated / "all.csv", rows)).new == 8
    assert sentences(store) == 4
    assert len(store.events.shared_sentences()) == 4


def test_equal_texts_of_one_coder_are_separate_sentences(store: Store, isolated: Path) -> None:
    load(store, "csv", write_table(isolated / "ana.csv", coded("aid")), annotator="ana")

    assert sorted(text for text, *_ in decided(store)) == sorted(TEXTS)
    assert len({event.sentence_id for event in store.events.all()}) == 4


@pytest.mark.parametrize("column", ["id", "document_id", "url", "source"])
def test_syndicated_copies_stay_separate(store: Store, isolated: Path, column: str) -> None:
    rows = [{"text": "Stop.", "label": "truce", column: value} for value in ("one", "two")]
    load(store, "csv", write_table(isolated / "rows.csv", rows), annotator="ana")

    assert sentences(store) == 2


def test_articles_and_a_table_of_their_texts_meet(store: Store, isolated: Path) -> None:
    ingest(store, [write_table(isolated / "articles.csv", [{"text": text} for text in TEXTS])])
    result = load(store, "csv", write_table(isolated / "ana.csv", coded("aid")), annotator="ana")

    assert (result.new, result.known_texts, sentences(store)) == (4, 4, 4)


def task(number: int, text: str, who: str) -> Row:
    result = [{"type": "choices", "from_name": "label", "to_name": "text", "value": {"choices": ["aid"]}}]
    return {"id": number, "data": {"text": text}, "annotations": [{"completed_by": {"email": who}, "result": result}]}


def test_two_projects_of_label_studio_over_the_same_texts_meet(store: Store, isolated: Path) -> None:
    for who, first in (("ana", 1), ("ben", 70)):
        tasks = [task(first + number, text, who) for number, text in enumerate(TEXTS)]
        load(store, "label-studio", write_json(isolated / f"{who}.json", tasks))

    assert sentences(store) == 4
    assert len(store.events.shared_sentences()) == 4


def test_files_of_different_tools_meet(store: Store, isolated: Path) -> None:
    (isolated / "ben.jsonl").write_text(
        "".join(json.dumps({"id": 9 + i, "text": text, "label": ["aid"]}) + "\n" for i, text in enumerate(TEXTS))
    )
    load(store, "csv", write_table(isolated / "ana.csv", coded("aid")), annotator="ana")
    load(store, "doccano", isolated / "ben.jsonl")

    assert len(store.events.shared_sentences()) == 4


def test_line_ends_and_normalization_do_not_separate_coders(store: Store, isolated: Path) -> None:
    for who, text in (("ana", "  Café talks.\nStop."), ("ben", "  Cafe\u0301 talks.\r\nStop.")):
        (isolated / "rows.parquet").unlink(missing_ok=True)
        path = isolated / f"{who}.jsonl"
        path.write_text(json.dumps({"text": text, "label": ["aid"]}) + "\n", encoding="utf-8")
        load(store, "doccano", path)

    assert sentences(store) == 1
    assert len(store.events.shared_sentences()) == 1


def test_events_with_equal_content_on_two_documents_are_both_kept(store: Store, isolated: Path) -> None:
    for number, name in enumerate(("one.csv", "two.csv")):
        rows = [{"text": "Stop.", "label": "truce", "source": "Wire", "date": f"2024-05-0{number + 1}"}]
        assert load(store, "csv", write_table(isolated / name, rows), annotator="ana").new == 1
    assert sentences(store) == 2


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(4)))
def test_the_order_of_rows_does_not_matter(new_store: Any, isolated: Path, order: list[int]) -> None:
    rows = [{"text": text, "label": "aid", "source": f"paper {number}"} for number, text in enumerate(TEXTS)]
    with new_store() as store:
        load(store, "csv", write_table(isolated / "one.csv", rows), annotator="ana")
        ben = write_table(isolated / "two.csv", [rows[number] for number in order])
        assert load(store, "csv", ben, annotator="ben").known_texts == 4
        assert len(store.events.shared_sentences()) == 4


# -- versions and old ids


def test_a_native_file_with_old_ids_meets_the_articles(store: Store, isolated: Path) -> None:
    text = "Oslo pledged aid. The mayor left."
    ingest(store, [write_table(isolated / "articles.csv", [{"text": text, "source": "Wire", "date": "2024-05-01"}])])
    old = former_document_id("Wire", text)
    line = {
        "event_id": "e1",
        "sentence_id": sentence_id(old, 0, 17),
        "document_id": old,
        "start": 0,
        "end": 17,
        "text": "Oslo pledged aid.",
        "annotator": "ana",
        "event": "annotate",
        "state": "reviewed",
        "labels": ["aid_pledge"],
        "codebook_hash": load_codebook("diplomatic").hash,
        "created_at": "2024-05-05T00:00:00+00:00",
    }
    path = isolated / "old.jsonl"
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")

    result = import_file(store, path, load_codebook("diplomatic"))
    assert (result.new, result.known_texts, sentences(store)) == (1, 1, 2)
    (event,) = store.events.all()
    assert event.sentence_id == next(one.id for one in store.documents.sentences() if one.start == 0)


def test_decisions_on_a_later_version_are_decisions_on_the_first(store: Store, new_store: Any, isolated: Path) -> None:
    versions = [f"{first} The mayor left. The envoy stayed." for first in ("Oslo gave aid.", "Oslo gave more aid.")]
    paths = [
        write_table(isolated / f"{number}.csv", [{"text": text, "url": "http://x"}])
        for number, text in enumerate(versions)
    ]
    ingest(store, paths)
    with new_store() as other:
        ingest(other, paths[1:])
        rows = [{"text": one.text, "label": "aid", "sentence_id": one.id} for one in other.documents.sentences()]
        load(other, "csv", write_table(isolated / "labels.csv", rows), annotator="ana")
        export(other, "jsonl", isolated / "labels.jsonl")

    result = import_file(store, isolated / "labels.jsonl", MULTI)
    assert (result.new, result.known_texts) == (3, 3)
    sentences_of = {one.id: one for one in store.documents.sentences()}
    decided_on = [sentences_of[event.sentence_id] for event in store.events.all()]
    assert {one.boilerplate for one in decided_on} == {""}
    assert len({one.document_id for one in decided_on}) == 2
