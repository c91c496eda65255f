from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labels.codebook.changes import Step
from labels.codebook.schema import Codebook, codebook_from_dict
from labels.errors import DataError
from labels.exchange.driver import export_file, import_file
from labels.exchange.lines import COLUMNS
from labels.gold import resolve
from labels.records import Annotation, Sentence
from labels.store import Store, now
from labels.store.codebook_migration import apply_migration, plan_migration

Write = Callable[[str, list[dict[str, Any]]], Path]

OLD = codebook_from_dict({"name": "small", "version": "1", "labels": [{"name": "aid"}, {"name": "truce"}]}, "old")
NEW = codebook_from_dict({"name": "small", "version": "2", "labels": [{"name": "help"}, {"name": "truce"}]}, "new")
SENTENCES = [Sentence("d1", 10 * i, 10 * i + 9, f"Text {i:04d}") for i in range(3)]


def says(sentence: Sentence, label: str, codebook: Codebook) -> Annotation:
    identifier = f"{sentence.id}-{codebook.version}"
    return Annotation(identifier, sentence.id, "ana", "annotate", "reviewed", (label,), codebook.hash, now())


@pytest.fixture
def migrated() -> Store:
    """A store with annotations of two versions, and the recorded change between them."""
    store = Store("migrated.db")
    store.codebooks.add(OLD)
    store.add_annotated(SENTENCES, [])
    store.events.add([says(SENTENCES[0], "aid", OLD), says(SENTENCES[1], "truce", OLD)])
    apply_migration(store, plan_migration(store, OLD, NEW, [Step("rename", ("aid",), ("help",))]))
    store.events.add([says(SENTENCES[2], "help", NEW)])
    return store


def test_all_codebook_versions_and_changes_come_back(migrated: Store) -> None:
    export_file(migrated, Path("out.jsonl"), NEW)

    with Store("again.db") as again:
        assert tuple(import_file(again, Path("out.jsonl"), NEW)) == (3, 0, {})
        assert again.events.all() == migrated.events.all()
        assert again.codebooks.all() == migrated.codebooks.all()
        assert again.codebooks.migrations() == migrated.codebooks.migrations()
        gold = resolve(again.events.all(), NEW, again.codebooks.history()).gold
        assert gold == {SENTENCES[0].id: ("help",), SENTENCES[1].id: ("truce",), SENTENCES[2].id: ("help",)}
        assert tuple(import_file(again, Path("out.jsonl"), NEW)) == (0, 3, {})
        export_file(again, Path("again.jsonl"), NEW)
    assert Path("again.jsonl").read_text() == Path("out.jsonl").read_text()


def test_standoff_files_have_the_versions_too(migrated: Store) -> None:
    export_file(migrated, Path("out.jsonl"), NEW, "standoff")

    with Store("again.db") as again:
        again.add_annotated(SENTENCES, [])
        assert import_file(again, Path("out.jsonl"), NEW, "standoff").new == 3
        assert again.codebooks.migrations() == migrated.codebooks.migrations()
        assert again.events.all() == migrated.events.all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"event_id": "again"}, "event_id 'again' occurs twice", id="an event id that occurs twice"),
        pytest.param({"text": "Text 000X"}, "'Text 000X' in the file, but 'Text 0000' in the store", id="another text"),
    ],
)
def test_a_refused_file_leaves_no_versions_or_changes(
    migrated: Store, write_jsonl: Write, change: dict[str, Any], message: str
) -> None:
    export_file(migrated, Path("out.jsonl"), NEW)
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    path = write_jsonl("in.jsonl", [line | change if "text" in line else line for line in lines])

    with Store("again.db") as again:
        again.add_annotated(SENTENCES[:1], [])
        with pytest.raises(DataError, match=message):
            import_file(again, path, NEW)
        assert (again.codebooks.all(), again.codebooks.migrations(), again.events.all()) == ({}, [], [])
        assert again.documents.sentences() == SENTENCES[:1]


def test_a_store_of_one_version_writes_events_only(isolated: Path) -> None:
    with Store("one.db") as store:
        store.codebooks.add(OLD)
        store.codebooks.add(NEW)
        store.add_annotated(SENTENCES, [])
        store.events.add([says(SENTENCES[0], "aid", OLD)])
        export_file(store, Path("out.jsonl"), OLD)
    assert [set(json.loads(line)) for line in Path("out.jsonl").read_text().splitlines()] == [
        set(COLUMNS) - {"undoes", "draw_id"}
    ]


@pytest.mark.parametrize(
    "line",
    [
        {"codebook": "name = "},
        {"codebook_migration": {"old_hash": "a", "new_hash": "b", "created_at": "now"}},
        {"codebook_migration": {"old_hash": "a", "new_hash": "b", "created_at": "now", "steps": [{"kind": "melt"}]}},
        {"codebook_migration": []},
    ],
)
def test_a_damaged_version_or_change_is_refused_with_its_line(write_jsonl: Write, line: dict[str, Any]) -> None:
    path = write_jsonl("in.jsonl", [line])
    with Store("again.db") as store:
        with pytest.raises(DataError, match=r"in\.jsonl:1: "):
            import_file(store, path, NEW)
        assert store.codebooks.all() == {}


@pytest.mark.parametrize(
    ("kind", "message"), [("mystery", "Upgrade communique"), ("rename", "--rename takes one label")]
)
def test_an_unknown_step_is_refused_with_its_line(write_jsonl: Write, kind: str, message: str) -> None:
    step = {"kind": kind, "old": ["aid"], "new": ["loan", "gift"]}
    change = {"old_hash": "a", "new_hash": "b", "created_at": "now", "steps": [step]}
    path = write_jsonl("in.jsonl", [{"codebook_migration": change}])
    with Store("again.db") as store, pytest.raises(DataError, match=rf"in\.jsonl:1: .*{message}"):
        import_file(store, path, NEW)
