"""Offsets in the store and in exports index the text that the user has."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labels.codebook.schema import Codebook
from labels.exchange.driver import export_file
from labels.records import Annotation, Document, Sentence
from labels.store import Store
from labels.store.ingestion import ingest
from labels.text.sentences import split_sentences

WriteJsonl = Callable[[str, list[dict[str, Any]]], Path]

CELL = "Oslo pledged winter fuel.\r\nThe envoy called for a truce.\rRain fell."
SENTENCES = ["Oslo pledged winter fuel.", "The envoy called for a truce.", "Rain fell."]


def decide_all(store: Store, codebook: Codebook) -> None:
    """One decision on each sentence."""
    store.events.add(
        [
            Annotation(sentence.id, sentence.id, "ana", "annotate", "reviewed", ("aid",), codebook.hash, "2026-01-01")
            for sentence in store.documents.sentences()
        ]
    )


def test_offsets_of_stored_sentences_and_of_exports_index_the_cell(
    store: Store, codebook: Codebook, write_jsonl: WriteJsonl
) -> None:
    ingest(store, [write_jsonl("rows.jsonl", [{"text": CELL, "source": "wire"}])])
    sentences = store.documents.sentences()
    assert [CELL[sentence.start : sentence.end] for sentence in sentences] == SENTENCES
    assert store.documents.paragraph_breaks(sentences) == [True, True]
    decide_all(store, codebook)
    export_file(store, "out.jsonl", codebook)
    rows = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted(CELL[row["start"] : row["end"]] for row in rows) == sorted(SENTENCES)
    export_file(store, "out.csv", codebook, "csv")
    with Path("out.csv").open(encoding="utf-8", newline="") as file:
        assert sorted(row["text"] for row in csv.DictReader(file)) == sorted(SENTENCES)


def test_an_export_writes_the_texts_that_its_offsets_index(
    store: Store, codebook: Codebook, write_jsonl: WriteJsonl
) -> None:
    Path("a.txt").write_bytes(CELL.encode())
    Path("page.md").write_text("# Rain fell\n\n*Oslo* pledged **fuel** in winter.\n", encoding="utf-8")
    ingest(store, [Path("a.txt"), Path("page.md"), write_jsonl("rows.jsonl", [{"text": CELL, "source": "wire"}])])
    store.add_annotated([Sentence("elsewhere", 0, 5, "Rain.")], [])
    decide_all(store, codebook)
    for _ in range(2):  # the second call replaces the folder
        export_file(store, "out.jsonl", codebook, texts="texts")
    rows = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = {path.stem: path.read_bytes().decode() for path in Path("texts").glob("*.txt")}
    assert len(texts) == 3
    assert {row["document_id"] for row in rows} == {*texts, "elsewhere"}
    found = [row for row in rows if row["document_id"] in texts]
    assert [texts[row["document_id"]][row["start"] : row["end"]] for row in found] == [row["text"] for row in found]
    assert len(json.loads(Path("texts/texts.json").read_text(encoding="utf-8"))) == 3


def test_offsets_of_a_file_index_its_text_with_line_feeds(store: Store) -> None:
    Path("a.txt").write_bytes(CELL.encode())
    ingest(store, [Path("a.txt")])
    text = CELL.replace("\r\n", "\n").replace("\r", "\n")
    assert [text[sentence.start : sentence.end] for sentence in store.documents.sentences()] == SENTENCES


def test_a_document_that_an_earlier_release_stored_with_line_feeds_keeps_its_offsets(
    store: Store, write_jsonl: WriteJsonl
) -> None:
    earlier = Document("wire", CELL.replace("\r\n", "\n"))
    store.documents.add([(earlier, split_sentences(earlier))])
    before = store.documents.sentences()
    report = ingest(store, [write_jsonl("rows.jsonl", [{"text": CELL, "source": "wire"}])])
    assert (report.documents_added, report.sentences_added) == (0, 0)
    assert store.documents.sentences() == before
    assert [earlier.text[sentence.start : sentence.end] for sentence in before] == SENTENCES
