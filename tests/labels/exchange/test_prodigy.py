from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labels.codebook.schema import codebook_from_dict
from labels.errors import DataError
from labels.exchange.foreign import native_stamp
from labels.records import Annotation, Sentence
from labels.store import Store, TextCounts
from tests.labels.exchange.steps import (
    EXCLUSIVE,
    MULTI,
    Row,
    bring_in,
    decided,
    export,
    holds,
    lines_of,
    without_stamps,
)
from tests.labels.store.builders import stored_document

Write = Callable[[str, list[Row]], Path]
NewStore = Callable[[], Store]

OPTIONS = [{"id": 0, "text": "Aid"}, {"id": 1, "text": "truce"}]


def choice(**changes: Any) -> Row:
    """An answer of the choice interface with numbered options."""
    record: Row = {
        "text": "Oslo will send winter fuel.",
        "options": OPTIONS,
        "accept": [0],
        "answer": "accept",
        "meta": {"source": "wire", "score": 0.5},
        "config": {"choice_style": "multiple", "buttons": ["accept"]},
        "_view_id": "choice",
        "_input_hash": -1337,
        "_task_hash": 4242,
        "_session_id": "news-ana",
        "_annotator_id": "news-ana",
        "_timestamp": 1767225600,
    }
    return record | changes


def binary(label: str, answer: str, **changes: Any) -> Row:
    """An answer of the binary interface."""
    return {"text": "Oslo will send fuel.", "label": label, "answer": answer, "_input_hash": -7, "score": 0.9} | changes


def test_choices_are_decisions(store: Store, write_jsonl: Write) -> None:
    records = [
        choice(),
        choice(accept=[1, 0], _annotator_id="news-ben"),
        choice(text="It rained.", accept=[], _input_hash=2),
        choice(text="What is this?", accept=[], answer="ignore", _input_hash=3),
        choice(text="Nothing of it.", accept=[1], answer="reject", _input_hash=4),
    ]

    assert bring_in(store, "prodigy", write_jsonl("in.jsonl", records)) == (5, 0, {})
    assert decided(store) == [
        ("Oslo will send winter fuel.", "news-ana", "reviewed", ("aid",)),
        ("Oslo will send winter fuel.", "news-ben", "reviewed", ("aid", "truce")),
        ("It rained.", "news-ana", "reviewed", ()),
        ("What is this?", "news-ana", "skipped", ()),
        ("Nothing of it.", "news-ana", "skipped", ()),
    ]
    first = store.events.all()[0]
    assert (first.created_at, first.codebook_hash) == ("2026-01-01T00:00:00.000000+00:00", MULTI.hash)
    document = stored_document(store.url, store.documents.sentences([first.sentence_id])[0].document_id)
    assert (document.source, document.text) == ("wire", "Oslo will send winter fuel.")


def test_prodigys_other_fields_come_back_in_place(
    store: Store, new_store: NewStore, write_jsonl: Write, isolated: Path
) -> None:
    records = [
        choice(),
        choice(_annotator_id="b", answer="ignore", priority=1.0, spans=[{"start": 0}]),
        binary("aid", "accept", _annotator_id="b"),
    ]
    bring_in(store, "prodigy", write_jsonl("in.jsonl", records))
    export(store, "prodigy", isolated / "out.jsonl")

    written = lines_of(isolated / "out.jsonl")
    assert all(map(holds, without_stamps(written), records))
    assert written[0]["accept"] == [0]
    assert written[0]["_input_hash"] == -1337
    with new_store() as second:
        bring_in(second, "prodigy", isolated / "out.jsonl")
        assert [event.extra for event in second.events.all()][:2] == [event.extra for event in store.events.all()][:2]
        export(second, "prodigy", isolated / "again.jsonl")
    assert lines_of(isolated / "again.jsonl") == written


def test_a_second_import_adds_nothing(store: Store, write_jsonl: Write) -> None:
    path = write_jsonl("in.jsonl", [choice(), choice(), binary("aid", "accept", _annotator_id="b")])

    assert bring_in(store, "prodigy", path) == (2, 0, {"repeated records": 1})
    assert bring_in(store, "prodigy", path) == (0, 2, {"repeated records": 1})


def test_binary_answers_to_one_text_are_one_decision_per_annotator(store: Store, write_jsonl: Write) -> None:
    records = [
        binary("aid", "accept"),
        binary("truce", "reject"),
        binary("truce", "accept", _session_id="ben"),
        binary("aid", "ignore", _session_id="ben"),
        binary("aid", "ignore", text="What?", _input_hash=8),
        binary("aid", "reject", text="It rained.", _input_hash=9),
        binary("truce", "accept", text="Stop it now.", _input_hash=10),
        binary("truce", "reject", text="Stop it now.", _input_hash=10),
    ]

    bring_in(store, "prodigy", write_jsonl("in.jsonl", records), annotator="ana")
    assert decided(store) == [
        ("Oslo will send fuel.", "ana", "reviewed", ("aid",)),
        ("Oslo will send fuel.", "ben", "reviewed", ("truce",)),
        ("What?", "ana", "skipped", ()),
        ("It rained.", "ana", "reviewed", ()),
        ("Stop it now.", "ana", "reviewed", ()),
    ]


def test_binary_answers_without_hashes_are_grouped_by_text(store: Store, write_jsonl: Write) -> None:
    records = [{"text": "Send fuel.", "label": label, "answer": "accept"} for label in ("truce", "aid")]

    assert bring_in(store, "prodigy", write_jsonl("in.jsonl", records), annotator="ana") == (1, 0, {})
    assert decided(store) == [("Send fuel.", "ana", "reviewed", ("aid", "truce"))]


def test_binary_answers_go_back_as_they_came(
    store: Store, new_store: NewStore, write_jsonl: Write, isolated: Path
) -> None:
    records = [binary("aid", "accept", meta={"page": 2}), binary("truce", "reject")]
    bring_in(store, "prodigy", write_jsonl("in.jsonl", records), annotator="ana")

    assert export(store, "prodigy", isolated / "out.jsonl") == (1, {})
    written = lines_of(isolated / "out.jsonl")
    assert all(map(holds, without_stamps(written), records))
    assert bring_in(store, "prodigy", isolated / "out.jsonl") == (0, 1, {})
    with new_store() as second:
        assert bring_in(second, "prodigy", isolated / "out.jsonl") == (1, 0, {})
        export(second, "prodigy", isolated / "again.jsonl")
    assert lines_of(isolated / "again.jsonl") == written


def test_unanswered_records_are_counted(store: Store, write_jsonl: Write) -> None:
    path = write_jsonl("in.jsonl", [choice(answer=None), {"text": "New."}, choice()])

    assert bring_in(store, "prodigy", path) == (1, 0, {"unanswered records": 2})


def test_an_exported_record_is_a_choice_with_the_codebooks_labels(store: Store, isolated: Path) -> None:
    sentence = Sentence("d1", 3, 12, "Nine long")
    event = Annotation("e1", sentence.id, "ana", "annotate", "reviewed", ("aid",), "h", "2026-01-01T00:00:00+00:00")
    store.add_annotated([sentence], [])
    store.events.add([event])
    export(store, "prodigy", isolated / "out.jsonl")
    export(store, "prodigy", isolated / "one.jsonl", EXCLUSIVE)

    assert lines_of(isolated / "out.jsonl") == [
        {
            "text": "Nine long",
            "options": [{"id": "aid", "text": "Aid"}, {"id": "truce", "text": "truce"}],
            "accept": ["aid"],
            "answer": "accept",
            "config": {"choice_style": "multiple"},
            "_view_id": "choice",
            "_annotator_id": "ana",
            "_timestamp": 1767225600,
            "meta": {"communique": native_stamp(event, sentence)},
        }
    ]
    assert lines_of(isolated / "one.jsonl")[0]["config"] == {"choice_style": "single"}


def test_a_rejected_label_is_refused_where_a_label_is_required(store: Store, write_jsonl: Write) -> None:
    content = {"name": "one", "exclusive": True, "allow_none": False, "labels": [{"name": "aid"}, {"name": "truce"}]}
    path = write_jsonl("in.jsonl", [binary("aid", "reject")])

    with pytest.raises(DataError, match=r"in\.jsonl:1: codebook 'one' requires a label"):
        bring_in(store, "prodigy", path, codebook_from_dict(content, "one"), annotator="ana")


BAD: list[tuple[str, Row, str]] = [
    ("no text", choice(text="  "), "this record has no text"),
    ("a text that is a number", choice(text=7), "this record has no text"),
    ("an unknown answer", choice(answer="maybe"), "`answer` must be accept or reject or ignore, not 'maybe'"),
    ("a label that is a number", binary("aid", "accept") | {"label": 7}, "`label` must be a label name, not 7"),
    ("a time in words", choice(_timestamp="noon"), "`_timestamp` must be a time in seconds since 1970, not 'noon'"),
    ("a time in milliseconds", choice(_timestamp=1767225600000), "`_timestamp` must be a time in seconds since 1970"),
    ("options in a string", choice(options="aid"), "`accept` and `options` must be lists"),
    ("an option without id", choice(options=[{"text": "aid"}]), "an option must be an object with an `id`"),
    ("an unknown label", choice(accept=["trce"]), r"label 'trce' is not in codebook 'small'.*did you mean 'truce'\?"),
    ("meta in a string", choice(meta="wire"), "`meta` must be an object, not str"),
    ("no annotator", choice(_annotator_id=None, _session_id=None), "does not name an annotator.*--annotator NAME"),
    ("an unpaired surrogate", choice(text="half \ud83d"), "contains an unpaired surrogate"),
    ("an unpaired surrogate in an unknown key", choice(other="half \ud83d"), "contains an unpaired surrogate"),
    ("an invalid stamp", choice(meta={"communique": 7}), "the value of `communique` was altered"),
]


@pytest.mark.parametrize(("record", "message"), [pytest.param(*rest, id=name) for name, *rest in BAD])
def test_a_bad_record_is_named_and_its_file_is_refused(store: Store, isolated: Path, record: Row, message: str) -> None:
    path = isolated / "in.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (choice(), choice(text="Other."), record)))

    with pytest.raises(DataError, match=rf"in\.jsonl:3: .*{message}"):
        bring_in(store, "prodigy", path)
    assert store.counts.texts() == TextCounts(0, 0, 0)
    assert store.events.all() == []


def test_a_stamp_whose_ids_do_not_fit_is_refused(store: Store, write_jsonl: Write) -> None:
    sentence = Sentence("d1", 3, 12, "Nine long")
    event = Annotation("e1", sentence.id, "news-ana", "annotate", "reviewed", ("aid",), "h", "t")
    altered = native_stamp(event, sentence) | {"start": 4}

    with pytest.raises(DataError, match=r"in\.jsonl:1: sentence_id .* does not match document_id"):
        bring_in(store, "prodigy", write_jsonl("in.jsonl", [choice(meta={"communique": altered})]))


def test_a_record_whose_text_was_changed_is_refused(store: Store, write_jsonl: Write, isolated: Path) -> None:
    sentence = Sentence("d1", 3, 12, "Nine long")
    store.add_annotated([sentence], [])
    store.events.add([Annotation("e1", sentence.id, "ana", "annotate", "reviewed", ("aid",), "h", "t")])
    export(store, "prodigy", isolated / "out.jsonl")
    (record,) = lines_of(isolated / "out.jsonl")

    with pytest.raises(DataError, match="has the text 'Nine short' in the file, but 'Nine long' in the store"):
        bring_in(store, "prodigy", write_jsonl("in.jsonl", [record | {"text": "Nine short"}]))
