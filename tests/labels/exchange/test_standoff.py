from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from labels.errors import DataError
from labels.exchange.lines import COLUMNS
from labels.records import Annotation, Sentence
from labels.store import Store
from labels.store.ingestion import ingest
from tests.labels.exchange.steps import Row, bring_in, export, lines_of

Write = Callable[[str, list[Row]], Path]
NewStore = Callable[[], Store]

SENTENCE = Sentence("d1", 3, 12, "Nine long")
EVENT = Annotation(
    "e1",
    SENTENCE.id,
    "ana",
    "annotate",
    "reviewed",
    ("aid",),
    "h",
    "t",
    extra={"prodigy": {"tokens": ["Nine", "long"]}},
)


@pytest.fixture
def file(store: Store, isolated: Path) -> Path:
    """A standoff file of one event."""
    store.add_annotated([SENTENCE], [])
    store.events.add([EVENT])
    export(store, "standoff", isolated / "out.jsonl")
    return isolated / "out.jsonl"


def test_no_word_of_the_text_is_in_the_file(file: Path) -> None:
    (line,) = lines_of(file)

    assert list(line) == [column for column in COLUMNS if column not in ("text", "extra", "undoes", "draw_id")]
    assert "Nine" not in file.read_text(encoding="utf-8")


def test_an_event_whose_sentence_is_not_in_the_store_is_refused(file: Path, new_store: NewStore) -> None:
    with new_store() as other:
        with pytest.raises(DataError, match=rf"out\.jsonl:1: sentence {SENTENCE.id} is not in the.*communique ingest"):
            bring_in(other, "standoff", file)
        assert other.events.all() == []


def test_a_line_that_was_altered_is_refused(file: Path, store: Store, write_jsonl: Write) -> None:
    (line,) = lines_of(file)

    with pytest.raises(DataError, match=r"in\.jsonl:1: sentence_id .* does not match document_id, start and end"):
        bring_in(store, "standoff", write_jsonl("in.jsonl", [line | {"start": 4}]))


def test_only_one_annotators_events_are_written_when_asked(file: Path, store: Store, isolated: Path) -> None:
    store.events.add([replace(EVENT, event_id="e2", annotator="ben")])

    assert export(store, "standoff", isolated / "ben.jsonl", annotator="ben") == (1, {})
    assert [line["event_id"] for line in lines_of(isolated / "ben.jsonl")] == ["e2"]


def test_a_span_that_the_splitter_no_longer_makes_is_taken_from_its_document(
    store: Store, new_store: NewStore, isolated: Path
) -> None:
    quote = "“We reject the offer. It is a trap for our army,” he said."
    (isolated / "article.txt").write_text(f"Rain fell on Oslo. {quote}", encoding="utf-8")
    ingest(store, [isolated / "article.txt"], keep_quotes=True)
    (sentence,) = [one for one in store.documents.sentences() if one.text == quote]
    moment = "2026-01-31T10:00:00+00:00"
    store.events.add([replace(EVENT, sentence_id=sentence.id, created_at=moment)])
    export(store, "standoff", isolated / "out.jsonl")

    with new_store() as other:
        ingest(other, [isolated / "article.txt"])
        bring_in(other, "standoff", isolated / "out.jsonl")
        assert [one.text for one in other.documents.sentences([sentence.id])] == [quote]
        assert [one.text for one in other.documents.sentences(other.unseen.ids())] == ["Rain fell on Oslo."]
