"""One person under one name: white space, users known by number or email, sessions, and names that are similar."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labels.errors import DataError
from labels.records import Annotation, Sentence
from labels.store import Store
from tests.labels.exchange.steps import MULTI, Row, bring_in, decided, export, imported, lines_of, write_json
from tests.labels.exchange.test_controls import chosen
from tests.labels.exchange.test_prodigy import binary, choice
from tests.labels.exchange.test_undecided import RESPONDED, write
from trainer.cli import app

Write = Callable[[str, list[Row]], Path]
NewStore = Callable[[], Store]

TEXT = "Oslo will send fuel."
SPACED = [" ana ", "\u00a0ana", "ana\u200b", "\ufeffana\n"]
ANA = {"id": 3, "email": "ana@example.org"}


def people(store: Store) -> list[str]:
    """The annotators of the events, each once, in order."""
    return list(dict.fromkeys(event.annotator for event in store.events.all()))


# -- white space and Unicode


def named(name: str) -> list[tuple[str, str, Row]]:
    """A record of each format that names its annotator."""
    annotation = {"id": 1, "completed_by": {"email": name}, "result": [chosen("label", "aid")], "was_cancelled": False}
    return [
        ("csv", "in.csv", {"text": TEXT, "labels": "aid", "annotator": name}),
        ("jsonl", "in.jsonl", {"text": TEXT, "labels": ["aid"], "annotator": name}),
        ("prodigy", "in.jsonl", choice(text=TEXT, _annotator_id=name)),
        ("label-studio", "in.json", {"data": {"text": TEXT}, "annotations": [annotation]}),
        ("label-studio-min", "in.json", {"text": TEXT, "label": "aid", "annotator": name}),
        ("argilla", "in.jsonl", {"text": TEXT} | RESPONDED | {"label.responses.users": [name]}),
        ("huggingface", "in.parquet", {"text": TEXT, "labels": ["aid"], "annotator": name}),
    ]


@pytest.mark.parametrize("name", SPACED)
@pytest.mark.parametrize("position", range(len(named(""))), ids=[record[0] for record in named("")])
def test_white_space_around_a_name_is_removed(store: Store, isolated: Path, name: str, position: int) -> None:
    form, file, record = named(name)[position]
    bring_in(store, form, write(isolated / file, [record]))

    assert decided(store) == [(TEXT, "ana", "reviewed", ("aid",))]


@pytest.mark.parametrize("name", SPACED)
def test_white_space_around_the_option_and_the_file_name_is_removed(
    store: Store, write_jsonl: Write, name: str
) -> None:
    rows = [{"text": TEXT, "label": ["aid"]}]
    bring_in(store, "doccano", write_jsonl("x.jsonl", rows), annotator=name)
    bring_in(store, "doccano", write_jsonl(f"{name.strip()} .jsonl", rows))

    assert people(store) == ["ana"]


def test_a_name_is_one_in_every_unicode_form(store: Store, write_jsonl: Write) -> None:
    rows = [{"text": TEXT, "label": "aid", "annotator": name} for name in ("Zoe\u0308", "Zo\u00eb")]
    bring_in(store, "jsonl", write_jsonl("in.jsonl", rows))

    assert people(store) == ["Zo\u00eb"]


def test_a_native_event_has_a_clean_name_and_is_still_recognised(store: Store, new_store: NewStore) -> None:
    sentence = Sentence("d1", 3, 12, "Nine long")
    store.add_annotated([sentence], [])  # by a version that kept white space
    store.events.add([Annotation("e1", sentence.id, " ana ", "annotate", "reviewed", (), MULTI.hash, "2026-01-01")])
    for form in ("jsonl", "csv"):
        export(store, form, Path(f"out.{form}"))
        with new_store() as other:
            assert bring_in(store, form, Path(f"out.{form}")) == (0, 1, {})
            assert bring_in(other, form, Path(f"out.{form}")) == (1, 0, {})
            assert people(other) == ["ana"]


def test_a_native_event_without_a_name_is_refused(store: Store, write_jsonl: Write, isolated: Path) -> None:
    sentence = Sentence("d1", 3, 12, "Nine long")
    store.add_annotated([sentence], [])
    store.events.add([Annotation("e1", sentence.id, "ana", "annotate", "reviewed", (), "h", "2026-01-01")])
    export(store, "jsonl", isolated / "out.jsonl")
    rows = [row | {"annotator": "\u00a0"} for row in lines_of(isolated / "out.jsonl")]

    with pytest.raises(DataError, match=r"in\.jsonl:1: the name of the annotator is empty"):
        bring_in(store, "jsonl", write_jsonl("in.jsonl", rows))


# -- users of Label Studio


def annotated(user: Any, number: int = 1, text: str = TEXT, *labels: str) -> Row:
    """A task with an annotation by this user."""
    annotation = {
        "id": number,
        "completed_by": user,
        "result": [chosen("label", *(labels or ("aid",)))],
        "was_cancelled": False,
        "created_at": f"2026-01-01T10:00:00.00000{number}Z",
    }
    return {"id": len(text), "data": {"text": text}, "annotations": [annotation]}


def test_a_user_by_number_and_by_email_is_one_annotator(store: Store, new_store: NewStore, isolated: Path) -> None:
    tasks = [annotated(3), annotated(ANA, 2, "Stop."), annotated({"id": 3}, 4, "It rained."), annotated(7, 5, "Other.")]
    bring_in(store, "label-studio", write_json(isolated / "in.json", tasks))

    assert people(store) == ["ana@example.org", "7"]
    # Also in an export that has only her annotation by number.
    store_of_one = new_store()
    with store_of_one as other:
        bring_in(other, "label-studio", isolated / "in.json")
        export(other, "label-studio", isolated / "out.json")
        (first, *_) = json.loads((isolated / "out.json").read_text(encoding="utf-8"))
        assert bring_in(store, "label-studio", write_json(isolated / "one.json", [first])) == (0, 1, {})


def test_a_number_with_two_emails_stays_a_number(store: Store, isolated: Path) -> None:
    tasks = [
        annotated(3),
        annotated(ANA, 2, "Stop."),
        annotated({"id": 3, "email": "ben@example.org"}, 4, "It rained."),
    ]
    bring_in(store, "label-studio", write_json(isolated / "in.json", tasks))

    assert people(store) == ["3", "ana@example.org", "ben@example.org"]


@pytest.mark.parametrize(("first", "second"), [(3, ANA), (ANA, 3)], ids=["number first", "email first"])
def test_a_user_is_known_again_by_the_annotations_in_the_store(
    store: Store, isolated: Path, first: Any, second: Any
) -> None:
    bring_in(store, "label-studio", write_json(isolated / "in.json", [annotated(first)]))
    (name,) = people(store)

    later = [annotated(second), annotated(second, 2, "Stop.")]
    done = imported(store, "label-studio", write_json(isolated / "later.json", later))
    assert (done.new, done.known) == (1, 1)
    assert people(store) == [name]
    other = "3" if first == ANA else "ana@example.org"
    assert done.notes[0].startswith(f"'{other}' is recorded as '{name}', because the store has annotations")
    assert imported(store, "label-studio", isolated / "later.json").new == 0


def test_a_changed_annotation_of_a_known_user_is_a_new_decision(store: Store, isolated: Path) -> None:
    bring_in(store, "label-studio", write_json(isolated / "in.json", [annotated(3)]))
    bring_in(store, "label-studio", write_json(isolated / "later.json", [annotated(ANA, 1, TEXT, "truce")]))

    assert decided(store) == [(TEXT, "3", "reviewed", ("aid",)), (TEXT, "3", "reviewed", ("truce",))]


def test_a_number_of_another_server_is_another_person(store: Store, isolated: Path) -> None:
    bring_in(store, "label-studio", write_json(isolated / "in.json", [annotated(ANA)]))
    other = annotated(3)
    other["annotations"][0]["created_at"] = "2026-02-02T10:00:00.000009Z"
    bring_in(store, "label-studio", write_json(isolated / "other.json", [other]))

    assert people(store) == ["ana@example.org", "3"]


def test_flat_users_by_number_and_by_email_are_one_annotator(store: Store, isolated: Path) -> None:
    records = [
        {"text": text, "label": "aid", "annotator": user, "annotation_id": number}
        for number, (text, user) in enumerate([(TEXT, 3), ("Stop.", ANA)], start=1)
    ]
    bring_in(store, "label-studio-min", write_json(isolated / "in.json", records))

    assert people(store) == ["ana@example.org"]


# -- sessions of Prodigy


def test_sessions_without_a_name_are_one_annotator_if_one_is_given(
    store: Store, new_store: NewStore, write_jsonl: Write, isolated: Path
) -> None:
    records = [
        choice(_annotator_id="2024-02-06_10-17-19", _session_id="2024-02-06_10-17-19"),
        binary("aid", "accept", _annotator_id="news-2024-02-07_08-00-00", text="Stop."),
        choice(text="It rained.", _annotator_id="news-ben"),
    ]
    path = write_jsonl("in.jsonl", records)

    with new_store() as other:
        assert "under their start time" in " ".join(imported(other, "prodigy", path).notes)
        assert sorted(people(other)) == ["2024-02-06_10-17-19", "news-2024-02-07_08-00-00", "news-ben"]
    bring_in(store, "prodigy", path, annotator="ana")
    assert sorted(people(store)) == ["ana", "news-ben"]
    export(store, "prodigy", isolated / "out.jsonl")
    assert bring_in(store, "prodigy", isolated / "out.jsonl") == (0, 3, {})


# -- similar names


SIMILAR = r"the annotators 'Ana' and 'ana' have similar names and count as different people"


def test_names_that_differ_in_case_are_reported(store: Store, write_jsonl: Write) -> None:
    rows = [{"text": TEXT, "label": "aid", "annotator": name} for name in ("Ana", "ana", "ben")]
    (note,) = imported(store, "jsonl", write_jsonl("in.jsonl", rows)).notes

    assert note.startswith(SIMILAR)
    assert sorted(people(store)) == ["Ana", "ana", "ben"]


def test_a_name_that_differs_in_case_from_one_in_the_store_is_reported(store: Store, write_jsonl: Write) -> None:
    rows = [{"text": TEXT, "label": "aid"}]
    assert imported(store, "jsonl", write_jsonl("in.jsonl", rows), annotator="ana").notes == ()
    assert imported(store, "jsonl", write_jsonl("in.jsonl", rows), annotator="Ana").notes[0].startswith(SIMILAR)
    assert imported(store, "jsonl", write_jsonl("in.jsonl", rows), annotator="ben").notes == ()


@pytest.mark.parametrize("command", ["label", "adjudicate"])
def test_a_new_name_that_resembles_another_is_reported(
    write_jsonl: Write, isolated: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (isolated / "book.toml").write_text('name = "small"\n[[labels]]\nname = "aid"\n[[labels]]\nname = "truce"\n')
    monkeypatch.setenv("COMMUNIQUE_CODEBOOK", "book.toml")
    path = write_jsonl(
        "in.jsonl",
        [{"text": TEXT, "label": label, "annotator": name} for label, name in (("aid", "ana"), ("truce", "ben"))]
        + [{"text": "New.", "label": None}],
    )
    runner = CliRunner()
    runner.invoke(app, ["annotations", "import", str(path)], catch_exceptions=False)

    done = runner.invoke(app, [command, "--annotator", "\u00a0Ana ", "--plain"], input="q\n")
    assert f"Note: {SIMILAR}" in done.output
    assert SIMILAR not in runner.invoke(app, [command, "--annotator", " ana ", "--plain"], input="q\n").output


# -- spellings of labels


@pytest.mark.parametrize(
    ("format", "file", "record"),
    [
        ("doccano", "ana.jsonl", {"text": TEXT, "label": ["Aid", "TRUCE "]}),
        ("label-studio-min", "in.json", {"text": TEXT, "label": {"choices": ["Aid", "TRUCE "]}, "annotator": 1}),
        ("prodigy", "in.jsonl", choice(text=TEXT, options=[], accept=["Aid", "TRUCE "])),
        ("argilla", "in.jsonl", {"text": TEXT} | RESPONDED | {"label.responses": [["Aid", "TRUCE "]]}),
        ("label-studio", "in.json", annotated(1, 1, TEXT, "Aid", "TRUCE ")),
    ],
)
def test_labels_in_another_spelling_are_read_and_reported(
    store: Store, isolated: Path, format: str, file: str, record: Row
) -> None:
    notes = imported(store, format, write(isolated / file, [record])).notes

    assert [labels for *_, labels in decided(store)] == [("aid", "truce")]
    assert any("'TRUCE" in note and "as truce (1)" in note for note in notes)


# -- several decisions of one person


@pytest.mark.parametrize(("times", "last"), [(("01", "02"), "truce"), (("02", "01"), "aid")])
def test_the_newest_of_two_decisions_stands_whatever_their_order(
    store: Store, isolated: Path, times: tuple[str, str], last: str
) -> None:
    records = [
        {"id": 5, "text": TEXT, "label": label, "annotator": 1, "annotation_id": number, "created_at": f"2026-01-{day}"}
        for number, (label, day) in enumerate(zip(("aid", "truce"), times, strict=True))
    ]
    bring_in(store, "label-studio-min", write_json(isolated / "in.json", records))

    assert [event.labels for event in store.events.all()][-1] == (last,)


@pytest.mark.parametrize("column", ["coder", "Rater", "user"])
def test_a_column_that_may_name_the_annotators_is_reported(store: Store, write_jsonl: Write, column: str) -> None:
    rows = [{"text": TEXT, "label": "aid", column: "ben"}]
    (note,) = imported(store, "jsonl", write_jsonl("in.jsonl", rows), annotator="ana").notes

    assert note.startswith(
        f"the column `{column}` was not read. If this column names the annotators, rename it to `annotator`"
    )


def test_an_annotator_from_the_name_of_the_file_is_reported(store: Store, write_jsonl: Write) -> None:
    path = write_jsonl("export-2.jsonl", [{"text": TEXT, "label": ["aid"]}])

    (note,) = imported(store, "doccano", path).notes
    assert note.startswith("the annotator 'export-2' was taken from the name of the file.")
    assert imported(store, "doccano", path, annotator="ana").notes == ()
