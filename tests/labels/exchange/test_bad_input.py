"""Whatever a file holds, an import of it works or says in one message what is wrong."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labels.errors import InputError
from labels.exchange.driver import read_file
from labels.exchange.foreign import native_stamp
from labels.exchange.lines import format_line
from labels.records import Annotation, Sentence
from tests.labels.exchange.steps import MULTI, Row

SENTENCE = Sentence("d1", 3, 12, "Nine long")
STAMP = native_stamp(Annotation("e1", SENTENCE.id, "ana", "annotate", "reviewed", ("aid",), "h", "t"), SENTENCE)
CHOICES = {"type": "choices", "value": {"choices": ["aid"]}}
PREDICTION = {"id": 1, "score": 0.5, "result": [CHOICES]}
ANNOTATION = {"completed_by": {"id": 1, "email": "b@c"}, "result": [CHOICES], "was_cancelled": False, "lead_time": 2.0}
TASK = {"id": 5, "data": {"text": "Nine long", "communique": [STAMP]}, "annotations": [ANNOTATION]}
OPTION = {"id": 0, "text": "aid"}
META = {"source": "wire", "communique": STAMP}
HEAD = {"text": "Nine long", "communique": STAMP}
RESPONSES = {"label.responses": [["aid"], None], "label.responses.users": ["ana", "ben"]}
SPAN = {"type": "labels", "from_name": "a", "value": {"start": 0, "end": 4, "text": "Nine", "labels": ["aid"]}}
RECORDS: list[tuple[str, Row]] = [
    ("jsonl", HEAD | {"label": "aid", "state": "reviewed", "seconds": 2.0, "suggestion": ["aid"], "annotator": "ana"}),
    ("prodigy", {"text": "x", "a": [{"label": "aid"}], "answer": "accept", "meta": META}),
    ("label-studio", {"data": {"text": "x"}, "annotations": [ANNOTATION | {"result": [SPAN, CHOICES]}]}),
    ("label-studio-min", {"text": "x", "a": [{"taxonomy": [["b", "aid"]]}], "annotator": 1, "annotation_id": 7}),
    ("doccano", {"text": "x", "a": [[0, 4, "aid"]], "label": []}),
    ("argilla", {"text": "x", "a.responses": [4], "a.responses.users": ["ana"], "a.responses.status": ["submitted"]}),
    ("jsonl", STAMP | {"text": "Nine long", "extra": {"csv": {"page": 1}}}),
    ("standoff", STAMP),
    ("prodigy", {"text": "x", "options": [OPTION], "accept": [0], "answer": "accept", "meta": META, "_timestamp": 1}),
    ("prodigy", {"text": "x", "label": "aid", "answer": "accept", "meta": META, "_input_hash": 1, "_session_id": "a"}),
    ("label-studio", TASK | {"predictions": [PREDICTION]}),
    ("label-studio", TASK | {"data": {"text": "x", "source": "wire", "date": "2026-01-01"}}),
    ("label-studio-min", HEAD | {"label": {"choices": ["aid"]}, "annotator": 1, "created_at": "t", "lead_time": 2.0}),
    ("doccano", HEAD | {"id": 1, "label": ["aid"], "Comments": ["sure"], "source": "wire"}),
    ("argilla", HEAD | RESPONSES | {"label.responses.status": ["submitted", "discarded"], "label.suggestion": ["aid"]}),
]
WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "a"]), inner, max_size=2),
    max_leaves=3,
)
VALUES = (
    st.sampled_from(["aid", "truce", ["aid"], [["aid"]], STAMP, [STAMP], json.dumps(STAMP), {"communique": STAMP}])
    | WILD
)
COLUMNS = {
    "csv": ["text", "labels", "state", "annotator", "seconds", "suggestion", "sentence_id", "communique"],
    "activetigger": ["id", "text", "label", "sentence_id", "communique"],
    "doccano": ["id", "text", "label", "Comments", "communique"],
}
CELLS = st.sampled_from(["aid", "Nine long", "skipped", "2", "aid|truce", "aid#truce", json.dumps(STAMP)]) | st.text(
    st.characters(codec="utf-8"), max_size=3
)


def read_or_refuse(format: str, path: Path, control: str = "") -> None:
    """Nothing but InputError may come of reading a file, and what is read can be hashed, stored and sent."""
    try:
        batch = read_file(path, MULTI, format, "ben", **({"control": control} if control else {}))
    except InputError:
        return
    for line in batch.lines:
        assert line.event.sentence_id == line.sentence.id
        json.dumps(format_line(line), allow_nan=False, ensure_ascii=False).encode()
    for unseen in batch.unseen:
        assert unseen.sentence.text.strip()
        unseen.sentence.text.encode()


@st.composite
def damaged(draw: st.DrawFn, record: Row) -> Row:
    """A record with a few of its values taken away or put for others, rather at the top than deep down."""
    record = copy.deepcopy(record)
    for _ in range(draw(st.integers(0, 2))):
        holder: Any = record
        step = draw(st.sampled_from(sorted(record)))
        while isinstance(holder[step], dict | list) and holder[step] and draw(st.booleans()):
            holder = holder[step]
            step = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
        if draw(st.integers(0, 4)) or len(record) == 1:
            holder[step] = copy.deepcopy(draw(VALUES))
        else:
            del holder[step]
    return record


@pytest.mark.parametrize(("format", "record"), RECORDS)
@given(data=st.data())
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_records_of_any_shape_are_read_or_refused(
    isolated: Path, format: str, record: Row, data: st.DataObject
) -> None:
    records = [data.draw(damaged(record)) for _ in range(2)]
    path = isolated / ("in.json" if format.startswith("label-studio") else "in.jsonl")
    lines = [json.dumps(entry) for entry in records]
    path.write_text(f"[{','.join(lines)}]" if path.suffix == ".json" else "\n".join(lines), encoding="utf-8")

    read_or_refuse(format, path, data.draw(st.sampled_from(["", "", "a", "label"])))


@pytest.mark.parametrize("format", sorted(COLUMNS))
@given(data=st.data())
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cells_of_any_content_are_read_or_refused(isolated: Path, format: str, data: st.DataObject) -> None:
    path = isolated / "in.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS[format])
        writer.writerows(data.draw(st.lists(st.tuples(*(CELLS for _ in COLUMNS[format])), min_size=1, max_size=2)))

    read_or_refuse(format, path)
