"""What holds for every format: what was exported is recognised, and comes back as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labels.codebook.schema import Codebook
from labels.errors import InputError
from labels.exchange.driver import REPLACED, read_file
from labels.exchange.formats import find_format, format_names
from labels.gold import resolve, standing
from labels.records import Annotation, Document, EventKind, Sentence
from labels.store import Store
from labels.text.rows import read_rows
from tests.labels.exchange.steps import EXCLUSIVE, MULTI, bring_in, export

NewStore = Callable[[], Store]

FILES = [
    ("csv", "out.csv"),
    ("prodigy", "out.jsonl"),
    ("label-studio", "out.json"),
    ("label-studio-min", "out.json"),
    ("doccano", "out.jsonl"),
    ("doccano", "out.csv"),
    ("argilla", "out.jsonl"),
    ("activetigger", "out.csv"),
    ("activetigger", "out.parquet"),
    ("huggingface", "out"),
    ("huggingface", "out.parquet"),
]
GOLD = [file for file in FILES if file[0] in ("doccano", "activetigger", "huggingface")]
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)


@st.composite
def sentences(draw: st.DrawFn) -> list[Sentence]:
    texts = draw(st.lists(WORDS.filter(str.strip), min_size=1, max_size=3))
    return [
        Sentence(f"d{position % 2}", 10 * position, 10 * position + len(text), text, synthetic=draw(st.booleans()))
        for position, text in enumerate(texts)
    ]


@st.composite
def events(draw: st.DrawFn, spans: list[Sentence], codebook: Codebook, other_time: str) -> list[Annotation]:
    """Decisions of a few people with undone ones among them, as a store may hold them."""
    sets: list[tuple[str, ...]] = [(), ("aid",), ("truce",)]
    if not codebook.exclusive:
        sets.append(("aid", "truce"))
    labels = st.sampled_from(sets)
    kinds: list[EventKind] = ["annotate", "annotate", "annotate", "undo", "adjudicate"]
    made = []
    for sentence in draw(st.lists(st.sampled_from(spans), min_size=1, max_size=5)):
        kind = draw(st.sampled_from(kinds))
        skipped = kind == "annotate" and draw(st.integers(0, 3)) == 0
        strategy = draw(st.sampled_from(["", "random"]))
        event = Annotation(
            event_id=uuid4().hex,
            sentence_id=sentence.id,
            annotator=draw(st.sampled_from(["ana", "Zoë|Ω", "7"])),
            event=kind,
            state=None if kind == "undo" else "skipped" if skipped else "reviewed",
            labels=() if kind == "undo" or skipped else draw(labels),
            codebook_hash=codebook.hash,
            created_at=draw(st.datetimes()).isoformat() if draw(st.booleans()) else other_time,
            note=draw(WORDS),
            seconds=draw(st.none() | st.floats(0, 1e6)),
            suggestion=draw(st.none() | labels),
            blind=draw(st.booleans()),
            strategy=strategy,
            inclusion_probability=draw(st.floats(0.01, 1)) if strategy else None,
        )
        made.append(event)
    return made


@st.composite
def histories(
    draw: st.DrawFn, codebook: Codebook, other_time: str = "some day"
) -> tuple[list[Sentence], list[Annotation]]:
    """By default with times as earlier versions imported them, which other tools' files still bring over."""
    spans = draw(sentences())
    return spans, draw(events(spans, codebook, other_time))


def fill(store: Store, history: tuple[list[Sentence], list[Annotation]]) -> None:
    store.add_annotated(history[0], [])
    store.events.add(history[1])


def content(path: Path) -> Any:
    if path.suffix == ".parquet":
        return [row for _, row in read_rows(path)]
    if path.is_dir():
        from datasets import load_from_disk

        dataset = load_from_disk(str(path))
        return str(dataset.features), dataset.to_list(), (path / "README.md").read_text(encoding="utf-8")
    return path.read_bytes()


def folder() -> Path:
    made = Path(uuid4().hex)
    made.mkdir()
    return made


def quick(examples: int) -> settings:
    return settings(deadline=None, max_examples=examples, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(("format", "name"), FILES)
@given(data=st.data(), codebook=st.sampled_from([MULTI, EXCLUSIVE]))
@quick(12)
def test_an_export_is_recognised_and_another_store_exports_the_same(
    new_store: NewStore, data: st.DataObject, format: str, name: str, codebook: Codebook
) -> None:
    here = folder()
    with new_store() as first, new_store() as second:
        fill(first, data.draw(histories(codebook)))
        before = first.events.all()
        try:
            written = export(first, format, here / name, codebook).written
        except InputError:
            assert format == "huggingface"
            assert not resolve(before, codebook).gold
            return
        if written == 0 and name.endswith(".jsonl"):
            return  # an empty file, which import refuses

        assert bring_in(first, format, here / name, codebook) == (0, written, {})
        assert first.events.all() == before

        assert bring_in(second, format, here / name, codebook) == (written, 0, {})
        assert_same_decisions(first, second, format, codebook)
        again = here / f"again{Path(name).suffix}"
        assert export(second, format, again, codebook).written == written
        assert content(again) == content(here / name)


def assert_same_decisions(first: Store, second: Store, format: str, codebook: Codebook) -> None:
    """What a format with all decisions, or with the gold, has to bring over."""
    if format in {name for name, _ in GOLD}:
        assert resolve(second.events.all(), codebook).gold == resolve(first.events.all(), codebook).gold
        return
    stands = bare(first.events.all())
    if format == "label-studio-min":
        stands = {key: event for key, event in stands.items() if event.state == "reviewed"}
    assert bare(second.events.all()) == stands
    assert second.documents.sentences() == first.documents.sentences({event.sentence_id for event in stands.values()})


def bare(found: list[Annotation]) -> dict[Any, Annotation]:
    """What stands, by whom; ids of draws are each store's own."""
    stands = standing(found)
    both = stands.annotations | {(key, "verdict"): event for key, event in stands.adjudications.items()}
    return {key: replace(event, draw_id="", extra=None) for key, event in both.items()}


# -- without texts


@given(history=histories(MULTI, "2026-01-01"))
@quick(15)
def test_standoff_brings_every_event_to_a_store_with_the_documents(
    new_store: NewStore, history: tuple[list[Sentence], list[Annotation]]
) -> None:
    file = folder() / "out.jsonl"
    with new_store() as first, new_store() as second:
        fill(first, history)
        second.add_annotated(history[0], [])
        written = export(first, "standoff", file).written

        assert bring_in(first, "standoff", file, MULTI) == (0, written, {})
        assert bring_in(second, "standoff", file, MULTI) == (written, 0, {})
        assert [replace(event, draw_id="") for event in second.events.all()] == [
            replace(event, draw_id="") for event in first.events.all()
        ]
        again = file.with_name("again.jsonl")
        export(second, "standoff", again, MULTI)
        assert content(again) == content(file)


# -- changed in the other tool


SENTENCE = Sentence("d1", 3, 12, "Nine long")
EVENT = Annotation(
    "e1", SENTENCE.id, "ana", "annotate", "reviewed", ("aid",), MULTI.hash, "2026-01-01T00:00:00+00:00", seconds=2.0
)


@pytest.mark.parametrize(("format", "name"), [file for file in FILES if file[1].endswith((".csv", ".json", ".jsonl"))])
def test_labels_changed_in_the_file_are_a_new_decision_on_the_same_sentence(
    store: Store, isolated: Path, format: str, name: str
) -> None:
    store.add_annotated([SENTENCE], [])
    store.events.add([EVENT])
    export(store, format, isolated / name, MULTI)
    change_labels(isolated / name)

    assert bring_in(store, format, isolated / name, MULTI, "ana") == (1, 0, {})
    assert bring_in(store, format, isolated / name, MULTI, "ana") == (0, 1, {})
    _, changed = store.events.all()
    assert (changed.sentence_id, changed.annotator, changed.labels) == (SENTENCE.id, "ana", ("truce",))
    assert changed.event_id != "e1"
    assert store.documents.sentences() == [SENTENCE]


@pytest.mark.parametrize(("format", "name"), [file for file in FILES if file[1].endswith((".csv", ".json", ".jsonl"))])
def test_labels_changed_back_and_forth_are_a_new_decision_each_time(
    store: Store, isolated: Path, format: str, name: str
) -> None:
    store.add_annotated([SENTENCE], [])
    store.events.add([EVENT])

    said = ["aid", "truce", "aid", "truce", "aid"]
    for old, new in pairwise(said):
        export(store, format, isolated / name, MULTI)
        change_labels(isolated / name, old, new)
        assert bring_in(store, format, isolated / name, MULTI, "ana") == (1, 0, {})
        assert bring_in(store, format, isolated / name, MULTI, "ana") == (0, 1, {})
    assert [event.labels for event in store.events.all()] == [(label,) for label in said]


@pytest.mark.parametrize(("format", "name"), FILES)
def test_an_older_file_does_not_revert_a_newer_decision(store: Store, isolated: Path, format: str, name: str) -> None:
    store.add_annotated([SENTENCE], [])
    store.events.add([EVENT])
    export(store, format, isolated / name, MULTI)
    store.events.add([replace(EVENT, event_id="e2", labels=("truce",))])

    assert bring_in(store, format, isolated / name, MULTI) == (0, 0, {REPLACED: 1})
    assert resolve(store.events.all(), MULTI).gold == {SENTENCE.id: ("truce",)}
    store.events.add([replace(EVENT, event_id=f"undo{n}", event="undo", state=None, labels=()) for n in range(2)])
    assert bring_in(store, format, isolated / name, MULTI) == (0, 0, {REPLACED: 1})
    assert resolve(store.events.all(), MULTI).gold == {}


def test_a_replaced_adjudication_is_counted_beside_a_standing_annotation(store: Store, isolated: Path) -> None:
    store.add_annotated([SENTENCE], [])
    store.events.add([EVENT, replace(EVENT, event_id="e2", event="adjudicate")])
    export(store, "csv", isolated / "out.csv", MULTI)
    store.events.add([replace(EVENT, event_id="e3", annotator="eva", event="adjudicate")])

    assert bring_in(store, "csv", isolated / "out.csv", MULTI) == (0, 1, {REPLACED: 1})


def test_a_changed_decision_that_was_replaced_since_is_counted_too(store: Store, isolated: Path) -> None:
    store.add_annotated([SENTENCE], [])
    store.events.add([EVENT])
    export(store, "csv", isolated / "out.csv", MULTI)
    change_labels(isolated / "out.csv")
    bring_in(store, "csv", isolated / "out.csv", MULTI)
    store.events.add([replace(EVENT, event_id="e2", labels=())])

    assert bring_in(store, "csv", isolated / "out.csv", MULTI) == (0, 0, {REPLACED: 1})
    assert standing(store.events.all()).annotations[SENTENCE.id, "ana"].event_id == "e2"


def test_a_decision_replaced_later_in_the_file_is_already_known(store: Store, isolated: Path) -> None:
    path = isolated / "in.csv"
    path.write_text("text,labels,annotator\nStop.,aid,ana\nStop.,truce,ana\n", encoding="utf-8")

    assert bring_in(store, "csv", path, MULTI) == (2, 0, {})
    assert bring_in(store, "csv", path, MULTI) == (0, 2, {})


@pytest.mark.parametrize("format", ["jsonl", "standoff"])
def test_replaced_events_of_a_log_are_already_known(store: Store, isolated: Path, format: str) -> None:
    store.add_annotated([SENTENCE], [])
    store.events.add([EVENT])
    export(store, format, isolated / "out.jsonl", MULTI)
    store.events.add([replace(EVENT, event_id="e2", labels=())])

    assert bring_in(store, format, isolated / "out.jsonl", MULTI) == (0, 1, {})


@pytest.mark.parametrize(("format", "name"), [file for file in FILES if file[1].endswith((".csv", ".json", ".jsonl"))])
def test_a_changed_adjudication_is_an_adjudication(store: Store, isolated: Path, format: str, name: str) -> None:
    verdict = replace(EVENT, event_id="e3", annotator="eva", event="adjudicate")
    store.add_annotated([SENTENCE], [])
    store.events.add([replace(EVENT, labels=("truce",)), verdict])
    export(store, format, isolated / name, MULTI)
    change_labels(isolated / name)

    who = "eva" if (format, name) in GOLD else ""
    known = 0 if (format, name) in GOLD else 1
    assert bring_in(store, format, isolated / name, MULTI, who) == (1, known, {})
    assert bring_in(store, format, isolated / name, MULTI, who) == (0, 1 + known, {})
    changed = store.events.all()[-1]
    assert (changed.event, changed.annotator, changed.labels) == ("adjudicate", "eva", ("truce",))
    assert resolve(store.events.all(), MULTI).gold == {SENTENCE.id: ("truce",)}


@pytest.mark.parametrize(("format", "name"), [("label-studio", "out.json"), ("argilla", "out.jsonl")])
def test_an_annotation_and_an_adjudication_by_one_person_can_both_change(
    store: Store, isolated: Path, format: str, name: str
) -> None:
    store.add_annotated([SENTENCE], [])
    store.events.add([EVENT, replace(EVENT, event_id="e2", event="adjudicate")])
    export(store, format, isolated / name, MULTI)
    change_labels(isolated / name)

    assert bring_in(store, format, isolated / name, MULTI) == (2, 0, {})
    assert [(event.event, event.labels) for event in store.events.all()[2:]] == [
        ("annotate", ("truce",)),
        ("adjudicate", ("truce",)),
    ]


@pytest.mark.parametrize(("format", "name"), GOLD)
def test_an_adjudication_that_another_one_confirms_is_annotated(
    store: Store, isolated: Path, format: str, name: str
) -> None:
    store.add_annotated([SENTENCE], [])
    store.events.add([replace(EVENT, event="adjudicate")])
    export(store, format, isolated / name, MULTI)

    assert bring_in(store, format, isolated / name, MULTI, "ben") == (1, 0, {})
    assert [(event.annotator, event.event) for event in store.events.all()] == [
        ("ana", "adjudicate"),
        ("ben", "annotate"),
    ]


def test_an_adjudication_that_was_changed_to_skipped_is_refused(store: Store, isolated: Path) -> None:
    store.add_annotated([SENTENCE], [])
    store.events.add([replace(EVENT, event="adjudicate")])
    export(store, "prodigy", isolated / "out.jsonl")
    content = (isolated / "out.jsonl").read_text(encoding="utf-8")
    (isolated / "out.jsonl").write_text(content.replace('"answer": "accept"', '"answer": "ignore"'), encoding="utf-8")

    with pytest.raises(
        InputError, match=r"out\.jsonl:1: an adjudication cannot be changed to skipped.*Add labels to the record"
    ):
        bring_in(store, "prodigy", isolated / "out.jsonl")
    assert len(store.events.all()) == 1


def change_labels(path: Path, old: str = "aid", new: str = "truce") -> None:
    """Put a label for another where the tools have their labels, and leave our stamp as it was."""
    content = path.read_text(encoding="utf-8")
    places = ('"accept": ["{}"]', '"choices": ["{}"]', '"label": "{}"', '"label": ["{}"]', "long,{},")
    responses = ('[["{0}"], ["{0}"]]', '["{}"]]')
    place = next(place for place in (*places, *responses) if place.format(old) in content)
    path.write_text(content.replace(place.format(old), place.format(new)), encoding="utf-8")


@pytest.mark.parametrize(("format", "name"), GOLD)
def test_another_annotators_equal_labels_are_their_own_decision(
    store: Store, isolated: Path, format: str, name: str
) -> None:
    store.add_annotated([SENTENCE], [])
    store.events.add([EVENT])
    export(store, format, isolated / name, MULTI)

    assert bring_in(store, format, isolated / name, MULTI, "ben") == (1, 0, {})
    assert [(event.annotator, event.labels) for event in store.events.all()] == [("ana", ("aid",)), ("ben", ("aid",))]


@pytest.mark.parametrize(("format", "name"), FILES)
def test_only_one_annotators_decisions_are_written_when_asked(
    store: Store, isolated: Path, format: str, name: str
) -> None:
    store.add_annotated([SENTENCE], [])
    store.events.add([EVENT, replace(EVENT, event_id="e2", annotator="ben", labels=("truce",))])
    assert export(store, format, isolated / name, MULTI, "ben").written == 1
    assert [line.event.event_id for line in read_file(isolated / name, MULTI, format).lines] == ["e2"]
    with pytest.raises(InputError, match=r"'bne' has no decisions in this store \(did you mean 'ben'\?\)"):
        export(store, format, isolated / name.replace("out", "other"), MULTI, "bne")


@pytest.mark.parametrize(("format", "name"), GOLD)
def test_an_adjudication_replaces_the_same_persons_annotation_in_gold(
    store: Store, isolated: Path, format: str, name: str
) -> None:
    others = [Sentence("d2", 0, 5, "Other"), Sentence("d2", 6, 10, "Last")]
    store.add_annotated([SENTENCE, *others], [])
    verdict = replace(EVENT, event_id="e3", event="adjudicate", labels=("truce",))
    own = replace(EVENT, event_id="e4", sentence_id=others[0].id)
    overruled = [replace(verdict, event_id=f"v{n}", sentence_id=others[n].id) for n in range(2)]
    newer = [replace(event, event_id=f"{event.event_id}eva", annotator="eva") for event in overruled]
    store.events.add([EVENT, replace(EVENT, event_id="e2", annotator="ben"), verdict, own, *overruled, *newer])

    assert export(store, format, isolated / name, MULTI, "ana") == (2, {})
    lines = read_file(isolated / name, MULTI, format).lines
    assert {line.event.event_id: line.event.labels for line in lines} == {"e3": ("truce",), "e4": ("aid",)}
    assert bring_in(store, format, isolated / name, MULTI) == (0, 2, {})


@pytest.mark.parametrize("format", ["jsonl", "standoff"])
def test_a_misspelt_annotator_does_not_empty_a_file_of_events(store: Store, isolated: Path, format: str) -> None:
    store.add_annotated([SENTENCE], [])
    store.events.add([EVENT])
    export(store, format, isolated / "keep.jsonl")
    before = content(isolated / "keep.jsonl")

    with pytest.raises(InputError, match=r"'anna' has no decisions in this store \(did you mean 'ana'\?\)"):
        export(store, format, isolated / "keep.jsonl", annotator="anna")
    assert content(isolated / "keep.jsonl") == before


@pytest.mark.parametrize(("format", "name"), FILES)
def test_a_sentence_of_a_document_is_not_imported_as_another_document(
    store: Store, isolated: Path, format: str, name: str
) -> None:
    document = Document("article", "First one. Nine long")
    sentence = Sentence(document.id, 11, 20, "Nine long")
    store.documents.add([(document, [sentence])])
    store.events.add([replace(EVENT, sentence_id=sentence.id)])
    export(store, format, isolated / name, MULTI)

    bring_in(store, format, isolated / name, MULTI)
    assert (store.counts.texts().documents, store.counts.texts().sentences) == (1, 1)


# -- the registry


def test_every_format_says_what_it_loses() -> None:
    for name in format_names():
        found = find_format(name)
        assert found.name == name
        assert found.lost
        assert found.unit in ("events", "decisions")


def test_a_misspelt_format_is_recognised() -> None:
    with pytest.raises(InputError, match=r"'prodgy' is not known \(did you mean 'prodigy'\?\); use jsonl, csv"):
        find_format("prodgy")


@pytest.mark.parametrize("format", [known for known in format_names() if known != "huggingface"])
def test_a_file_of_another_ending_is_refused_both_ways(store: Store, isolated: Path, format: str) -> None:
    with pytest.raises(InputError, match=rf"out\.xlsx: files in format {format} have the extension \."):
        export(store, format, isolated / "out.xlsx")
    assert not (isolated / "out.xlsx").exists()
    (isolated / "out.xlsx").touch()
    with pytest.raises(InputError, match=rf"out\.xlsx: files in format {format} have the extension \."):
        read_file(isolated / "out.xlsx", MULTI, format)


def test_what_has_no_gold_is_counted(store: Store, isolated: Path) -> None:
    spans = [Sentence("d1", 20 * position, 20 * position + 9, "Nine long") for position in range(4)]
    store.add_annotated(spans, [])
    decisions = [(0, "ana", "aid"), (0, "ben", "truce"), (1, "ana", "skip"), (2, "ana", "skip"), (3, "ana", "aid")]
    store.events.add(
        [
            replace(
                EVENT,
                event_id=f"e{position}",
                sentence_id=spans[sentence].id,
                annotator=annotator,
                state="skipped" if label == "skip" else "reviewed",
                labels=() if label == "skip" else (label,),
            )
            for position, (sentence, annotator, label) in enumerate(decisions)
        ]
    )

    for gold, name in GOLD:
        assert export(store, gold, isolated / name) == (1, {"disputed sentences": 1, "skipped sentences": 2})
    assert export(store, "label-studio-min", isolated / "min.json") == (3, {"skipped decisions": 2})


def test_a_store_without_gold_makes_no_dataset(store: Store, isolated: Path) -> None:
    with pytest.raises(InputError, match=r"out: no sentence has gold labels yet"):
        export(store, "huggingface", isolated / "out")
    assert list(isolated.iterdir()) == []
