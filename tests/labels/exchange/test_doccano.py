from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from labels.errors import DataError
from labels.records import Annotation, Sentence
from labels.store import Store
from labels.text.rows import read_rows
from tests.labels.exchange.steps import Row, bring_in, decided, export, lines_of, without_stamps

Write = Callable[[str, list[Row]], Path]
NewStore = Callable[[], Store]

RECORDS: list[Row] = [
    {"id": 1, "text": "Oslo will send fuel.", "page": 3, "label": ["aid"], "Comments": ["sure", "and soon"]},
    {"id": 2, "text": "Stop, and take this.", "page": 4, "label": ["truce", "aid"], "Comments": []},
    {"id": 3, "text": "Stop.", "label": "truce", "Comments": []},
    {"id": 4, "text": "It rained.", "label": [], "Comments": []},
]


def test_the_file_is_named_after_the_annotator(store: Store, write_jsonl: Write) -> None:
    path = write_jsonl("ana.jsonl", RECORDS)

    assert bring_in(store, "doccano", path) == (3, 0, {"rows without labels": 1})
    assert bring_in(store, "doccano", path) == (0, 3, {"rows without labels": 1})
    assert decided(store) == [
        ("Oslo will send fuel.", "ana", "reviewed", ("aid",)),
        ("Stop, and take this.", "ana", "reviewed", ("aid", "truce")),
        ("Stop.", "ana", "reviewed", ("truce",)),
    ]
    assert store.events.all()[0].note == "sure\nand soon"


def test_the_option_annotator_overrides_the_file_name(store: Store, write_jsonl: Write) -> None:
    bring_in(store, "doccano", write_jsonl("admin.jsonl", RECORDS[:1]), annotator="ana")

    assert decided(store)[0][1] == "ana"


def test_a_file_of_all_annotators_needs_the_option_annotator(store: Store, write_jsonl: Write) -> None:
    path = write_jsonl("all.jsonl", RECORDS)

    with pytest.raises(DataError, match=r"all\.jsonl:1: this record does not name an annotator"):
        bring_in(store, "doccano", path)
    assert bring_in(store, "doccano", path, annotator="ana")[0] == 3


def test_files_of_two_annotators_share_sentences(store: Store, write_jsonl: Write) -> None:
    bring_in(store, "doccano", write_jsonl("ana.jsonl", RECORDS))
    bring_in(store, "doccano", write_jsonl("ben.jsonl", RECORDS))

    assert store.counts.texts().sentences == len(RECORDS)
    assert len({event.annotator for event in store.events.all()}) == 2


def test_doccanos_other_fields_come_back(store: Store, new_store: NewStore, write_jsonl: Write, isolated: Path) -> None:
    bring_in(store, "doccano", write_jsonl("ana.jsonl", RECORDS))
    export(store, "doccano", isolated / "out.jsonl")

    written = lines_of(isolated / "out.jsonl")
    assert without_stamps(written) == RECORDS[:3]
    with new_store() as second:
        bring_in(second, "doccano", isolated / "out.jsonl")
        assert [event.extra for event in second.events.all()] == [event.extra for event in store.events.all()]


def test_cells_of_csv_join_labels_by_a_hash(store: Store, new_store: NewStore, isolated: Path) -> None:
    path = isolated / "ana.csv"
    path.write_text('id,text,label,page\n1,"Stop, and take this.",aid#truce,3\n2,It rained.,,4\n', encoding="utf-8")

    assert bring_in(store, "doccano", path) == (1, 0, {"rows without labels": 1})
    assert decided(store) == [("Stop, and take this.", "ana", "reviewed", ("aid", "truce"))]
    export(store, "doccano", isolated / "out.csv")
    ((_, row),) = read_rows(isolated / "out.csv")
    assert without_stamps(row) == {"id": "1", "text": "Stop, and take this.", "label": "aid#truce", "page": "3"}


def test_our_own_record_without_labels_was_reviewed(store: Store, new_store: NewStore, isolated: Path) -> None:
    sentence = Sentence("d1", 3, 12, "Nine long")
    store.add_annotated([sentence], [])
    store.events.add([Annotation("e1", sentence.id, "ana", "annotate", "reviewed", (), "h", "t", note="clear")])

    for name in ("out.jsonl", "out.csv"):
        export(store, "doccano", isolated / name)
        with new_store() as second:
            assert bring_in(second, "doccano", isolated / name) == (1, 0, {})
            assert decided(second) == [("Nine long", "ana", "reviewed", ())]
            assert second.events.all()[0].note == "clear"


@pytest.mark.parametrize("note", ['a doubt, "quoted"', '["a doubt"]', "[sic]", "[1]", "two\nlines", "[" * 9999])
def test_a_note_survives_a_cell_of_csv(store: Store, isolated: Path, note: str) -> None:
    sentence = Sentence("d1", 3, 12, "Nine long")
    store.add_annotated([sentence], [])
    store.events.add([Annotation("e1", sentence.id, "ana", "annotate", "reviewed", ("aid",), "h", "t", note=note)])
    export(store, "doccano", isolated / "ana.csv")
    content = (isolated / "ana.csv").read_text(encoding="utf-8")
    (isolated / "ana.csv").write_text(content.replace("Nine long,aid,", "Nine long,truce,"), encoding="utf-8")

    assert bring_in(store, "doccano", isolated / "ana.csv")[0] == 1
    changed = store.events.all()[-1]
    assert (changed.labels, changed.note) == (("truce",), note)
    assert "Comments" not in (changed.extra or {}).get("doccano", {})


@pytest.mark.parametrize("note", ["a doubt", "[sic]", "[1]", "[" * 9999])
def test_a_plain_note_in_a_cell_of_csv_is_unchanged(store: Store, isolated: Path, note: str) -> None:
    (isolated / "ana.csv").write_text(f"text,label,Comments\nStop.,truce,{note}\n", encoding="utf-8")
    bring_in(store, "doccano", isolated / "ana.csv")

    assert store.events.all()[0].note == note


BAD: list[tuple[str, Row, str]] = [
    ("no text", {"label": ["aid"]}, "this record has no text"),
    ("no label", {"text": "x", "labels": ["aid"]}, "this record has no key `label`. Its keys: text, labels"),
    (
        "none beside a label",
        {"text": "x", "label": ["aid", "none"]},
        "the labels are 'none' and also aid. Remove 'none'",
    ),
    ("an unknown label", {"text": "x", "label": ["trce"]}, "label 'trce' is not in codebook 'small'"),
]


@pytest.mark.parametrize(("record", "message"), [pytest.param(*rest, id=name) for name, *rest in BAD])
def test_a_bad_record_is_named_and_its_file_is_refused(
    store: Store, write_jsonl: Write, record: Row, message: str
) -> None:
    with pytest.raises(DataError, match=rf"ana\.jsonl:2: .*{message}"):
        bring_in(store, "doccano", write_jsonl("ana.jsonl", [RECORDS[0], record]))
    assert store.events.all() == store.documents.sentences() == []


def test_a_repeated_record_is_counted_and_imported_once(store: Store, write_jsonl: Write) -> None:
    path = write_jsonl("ana.jsonl", [RECORDS[0], RECORDS[2], RECORDS[0]])

    assert bring_in(store, "doccano", path) == (2, 0, {"repeated records": 1})
