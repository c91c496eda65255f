"""Our own exports as training files: nobody's decision is never "none", and no row counts twice."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from labels.codebook.changes import Step
from labels.codebook.schema import Codebook, codebook_from_dict
from labels.errors import DataError
from labels.exchange.driver import export_file, import_file
from labels.records import Annotation, Example
from labels.store import Store
from labels.store.codebook_migration import apply_migration, plan_migration
from labels.text.examples import LabelledFiles, read_examples, read_labelled
from tests.labels.exchange.steps import EXCLUSIVE, MULTI
from tests.labels.store.builders import decision, sentences

TEXTS = [f"Text {number:04d}" for number in range(6)]
OTHER_VERSION = codebook_from_dict({"name": "small", "version": "2", "labels": [{"name": "help"}]}, "small")


@pytest.fixture
def store(migrated_sqlite: Path) -> Iterator[Store]:
    """An empty store; its database does not matter for what is exported."""
    shutil.copy(migrated_sqlite, "store.db")
    with Store("store.db") as opened:
        yield opened


def fill(store: Store, events: Callable[[Sequence[str]], Sequence[Annotation]], codebook: Codebook = MULTI) -> None:
    """Six sentences of one document, and events on them."""
    own = sentences(6)
    store.codebooks.add(codebook)
    store.add_annotated(own, [])
    store.events.add([*events([sentence.id for sentence in own])])


def one_annotator(ids: Sequence[str]) -> list[Annotation]:
    """A label, none, a skip, an undone decision, a replaced decision; nobody saw the last sentence."""
    return [
        decision(ids[0], labels=("aid",)),
        decision(ids[1], labels=()),
        decision(ids[2], state="skipped"),
        decision(ids[3], labels=("aid",)),
        decision(ids[3], kind="undo"),
        decision(ids[4], labels=("aid",)),
        decision(ids[4], labels=("aid", "truce")),
    ]


def two_annotators(ids: Sequence[str]) -> list[Annotation]:
    """Both agree on the first two sentences, differ on the third, and one of them saw the fourth."""
    return [
        *(decision(identifier, name, labels=("aid",)) for identifier in ids[:2] for name in ("ana", "ben")),
        decision(ids[2], "ana", labels=("aid",)),
        decision(ids[2], "ben", labels=("truce",)),
        decision(ids[3], "ana", labels=("truce",)),
    ]


def adjudicated(ids: Sequence[str]) -> list[Annotation]:
    """Each sentence with two annotators has an adjudication."""
    verdicts = [decision(identifier, "eve", "adjudicate", labels=("truce",)) for identifier in ids[:3]]
    return [*two_annotators(ids), *verdicts]


def exported(store: Store, name: str, format: str, codebook: Codebook = MULTI) -> Path:
    export_file(store, name, codebook, format)
    return Path(name)


def labels_of(examples: Sequence[Example]) -> dict[str, tuple[str, ...]]:
    return {example.text: example.labels for example in examples}


def read(path: Path, codebook: Codebook = MULTI) -> LabelledFiles:
    return read_labelled([(path, "train")], codebook)


DECIDED = {TEXTS[0]: ("aid",), TEXTS[1]: (), TEXTS[4]: ("aid", "truce")}


@pytest.mark.parametrize(("name", "format"), [("a.jsonl", "jsonl"), ("a.csv", "csv")])
def test_only_standing_decisions_of_an_export_count(store: Store, name: str, format: str) -> None:
    fill(store, one_annotator)
    found = read(exported(store, name, format))
    assert labels_of(found.examples[0]) == DECIDED
    assert any("1 of 4 rows was left out, because nobody decided (skipped 1)" in note for note in found.notes)
    undone = f"{name}: 1 sentence was left out, because the only decision was undone"
    assert (undone in found.notes) == (format == "jsonl")


def test_unseen_rows_of_a_table_are_left_out(store: Store) -> None:
    fill(store, one_annotator)
    path = exported(store, "a.csv", "csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    blank = dict.fromkeys(rows[0], "")
    rows += [blank | {"text": "New."}, blank | {"text": "Newer.", "state": "unseen"}]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    found = read(path)
    assert labels_of(found.examples[0]) == DECIDED
    assert any("3 of 6 rows were left out" in note and "blank 1" in note and "unseen 1" in note for note in found.notes)


@pytest.mark.parametrize(
    ("name", "format"), [("a.csv", "activetigger"), ("a.parquet", "activetigger"), ("b.parquet", "huggingface")]
)
@pytest.mark.parametrize("codebook", [MULTI, EXCLUSIVE], ids=["multi-label", "exclusive"])
def test_gold_without_a_label_is_none(store: Store, name: str, format: str, codebook: Codebook) -> None:
    fill(store, lambda ids: one_annotator(ids)[:3], codebook)
    path = exported(store, name, format, codebook)
    assert labels_of(read_examples(path, codebook)) == {TEXTS[0]: ("aid",), TEXTS[1]: ()}


def test_the_state_of_a_table_for_a_tool_is_enough_for_none(store: Store) -> None:
    fill(store, lambda ids: one_annotator(ids)[:3])
    path = exported(store, "a.csv", "activetigger")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [{key: row[key] for key in ("id", "text", "labels", "state")} for row in csv.DictReader(file)]
    assert [row["state"] for row in rows] == ["reviewed"] * 2
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert labels_of(read_examples(path, MULTI)) == {TEXTS[0]: ("aid",), TEXTS[1]: ()}


@pytest.mark.parametrize(("name", "format"), [("a.jsonl", "jsonl"), ("a.csv", "csv")])
def test_two_annotators_are_refused_with_the_advice_that_works(store: Store, name: str, format: str) -> None:
    fill(store, two_annotators)
    path = exported(store, name, format)
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{name}: 3 sentences have decisions of two or more annotators ({name}:")
    assert f"by 'ana', {name}:" in message
    assert 'set data.source = "store"' in message
    # The command in the message, and the file that it writes.
    command = re.search(r"communique annotations export (\S+) --format (\S+)`", message)
    assert command is not None
    gold = exported(store, command[1], command[2])
    assert labels_of(read_examples(gold, MULTI)) == {TEXTS[0]: ("aid",), TEXTS[1]: ("aid",), TEXTS[3]: ("truce",)}


@pytest.mark.parametrize(("name", "format"), [("a.jsonl", "jsonl"), ("a.csv", "csv")])
def test_an_adjudication_decides(store: Store, name: str, format: str) -> None:
    fill(store, adjudicated)
    found = read(exported(store, name, format))
    assert labels_of(found.examples[0]) == dict.fromkeys(TEXTS[:4], ("truce",))
    assert f"{name}: 3 sentences have labels from an adjudication" in found.notes


def test_an_export_with_several_versions_of_its_codebook_is_refused(store: Store) -> None:
    fill(store, lambda ids: [decision(ids[0], labels=("aid",), codebook_hash=MULTI.hash)])
    steps = [Step("merge", ("aid", "truce"), ("help",))]
    apply_migration(store, plan_migration(store, MULTI, OTHER_VERSION, steps))
    path = exported(store, "a.jsonl", "jsonl", OTHER_VERSION)
    with pytest.raises(DataError, match=r'a\.jsonl: this export contains several versions.*data\.source = "store"'):
        read(path, OTHER_VERSION)


def write(rows: list[dict[str, Any]]) -> Path:
    with Path("b.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return Path("b.csv")


def test_two_annotators_of_a_table_of_other_origin_are_refused() -> None:
    rows = [{"text": text, "label": "aid", "annotator": who} for text in TEXTS for who in ("ana", " ben ")]
    with pytest.raises(DataError, match=r"6 sentences have decisions .* \(b\.csv:2 by 'ana', b\.csv:3 by 'ben'\)"):
        read(write(rows))


def test_equal_short_texts_of_two_annotators_are_not_one_sentence() -> None:
    rows = [{"text": f"Text {number}.", "label": "aid", "annotator": "ana"} for number in range(20)]
    rows += [{"text": "No comment.", "label": "truce", "annotator": who} for who in ("ana", "ben")]
    assert len(read(write(rows)).examples[0]) == 22


def test_an_export_without_texts_is_refused(store: Store) -> None:
    fill(store, one_annotator)
    with pytest.raises(DataError, match=r"a\.jsonl: this export has no texts\. Export .* with --format jsonl"):
        read(exported(store, "a.jsonl", "standoff"))


@pytest.mark.parametrize("answer", ["reject", "ignore"])
def test_a_label_that_an_annotator_rejected_is_refused(write_jsonl: Callable[..., Path], answer: str) -> None:
    record = {"text": "x", "label": "aid", "answer": "accept", "_task_hash": 1}
    assert len(read(write_jsonl("a.jsonl", [record])).examples[0]) == 1
    path = write_jsonl("a.jsonl", [record, record | {"answer": answer}])
    with pytest.raises(
        DataError, match=rf"a\.jsonl:2: the answer of this Prodigy record is '{answer}'.*--format prodigy"
    ):
        read(path)


@pytest.mark.parametrize("stamp", ["{", "[]", "3", "null", '{"event": 1}'])
def test_a_broken_stamp_is_ignored(stamp: str) -> None:
    rows = [{"text": "x", "labels": "aid", "annotator": "ana", "communique": stamp}]
    assert labels_of(read(write(rows)).examples[0]) == {"x": ("aid",)}


def test_a_native_export_can_be_imported_and_trained_on_alike(store: Store) -> None:
    fill(store, one_annotator)
    path = exported(store, "a.jsonl", "jsonl")
    with Store("other.db") as other:
        import_file(other, path, MULTI)
        gold = exported(other, "gold.parquet", "huggingface")
    assert labels_of(read_examples(gold, MULTI)) == labels_of(read_examples(path, MULTI))


# -- predictions


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_predictions_count_with_none_and_are_reported(isolated: Path, ending: str) -> None:
    labels: list[list[str]] = [["aid"], [], ["aid", "truce"], []]
    rows = [
        {"sentence_id": f"s{number}", "start": 0, "end": 5, "text": TEXTS[number], "labels": own}
        | {"model_id": "m1", "codebook_hash": "h"}
        for number, own in enumerate(labels)
    ]
    path = Path(f"tagged.{ending}")
    with path.open("w", encoding="utf-8", newline="") as file:
        if ending == "jsonl":
            file.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(row | {"labels": "|".join(own)} for row, own in zip(rows, labels, strict=True))
    found = read_labelled([(path, "test")], MULTI)
    assert [example.labels for example in found.examples[0]] == [tuple(own) for own in labels]
    assert any("4 rows are predictions of the model m1" in note for note in found.notes)
    with Store("new.db") as store:
        imported = import_file(store, path, MULTI, "csv" if ending == "csv" else "jsonl", annotator="ana")
        assert imported.new == len(rows)
    assert any("4 rows are predictions of the model m1" in note for note in imported.notes)


@pytest.mark.parametrize(("coders", "is_reported"), [(("ana", "bo"), True), (("ana", "ana"), False)])
def test_texts_of_several_coders_are_reported(isolated: Path, coders: Sequence[str], is_reported: bool) -> None:
    path = Path("coded.csv")
    rows = [f"{text},aid,{coder}" for text in TEXTS[:3] for coder in coders]
    path.write_text("\n".join(["text,label,Coder", *rows]), encoding="utf-8")
    notes = read_labelled([(path, "train")], MULTI).notes
    expected = "3 texts occur several times, with different values in the column `Coder`"
    assert any(expected in note for note in notes) is is_reported
