from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.codebook.schema import codebook_from_dict, load_codebook
from labels.errors import DataError
from labels.exchange.driver import export_file, import_file
from labels.exchange.jsonl import read_annotations
from labels.exchange.lines import COLUMNS, OPTIONAL, Line, format_line
from labels.records import Annotation, EventKind, Sentence, State
from labels.store import Draw, DrawItem, Store

Row = dict[str, Any]
Write = Callable[[str, list[Row]], Path]

SEEDS = Path(__file__).parents[3] / "seeds" / "annotations"
BOOK = codebook_from_dict({"name": "small", "labels": [{"name": "aid"}, {"name": "truce"}]}, "small")
STATES: dict[EventKind, list[State | None]] = {
    "annotate": ["reviewed", "skipped"],
    "adjudicate": ["reviewed"],
    "undo": [None],
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
LABELS = st.sampled_from([(), ("aid",), ("truce",), ("aid", "truce")])


def row(**changes: Any) -> Row:
    """A line as the format has it, with columns changed; its sentence id fits."""
    document, start, end = (changes.get(k, v) for k, v in (("document_id", "d1"), ("start", 3), ("end", 12)))
    values: Row = {
        "event_id": "e1",
        "sentence_id": Sentence(document, start, end, "").id,
        "document_id": document,
        "start": start,
        "end": end,
        "text": "Nine long",
        "annotator": "ana",
        "event": "annotate",
        "state": "reviewed",
        "labels": ["aid"],
        "note": "",
        "seconds": 2.5,
        "codebook_hash": "0123456789abcdef",
        "suggestion": None,
        "blind": False,
        "strategy": "random",
        "inclusion_probability": 0.25,
        "created_at": "2026-01-01T00:00:00+00:00",
        "synthetic": False,
        "extra": None,
        "basis": "",
        "informed": False,
    }
    return values | changes


def read_lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def dump(path: str | Path) -> list[str]:
    with closing(connect(str(path).removeprefix("sqlite:///"))) as connection:
        return list(connection.iterdump())


@st.composite
def histories(draw: st.DrawFn) -> list[Line]:
    """Events on a few sentences by a few people, as a store may hold them."""
    spans = draw(st.lists(st.tuples(st.text(max_size=3), st.integers(0, 5)), min_size=1, max_size=4, unique=True))
    flags = st.booleans()
    texts = [draw(st.text(max_size=9)) for _ in spans]
    sentences = [
        Sentence(document, start, start + len(text), text, synthetic=draw(flags))
        for (document, start), text in zip(spans, texts, strict=True)
    ]
    lines = []
    for sentence in draw(st.lists(st.sampled_from(sentences), min_size=1, max_size=6)):
        kind = draw(st.sampled_from(sorted(STATES)))
        state = draw(st.sampled_from(STATES[kind]))
        strategy = draw(st.sampled_from(["", "random", "by hand"]))
        event = Annotation(
            event_id=uuid4().hex,
            sentence_id=sentence.id,
            annotator=draw(st.sampled_from(["ana", "Zoë Ω", "b|n"])),
            event=kind,
            state=state,
            labels=draw(LABELS) if state == "reviewed" else (),
            codebook_hash=draw(st.text(max_size=4)),
            created_at=draw(st.datetimes()).isoformat(),
            note=draw(st.text(max_size=5)),
            seconds=draw(st.none() | st.floats(0, 1e6)),
            suggestion=draw(st.none() | LABELS),
            blind=draw(flags),
            strategy=strategy,
            inclusion_probability=draw(st.none() | st.floats(0, 1, exclude_min=True)) if strategy else None,
            extra=draw(st.none() | st.dictionaries(st.sampled_from(["prodigy", "doccano"]), VALUES, max_size=2)),
        )
        lines.append(Line(event, sentence))
    return lines


@given(histories())
@settings(deadline=None, max_examples=50)
def test_a_round_trip_gives_the_same_store_and_a_second_import_adds_nothing(
    empty_store: Path, lines: list[Line]
) -> None:
    folder = Path(uuid4().hex)
    folder.mkdir()
    shutil.copy(empty_store, folder / "a.db")
    shutil.copy(empty_store, folder / "b.db")
    file = folder / "labels.jsonl"
    with Store(folder / "a.db") as first, Store(folder / "b.db") as second:
        first.add_annotated([line.sentence for line in lines], [])
        first.events.add([line.event for line in lines])

        assert export_file(first, file, BOOK) == (len(lines), {})
        assert tuple(import_file(second, file, BOOK)) == (len(lines), 0, {})
        assert second.events.all() == first.events.all()
        assert second.documents.sentences() == first.documents.sentences()

        before = dump(folder / "b.db")
        assert tuple(import_file(second, file, BOOK)) == (0, len(lines), {})
        assert dump(folder / "b.db") == before


@given(histories())
@settings(deadline=None, max_examples=40)
def test_an_imported_file_is_exported_unchanged(empty_store: Path, lines: list[Line]) -> None:
    folder = Path(uuid4().hex)
    folder.mkdir()
    shutil.copy(empty_store, folder / "store.db")
    given_rows = [format_line(line) for line in lines]
    (folder / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in given_rows), encoding="utf-8")
    with Store(folder / "store.db") as store:
        import_file(store, folder / "in.jsonl", BOOK)
        export_file(store, folder / "out.jsonl", BOOK)

    assert read_lines(folder / "out.jsonl") == given_rows


# -- export


def test_a_line_has_the_documented_columns_in_their_order(store: Store, isolated: Path) -> None:
    sentence = Sentence("d1", 3, 12, "Nine long", synthetic=True)
    event = Annotation(
        "e1", sentence.id, "ana", "annotate", "reviewed", ("aid",), "0123456789abcdef", "2026-01-01", "a note", 2.5,
        ("truce",), True, "random", 0.25, extra={"prodigy": {"score": 1}},
        basis="accepted", informed=True,
    )  # fmt: skip
    store.add_annotated([sentence], [])
    store.events.add([event])

    assert export_file(store, isolated / "out.jsonl", BOOK) == (1, {})

    expected = row(note="a note", suggestion=["truce"], blind=True, created_at="2026-01-01", synthetic=True)
    expected |= {"extra": {"prodigy": {"score": 1}}, "basis": "accepted", "informed": True}
    (written,) = read_lines(isolated / "out.jsonl")
    assert list(written) == [column for column in COLUMNS if column not in ("undoes", "draw_id")]
    assert written == expected


def a_draw(sentences: list[Sentence]) -> Draw:
    items = tuple(DrawItem(sentence.id, 0.25) for sentence in sentences)
    return Draw("draw", "random", "ana", "", 8, 1, "2026-01-01", items)


def test_an_exported_draw_keeps_strategy_and_inclusion_probability(store: Store, isolated: Path) -> None:
    sentences = [Sentence("d1", 10 * i, 10 * i + 9, "Nine long") for i in range(2)]
    store.add_annotated(sentences, [])
    store.draws.add([a_draw(sentences)], expires_at="2999-01-01")
    ids = [sentence.id for sentence in sentences]
    store.events.add([Annotation(i, i, "ana", "annotate", "reviewed", (), "h", "t", draw_id="draw") for i in ids])
    export_file(store, isolated / "out.jsonl", BOOK)

    assert [(line["strategy"], line["inclusion_probability"]) for line in read_lines(isolated / "out.jsonl")] == [
        ("random", 0.25),
        ("random", 0.25),
    ]


def test_importing_a_stores_own_export_changes_nothing(store: Store, isolated: Path) -> None:
    store.codebooks.add(BOOK)
    sentence = Sentence("d1", 0, 9, "Nine long")
    store.add_annotated([sentence], [])
    store.draws.add([a_draw([sentence])], expires_at="2999-01-01")
    store.events.add([Annotation("e1", sentence.id, "ana", "annotate", "reviewed", (), "h", "t", draw_id="draw")])
    export_file(store, isolated / "out.jsonl", BOOK)
    before = dump(store.url)

    assert tuple(import_file(store, isolated / "out.jsonl", BOOK)) == (0, 1, {})
    assert dump(store.url) == before


def test_letters_of_any_alphabet_stay_readable_in_the_file(store: Store, isolated: Path) -> None:
    sentence = Sentence("d1", 0, 6, "Київ 🕊")
    store.add_annotated([sentence], [])
    store.events.add([Annotation("e1", sentence.id, "Zoë", "annotate", "reviewed", (), "h", "t")])
    export_file(store, isolated / "out.jsonl", BOOK)

    content = (isolated / "out.jsonl").read_text(encoding="utf-8")
    assert "Київ 🕊" in content
    assert "Zoë" in content


def test_an_export_replaces_an_older_file(store: Store, isolated: Path) -> None:
    (isolated / "out.jsonl").write_text("older", encoding="utf-8")

    assert export_file(store, isolated / "out.jsonl", BOOK) == (0, {})
    assert (isolated / "out.jsonl").read_text(encoding="utf-8") == ""


def test_an_export_to_a_missing_folder_names_it(store: Store, isolated: Path) -> None:
    with pytest.raises(DataError, match=r"out\.jsonl: the folder .*missing does not exist\. Create the folder first"):
        export_file(store, isolated / "missing" / "out.jsonl", BOOK)
    assert not (isolated / "missing").exists()


# -- import


def test_a_line_is_stored_with_its_sentence_and_codebook(store: Store, write_jsonl: Write) -> None:
    line = row(suggestion=["truce"], blind=True, note="a note", synthetic=True, extra={"doccano": {"id": 7}})

    assert tuple(import_file(store, write_jsonl("in.jsonl", [line]), BOOK)) == (1, 0, {})

    (event,) = store.events.all()
    assert (event.annotator, event.state, event.labels, event.suggestion) == ("ana", "reviewed", ("aid",), ("truce",))
    assert (event.note, event.seconds, event.blind, event.created_at) == ("a note", 2.5, True, line["created_at"])
    assert (event.strategy, event.inclusion_probability) == ("random", 0.25)
    assert event.extra == {"doccano": {"id": 7}}
    assert store.documents.sentences() == [Sentence("d1", 3, 12, "Nine long", synthetic=True)]
    assert store.codebooks.all()[BOOK.hash] == BOOK


def test_optional_columns_may_be_left_out(store: Store, write_jsonl: Write) -> None:
    line = {key: value for key, value in row().items() if key not in OPTIONAL}

    import_file(store, write_jsonl("in.jsonl", [line]), BOOK)

    (event,) = store.events.all()
    assert (event.note, event.seconds, event.suggestion, event.blind) == ("", None, None, False)
    assert (event.strategy, event.inclusion_probability, event.extra) == ("", None, None)


def test_a_probability_without_a_strategy_is_kept(store: Store, write_jsonl: Write, isolated: Path) -> None:
    line = row(strategy="", inclusion_probability=0.5)

    import_file(store, write_jsonl("in.jsonl", [line]), BOOK)
    export_file(store, isolated / "out.jsonl", BOOK)

    assert read_lines(isolated / "out.jsonl") == [line]


def test_only_the_lines_that_are_new_are_added(store: Store, write_jsonl: Write) -> None:
    import_file(store, write_jsonl("one.jsonl", [row()]), BOOK)
    more = write_jsonl("two.jsonl", [row(), row(event_id="e2", annotator="ben", labels=[])])

    assert tuple(import_file(store, more, BOOK)) == (1, 1, {})
    assert [event.event_id for event in store.events.all()] == ["e1", "e2"]


def test_labels_are_read_in_codebook_order(write_jsonl: Write) -> None:
    (line,) = read_annotations(write_jsonl("in.jsonl", [row(labels=["truce", "aid", "truce"])]), BOOK)

    assert line.event.labels == ("aid", "truce")


MISFITS: list[tuple[str, Row, str]] = [
    ("an unknown label", {"labels": ["trce"]}, r"label 'trce' is not in codebook 'small'.*did you mean 'truce'\?"),
    ("a label that is not a string", {"labels": [1]}, "`labels` must contain label names"),
    ("a suggestion that is not a string", {"suggestion": [None]}, "`suggestion` must contain label names"),
    ("labels in one string", {"labels": "aid"}, "`labels` must be list, not str"),
    ("a number as text", {"text": 7}, "`text` must be str, not int"),
    ("no annotator", {"annotator": None}, "`annotator` must be str, not NoneType"),
    ("an offset in words", {"start": "3"}, "`start` must be int, not str"),
    ("an offset that is true", {"end": True}, "`end` must be int, not bool"),
    ("a fractional offset", {"end": 12.0}, "`end` must be int, not float"),
    ("seconds in words", {"seconds": "2"}, "`seconds` must be int or float or null, not str"),
    ("extra as a list", {"extra": []}, "`extra` must be dict or null, not list"),
    ("blind as a number", {"blind": 0}, "`blind` must be bool, not int"),
    ("an unknown basis", {"basis": "whim"}, "`basis` must be one of '', 'accepted', 'rule', not 'whim'"),
    ("an unknown event", {"event": "delete"}, "`event` must be annotate or adjudicate or undo or model, not 'delete'"),
    (
        "unseen as a state",
        {"state": "unseen"},
        "`state` must be reviewed or skipped or not_a_sentence for the event 'annotate', not 'unseen'",
    ),
    (
        "a decision without state",
        {"state": None},
        "`state` must be reviewed or skipped or not_a_sentence for the event 'annotate', not 'None'",
    ),
    ("an undo with a state", {"event": "undo"}, "`state` must be None for the event 'undo', not 'reviewed'"),
    (
        "a skipped verdict",
        {"event": "adjudicate", "state": "skipped"},
        "`state` must be reviewed or not_a_sentence for the event 'adjudicate'",
    ),
    ("a probability of zero", {"inclusion_probability": 0}, r"`inclusion_probability` must be in \(0, 1\], not 0"),
    ("a probability above one", {"inclusion_probability": 1.5}, r"must be in \(0, 1\], not 1\.5"),
    ("a span that was moved", {"start": 3, "sentence_id": "f" * 16}, "sentence_id 'f+' does not match document_id"),
]


@pytest.mark.parametrize(("changes", "message"), [pytest.param(*rest, id=name) for name, *rest in MISFITS])
def test_a_bad_line_is_named_and_its_file_is_refused(
    store: Store, write_jsonl: Write, changes: Row, message: str
) -> None:
    store.add_annotated([Sentence("d0", 0, 1, "x")], [])
    before = dump(store.url)
    path = write_jsonl("in.jsonl", [row(), row(event_id="e2"), row(event_id="e3") | changes])

    with pytest.raises(DataError, match=rf"in\.jsonl:3: .*{message}"):
        import_file(store, path, BOOK)
    assert dump(store.url) == before


@pytest.mark.parametrize("column", [column for column in COLUMNS if column not in OPTIONAL])
def test_a_column_that_is_missing_is_named(write_jsonl: Write, column: str) -> None:
    line = {key: value for key, value in row().items() if key != column}

    with pytest.raises(DataError, match=rf"in\.jsonl:1: column `{column}` is missing"):
        list(read_annotations(write_jsonl("in.jsonl", [line]), BOOK))


def test_a_misspelt_column_is_recognised(write_jsonl: Write) -> None:
    line = row()
    line["anotator"] = line.pop("annotator")

    with pytest.raises(DataError, match=r"column `annotator` is missing \(did you mean 'anotator'\?\)"):
        list(read_annotations(write_jsonl("in.jsonl", [line]), BOOK))


def test_a_line_that_is_not_json_is_named(store: Store, isolated: Path) -> None:
    path = isolated / "in.jsonl"
    path.write_text(f"{json.dumps(row())}\n{{broken\n", encoding="utf-8")

    with pytest.raises(DataError, match=r"in\.jsonl:2: this line is not valid JSON"):
        import_file(store, path, BOOK)
    assert store.events.all() == store.documents.sentences() == []


def test_an_event_id_that_occurs_twice_is_refused(store: Store, write_jsonl: Write) -> None:
    path = write_jsonl("in.jsonl", [row(), row(annotator="ben")])

    with pytest.raises(DataError, match=r"in\.jsonl: event_id 'e1' occurs twice"):
        import_file(store, path, BOOK)
    assert store.events.all() == []


def test_texts_that_differ_late_are_shown_where_they_differ(store: Store, write_jsonl: Write) -> None:
    lines = [row(event_id=one, text="Nine long " * 20 + one + " and more" * 20, end=383) for one in ("e1", "e2")]
    import_file(store, write_jsonl("one.jsonl", lines[:1]), BOOK)

    with pytest.raises(DataError, match=r"'…[^']*long e2 and[^']*…' in the file, but '…[^']*long e1 and[^']*…' in the"):
        import_file(store, write_jsonl("two.jsonl", lines[1:]), BOOK)


def test_a_sentence_with_another_text_in_the_store_is_refused(store: Store, write_jsonl: Write) -> None:
    import_file(store, write_jsonl("one.jsonl", [row()]), BOOK)
    before = dump(store.url)
    other = write_jsonl("two.jsonl", [row(event_id="e2", text="Not it !!")])

    with pytest.raises(
        DataError, match=r"two\.jsonl:1: sentence .*'Not it !!' in the file, but 'Nine long' in the store"
    ):
        import_file(store, other, BOOK)
    assert dump(store.url) == before


def test_a_sentence_with_two_texts_in_one_file_is_refused(store: Store, write_jsonl: Write) -> None:
    path = write_jsonl("in.jsonl", [row(), row(event_id="e2", text="Not it !!")])

    with pytest.raises(DataError, match=r"in\.jsonl.*(Nine long.*Not it|Not it.*Nine long)"):
        import_file(store, path, BOOK)
    assert store.events.all() == []


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"start": 10**30, "end": 10**30 + 9}, id="an offset beyond any text"),
        pytest.param({"text": "half \ud83d"}, id="an unpaired surrogate"),
        pytest.param({"note": "half \ud83d"}, id="an unpaired surrogate in a note"),
        pytest.param({"seconds": float("nan")}, id="seconds that are not a number"),
        pytest.param({"suggestion": ["half \ud83d"]}, id="an unpaired surrogate in a suggestion"),
        pytest.param({"extra": {"csv": {"score": float("inf")}}}, id="an infinite number in extra"),
        pytest.param({"extra": {"csv": {"name": "half \ud83d"}}}, id="an unpaired surrogate in extra"),
    ],
)
def test_a_value_that_no_store_can_hold_is_refused_with_its_line(store: Store, isolated: Path, changes: Row) -> None:
    path = isolated / "in.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (row(), row(event_id="e2", **changes))))

    with pytest.raises(DataError, match=r"in\.jsonl:2: "):
        import_file(store, path, BOOK)
    assert store.events.all() == store.documents.sentences() == []


@pytest.mark.parametrize("path", sorted(SEEDS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_the_starter_annotations_are_native_and_whole(store: Store, path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()

    assert tuple(import_file(store, path, load_codebook("diplomatic"))) == (len(lines), 0, {})
    states = Counter(json.loads(line)["state"] for line in lines)
    assert Counter(event.state for event in store.events.all()) == states
