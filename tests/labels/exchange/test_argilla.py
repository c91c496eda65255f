from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labels.errors import DataError
from labels.records import Annotation, Sentence
from labels.store import Store
from tests.labels.exchange.steps import (
    EXCLUSIVE,
    Row,
    bring_in,
    decided,
    export,
    holds,
    lines_of,
    without_stamps,
)

Write = Callable[[str, list[Row]], Path]
NewStore = Callable[[], Store]

ANA, BEN, EVE = "0b0f-ana", "0b0f-ben", "0b0f-eve"


def record(**changes: Any) -> Row:
    """A flattened record with three responses."""
    found: Row = {
        "id": "r1",
        "status": "completed",
        "_server_id": "5e4a",
        "text": "Oslo will send winter fuel.",
        "page": 3,
        "label.responses": [["aid"], ["truce", "aid"], None],
        "label.responses.users": [ANA, BEN, EVE],
        "label.responses.status": ["submitted", "draft", "discarded"],
        "label.suggestion": ["truce"],
        "label.suggestion.score": [0.9],
        "label.suggestion.agent": "model",
    }
    return found | changes


def answered(values: list[Any], question: str = "label", **changes: Any) -> Row:
    """A record with submitted responses to one question, and little else."""
    return {
        "id": "r2",
        "text": "It rained.",
        f"{question}.responses": values,
        f"{question}.responses.users": [ANA, BEN][: len(values)],
        f"{question}.responses.status": ["submitted"] * len(values),
    } | changes


def test_submitted_and_discarded_responses_are_decisions_and_drafts_are_counted(
    store: Store, write_jsonl: Write
) -> None:
    unanswered = {"id": "r3", "text": "New.", "label.responses": None, "label.responses.status": None}
    path = write_jsonl("in.jsonl", [record(), answered([[], "truce"]), unanswered, {"id": "r4", "text": "Newer."}])

    left_out = {"drafts": 1, "unanswered records": 2}
    assert bring_in(store, "argilla", path) == (4, 0, left_out)
    assert bring_in(store, "argilla", path) == (0, 4, left_out)
    assert decided(store) == [
        ("Oslo will send winter fuel.", ANA, "reviewed", ("aid",)),
        ("Oslo will send winter fuel.", EVE, "skipped", ()),
        ("It rained.", ANA, "reviewed", ()),
        ("It rained.", BEN, "reviewed", ("truce",)),
    ]
    assert [event.suggestion for event in store.events.all()] == [("truce",), ("truce",), None, None]


def test_argillas_other_fields_come_back_in_place(
    store: Store, new_store: NewStore, write_jsonl: Write, isolated: Path
) -> None:
    responses = {"label.responses": [["aid"], ["truce"]], "label.responses.users": [ANA, EVE]}
    told = record(**responses, **{"label.responses.status": ["submitted", "discarded"]})
    bring_in(store, "argilla", write_jsonl("in.jsonl", [told]))
    export(store, "argilla", isolated / "out.jsonl")

    written = lines_of(isolated / "out.jsonl")
    assert without_stamps(written) == [told]
    with new_store() as second:
        bring_in(second, "argilla", isolated / "out.jsonl")
        assert [event.extra for event in second.events.all()] == [event.extra for event in store.events.all()]
        export(second, "argilla", isolated / "again.jsonl")
    assert lines_of(isolated / "again.jsonl") == written


def test_a_question_with_another_name_is_read_and_written(store: Store, write_jsonl: Write, isolated: Path) -> None:
    told = answered([["aid"]], question="topic")
    bring_in(store, "argilla", write_jsonl("in.jsonl", [told]))
    export(store, "argilla", isolated / "out.jsonl")

    assert without_stamps(lines_of(isolated / "out.jsonl")) == [told]
    assert bring_in(store, "argilla", isolated / "out.jsonl") == (0, 1, {})


def test_an_exported_record_has_the_responses_of_all_annotators(store: Store, isolated: Path) -> None:
    sentence = Sentence("d1", 3, 12, "Nine long")
    store.add_annotated([sentence], [])
    store.events.add(
        [
            Annotation("e1", sentence.id, "ana", "annotate", "reviewed", ("aid",), "h", "t", suggestion=("truce",)),
            Annotation("e2", sentence.id, "ben", "annotate", "skipped", (), "h", "t"),
            Annotation("e3", sentence.id, "eve", "annotate", "reviewed", (), "h", "t"),
        ]
    )
    export(store, "argilla", isolated / "out.jsonl")
    export(store, "argilla", isolated / "one.jsonl", EXCLUSIVE)

    (written,) = lines_of(isolated / "out.jsonl")
    assert isinstance(written["communique"], str)
    assert without_stamps(written) == {
        "id": sentence.id,
        "text": "Nine long",
        "label.suggestion": ["truce"],
        "label.responses": [["aid"], None, []],
        "label.responses.users": ["ana", "ben", "eve"],
        "label.responses.status": ["submitted", "discarded", "submitted"],
    }
    (single,) = lines_of(isolated / "one.jsonl")
    assert holds(single, {"label.suggestion": "truce", "label.responses": ["aid", None, None]})


BAD: list[tuple[str, Row, str]] = [
    ("no text", record(text=None), "this record has no text"),
    ("the nested form", {"text": "x", "responses": {"label": []}}, "is in the nested form.*flatten=True"),
    (
        "the nested form of Argilla 1",
        {"text": "x", "responses": [{"values": {}}]},
        "is in the nested form.*flatten=True",
    ),
    ("lists that differ in length", record(**{"label.responses.users": [ANA]}), "must be lists of the same length"),
    ("responses in a string", record(**{"label.responses": "aid"}), "must be lists of the same length"),
    (
        "an unknown status",
        record(**{"label.responses.status": ["done"] * 3}),
        "the status of a response must be draft, submitted or discarded, not 'done'",
    ),
    ("an unknown label", answered(["trce"]), "label 'trce' is not in codebook 'small'"),
    ("no annotator", answered(["aid"]) | {"label.responses.users": [None]}, "does not name an annotator"),
]


@pytest.mark.parametrize(("bad", "message"), [pytest.param(*rest, id=name) for name, *rest in BAD])
def test_a_bad_record_is_named_and_its_file_is_refused(store: Store, isolated: Path, bad: Row, message: str) -> None:
    path = isolated / "in.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (record(), bad)), encoding="utf-8")

    with pytest.raises(DataError, match=rf"in\.jsonl:2: .*{message}"):
        bring_in(store, "argilla", path)
    assert store.events.all() == store.documents.sentences() == []
