"""The formats that are tables: csv, ActiveTigger, Hugging Face."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from labels.codebook.schema import dump_codebook
from labels.errors import DataError
from labels.exchange.tabular import dataset_card
from labels.records import Annotation, Document, Sentence
from labels.store import Store
from labels.text.examples import read_examples
from labels.text.rows import read_rows
from tests.labels.exchange.steps import EXCLUSIVE, MULTI, Row, bring_in, decided, export, without_stamps
from tests.labels.store.builders import stored_document
from tests.lazy import Lazy

ClassLabel = Lazy("datasets:ClassLabel")
Dataset = Lazy("datasets:Dataset")
DatasetDict = Lazy("datasets:DatasetDict")
Features = Lazy("datasets:Features")
List = Lazy("datasets:List")
Value = Lazy("datasets:Value")
load_from_disk = Lazy("datasets:load_from_disk")

NewStore = Callable[[], Store]

SENTENCE = Sentence("d1", 3, 12, "Nine long")


def annotated(labels: tuple[str, ...], **changes: Any) -> Annotation:
    values: Row = {"event_id": "e1", "annotator": "ana", "state": "reviewed", "created_at": "t"} | changes
    return Annotation(sentence_id=SENTENCE.id, event="annotate", labels=labels, codebook_hash="h", **values)


def write_table(path: Path, rows: list[Row]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


# -- csv


def test_a_plain_table_holds_decisions(store: Store, isolated: Path) -> None:
    first = {"text": "Oslo will send fuel.", "labels": "aid", "annotator": "ana", "state": "", "seconds": "2.5"}
    rows = [
        first | {"note": "sure", "created_at": "2026-01-01", "suggestion": "aid|truce", "source": "wire"},
        first | {"labels": "truce | aid", "annotator": "", "source": "wire"},
        first | {"labels": "", "state": "reviewed", "annotator": "eve", "source": "wire"},
        first | {"labels": "", "state": "skipped", "text": "What?"},
        first | {"labels": "", "text": "New."},
        first | {"labels": "", "state": "unseen", "text": "Newer."},
    ]
    path = write_table(
        isolated / "in.csv", [rows[0], *({name: row.get(name, "") for name in rows[0]} for row in rows[1:])]
    )

    assert bring_in(store, "csv", path, annotator="ben") == (4, 0, {"rows without labels": 2})
    assert bring_in(store, "csv", path, annotator="ben") == (0, 4, {"rows without labels": 2})
    assert decided(store) == [
        ("Oslo will send fuel.", "ana", "reviewed", ("aid",)),
        ("Oslo will send fuel.", "ben", "reviewed", ("aid", "truce")),
        ("Oslo will send fuel.", "eve", "reviewed", ()),
        ("What?", "ana", "skipped", ()),
    ]
    event = store.events.all()[0]
    assert (event.note, event.seconds, event.created_at) == ("sure", 2.5, "2026-01-01")
    assert event.suggestion == ("aid", "truce")


def test_other_columns_come_back(store: Store, isolated: Path) -> None:
    row = {"text": "Stop.", "label": "truce", "source": "wire", "page": "3", "empty": ""}
    bring_in(store, "csv", write_table(isolated / "in.csv", [row]), annotator="ana")
    export(store, "csv", isolated / "out.csv")

    ((_, written),) = read_rows(isolated / "out.csv")
    assert list(written)[-3:] == ["source", "page", "communique"]
    assert (written["source"], written["page"], written["labels"]) == ("wire", "3", "truce")


@pytest.mark.parametrize("blank", [" ", "\t", "\u00a0"])
def test_a_cell_of_white_space_counts_as_empty(store: Store, isolated: Path, blank: str) -> None:
    rows = [
        {"text": "Stop.", "labels": "truce", "state": blank, "suggestion": blank},
        {"text": "New.", "labels": blank, "state": blank, "suggestion": ""},
    ]
    path = write_table(isolated / "in.csv", rows)

    assert bring_in(store, "csv", path, annotator="ana") == (1, 0, {"rows without labels": 1})
    assert [(event.labels, event.suggestion) for event in store.events.all()] == [(("truce",), None)]


def test_a_row_that_names_a_sentence_of_the_store_is_about_it(store: Store, isolated: Path) -> None:
    store.add_annotated([SENTENCE], [])
    rows = [
        {"text": "Nine long", "labels": "aid", "sentence_id": SENTENCE.id},
        {"text": "Another text", "labels": "aid", "sentence_id": SENTENCE.id},
    ]
    bring_in(store, "csv", write_table(isolated / "in.csv", rows), annotator="ana")

    first, second = store.events.all()
    assert first.sentence_id == SENTENCE.id
    assert second.sentence_id != SENTENCE.id
    assert store.counts.texts().documents == 1


def test_an_exported_table_reads_as_examples(store: Store, isolated: Path) -> None:
    store.add_annotated([SENTENCE], [])
    store.events.add([annotated(("aid", "truce"))])
    export(store, "csv", isolated / "out.csv")

    (example,) = read_examples(isolated / "out.csv", MULTI)
    assert (example.document_id, example.labels) == ("d1", ("aid", "truce"))


BAD_ROWS: list[tuple[str, Row, str]] = [
    ("no label column", {"text": "x"}, "the row has neither `label` nor `labels`. Its columns: text"),
    ("both label columns", {"text": "x", "label": "aid", "labels": "truce"}, "the row has both `label` and `labels`"),
    (
        "an unknown state",
        {"text": "x", "labels": "", "state": "skiped"},
        r"not 'skiped' \(did you mean 'skipped'\?\)",
    ),
    ("seconds in words", {"text": "x", "labels": "aid", "seconds": "two"}, "`seconds` must be a number, not 'two'"),
    ("infinite seconds", {"text": "x", "labels": "aid", "seconds": "inf"}, "`seconds` must be a number, not 'inf'"),
    (
        "a skipped row with labels",
        {"text": "x", "labels": "aid", "state": "skipped"},
        "`state` skipped allows no labels",
    ),
    ("an unknown label", {"text": "x", "labels": "trce"}, "label 'trce' is not in codebook 'small'"),
    ("no text", {"text": " ", "labels": "aid"}, "this record has no text"),
    (
        "an invalid stamp",
        {"text": "x", "labels": "aid", "communique": "{"},
        "the value of `communique` was altered",
    ),
]


@pytest.mark.parametrize(("row", "message"), [pytest.param(*rest, id=name) for name, *rest in BAD_ROWS])
def test_a_bad_row_is_named_and_its_table_is_refused(store: Store, isolated: Path, row: Row, message: str) -> None:
    with pytest.raises(DataError, match=rf"in\.csv:2: .*{message}"):
        bring_in(store, "csv", write_table(isolated / "in.csv", [row]), annotator="ana")
    assert store.events.all() == store.documents.sentences() == []


# -- ActiveTigger


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_table_of_elements_is_read_by_its_ending(store: Store, isolated: Path, ending: str) -> None:
    rows = [
        {"id": "a1", "text": "Stop, and take this.", "labels": "aid|truce", "user": "x"},
        {"id": "a2", "text": "It rained.", "labels": "", "user": ""},
        {"id": "a3", "text": "It snowed.", "labels": " ", "user": ""},
    ]
    path = isolated / f"in{ending}"
    if ending == ".csv":
        write_table(path, rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)

    assert bring_in(store, "activetigger", path, annotator="ana") == (1, 0, {"rows without labels": 2})
    assert decided(store) == [("Stop, and take this.", "ana", "reviewed", ("aid", "truce"))]
    export(store, "activetigger", isolated / f"out{ending}")
    ((_, written),) = read_rows(isolated / f"out{ending}")
    assert without_stamps(written) | rows[0] == without_stamps(written)


def test_an_element_with_only_our_id_is_still_our_sentence(store: Store, isolated: Path) -> None:
    store.add_annotated([SENTENCE], [])
    store.events.add([annotated(("aid",))])
    export(store, "activetigger", isolated / "out.csv")
    ((_, written),) = read_rows(isolated / "out.csv")
    kept = {"id": written["id"], "text": written["text"], "labels": "truce"}

    assert bring_in(store, "activetigger", write_table(isolated / "in.csv", [kept]), annotator="ben") == (1, 0, {})
    assert [event.sentence_id for event in store.events.all()] == [SENTENCE.id] * 2
    assert store.counts.texts().documents == 0


def test_an_exclusive_codebook_has_a_column_label(store: Store, isolated: Path) -> None:
    store.add_annotated([SENTENCE], [])
    store.events.add([annotated(("aid",))])
    export(store, "activetigger", isolated / "out.csv", EXCLUSIVE)

    ((_, row),) = read_rows(isolated / "out.csv")
    assert (row["label"], "labels" in row) == ("aid", False)


def test_a_table_without_our_ids_needs_the_option_annotator(store: Store, isolated: Path) -> None:
    path = write_table(isolated / "in.csv", [{"id": "1", "text": "Stop.", "label": "truce"}])

    with pytest.raises(DataError, match=r"in\.csv:2: this record does not name an annotator.*--annotator NAME"):
        bring_in(store, "activetigger", path)


def test_columns_of_several_types_become_text(store: Store, isolated: Path) -> None:
    for name, page in (("a.parquet", 3), ("b.parquet", "iii")):
        row = {"id": name, "text": f"Stop {name}.", "labels": "truce", "page": page}
        pq.write_table(pa.Table.from_pylist([row]), isolated / name)
        bring_in(store, "activetigger", isolated / name, annotator="ana")
    export(store, "activetigger", isolated / "out.parquet")

    assert [row["page"] for _, row in read_rows(isolated / "out.parquet")] == ["3", "iii"]


# -- Hugging Face


def test_a_dataset_of_lists_is_read(store: Store, isolated: Path) -> None:
    rows = {
        "text": ["Stop, and take this.", "It rained.", "New."],
        "labels": [["truce", "aid"], [], None],
        "page": [3, 4, float("nan")],
    }
    Dataset.from_dict(rows).save_to_disk(str(isolated / "in"))
    Dataset.from_dict(rows).to_parquet(str(isolated / "in.parquet"))

    assert bring_in(store, "huggingface", isolated / "in", annotator="ana") == (2, 0, {"rows without labels": 1})
    assert decided(store) == [
        ("Stop, and take this.", "ana", "reviewed", ("aid", "truce")),
        ("It rained.", "ana", "reviewed", ()),
    ]
    export(store, "huggingface", isolated / "out")
    assert load_from_disk(str(isolated / "out"))[:]["page"] == [3.0, 4.0]
    left_out = {"rows without labels": 1}
    assert bring_in(store, "huggingface", isolated / "in.parquet", annotator="ana") == (0, 2, left_out)


@pytest.mark.parametrize("name", ["in", "in.parquet"])
def test_classes_are_read_by_their_names(store: Store, isolated: Path, name: str) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["truce", "aid"])})
    dataset = Dataset.from_dict({"text": ["Stop.", "Take this.", "New."], "label": [0, 1, -1]}, features=features)
    if name == "in":
        dataset.save_to_disk(str(isolated / name))
    else:
        dataset.to_parquet(str(isolated / name))

    assert bring_in(store, "huggingface", isolated / name, EXCLUSIVE, "ana") == (2, 0, {"rows without labels": 1})
    assert [labels for *_, labels in decided(store)] == [("truce",), ("aid",)]


def test_a_folder_has_features_and_a_card_with_the_codebook(store: Store, isolated: Path) -> None:
    store.add_annotated([SENTENCE], [])
    store.events.add([annotated(())])
    export(store, "huggingface", isolated / "multi", MULTI)
    export(store, "huggingface", isolated / "one", EXCLUSIVE)

    multi, one = load_from_disk(str(isolated / "multi")), load_from_disk(str(isolated / "one"))
    assert one.features["label"] == ClassLabel(names=["aid", "truce"])
    assert (multi[0]["labels"], one[0]["label"], one[0]["text"]) == ([], None, "Nine long")
    card = (isolated / "multi" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlanguage: en\n")
    assert f"~~~~toml\n{dump_codebook(MULTI)}~~~~\n" in card


def test_a_folder_that_is_not_empty_is_left_alone(store: Store, isolated: Path) -> None:
    (isolated / "out").mkdir()
    (isolated / "out" / "mine.txt").write_text("mine", encoding="utf-8")

    with pytest.raises(DataError, match=r"out: this folder is not empty\. Choose another folder\."):
        export(store, "huggingface", isolated / "out")
    assert [path.name for path in (isolated / "out").iterdir()] == ["mine.txt"]


def test_a_file_is_not_replaced_by_a_dataset_folder(store: Store, isolated: Path) -> None:
    (isolated / "a.txt").write_text("mine", encoding="utf-8")

    with pytest.raises(DataError, match=r"a\.txt: this is a file, but a folder is needed\. Choose a folder\.$"):
        export(store, "huggingface", isolated / "a.txt")
    assert (isolated / "a.txt").read_text(encoding="utf-8") == "mine"


def test_splits_are_imported_one_by_one(store: Store, isolated: Path) -> None:
    dataset = Dataset.from_dict({"text": ["Stop."], "labels": [["truce"]]})
    DatasetDict({"train": dataset, "test": dataset}).save_to_disk(str(isolated / "in"))

    with pytest.raises(DataError, match=r"has several splits\. Import each split separately: .*in/train, .*in/test"):
        bring_in(store, "huggingface", isolated / "in", annotator="ana")
    assert bring_in(store, "huggingface", isolated / "in" / "train", annotator="ana")[0] == 1


@pytest.mark.parametrize(
    ("name", "message"), [("empty", "this folder is not a dataset"), ("absent", "expected a folder")]
)
def test_a_path_without_a_dataset_is_refused(store: Store, isolated: Path, name: str, message: str) -> None:
    (isolated / "empty").mkdir()

    with pytest.raises(DataError, match=message):
        bring_in(store, "huggingface", isolated / name)


def test_documents_keep_their_provenance_from_the_table(store: Store, isolated: Path) -> None:
    row = {"text": " Stop. ", "label": "truce", "source": "wire", "url": "u", "title": "t", "date": "2026-01-01"}
    bring_in(store, "activetigger", write_table(isolated / "in.csv", [row]), annotator="ana")

    (sentence,) = store.documents.sentences()
    assert (sentence.text, sentence.start, sentence.splitter) == ("Stop.", 1, "whole")
    expected = Document("wire", " Stop. ", url="u", title="t", date="2026-01-01")
    assert stored_document(store.url, sentence.document_id) == expected


def test_the_dataset_card_keeps_any_language_and_codebook_readable() -> None:
    codebook = MULTI.model_copy(update={"language": "no", "rules": ("~~~~~ is not the end.",)})
    card = dataset_card(codebook, 3)
    assert yaml.safe_load(card.split("---")[1]) == {"language": "no", "task_categories": ["text-classification"]}
    assert card.endswith(f"\n~~~~~~toml\n{dump_codebook(codebook)}~~~~~~\n")


@pytest.mark.parametrize("name", ["in", "in.parquet"])
def test_lists_of_classes_are_read_by_their_names(store: Store, isolated: Path, name: str) -> None:
    features = Features({"text": Value("string"), "labels": List(ClassLabel(names=["truce", "aid"]))})
    rows = {"text": ["Stop.", "Take this.", "It rained.", "New."], "labels": [[0], [0, 1], [], [-1]]}
    dataset = Dataset.from_dict(rows, features=features)
    if name == "in":
        dataset.save_to_disk(str(isolated / name))
    else:
        dataset.to_parquet(str(isolated / name))

    assert bring_in(store, "huggingface", isolated / name, annotator="ana")[0] == 3
    assert [labels for *_, labels in decided(store)] == [("truce",), ("aid", "truce"), ()]
