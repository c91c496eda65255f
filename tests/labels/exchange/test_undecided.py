"""Records on which nobody decided: their texts become unseen sentences, in every format, and are counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labels.errors import DataError
from labels.records import Annotation, Sentence
from labels.store import Store
from labels.text.rows import read_rows
from tests.labels.exchange.steps import MULTI, Row, bring_in, decided, export, imported, unseen, write_json
from tests.labels.exchange.test_tabular import write_table

LABELLED, NEW = "Oslo will send fuel.", "It rained."
NATIVE = {"id": 1, "completed_by": 1, "was_cancelled": False}
CHOICE = {"from_name": "label", "type": "choices", "value": {"choices": ["aid"]}}
RESPONDED = {"label.responses": [["aid"]], "label.responses.users": ["ana"], "label.responses.status": ["submitted"]}
DRAFTED = {"label.responses": [["aid"]], "label.responses.users": ["ana"], "label.responses.status": ["draft"]}
FILES: list[tuple[str, str, list[Row], str]] = [
    ("jsonl", "in.jsonl", [{"text": LABELLED, "label": "aid"}, {"text": NEW, "label": None}], "rows without labels"),
    ("csv", "in.csv", [{"text": LABELLED, "labels": "aid"}, {"text": NEW, "labels": ""}], "rows without labels"),
    (
        "activetigger",
        "in.csv",
        [{"text": LABELLED, "label": "aid"}, {"text": NEW, "label": " "}],
        "rows without labels",
    ),
    (
        "activetigger",
        "in.parquet",
        [{"text": LABELLED, "labels": "aid"}, {"text": NEW, "labels": None}],
        "rows without labels",
    ),
    (
        "huggingface",
        "in.parquet",
        [{"text": LABELLED, "labels": ["aid"]}, {"text": NEW, "labels": None}],
        "rows without labels",
    ),
    ("jsonl", "in.jsonl", [{"text": LABELLED, "label": "aid"}, {"text": NEW}], "rows without labels"),
    ("csv", "in.csv", [{"text": LABELLED, "labels": "aid"}, {"text": NEW, "labels": "N/A"}], "rows without labels"),
    ("doccano", "ana.jsonl", [{"text": LABELLED, "label": ["aid"]}, {"text": NEW, "label": []}], "rows without labels"),
    ("doccano", "ana.jsonl", [{"text": LABELLED, "label": ["aid"]}, {"text": NEW}], "rows without labels"),
    (
        "prodigy",
        "in.jsonl",
        [{"text": LABELLED, "accept": ["aid"], "answer": "accept"}, {"text": NEW, "label": "aid"}],
        "unanswered records",
    ),
    (
        "label-studio",
        "in.json",
        [
            {"data": {"text": LABELLED}, "annotations": [NATIVE | {"result": [CHOICE]}]},
            {"data": {"text": NEW}, "annotations": []},
        ],
        "tasks without an annotation",
    ),
    (
        "label-studio-min",
        "in.json",
        [{"text": LABELLED, "label": "aid", "annotator": 1, "annotation_id": 1}, {"text": NEW, "annotation_id": None}],
        "tasks without an annotation",
    ),
    ("argilla", "in.jsonl", [{"text": LABELLED} | RESPONDED, {"text": NEW}], "unanswered records"),
]
NAMES = [f"{file[0]} {file[1]}" for file in FILES]


def write(path: Path, rows: list[Row]) -> Path:
    """Write rows in the form that the extension names."""
    if path.suffix == ".csv":
        return write_table(path, rows)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        write_json(path, rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(("format", "name", "rows", "reason"), FILES, ids=NAMES)
def test_a_text_without_a_decision_becomes_an_unseen_sentence(
    store: Store, isolated: Path, format: str, name: str, rows: list[Row], reason: str
) -> None:
    path = write(isolated / name, rows)

    done = imported(store, format, path, annotator="ana")
    assert (done.new, done.left_out, done.unseen) == (1, {}, {reason: 1})
    assert [(text, labels) for text, _, _, labels in decided(store)] == [(LABELLED, ("aid",))]
    assert unseen(store) == [NEW]
    assert store.unseen.ids(at="2026-01-01") == [
        sentence.id for sentence in store.documents.sentences() if sentence.text == NEW
    ]
    again = imported(store, format, path, annotator="ana")
    assert (again.new, again.known, again.unseen) == (0, 1, {reason: 1})
    assert store.counts.texts().sentences == 2


@pytest.mark.parametrize(("format", "name", "rows", "reason"), FILES, ids=NAMES)
def test_a_record_without_text_or_decision_is_only_counted(
    store: Store, isolated: Path, format: str, name: str, rows: list[Row], reason: str
) -> None:
    first, second = rows
    blank: Any = second | ({"data": {"text": " "}} if "data" in second else {"text": " "})

    done = imported(store, format, write(isolated / name, [first, blank]), annotator="ana")
    assert (done.new, done.left_out, done.unseen) == (1, {"records without text or decision": 1}, {})
    assert store.counts.texts().sentences == 1


def test_a_text_that_is_not_valid_unicode_is_refused_with_its_row(store: Store, isolated: Path) -> None:
    path = isolated / "in.jsonl"
    path.write_text('{"text": "Stop.", "label": "aid"}\n{"text": "half \\ud83d", "label": ""}\n', encoding="utf-8")

    with pytest.raises(DataError, match=r"in\.jsonl:2: the text of this record is not a valid string"):
        bring_in(store, "jsonl", path, annotator="ana")
    assert store.counts.texts().sentences == 0


def test_a_row_that_names_a_stored_sentence_adds_no_other(store: Store, isolated: Path) -> None:
    sentence = Sentence("d1", 3, 12, "Nine long")
    store.add_annotated([sentence], [])
    row = {"text": "Nine long", "labels": "", "sentence_id": sentence.id}

    bring_in(store, "csv", write_table(isolated / "in.csv", [row]))
    assert store.documents.sentences() == [sentence]


def test_drafts_are_no_decision(store: Store, isolated: Path) -> None:
    path = write(isolated / "in.jsonl", [{"text": NEW} | DRAFTED])

    done = imported(store, "argilla", path)
    assert (done.new, done.left_out, done.unseen) == (0, {"drafts": 1}, {"unanswered records": 1})
    assert unseen(store) == [NEW]


# -- states


@pytest.mark.parametrize("format", ["csv", "activetigger"])
def test_skipped_and_unseen_rows_of_a_table_are_not_none(store: Store, isolated: Path, format: str) -> None:
    rows = [
        {"text": "Seen.", "labels": "", "state": "reviewed"},
        {"text": "What?", "labels": "", "state": "skipped"},
        {"text": NEW, "labels": "", "state": "unseen"},
    ]

    bring_in(store, format, write_table(isolated / "in.csv", rows), annotator="ana")
    assert [(text, state) for text, _, state, _ in decided(store)] == [("Seen.", "reviewed"), ("What?", "skipped")]
    assert unseen(store) == [NEW]


def test_states_and_annotators_of_a_dataset_are_kept(store: Store, isolated: Path) -> None:
    rows = [
        {"text": LABELLED, "labels": ["aid"], "state": "reviewed", "annotator": "ben"},
        {"text": "What?", "labels": [], "state": "skipped", "annotator": "ben"},
    ]

    bring_in(store, "huggingface", write(isolated / "in.parquet", rows), annotator="ana")
    assert decided(store) == [(LABELLED, "ben", "reviewed", ("aid",)), ("What?", "ben", "skipped", ())]


@pytest.mark.parametrize("format", ["csv", "activetigger"])
def test_a_row_with_labels_that_nobody_has_seen_is_refused(store: Store, isolated: Path, format: str) -> None:
    path = write_table(isolated / "in.csv", [{"text": NEW, "labels": "aid", "state": "unseen"}])

    with pytest.raises(DataError, match=r"in\.csv:2: `state` unseen allows no labels, but the row has labels"):
        bring_in(store, format, path, annotator="ana")


# -- files of another tool


OTHERS: list[tuple[str, Row]] = [
    ("prodigy", {"text": NEW, "label": "aid", "answer": "reject"}),
    ("prodigy", {"text": NEW, "label": "aid", "_task_hash": 7}),
    ("doccano", {"text": NEW, "label": [], "Comments": []}),
    ("argilla", {"text": NEW, "label": "aid", "label.responses": []}),
    ("label-studio", {"text": NEW, "label": "aid", "data": {}, "annotations": []}),
]


@pytest.mark.parametrize(("tool", "row"), OTHERS)
def test_a_record_of_another_tool_is_not_read_as_a_row(store: Store, isolated: Path, tool: str, row: Row) -> None:
    path = write(isolated / "in.jsonl", [{"text": LABELLED, "label": "aid"}, row])

    with pytest.raises(DataError, match=rf"in\.jsonl:2: this record is in the format {tool}\. .*--format {tool}"):
        bring_in(store, "jsonl", path, annotator="ana")
    assert store.counts.texts().sentences == 0


def test_answers_in_a_table_are_not_ignored(store: Store, isolated: Path) -> None:
    path = write_table(isolated / "in.csv", [{"text": NEW, "label": "aid", "answer": "reject"}])

    with pytest.raises(
        DataError, match=r"in\.csv:2: this record is in the format prodigy\. Convert the file to \.jsonl\."
    ):
        bring_in(store, "csv", path, annotator="ana")


def test_native_events_in_a_table_are_refused(store: Store, isolated: Path) -> None:
    sentence = Sentence("d1", 3, 12, "Nine long")
    store.add_annotated([sentence], [])
    store.events.add([Annotation("e1", sentence.id, "ana", "annotate", "skipped", (), "h", "2026-01-01")])
    export(store, "jsonl", isolated / "out.jsonl")
    rows: list[Row] = [
        {key: value for key, value in row.items() if key != "extra"} for _, row in read_rows(isolated / "out.jsonl")
    ]

    with pytest.raises(DataError, match=r"in\.parquet:1: this record is in the format jsonl"):
        bring_in(store, "huggingface", write(isolated / "in.parquet", rows), annotator="ben")


# -- rows with a text and a label, as JSONL


def test_rows_as_jsonl_are_decisions(store: Store, isolated: Path) -> None:
    rows = [
        {"text": LABELLED, "label": "aid", "seconds": 2.5, "page": 3},
        {"text": "Stop, and take this.", "labels": ["aid", "truce"], "annotator": "ben", "created_at": "2026-01-01"},
        {"text": "Seen.", "labels": []},
        {"text": "What?", "label": None, "state": "skipped"},
    ]
    path = write(isolated / "in.jsonl", rows)

    assert bring_in(store, "jsonl", path, annotator="ana") == (4, 0, {})
    assert bring_in(store, "jsonl", path, annotator="ana") == (0, 4, {})
    assert decided(store) == [
        (LABELLED, "ana", "reviewed", ("aid",)),
        ("Stop, and take this.", "ben", "reviewed", ("aid", "truce")),
        ("Seen.", "ana", "reviewed", ()),
        ("What?", "ana", "skipped", ()),
    ]
    assert [event.seconds for event in store.events.all()] == [2.5, None, None, None]


def test_repeated_rows_as_jsonl_are_counted(store: Store, isolated: Path) -> None:
    path = write(isolated / "in.jsonl", [{"text": LABELLED, "label": "aid", "source": "wire"}] * 2)

    assert bring_in(store, "jsonl", path, annotator="ana") == (1, 0, {"repeated records": 1})


def test_rows_as_jsonl_without_an_annotator_are_refused(store: Store, isolated: Path) -> None:
    with pytest.raises(DataError, match=r"in\.jsonl:1: this record does not name an annotator.*--annotator NAME"):
        bring_in(store, "jsonl", write(isolated / "in.jsonl", [{"text": LABELLED, "label": "aid"}]))


def test_a_native_line_among_rows_is_refused(store: Store, isolated: Path) -> None:
    native = {
        "text": NEW,
        "labels": ["aid"],
        "annotator": "ana",
        "event_id": "e",
        "event": "undo",
        "codebook_hash": "h",
    }
    path = write(isolated / "in.jsonl", [{"text": LABELLED, "label": "aid"}, native])

    with pytest.raises(
        DataError, match=r"in\.jsonl:2: this record is in the format jsonl\. The first record .* another format"
    ):
        bring_in(store, "jsonl", path, annotator="ana")


def test_a_native_line_with_a_missing_column_is_not_a_row(store: Store, isolated: Path) -> None:
    native = {"text": NEW, "labels": ["aid"], "annotator": "ana", "event": "annotate", "codebook_hash": "h"}

    with pytest.raises(DataError, match=r"in\.jsonl:1: column `event_id` is missing"):
        bring_in(store, "jsonl", write(isolated / "in.jsonl", [native]), MULTI)


@pytest.mark.parametrize("value", [7, ["skipped"], True, {"a": 1}])
@pytest.mark.parametrize("column", ["state", "seconds", "annotator", "created_at", "note", "label"])
def test_a_json_value_of_any_type_is_read_or_refused(store: Store, isolated: Path, column: str, value: Any) -> None:
    path = write(isolated / "in.jsonl", [{"text": LABELLED, "label": "aid", column: value}])

    if (column, value) in (("seconds", 7), ("annotator", 7)):
        assert bring_in(store, "jsonl", path, annotator="ana")[0] == 1
    else:
        with pytest.raises(DataError, match=r"in\.jsonl:1: "):
            bring_in(store, "jsonl", path, annotator="ana")


# -- times and durations


@pytest.mark.parametrize(
    ("format", "name", "row", "message"),
    [
        ("csv", "in.csv", {"created_at": "yesterday"}, "`created_at` must be a time such as .*, not 'yesterday'"),
        ("csv", "in.csv", {"created_at": "31/01/2026 10:00"}, "`created_at` must be a time"),
        ("csv", "in.csv", {"seconds": "-3"}, "must not be negative, but they are -3"),
        ("jsonl", "in.jsonl", {"created_at": "soon"}, "`created_at` must be a time"),
        ("jsonl", "in.jsonl", {"seconds": -0.5}, "must not be negative, but they are -0.5"),
        ("label-studio-min", "in.json", {"created_at": "soon"}, "`created_at` must be a time"),
        ("label-studio-min", "in.json", {"lead_time": -1}, "must not be negative"),
    ],
)
def test_an_invalid_time_or_duration_is_refused_with_its_row(
    store: Store, isolated: Path, format: str, name: str, row: Row, message: str
) -> None:
    good = {"text": LABELLED, "label": "aid", "annotator": "ana", "created_at": "2026-01-01", "seconds": "2"}
    path = write(isolated / name, [good, good | {"text": NEW} | row])

    with pytest.raises(DataError, match=rf"{name}:{2 + (format == 'csv')}: .*{message}"):
        bring_in(store, format, path)
    assert store.events.all() == []
    assert store.counts.texts().sentences == 0


@pytest.mark.parametrize("change", [{"created_at": "soon"}, {"lead_time": -2.0}])
def test_an_invalid_time_of_an_annotation_is_refused(store: Store, isolated: Path, change: Row) -> None:
    task = {"data": {"text": NEW}, "annotations": [NATIVE | {"result": [CHOICE]} | change]}

    with pytest.raises(DataError, match=r"in\.json:1: .*(must be a time|must not be negative)"):
        bring_in(store, "label-studio", write_json(isolated / "in.json", [task]))


@pytest.mark.parametrize("change", [{"created_at": "soon"}, {"seconds": -2.0}])
def test_an_invalid_time_of_a_native_line_is_refused_unless_the_store_has_it(
    store: Store, isolated: Path, change: Row, new_store: Callable[[], Store]
) -> None:
    values: Row = {"created_at": "2026-01-01", "seconds": 1.0} | change
    sentence = Sentence("d1", 3, 12, "Nine long")
    store.add_annotated([sentence], [])
    store.events.add([Annotation("e1", sentence.id, "ana", "annotate", "reviewed", ("aid",), MULTI.hash, **values)])
    export(store, "jsonl", isolated / "out.jsonl")

    assert bring_in(store, "jsonl", isolated / "out.jsonl") == (0, 1, {})
    with new_store() as other, pytest.raises(DataError, match=r"out\.jsonl:1: .*(must be a time|must not be negative)"):
        bring_in(other, "jsonl", isolated / "out.jsonl")


# -- files of older versions of the tools, and of other kinds


def test_tasks_of_an_old_label_studio_are_not_unannotated(store: Store, isolated: Path) -> None:
    path = write_json(isolated / "in.json", [{"data": {"text": NEW}, "completions": [{"result": [CHOICE]}]}])

    with pytest.raises(DataError, match=r"in\.json:1: the key `completions` is from .* Label Studio before 1\.0"):
        bring_in(store, "label-studio", path)


def test_records_of_argilla_1_are_not_unanswered(store: Store, isolated: Path) -> None:
    path = write(isolated / "in.jsonl", [{"text": NEW, "annotation": "aid", "annotation_agent": "ana"}])

    with pytest.raises(DataError, match=r"in\.jsonl:1: this record is from Argilla 1"):
        bring_in(store, "argilla", path)


def test_a_table_from_label_studio_is_a_table(store: Store, isolated: Path) -> None:
    row = {"text": LABELLED, "label": "aid", "annotator": "3", "annotation_id": "7", "lead_time": "2.5"}

    assert bring_in(store, "csv", write_table(isolated / "in.csv", [row])) == (1, 0, {})
    assert decided(store) == [(LABELLED, "3", "reviewed", ("aid",))]


def test_a_flat_file_is_not_read_as_tasks(store: Store, isolated: Path) -> None:
    path = write_json(isolated / "in.json", [{"text": NEW, "label": "aid", "annotation_id": 1, "lead_time": 2.0}])

    with pytest.raises(DataError, match=r"in\.json:1: this record is in the format label-studio-min"):
        bring_in(store, "label-studio", path)


def test_rows_without_a_decision_are_counted_once(store: Store, isolated: Path) -> None:
    rows = [{"text": LABELLED, "labels": "aid", "state": ""}, {"text": NEW, "labels": "", "state": ""}]
    skipped = {"text": "What?", "labels": "", "state": "skipped"}

    assert imported(store, "csv", write_table(isolated / "in.csv", [*rows, skipped]), annotator="ana").notes == ()
