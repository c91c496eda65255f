from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.codebook import Codebook, load_codebook
from labels.errors import InputError, StoreError
from labels.history import standing
from labels.records import Annotation, Document, EventKind, Sentence
from labels.store import Counts, Draw, Store, now, schema

PAST, FUTURE = "2001-01-01T00:00:00.000000+00:00", "2999-01-01T00:00:00.000000+00:00"
_ids = count()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store."""
    with Store(url) as opened:
        yield opened


def sentences(n: int, document: str = "d1", **more: Any) -> list[Sentence]:
    return [Sentence(document, 10 * i, 10 * i + 9, f"Text {i:04d}", **more) for i in range(n)]


def decision(sentence: str, annotator: str = "ana", kind: EventKind = "annotate", **more: Any) -> Annotation:
    values: dict[str, Any] = {"state": None if kind == "undo" else "reviewed", "labels": (), "codebook_hash": "hash"}
    return Annotation(
        f"e{next(_ids)}", sentence, annotator, kind, created_at="2026-01-01T00:00:00+00:00", **(values | more)
    )


def draw(annotator: str, ids: list[str], **more: Any) -> Draw:
    values: dict[str, Any] = {"strategy": "random", "frame_hash": "f", "frame_size": 10, "seed": 1, "created_at": now()}
    return Draw(f"draw{next(_ids)}", annotator=annotator, items=tuple((i, 0.5) for i in ids), **(values | more))


# -- documents and sentences


def test_a_document_comes_back_as_it_went_in(store: Store) -> None:
    text = "Zürich — “peace” 🕊\nline two\r\n\ttabbed"
    document = Document("src", text, "http://x.y", "A 'title'", "2026-02-03", "de", synthetic=True)

    assert store.add_documents([(document, [])]) == (1, 0)
    assert store.document(document.id) == document
    assert store.document("0" * 16) is None


def test_sentences_come_back_by_document_and_position_with_their_boilerplate(store: Store) -> None:
    first = sentences(3, "d1", splitter="sentencex/1", boilerplate="share line", synthetic=True)
    second = sentences(2, "d2")
    store.add_sentences([*reversed(second), *reversed(first)])

    assert store.sentences() == [*first, *second]
    assert store.sentences(document_id="d2") == second
    assert store.sentences([second[1].id, first[0].id, "unknown"]) == [first[0], second[1]]
    assert store.sentences([]) == []


def test_many_sentences_asked_for_come_back_in_order(store: Store) -> None:
    rows = sentences(1000)
    store.add_sentences(rows)
    ids = [row.id for row in rows]
    random.Random(1).shuffle(ids)

    assert store.sentences(ids) == rows


def test_what_is_there_already_is_left_as_it_is_and_not_counted(store: Store) -> None:
    document = Document("src", "One. Two.", title="First title")
    row = Sentence(document.id, 0, 4, "One.", boilerplate="caption")
    store.add_documents([(document, [row])])

    again = [
        (replace(document, title="Second title"), [replace(row, boilerplate=""), Sentence(document.id, 5, 9, "Two.")])
    ]

    assert store.add_documents(again) == (0, 1)
    assert store.document(document.id) == document
    assert store.sentences()[0] == row
    assert store.add_sentences([row]) == 0


def test_a_document_given_twice_at_once_is_kept_once(store: Store) -> None:
    document = Document("src", "One.")
    row = Sentence(document.id, 0, 4, "One.")

    assert store.add_documents([(document, [row]), (document, [row])]) == (1, 1)


def test_counts_everything_the_store_holds(store: Store) -> None:
    assert store.counts() == Counts(0, 0, 0, 0, 0)
    documents = [Document("src", f"Text {i}") for i in range(2)]
    store.add_documents([(document, []) for document in documents])
    rows = [*sentences(3, "d1"), *sentences(4, "d2", boilerplate="caption")]
    store.add_sentences(rows)
    store.append([decision(rows[0].id, "ana"), decision(rows[1].id, "ana"), decision(rows[0].id, "ben")])

    assert store.counts() == Counts(documents=2, sentences=7, boilerplate=4, events=3, annotators=2)


def test_only_documents_with_a_date_are_dated(store: Store) -> None:
    dated, undated = Document("src", "One.", date="2026-02-03"), Document("src", "Two.")
    store.add_documents([(dated, []), (undated, [])])

    assert store.document_dates() == {dated.id: "2026-02-03"}


# -- codebooks


def test_a_codebook_comes_back_under_its_hash(store: Store, codebook: Codebook) -> None:
    shipped = load_codebook("diplomatic")
    for book in (codebook, shipped, codebook):
        store.add_codebook(book)

    assert store.codebook(codebook.hash) == codebook
    assert store.codebook(shipped.hash) == shipped
    assert store.codebook("0" * 16) is None


# -- events


def test_events_come_back_as_they_went_in_and_in_order(store: Store) -> None:
    rows = [
        decision("s2", labels=("aid", "truce"), note="so “wrote” he\n", seconds=1.25, suggestion=("aid",), blind=True),
        decision("s1", "ben", suggestion=()),
        decision("s2", "eva", "adjudicate", labels=("aid",)),
        decision("s2", "ana", "undo"),
        decision("s1", "ana", state="skipped"),
    ]

    assert store.append(rows) == 5
    assert store.events() == rows
    assert store.events(annotator="ana") == [rows[0], rows[3], rows[4]]
    assert store.events(sentence_ids=["s1"]) == [rows[1], rows[4]]
    assert store.events(annotator="ana", sentence_ids=["s1", "s3"]) == [rows[4]]
    assert store.events(sentence_ids=[]) == []


def test_events_of_many_sentences_come_back_in_the_order_of_appending(store: Store) -> None:
    rows = [decision(f"s{i}") for i in range(1000)]
    store.append(rows)
    ids = [row.sentence_id for row in rows]
    random.Random(1).shuffle(ids)

    assert store.events(sentence_ids=ids) == rows


def test_an_event_that_is_there_already_is_left_as_it_is_and_not_counted(store: Store) -> None:
    first = decision("s1", labels=("aid",))
    store.append([first])

    assert store.append([replace(first, labels=("truce",)), decision("s2")]) == 1
    assert store.events(sentence_ids=["s1"]) == [first]


def test_appending_nothing_is_allowed(store: Store) -> None:
    assert store.append([]) == 0


def test_an_event_of_a_draw_says_how_its_sentence_was_drawn(store: Store) -> None:
    rows = sentences(2)
    store.add_sentences(rows)
    made = replace(draw("ana", []), items=((rows[0].id, 0.25), (rows[1].id, None)))
    store.add_draw(made, expires_at=FUTURE)
    store.append([decision(row.id, draw_id=made.id) for row in rows])

    assert [(e.strategy, e.inclusion_probability, e.draw_id) for e in store.events()] == [
        ("random", 0.25, made.id),
        ("random", None, made.id),
    ]


@pytest.mark.parametrize(("strategy", "probability"), [("random", 0.125), ("random", None), ("hand-picked", 1.0)])
def test_an_event_from_elsewhere_keeps_how_its_sentence_was_drawn(
    store: Store, strategy: str, probability: float | None
) -> None:
    store.append([decision("s1", strategy=strategy, inclusion_probability=probability)])

    event = store.events()[0]
    assert (event.strategy, event.inclusion_probability) == (strategy, probability)


def test_nothing_of_a_refused_append_is_kept(store: Store) -> None:
    rows = sentences(1)
    store.add_sentences(rows)
    store.add_draw(draw("ana", [rows[0].id]), expires_at=FUTURE)
    good = [decision(rows[0].id, "ben", strategy="random", inclusion_probability=0.5) for _ in range(500)]
    nameless: Any = None

    with pytest.raises(StoreError, match=r"could not be written \(.*annotator"):
        store.append([*good, decision("s1", nameless)])

    assert store.events() == []
    assert store.unseen() == []


def test_nothing_of_refused_documents_is_kept(store: Store) -> None:
    document = Document("src", "One.")
    textless: Any = None
    bad = Sentence(document.id, 0, 4, textless)

    with pytest.raises(StoreError, match=r"could not be written \(.*text"):
        store.add_documents([(document, [*sentences(500), bad])])

    assert store.counts() == Counts(0, 0, 0, 0, 0)


# -- unseen


def test_unseen_are_the_sentences_without_boilerplate_that_nobody_has_decided_on(store: Store) -> None:
    rows = [*sentences(4, "d1"), *sentences(2, "d2", boilerplate="caption")]
    store.add_sentences(rows)
    store.append([decision(rows[0].id), decision(rows[1].id, "ben", state="skipped")])

    assert store.unseen() == sorted([rows[2].id, rows[3].id])


def test_a_sentence_is_unseen_again_when_its_decision_is_undone(store: Store) -> None:
    rows = sentences(1)
    store.add_sentences(rows)
    store.append([decision(rows[0].id)])
    assert store.unseen() == []

    store.append([decision(rows[0].id, kind="undo")])
    assert store.unseen() == [rows[0].id]


histories = st.lists(
    st.tuples(
        st.sampled_from(["s0", "s1"]),
        st.sampled_from(["ana", "ben"]),
        st.sampled_from(["annotate", "undo", "adjudicate"]),
    ),
    max_size=8,
)


@given(histories)
@settings(deadline=None, max_examples=60)
def test_unseen_agrees_with_the_decisions_that_stand(history: list[tuple[str, str, EventKind]]) -> None:
    rows = sentences(2)
    names = {"s0": rows[0].id, "s1": rows[1].id}
    events = [decision(names[sentence], annotator, kind) for sentence, annotator, kind in history]
    with Store("sqlite://") as store:
        store.add_sentences(rows)
        store.append(events)

        stands = standing(events)
        decided = {sentence for sentence, _ in stands.annotations} | set(stands.adjudications)
        assert set(store.unseen()) == set(names.values()) - decided


# -- draws and reservations


def test_a_drawn_sentence_is_not_unseen_until_its_reservation_runs_out(store: Store) -> None:
    rows = sentences(3)
    store.add_sentences(rows)
    end = datetime.now(UTC) + timedelta(hours=1)

    assert store.add_draw(draw("ana", [rows[0].id]), expires_at=end.isoformat(timespec="microseconds"))

    assert store.unseen() == sorted([rows[1].id, rows[2].id])
    assert len(store.unseen(at=(end - timedelta(seconds=1)).isoformat(timespec="microseconds"))) == 2
    assert len(store.unseen(at=(end + timedelta(seconds=1)).isoformat(timespec="microseconds"))) == 3


def test_a_draw_with_a_sentence_that_another_holds_is_refused_whole(store: Store) -> None:
    rows = sentences(3)
    store.add_sentences(rows)
    store.add_draw(draw("ana", [rows[0].id]), expires_at=FUTURE)

    assert not store.add_draw(draw("ben", [rows[1].id, rows[0].id, rows[2].id]), expires_at=FUTURE)

    assert store.open_draw("ben", "random", expires_at=FUTURE) is None
    assert store.unseen() == sorted([rows[1].id, rows[2].id])


def test_a_draw_with_a_sentence_that_another_held_and_decided_on_meanwhile_is_refused(store: Store) -> None:
    rows = sentences(1)
    store.add_sentences(rows)
    frame = store.unseen()
    store.add_draw(draw("ana", frame), expires_at=FUTURE)
    store.append([decision(frame[0], "ana")])

    assert not store.add_draw(draw("ben", frame), expires_at=FUTURE)


def test_a_sentence_whose_reservation_has_run_out_can_be_drawn_by_another(store: Store) -> None:
    rows = sentences(2)
    store.add_sentences(rows)
    store.add_draw(draw("ana", [row.id for row in rows]), expires_at=PAST)

    assert store.unseen() == sorted(row.id for row in rows)
    assert store.add_draw(draw("ben", [rows[0].id]), expires_at=FUTURE)
    assert store.unseen() == [rows[1].id]


def test_a_decision_frees_the_reservation(store: Store) -> None:
    rows = sentences(2)
    store.add_sentences(rows)
    store.add_draw(draw("ana", [row.id for row in rows]), expires_at=FUTURE)
    store.append([decision(rows[0].id, "ben")])

    engine = sa.create_engine(store.url)
    with engine.connect() as connection:
        held = connection.execute(sa.select(schema.reservations.c.sentence_id)).scalars().all()
    engine.dispose()
    assert held == [rows[1].id]


def test_appending_what_is_there_already_frees_no_reservation(store: Store) -> None:
    rows = sentences(1)
    store.add_sentences(rows)
    old = decision(rows[0].id, "ana")
    store.append([old, decision(rows[0].id, "ana", "undo")])
    store.add_draw(draw("ben", [rows[0].id]), expires_at=FUTURE)

    assert store.append([old]) == 0
    assert store.unseen() == []


def test_an_unfinished_draw_is_given_back_with_what_is_left_of_it_in_its_order(store: Store) -> None:
    rows = sentences(4)
    store.add_sentences(rows)
    order = [rows[i].id for i in (2, 0, 3, 1)]
    made = draw("ana", order, seed=None, frame_size=None)
    store.add_draw(made, expires_at=FUTURE)
    store.append([decision(order[1], draw_id=made.id)])

    assert store.open_draw("ana", "random", expires_at=FUTURE) == replace(
        made, items=tuple((order[i], 0.5) for i in (0, 2, 3))
    )


@pytest.mark.parametrize(("annotator", "strategy"), [("ben", "random"), ("ana", "uncertain")])
def test_a_draw_is_only_its_annotators_and_its_strategys(store: Store, annotator: str, strategy: str) -> None:
    rows = sentences(1)
    store.add_sentences(rows)
    store.add_draw(draw("ana", [rows[0].id]), expires_at=FUTURE)

    assert store.open_draw(annotator, strategy, expires_at=FUTURE) is None


def test_a_draw_whose_sentences_are_all_decided_on_is_not_open(store: Store) -> None:
    rows = sentences(2)
    store.add_sentences(rows)
    store.add_draw(draw("ana", [row.id for row in rows]), expires_at=FUTURE)
    store.append([decision(rows[0].id), decision(rows[1].id, state="skipped")])

    assert store.open_draw("ana", "random", expires_at=FUTURE) is None


def test_the_last_draw_is_the_open_one(store: Store) -> None:
    rows = sentences(2)
    store.add_sentences(rows)
    late = draw("ana", [rows[0].id], created_at="2026-02-02T00:00:00.000000+00:00")
    early = draw("ana", [rows[1].id], created_at="2026-01-01T00:00:00.000000+00:00")
    for made in (late, early):
        store.add_draw(made, expires_at=FUTURE)

    assert store.open_draw("ana", "random", expires_at=FUTURE) == late


def test_what_another_has_drawn_since_is_no_longer_in_the_open_draw(store: Store) -> None:
    rows = sentences(2)
    store.add_sentences(rows)
    store.add_draw(draw("ana", [row.id for row in rows]), expires_at=PAST)
    store.add_draw(draw("ben", [rows[0].id]), expires_at=FUTURE)

    opened = store.open_draw("ana", "random", expires_at=FUTURE)
    assert opened is not None
    assert opened.items == ((rows[1].id, 0.5),)


@pytest.mark.parametrize("before", [PAST, FUTURE], ids=["run out", "running"])
def test_an_open_draw_is_reserved_anew_until_the_time_given(store: Store, before: str) -> None:
    rows = sentences(2)
    store.add_sentences(rows)
    store.add_draw(draw("ana", [row.id for row in rows]), expires_at=before)
    end = datetime.now(UTC) + timedelta(hours=1)

    assert store.open_draw("ana", "random", expires_at=end.isoformat(timespec="microseconds")) is not None

    assert store.unseen() == []
    assert len(store.unseen(at=(end + timedelta(seconds=1)).isoformat(timespec="microseconds"))) == 2


def test_a_reservation_that_has_run_out_can_be_made_anew(store: Store) -> None:
    rows = sentences(1)
    store.add_sentences(rows)
    made = draw("ana", [rows[0].id])
    store.add_draw(made, expires_at=PAST)
    store.reserve(rows[0].id, "ana", made.id, expires_at=FUTURE)

    assert store.unseen() == []


def test_a_sentence_can_be_reserved_again_but_not_away_from_another(store: Store) -> None:
    rows = sentences(2)
    store.add_sentences(rows)
    store.add_draw(draw("ben", [rows[1].id]), expires_at=FUTURE)
    for row in rows:
        store.reserve(row.id, "ana", "some draw", expires_at=FUTURE)

    assert store.unseen() == []
    opened = store.open_draw("ben", "random", expires_at=FUTURE)
    assert opened is not None
    assert opened.items == ((rows[1].id, 0.5),)


# -- opening and closing


def test_a_file_that_is_absent_is_not_made_when_it_must_be_there(isolated: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.db: there is no such label store\. Fill one with"):
        Store("absent.db", create=False)
    assert list(isolated.iterdir()) == []

    Store("present.db").close()
    with Store("present.db", create=False) as store:
        assert store.counts().documents == 0


@pytest.mark.parametrize("name", ["plain.db", "two words.db", "50%.db", "why?.db", "a#b.db", "Ünïcode.db"])
def test_a_store_is_the_file_of_the_path_that_was_given(isolated: Path, name: str) -> None:
    with Store(isolated / name) as store:
        store.add_sentences(sentences(1))

    assert [path.name for path in isolated.iterdir()] == [name]
    with closing(sqlite3.connect(isolated / name)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM sentences").fetchone() == (1,)


def test_a_store_in_the_home_folder_can_be_named_with_a_tilde(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(isolated))
    Store("~/mine.db").close()

    assert (isolated / "mine.db").is_file()


def test_what_was_written_is_seen_by_another_connection_at_once(isolated: Path) -> None:
    with Store("store.db") as writer, Store("store.db") as reader:
        writer.append([decision("s1")])

        assert reader.counts().events == 1


def test_a_store_that_was_damaged_says_that_it_cannot_be_read() -> None:
    with Store("store.db") as store:
        with closing(sqlite3.connect("store.db")) as connection, connection:
            connection.execute("DROP TABLE events")

        with pytest.raises(StoreError, match=r"store\.db: the store could not be read \(no such table: events\)"):
            store.events()


def test_now_is_a_moment_in_utc_to_the_microsecond() -> None:
    before = datetime.now(UTC)
    moment = datetime.fromisoformat(now())

    assert moment.utcoffset() == timedelta(0)
    assert before <= moment <= datetime.now(UTC)
    assert len(now()) == len(PAST)
