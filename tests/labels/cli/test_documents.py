from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labels.store import Store
from tests.labels.store.builders import decision
from trainer.cli import app

Write = Callable[[str, list[dict[str, Any]]], Path]
TEXT = "Oslo pledged forty trucks. The mayor thanked them. Rain fell."


def run(*arguments: str, code: int = 0, typed: str = "") -> str:
    done = CliRunner().invoke(app, list(arguments), input=typed)
    assert done.exit_code == code, done.output
    return str(done.output)


@pytest.fixture
def ids(write_jsonl: Write) -> dict[str, str]:
    """Document ids by source; every sentence of the first document is labelled."""
    rows = [
        {"text": TEXT, "source": "Wire", "title": "Aid", "date": "2024-05-01", "url": "http://x"},
        {"text": "The dam broke.", "source": "Radio"},
    ]
    run("ingest", str(write_jsonl("rows.jsonl", rows)))
    with Store("communique.db") as store:
        found = {one.source: one.id for one in store.removals.summaries()}
        store.events.add([decision(one.id) for one in store.documents.sentences(document_id=found["Wire"])])
    return found


def test_ingest_reports_known_documents_and_new_versions(write_jsonl: Write, ids: dict[str, str]) -> None:
    assert "Already in the store: 2 documents." in run("ingest", "rows.jsonl")
    edited = {"text": TEXT.replace("forty", "sixty"), "title": "More aid", "url": "http://x"}
    said = run("ingest", str(write_jsonl("edited.jsonl", [edited])))

    assert f"New version of {ids['Wire']} (More aid): 2 sentences unchanged, 1 new." in said
    assert "Read 1 document: 1 new, with 1 sentence." in said
    assert "Set aside" not in said
    assert f"version of {ids['Wire']}" in run("documents")


def test_documents_are_listed_in_a_table_with_filters(ids: dict[str, str]) -> None:
    header, radio, wire, last = run("documents").splitlines()

    assert header.split() == ["id", "source", "title", "date", "to", "label", "decisions", "state"]
    assert radio.split() == [ids["Radio"], "Radio", "The", "dam", "broke.", "1", "0"]
    assert wire.split() == [ids["Wire"], "Wire", "Aid", "2024-05-01", "3", "3"]
    assert last == "communique.db: 2 documents."
    assert run("documents", "list", "--source", "radio").count("Radio") == 1
    assert run("documents", "list", "--state", "removed") == "communique.db: 0 documents.\n"
    assert "Use stored, removed, purged" in run("documents", "list", "--state", "gone", code=2)


def test_a_removed_document_leaves_exports_and_comes_back(ids: dict[str, str], isolated: Path) -> None:
    said = run("documents", "remove", ids["Wire"][:8])
    assert "Removed: 1 document, with 3 decisions." in said
    assert f"Next: communique documents restore {ids['Wire'][:8]}" in said
    assert "communique.db: 1 document, 1 sentence to label." in run("status")
    assert "Not added again, because they were removed: 1 (see" in run("ingest", "rows.jsonl")
    run("annotations", "export", "labels.jsonl")
    assert (isolated / "labels.jsonl").read_text(encoding="utf-8") == ""
    assert "Unchanged: 1 document" in run("documents", "remove", ids["Wire"])

    assert "Restored: 1 document, with 3 decisions." in run("documents", "restore", ids["Wire"])
    run("annotations", "export", "labels.jsonl", "--overwrite")
    assert len((isolated / "labels.jsonl").read_text(encoding="utf-8").splitlines()) == 3


def test_decisions_on_removed_documents_are_not_imported(ids: dict[str, str], isolated: Path) -> None:
    run("annotations", "export", "labels.jsonl")
    lines = [json.loads(line) for line in (isolated / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    own = (line | {"event_id": f"n{number}", "annotator": "ben"} for number, line in enumerate(lines))
    changed = "".join(json.dumps(line) + "\n" for line in own)
    (isolated / "ben.jsonl").write_text(changed, encoding="utf-8")
    run("documents", "purge", ids["Wire"], "--yes")

    said = run("annotations", "import", "ben.jsonl")
    assert "Events added to communique.db: 0 (already there: 0)." in said
    assert "decisions on documents that were removed from the store (see `communique documents`) (3)" in said


def test_purging_asks_first_and_cannot_be_undone(ids: dict[str, str]) -> None:
    assert "Aborted" in run("documents", "purge", ids["Wire"], typed="n\n", code=1)
    assert "Aid" in run("documents")

    said = run("documents", "purge", ids["Wire"], typed="y\n")
    assert f"{ids['Wire']}  Wire  Aid" in said
    assert "Erase the text of 1 document permanently?" in said
    assert "Purged: 1 document, with 3 decisions." in said
    assert "still contain the text" in said
    assert "Aid" not in run("documents")
    assert "(1 purged)" in run("documents")
    assert "cannot be restored" in run("documents", "restore", ids["Wire"], code=2)


def test_an_unknown_document_is_refused(ids: dict[str, str]) -> None:
    assert "document id 'zzz' is unknown" in run("documents", "remove", "zzz", code=2)


def test_other_versions_of_a_purged_document_are_added_on_demand(write_jsonl: Write, ids: dict[str, str]) -> None:
    run("documents", "purge", ids["Wire"], "--yes")
    assert "Not added again: 1 document, purged on " in run("ingest", "rows.jsonl")
    edited = str(write_jsonl("edited.jsonl", [{"text": TEXT.replace("forty", "sixty"), "url": "http://x"}]))

    said = run("ingest", edited)
    assert "Not added: 1 document, because another version was purged on " in said
    assert "contains 1 document and 1 sentence to label" in said
    assert "Read 1 document: 1 new, with 3 sentences." in run("ingest", edited, "--even-purged")


# -- commands that can create a store


@pytest.mark.parametrize(
    ("command", "name", "content"),
    [
        (["ingest"], "a.txt", "Rain \0 fell."),
        (["ingest"], "a.jsonl", '{"text": 7}\n'),
        (["annotations", "import", "--format", "standoff"], "a.jsonl", "STANDOFF"),
    ],
    ids=["a file", "a table", "decisions without their texts"],
)
def test_a_command_that_fails_leaves_no_new_store(
    ids: dict[str, str], isolated: Path, command: list[str], name: str, content: str
) -> None:
    if content == "STANDOFF":
        run("annotations", "export", name, "--format", "standoff")
    else:
        (isolated / name).write_text(content, encoding="utf-8")

    run(*command, name, "--store", "new.db", code=2)
    assert not list(isolated.glob("new.db*"))
    before = run("documents")
    if command == ["ingest"]:
        run(*command, name, code=2)
    assert run("documents") == before
