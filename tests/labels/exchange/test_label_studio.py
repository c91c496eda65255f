from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labels.errors import DataError
from labels.records import Annotation, Sentence
from labels.store import Store
from tests.labels.exchange.steps import Row, bring_in, decided, export, holds, without_stamps, write_json
from tests.labels.store.builders import stored_document

NewStore = Callable[[], Store]


def result(*labels: str) -> list[Row]:
    value = {"choices": list(labels)}
    return [
        {"id": "x1", "from_name": "topic", "to_name": "text", "type": "choices", "origin": "manual", "value": value}
    ]


def annotation(*labels: str, **changes: Any) -> Row:
    """An annotation as Label Studio exports it."""
    found: Row = {
        "id": 11,
        "task": 5,
        "completed_by": 1,
        "result": result(*labels) if labels else [],
        "was_cancelled": False,
        "ground_truth": False,
        "lead_time": 4.25,
        "created_at": "2026-01-01T10:00:00.000000Z",
        "updated_at": "2026-01-01T10:00:01.000000Z",
        "parent_prediction": None,
        "parent_annotation": None,
    }
    return found | changes


def task(*annotations: Row, **changes: Any) -> Row:
    """A task as Label Studio exports it."""
    found: Row = {
        "id": 5,
        "project": 2,
        "created_at": "2026-01-01T09:00:00.000000Z",
        "updated_at": "2026-01-01T10:00:01.000000Z",
        "file_upload": "a-news.json",
        "drafts": [],
        "data": {"text": "Oslo will send winter fuel.", "page": 3},
        "annotations": list(annotations),
        "predictions": [],
    }
    return found | changes


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_annotations_of_a_task_are_decisions_on_one_sentence(store: Store, isolated: Path) -> None:
    tasks = [
        task(
            annotation("aid"),
            annotation("truce", "aid", id=12, completed_by={"id": 2, "email": "ben@example.org"}),
            annotation(id=13, completed_by={"id": 3}),
            annotation(id=14, completed_by=4, was_cancelled=True),
        ),
        task(id=6, data={"text": "It rained.", "source": "wire", "date": "2026-01-01"}),
        task(annotation("truce", lead_time=None), id=7, data={"text": "Stop.", "source": "wire", "date": "2026-01-01"}),
    ]

    path = write_json(isolated / "in.json", tasks)
    assert bring_in(store, "label-studio", path) == (5, 0, {"tasks without an annotation": 1})
    assert bring_in(store, "label-studio", path) == (0, 5, {"tasks without an annotation": 1})
    assert decided(store) == [
        ("Oslo will send winter fuel.", "1", "reviewed", ("aid",)),
        ("Oslo will send winter fuel.", "ben@example.org", "reviewed", ("aid", "truce")),
        ("Oslo will send winter fuel.", "3", "reviewed", ()),
        ("Oslo will send winter fuel.", "4", "skipped", ()),
        ("Stop.", "1", "reviewed", ("truce",)),
    ]
    first, *_, last = store.events.all()
    assert (first.seconds, first.created_at, first.suggestion) == (4.25, "2026-01-01T10:00:00.000000Z", None)
    assert last.seconds is None
    documents = [stored_document(store.url, sentence.document_id) for sentence in store.documents.sentences()]
    assert {(found.source, found.date) for found in documents} == {
        ("label-studio:5", ""),
        ("wire", "2026-01-01"),
    }


def test_a_prediction_is_the_suggestion(store: Store, isolated: Path) -> None:
    predictions = [
        {"id": 1, "model_version": "a", "score": 0.5, "result": result("aid")},
        {"id": 2, "model_version": "b", "score": 0.9, "result": result("truce")},
    ]
    found = task(
        annotation("aid", parent_prediction=1), annotation("aid", id=12, completed_by=2), predictions=predictions
    )

    bring_in(store, "label-studio", write_json(isolated / "in.json", [found]))
    assert [event.suggestion for event in store.events.all()] == [("aid",), ("truce",)]


def test_label_studios_other_fields_come_back_in_place(store: Store, new_store: NewStore, isolated: Path) -> None:
    tasks = [
        task(
            annotation("aid", ground_truth=True, unique_id="u"),
            annotation(id=12, completed_by={"id": 2, "email": "b@c", "avatar": None}, was_cancelled=True),
            predictions=[{"id": 1, "model_version": "a", "score": 0.5, "result": result("aid")}],
            meta={"batch": 1},
        ),
    ]
    bring_in(store, "label-studio", write_json(isolated / "in.json", tasks))
    assert export(store, "label-studio", isolated / "out.json") == (2, {})

    written = read(isolated / "out.json")
    assert holds(without_stamps(written), tasks)
    with new_store() as second:
        bring_in(second, "label-studio", isolated / "out.json")
        assert [event.extra for event in second.events.all()] == [event.extra for event in store.events.all()]
        export(second, "label-studio", isolated / "again.json")
    assert read(isolated / "again.json") == written


def test_an_exported_task_has_the_decisions_of_all_annotators(store: Store, isolated: Path) -> None:
    sentence = Sentence("d1", 3, 12, "Nine long")
    store.add_annotated([sentence], [])
    store.events.add(
        [
            Annotation(
                "e1", sentence.id, "ana", "annotate", "reviewed", ("aid",), "h", "t", seconds=2.0, suggestion=()
            ),
            Annotation("e2", sentence.id, "ben", "annotate", "skipped", (), "h", "t"),
            Annotation("e3", sentence.id, "eve", "adjudicate", "reviewed", (), "h", "t"),
        ]
    )
    export(store, "label-studio", isolated / "out.json")

    (written,) = without_stamps(read(isolated / "out.json"))
    assert written["data"] == {"text": "Nine long"}
    assert written["predictions"] == [{"model_version": "shown", "result": []}]
    told = ("completed_by", "was_cancelled", "ground_truth", "lead_time")
    assert [[entry[key] for key in told] for entry in written["annotations"]] == [
        [{"email": "ana"}, False, False, 2.0],
        [{"email": "ben"}, True, False, None],
        [{"email": "eve"}, False, True, None],
    ]
    assert written["annotations"][0]["result"][0]["value"] == {"choices": ["aid"]}
    assert written["annotations"][2]["result"] == []


def test_annotations_added_in_label_studio_are_about_our_sentence(store: Store, isolated: Path) -> None:
    sentence = Sentence("d1", 3, 12, "Nine long")
    store.add_annotated([sentence], [])
    store.events.add([Annotation("e1", sentence.id, "ana", "annotate", "reviewed", ("aid",), "h", "t")])
    export(store, "label-studio", isolated / "out.json")
    (found,) = read(isolated / "out.json")
    found["annotations"] += [annotation("aid", completed_by=7), annotation("truce", completed_by=8)]

    assert bring_in(store, "label-studio", write_json(isolated / "in.json", [found])) == (2, 1, {})
    assert decided(store)[1:] == [("Nine long", "7", "reviewed", ("aid",)), ("Nine long", "8", "reviewed", ("truce",))]
    assert store.documents.sentences() == [sentence]


BAD: list[tuple[str, Row, str]] = [
    ("no text", task(annotation("aid"), data={}), "this record has no text"),
    ("data in a string", task(annotation("aid"), data="text"), "`data` must be an object, not str"),
    ("annotations as an object", task(annotations={}), "`annotations` must be a list of objects"),
    ("a result in a string", task(annotation(result="aid")), "`result` must be a list of objects"),
    (
        "choices in a string",
        task(annotation(result=[{"type": "choices", "from_name": "topic", "value": {"choices": "aid"}}])),
        "`choices` must",
    ),
    ("an unknown label", task(annotation("trce")), "label 'trce' is not in codebook 'small'"),
    ("seconds in words", task(annotation("aid", lead_time="2")), "`seconds` must be int or float or null, not str"),
    ("no annotator", task(annotation("aid", completed_by=None)), "does not name an annotator"),
]


@pytest.mark.parametrize(("record", "message"), [pytest.param(*rest, id=name) for name, *rest in BAD])
def test_a_bad_task_is_named_and_its_file_is_refused(store: Store, isolated: Path, record: Row, message: str) -> None:
    path = write_json(isolated / "in.json", [task(annotation("aid")), record])

    with pytest.raises(DataError, match=rf"in\.json:2: .*{message}"):
        bring_in(store, "label-studio", path)
    assert store.events.all() == store.documents.sentences() == []


@pytest.mark.parametrize("format", ["label-studio", "label-studio-min"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[\n{"id": 1},\n{oops\n]', r"in\.json:3: this file is not valid JSON"),
        (b'{"id": 1}', r"in\.json: expected an array of records, not dict"),
        (b"[1]", r"in\.json:1: expected an object, not int"),
        (b"[" * 100_000, r"in\.json: .*nested too deeply"),
        (b"\xff", r"in\.json: the file is not UTF-8 text \(byte 0\)"),
    ],
)
def test_a_file_without_an_array_of_records_is_refused(
    store: Store, isolated: Path, format: str, content: bytes, message: str
) -> None:
    (isolated / "in.json").write_bytes(content)

    with pytest.raises(DataError, match=message):
        bring_in(store, format, isolated / "in.json")


def test_a_missing_file_is_refused(store: Store, isolated: Path) -> None:
    with pytest.raises(DataError, match=r"in\.json: the file cannot be read \(No such file"):
        bring_in(store, "label-studio", isolated / "in.json")


# -- the flat form


def flat(**changes: Any) -> Row:
    """A record of JSON_MIN."""
    found: Row = {
        "text": "Oslo will send winter fuel.",
        "page": 3,
        "id": 5,
        "label": "aid",
        "annotator": 1,
        "annotation_id": 11,
        "created_at": "2026-01-01T10:00:00.000000Z",
        "updated_at": "2026-01-01T10:00:01.000000Z",
        "lead_time": 4.25,
    }
    return found | changes


def test_flat_records_are_decisions(store: Store, isolated: Path) -> None:
    unlabelled = {key: value for key, value in flat(annotator=3).items() if key != "label"}
    unseen = {key: value for key, value in unlabelled.items() if key != "annotation_id"}
    records = [flat(), flat(annotator="ben", label={"choices": ["aid", "truce"]}), unlabelled, unseen]

    path = write_json(isolated / "in.json", records)
    assert bring_in(store, "label-studio-min", path) == (3, 0, {"tasks without an annotation": 1})
    assert bring_in(store, "label-studio-min", path) == (0, 3, {"tasks without an annotation": 1})
    assert decided(store) == [
        ("Oslo will send winter fuel.", "1", "reviewed", ("aid",)),
        ("Oslo will send winter fuel.", "ben", "reviewed", ("aid", "truce")),
        ("Oslo will send winter fuel.", "3", "reviewed", ()),
    ]
    assert store.events.all()[0].seconds == 4.25


def test_flat_records_come_back_with_all_their_keys(store: Store, new_store: NewStore, isolated: Path) -> None:
    records = [flat(), flat(label={"choices": ["truce"]}, annotator=2, agreement=0.5)]
    bring_in(store, "label-studio-min", write_json(isolated / "in.json", records))
    export(store, "label-studio-min", isolated / "out.json")

    written = read(isolated / "out.json")
    assert without_stamps(written) == records
    with new_store() as second:
        bring_in(second, "label-studio-min", isolated / "out.json")
        export(second, "label-studio-min", isolated / "again.json")
    assert read(isolated / "again.json") == written


def test_the_only_key_with_choices_is_taken_for_label(store: Store, isolated: Path) -> None:
    record = {key: value for key, value in flat(topic={"choices": ["aid", "truce"]}).items() if key != "label"}

    bring_in(store, "label-studio-min", write_json(isolated / "in.json", [record]))
    assert decided(store)[0][-1] == ("aid", "truce")


def test_a_file_without_a_key_for_labels_is_refused(store: Store, isolated: Path) -> None:
    record = {key: value for key, value in flat(topic="aid").items() if key != "label"}

    with pytest.raises(DataError, match=r"in\.json: no record has the key `label`.*Keys in this file: page, topic"):
        bring_in(store, "label-studio-min", write_json(isolated / "in.json", [record]))


@pytest.mark.parametrize("label", [7, {"choices": 7}, [7]])
def test_a_flat_label_of_another_kind_is_refused(store: Store, isolated: Path, label: Any) -> None:
    with pytest.raises(DataError, match=r"in\.json:2: (label '7' is not in|a label cell must)"):
        bring_in(store, "label-studio-min", write_json(isolated / "in.json", [flat(), flat(label=label)]))
