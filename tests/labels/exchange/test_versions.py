"""What other tools are given of decisions that were made under an older version of the codebook."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labels.codebook.changes import Step
from labels.codebook.schema import Codebook, codebook_from_dict, dump_codebook
from labels.errors import CodebookError, DataError
from labels.exchange.driver import read_file
from labels.gold import resolve, standing
from labels.records import Annotation, Sentence
from labels.store import Store
from labels.store.codebook_migration import apply_migration, plan_migration
from labels.text.rows import read_rows
from tests.labels.exchange.steps import Row, bring_in, export, lines_of, write_json
from tests.labels.exchange.test_round_trips import FILES, GOLD
from trainer.cli import app

NewStore = Callable[[], Store]

SENTENCES = [Sentence("d1", 10 * i, 10 * i + 9, f"Text {i:04d}") for i in range(3)]


def book(version: str, *names: str, **flags: bool) -> Codebook:
    content = {"name": "small", "version": version, "labels": [{"name": name} for name in names]}
    return codebook_from_dict(content | flags, "small")


OLD, NEW = book("1", "dismissal", "ask"), book("2", "rejection", "ask")
OLD_ONE, NEW_ONE = (replaced.model_copy(update={"exclusive": True}) for replaced in (OLD, NEW))
SPLIT = book("2", "refusal", "denial", "ask")
RENAME = Step("rename", ("dismissal",), ("rejection",))
PARTS = Step("split", ("dismissal",), ("refusal", "denial"))
VERSIONS = [pytest.param(OLD, NEW, id="several labels"), pytest.param(OLD_ONE, NEW_ONE, id="one label")]


def says(sentence: int, annotator: str, *labels: str, by: Codebook = OLD, **more: Any) -> Annotation:
    values: Row = {"event": "annotate", "state": "reviewed", "created_at": "2026-01-01T00:00:00+00:00"} | more
    identifier = SENTENCES[sentence].id
    event_id = f"{identifier}-{annotator}-{values['event']}-{by.version}"
    return Annotation(
        event_id=event_id, sentence_id=identifier, annotator=annotator, labels=labels, codebook_hash=by.hash, **values
    )


def fill(store: Store, old: Codebook, new: Codebook, step: Step, *events: Annotation) -> None:
    """Decisions of two versions, and the recorded change between them."""
    store.codebooks.add(old)
    store.add_annotated(SENTENCES, [])
    store.events.add([event for event in events if event.codebook_hash == old.hash])
    apply_migration(store, plan_migration(store, old, new, [step]))
    store.events.add([event for event in events if event.codebook_hash == new.hash])


def gold_of(store: Store, codebook: Codebook) -> dict[str, tuple[str, ...]]:
    return resolve(store.events.all(), codebook, store.codebooks.history()).gold


@pytest.mark.parametrize(("old", "new"), VERSIONS)
@pytest.mark.parametrize(("format", "name"), FILES)
def test_a_renamed_label_is_written_and_its_file_is_recognised(
    store: Store, new_store: NewStore, isolated: Path, format: str, name: str, old: Codebook, new: Codebook
) -> None:
    events = [
        says(0, "ana", "dismissal", by=old, suggestion=("dismissal",)),
        says(1, "ana", "ask", by=old),
        says(2, "ana", "rejection", by=new),
    ]
    fill(store, old, new, RENAME, *events)
    before, gold = store.events.all(), gold_of(store, new)

    assert export(store, format, isolated / name, new) == (3, {})
    lines = read_file(isolated / name, new, format).lines
    assert [line.event.labels for line in lines] == [("rejection",), ("ask",), ("rejection",)]
    assert [line.event.suggestion for line in lines] == [("rejection",), None, None]
    assert b"dismissal" not in b"".join(file.read_bytes() for file in files_in(isolated / name))
    assert bring_in(store, format, isolated / name, new) == (0, 3, {})
    assert store.events.all() == before
    with new_store() as other:
        assert bring_in(other, format, isolated / name, new) == (3, 0, {})
        assert gold_of(other, new) == gold
        assert {event.codebook_hash for event in other.events.all()} == {new.hash}


def files_in(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


@pytest.mark.parametrize(("format", "name"), FILES)
def test_decisions_can_be_written_under_an_old_version(store: Store, isolated: Path, format: str, name: str) -> None:
    fill(store, OLD, NEW, RENAME, says(0, "ana", "rejection", by=NEW))
    export(store, format, isolated / name, OLD)

    (line,) = read_file(isolated / name, OLD, format).lines
    assert line.event.labels == ("dismissal",)


# -- what a change leaves undecided


@pytest.mark.parametrize(("format", "name"), GOLD)
def test_gold_is_what_was_decided_under_the_nearer_version(
    store: Store, isolated: Path, format: str, name: str
) -> None:
    events = [says(0, "ana", "dismissal"), says(1, "ana", "dismissal"), says(0, "ben", "denial", by=SPLIT)]
    fill(store, OLD, SPLIT, PARTS, *events)
    assert gold_of(store, SPLIT) == {SENTENCES[0].id: ("denial",)}

    left_out = {"sentences that a change of the codebook left undecided": 1}
    assert export(store, format, isolated / name, SPLIT) == (1, left_out)
    (line,) = read_file(isolated / name, SPLIT, format).lines
    assert (line.event.annotator, line.event.labels) == ("ben", ("denial",))
    assert bring_in(store, format, isolated / name, SPLIT) == (0, 1, {})


@pytest.mark.parametrize(("format", "name"), GOLD)
def test_the_adjudication_represents_its_gold(store: Store, isolated: Path, format: str, name: str) -> None:
    events = [
        says(0, "ana", "ask"),
        says(0, "ben", "dismissal"),
        says(0, "eva", "ask", event="adjudicate"),
        says(0, "kim", "ask", by=SPLIT),
    ]
    fill(store, OLD, SPLIT, PARTS, *events)
    export(store, format, isolated / name, SPLIT)

    (line,) = read_file(isolated / name, SPLIT, format).lines
    assert (line.event.annotator, line.event.event, line.event.labels) == ("eva", "adjudicate", ("ask",))


@pytest.mark.parametrize(("format", "name"), [file for file in FILES if file not in GOLD])
def test_decisions_that_a_change_leaves_undecided_are_left_out_and_counted(
    store: Store, isolated: Path, format: str, name: str
) -> None:
    events = [says(0, "ana", "dismissal"), says(1, "ana", "dismissal", "ask"), says(2, "ana", "ask")]
    fill(store, OLD, SPLIT, PARTS, *events, says(0, "ben", "denial", by=SPLIT))

    left_out = {"decisions that cannot be converted after a codebook change": 2}
    assert export(store, format, isolated / name, SPLIT) == (2, left_out)
    lines = read_file(isolated / name, SPLIT, format).lines
    assert {(line.event.annotator, line.event.labels) for line in lines} == {("ana", ("ask",)), ("ben", ("denial",))}


def test_a_suggestion_that_a_change_leaves_undecided_is_not_written(store: Store, isolated: Path) -> None:
    skipped = says(1, "ana", state="skipped", suggestion=("dismissal",))
    fill(store, OLD, SPLIT, PARTS, says(0, "ana", "ask", suggestion=("dismissal",)), skipped)
    export(store, "csv", isolated / "out.csv", SPLIT)

    assert [row["suggestion"] for _, row in read_rows(isolated / "out.csv")] == ["", ""]


@pytest.mark.parametrize(("format", "name"), FILES)
def test_versions_without_a_recorded_change_between_them_are_refused(
    store: Store, isolated: Path, format: str, name: str
) -> None:
    store.codebooks.add(OLD)
    store.add_annotated(SENTENCES, [])
    store.events.add([says(0, "ana", "ask")])

    with pytest.raises(CodebookError, match=rf"1 annotation was made under .*codebook migrate {OLD.hash} NEW"):
        export(store, format, isolated / name, NEW)
    assert list(isolated.iterdir()) == []


# -- what the tool said beyond the decision

CHOICE: Row = {"options": [{"id": 0, "text": "dismissal"}], "accept": [0], "answer": "accept", "_annotator_id": "ana"}
RESPONSE: Row = {
    "label.responses": ["dismissal"],
    "label.responses.users": ["a"],
    "label.responses.status": ["submitted"],
}
RESULT: Row = {"from_name": "topic", "type": "choices", "value": {"choices": ["dismissal"]}}
TOLD = [
    ("prodigy", "in.jsonl", {"text": "Never.", "label": "dismissal", "answer": "accept", "_annotator_id": "ana"}),
    ("prodigy", "in.jsonl", {"text": "Never."} | CHOICE),
    ("doccano", "ana.jsonl", {"text": "Never.", "label": "dismissal"}),
    ("argilla", "in.jsonl", {"text": "Never."} | RESPONSE),
    (
        "label-studio",
        "in.json",
        [{"data": {"text": "Never."}, "annotations": [{"completed_by": 1, "result": [RESULT]}]}],
    ),
    ("label-studio-min", "in.json", [{"text": "Never.", "annotator": 1, "topic": {"choices": ["dismissal"]}}]),
]


@pytest.mark.parametrize(("format", "name", "told"), TOLD)
def test_old_label_names_do_not_come_back_in_a_tools_own_fields(
    store: Store, isolated: Path, format: str, name: str, told: Any
) -> None:
    path = write_json(isolated / name, told)
    bring_in(store, format, path, OLD)
    apply_migration(store, plan_migration(store, OLD, NEW, [RENAME]))
    export(store, format, path, NEW)

    (line,) = read_file(path, NEW, format).lines
    assert line.event.labels == ("rejection",)
    assert "dismissal" not in path.read_text(encoding="utf-8")


def test_columns_beside_the_labels_stay_when_a_label_is_renamed(store: Store, isolated: Path) -> None:
    path = isolated / "in.csv"
    path.write_text("text,labels,annotator,page\nNever.,dismissal,ana,3\n", encoding="utf-8")
    bring_in(store, "csv", path, OLD)
    apply_migration(store, plan_migration(store, OLD, NEW, [RENAME]))
    export(store, "csv", path, NEW)

    ((_, row),) = read_rows(path)
    assert (row["labels"], row["page"]) == ("rejection", "3")


# -- a file that is older than the change


def test_a_file_from_before_a_change_names_the_version_to_import_it_with(store: Store, isolated: Path) -> None:
    store.codebooks.add(OLD)
    store.add_annotated(SENTENCES, [])
    store.events.add([says(0, "ana", "dismissal"), says(1, "ana", "ask")])
    export(store, "doccano", isolated / "out.jsonl", OLD)
    apply_migration(store, plan_migration(store, OLD, NEW, [RENAME]))

    with pytest.raises(DataError, match=rf"out\.jsonl:1: label 'dismissal' is not in .*`--codebook {OLD.hash}`\."):
        bring_in(store, "doccano", isolated / "out.jsonl", NEW)
    first, second = lines_of(isolated / "out.jsonl")
    changed = isolated / "changed.jsonl"
    changed.write_text("".join(json.dumps(row) + "\n" for row in (first, second | {"label": ["dismissal"]})))
    assert bring_in(store, "doccano", changed, OLD, "ana") == (1, 1, {})
    assert gold_of(store, NEW) == {sentence.id: ("rejection",) for sentence in SENTENCES[:2]}
    assert len(standing(store.events.all()).annotations) == 2


def test_the_commands_report_what_was_left_out(isolated: Path) -> None:
    with Store("communique.db") as store:
        fill(store, OLD, SPLIT, PARTS, says(0, "ana", "dismissal"), says(1, "ana", "ask"))
    Path("v2.toml").write_text(dump_codebook(SPLIT), encoding="utf-8")

    done = CliRunner().invoke(
        app, ["annotations", "export", "out.csv", "--format", "activetigger", "--codebook", "v2.toml"]
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(
        "Decisions written to out.csv: 1.\nLeft out: sentences that a change of the codebook left undecided (1)."
    )
