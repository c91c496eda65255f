"""The state `not_a_sentence` travels where a format can mark it, and is counted where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labels.agreement.report import agreement
from labels.codebook.schema import Codebook
from labels.exchange.driver import export_file, import_file
from labels.exchange.formats import BUILTINS, find_format
from labels.store import Store
from tests.labels.store.builders import added, decision
from trainer.data.corpus import store_examples

MARKED = {"jsonl": "m.jsonl", "csv": "m.csv", "standoff": "m.jsonl"}
"""Formats that can mark the state, with a file."""
FILES = {"label-studio-min": "f.json", "huggingface": "folder", "activetigger": "f.csv"}


@pytest.fixture
def marked(isolated: Path) -> Store:
    """A store in which ana marked the first of three sentences, and both annotators decided the second."""
    store = Store("marked.db")
    first, second, third = added(store, 3)
    store.events.add(
        [
            decision(first, "ana", state="not_a_sentence", note="a caption"),
            decision(second, "ana", labels=("aid",)),
            decision(second, "ben", labels=("aid",)),
            decision(third, "ben", labels=("truce",)),
        ]
    )
    return store


@pytest.mark.parametrize("name", MARKED)
def test_the_state_survives_a_round_trip(marked: Store, codebook: Codebook, name: str) -> None:
    exported = export_file(marked, MARKED[name], codebook, name)
    with Store("other.db") as other:
        if name == "standoff":
            other.add_annotated(marked.documents.sentences(), [])
        import_file(other, MARKED[name], codebook, name)
        found = {(event.annotator, event.state, event.note) for event in other.events.all()}

    assert exported.left_out == {}
    assert ("ana", "not_a_sentence", "a caption") in found


SKIPPED = {"prodigy": "f.jsonl", "label-studio": "f.json", "argilla": "f.jsonl"}
"""Formats that can mark a skip only, with a file."""


@pytest.mark.parametrize("name", SKIPPED)
def test_formats_with_skips_write_it_as_skipped(marked: Store, codebook: Codebook, name: str) -> None:
    exported = export_file(marked, SKIPPED[name], codebook, name)
    assert (exported.written, exported.left_out) == (4, {})
    assert "spans that are not sentences: they are written as skipped" in find_format(name).lost

    # The tool shows a skip, and the stamp says what it was: nothing is decided anew.
    done = import_file(marked, SKIPPED[name], codebook, name)
    assert (done.new, done.known) == (0, 4)
    with Store("other.db") as other:
        import_file(other, SKIPPED[name], codebook, name)
        assert {(event.annotator, event.state) for event in other.events.all()} == {
            ("ana", "not_a_sentence"),
            ("ana", "reviewed"),
            ("ben", "reviewed"),
        }


@pytest.mark.parametrize("name", SKIPPED)
def test_the_tool_sees_a_skip(marked: Store, codebook: Codebook, name: str) -> None:
    path = Path(SKIPPED[name])
    export_file(marked, path, codebook, name)
    content = path.read_text(encoding="utf-8")
    records = json.loads(content) if path.suffix == ".json" else [json.loads(line) for line in content.splitlines()]
    texts = [record["data"]["text"] if "data" in record else record["text"] for record in records]
    outside = records[texts.index("Text 0000")]
    shown = {
        "prodigy": lambda: outside["answer"] == "ignore",
        "label-studio": lambda: outside["annotations"][0]["was_cancelled"],
        "argilla": lambda: "discarded" in next(value for key, value in outside.items() if key.endswith(".status")),
    }
    assert shown[name]()


@pytest.mark.parametrize("name", [name for name in BUILTINS if name not in MARKED | SKIPPED])
def test_other_formats_leave_it_out_like_skips_and_list_it_as_lost(
    marked: Store, codebook: Codebook, name: str
) -> None:
    exported = export_file(marked, FILES.get(name, "f.jsonl"), codebook, name)

    carries = find_format(name).carries
    reason = "spans that are not sentences" if carries == "gold" else "decisions that a span is not a sentence"
    assert exported.left_out == {reason: 1}
    assert "spans that are not sentences: the format cannot mark them" in find_format(name).lost


def test_training_and_agreement_leave_it_out_and_count_it(marked: Store, codebook: Codebook) -> None:
    gold = store_examples(marked, codebook)
    assert [example.labels for example in gold.examples] == [("aid",), ("truce",)]
    assert "1 sentence was left out: its annotators marked it as not a sentence" in gold.notes

    events = marked.events.all()
    sentences = marked.documents.by_first_version({event.sentence_id for event in events})
    report = agreement(events, sentences, codebook)
    assert report.other.figures.n_sentences == 1
    assert {(one.annotator, one.reviewed, one.not_a_sentence) for one in report.responses} == {
        ("ana", 1, 1),
        ("ben", 2, 0),
    }
