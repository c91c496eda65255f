"""What goes wrong outside: files that may not be written, full disks, connections that are cut."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import sqlalchemy as sa

from labels.annotate.tasks import LabellingSession
from labels.codebook.schema import Codebook
from labels.environment.settings import store_url
from labels.errors import StoreError
from labels.records import Document, Sentence
from labels.store import CodebookMigration, Draft, Store, TextCounts
from labels.store.database import open_engine
from tests.labels.store.builders import FUTURE, added, decision, draw, make_first_store, sentences
from tests.lazy import needed

ADVICE = r"No partial changes were saved\. Check that"


def dump(path: str = "store.db") -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


# -- a file that may not be written

READ_ONLY = "sqlite:///file:store.db?mode=ro&uri=true"
WRITES: dict[str, Callable[[Store], object]] = {
    "documents": lambda store: store.documents.add([(Document("src", "One."), [])]),
    "sentences": lambda store: store.add_annotated(sentences(1, "new"), []),
    "events": lambda store: store.events.add([decision("s1")]),
    "draws": lambda store: store.draws.add([draw("ana", ["s1"])], expires_at=FUTURE),
    "draft": lambda store: store.events.keep_draft("s1", "ana", Draft(("aid",))),
    "relabelling": lambda store: store.relabelling.add([("s1", "doubt", ())], source="doubts"),
    "scores": lambda store: store.scores.add("m", [(1, (0.5,), 0.5, 0.5, 0.5)]),
}


@pytest.fixture
def filled() -> list[str]:
    """What is in a store of three sentences and a decision, as SQL."""
    with Store("store.db") as store:
        store.events.add([decision(added(store, 3)[0])])
    return dump()


@pytest.mark.parametrize("what", WRITES)
def test_a_read_only_store_refuses_writes(filled: list[str], what: str) -> None:
    with Store(READ_ONLY) as store:
        with pytest.raises(StoreError, match=rf"store\.db.*written \(attempt to write a readonly .*\)\. {ADVICE}"):
            WRITES[what](store)

        assert len(store.unseen.ids()) == 2
    assert dump() == filled


def test_a_read_only_store_cannot_be_labelled_in(filled: list[str], codebook: Codebook) -> None:
    with Store(READ_ONLY) as store, pytest.raises(StoreError, match="readonly database"):
        LabellingSession(store, codebook, "ana")
    assert dump() == filled


@pytest.mark.skipif(os.geteuid() == 0, reason="to root every file can be written")
def test_a_write_protected_file_is_refused(filled: list[str]) -> None:
    path = Path("store.db")
    path.chmod(stat.S_IRUSR)
    try:
        with Store(path) as store, pytest.raises(StoreError, match="readonly database"):
            store.events.add([decision("s1")])
    finally:
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert dump() == filled


def test_a_read_only_old_store_cannot_be_upgraded() -> None:
    engine = sa.create_engine("sqlite:///store.db")
    make_first_store(engine)
    engine.dispose()
    before = dump()

    with pytest.raises(StoreError, match=r"older schema version 0001 .* read-only\. Copy the file to a"):
        Store(READ_ONLY)
    assert dump() == before


# -- a full disk


@contextmanager
def full_disk(spare_pages: int) -> Iterator[None]:
    """SQLite files that are opened meanwhile may grow by no more than that many pages."""

    def limit(connection: Any, _: object) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages + spare_pages}")

    sa.event.listen(sa.pool.Pool, "connect", limit)
    try:
        yield
    finally:
        sa.event.remove(sa.pool.Pool, "connect", limit)


def test_writes_to_a_full_disk_are_refused_whole(filled: list[str]) -> None:
    document = Document("src", "A long report. " * 20_000)
    with full_disk(spare_pages=8), Store("store.db") as store:
        with pytest.raises(StoreError, match=rf"written \(database or disk is full\)\. {ADVICE}"):
            store.documents.add([(document, [Sentence(document.id, 0, 14, "A long report.")])])
        with pytest.raises(StoreError, match="disk is full"):
            store.events.add([decision(f"s{number}", note="long " * 100) for number in range(500)])

        assert store.counts.texts() == TextCounts(documents=0, sentences=3, boilerplate=0)
    assert dump() == filled


def review_all(session: LabellingSession, note: str) -> None:
    while session.current() is not None:
        session.review(["aid"], note)


def test_a_session_continues_after_a_full_disk(codebook: Codebook) -> None:
    with Store("store.db") as store:
        added(store, 300)
        LabellingSession(store, codebook, "ana")
    long = "why " * 500
    with full_disk(spare_pages=4), Store("store.db") as store:
        session = LabellingSession(store, codebook, "ana")
        with pytest.raises(StoreError, match="disk is full"):
            review_all(session, long)
        done, item = session.decided, session.current()
        assert 0 < done == len(store.events.all()) < 100

    with Store("store.db") as store:
        session = LabellingSession(store, codebook, "ana")
        assert session.decided == done
        assert item is not None
        assert session.current() == item
        session.review(["aid"], long)
        assert len(store.events.all()) == done + 1


def test_a_new_store_on_a_full_disk_is_not_half_created() -> None:
    with full_disk(spare_pages=10), pytest.raises(StoreError, match=r"opened \(database or disk is full\)"):
        Store("store.db")
    assert [line for line in dump() if line.startswith("CREATE")] == []

    with Store("store.db") as store:
        assert store.counts.texts().sentences == 0


# -- another program holds the file


def test_a_locked_file_is_named(filled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labels.store.database._BUSY_SECONDS", 0)
    with closing(sqlite3.connect("store.db")) as other, Store("store.db") as store:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"store\.db: .*written \(database is locked\)"):
            store.events.add([decision("s1")])
        other.rollback()

        assert store.events.add([decision("s1")]) == 1
    assert len(dump()) > len(filled)


# -- values that a database cannot hold


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(decision("s1", note="half a character: \ud83d"), id="half a character"),
        pytest.param(decision("s1", labels=("\udce9",), draw_id="\udce9"), id="a byte that is no text"),
    ],
)
def test_text_that_cannot_be_stored_is_refused_whole(store: Store, event: Any) -> None:
    with pytest.raises(StoreError, match=rf"written \(.*surrogates not allowed.*\)\. {ADVICE}"):
        store.events.add([decision("s1"), event])

    assert store.events.all() == []


def test_a_refused_event_leaves_nothing_behind(store: Store, codebook: Codebook) -> None:
    document = Document("src", "One.")
    sentence = Sentence(document.id, 0, 4, "One.")
    came: Any = {"documents": [document], "codebooks": [codebook], "migrations": [CodebookMigration("a", "b", (), "t")]}
    events = [decision(sentence.id), decision(sentence.id, note="half a character: \ud83d")]

    with pytest.raises(StoreError, match=ADVICE):
        store.add_annotated([sentence], events, **came)
    assert (store.counts.texts(), store.events.all(), store.codebooks.all()) == (TextCounts(0, 0, 0), [], {})
    assert store.codebooks.migrations() == []

    assert store.add_annotated([sentence], events[:1], **came).events == 1
    assert store.add_annotated([sentence], events[:1], **came).events == 0
    assert (store.counts.texts(), store.codebooks.all()) == (TextCounts(1, 1, 0), {codebook.hash: codebook})
    assert store.events.all() == events[:1]
    assert store.codebooks.migrations() == came["migrations"]


def test_a_too_large_number_is_refused_whole(store: Store) -> None:
    with pytest.raises(StoreError, match=rf"written \(.*\)\. {ADVICE}"):
        store.draws.add([draw("ana", added(store, 1), seed=10**30)], expires_at=FUTURE)

    assert len(store.unseen.ids()) == 1


# -- a server that goes away


@contextmanager
def administrator(url: str) -> Iterator[sa.Connection]:
    """A connection beside the store's."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


OTHERS = (
    "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND application_name = current_setting('application_name')"
)


def count_others(connection: sa.Connection) -> int:
    """How many other connections this test has open."""
    return int(connection.execute(sa.text(f"SELECT count(*) {OTHERS}")).scalar_one())


def cut_others(connection: sa.Connection, condition: str = "true") -> int:
    """End this test's other connections that meet a condition; how many there were."""
    query = f"SELECT count(pg_terminate_backend(pid, 5000)) {OTHERS} AND {condition}"
    return int(connection.execute(sa.text(query)).scalar_one())


@contextmanager
def writers_wait(url: str) -> Iterator[None]:
    """Nobody else's writing transaction gets further than its beginning."""
    engine = open_engine(store_url(url)).execution_options(communique_writes=True)
    with engine.begin():
        yield
    engine.dispose()


def cut_while_waiting(connection: sa.Connection, running: Future[Any]) -> None:
    deadline = monotonic() + 20
    while not cut_others(connection, "wait_event_type = 'Lock' AND wait_event = 'advisory'"):
        assert monotonic() < deadline, "nobody waited"
        assert not running.done(), "it did not wait"
        sleep(0.02)


@pytest.fixture
def server(empty_postgres: str) -> str:
    """The URL of a store of ten sentences on PostgreSQL."""
    with Store(empty_postgres) as store:
        added(store, 10)
    return empty_postgres


def test_a_lost_connection_is_reopened(server: str, codebook: Codebook) -> None:
    with Store(server) as store, administrator(server) as connection:
        session = LabellingSession(store, codebook, "ana")
        for _ in range(3):
            session.review(["aid"])
            assert cut_others(connection) == 1
        session.undo()

        assert [event.event for event in store.events.all()] == ["annotate"] * 3 + ["undo"]
        assert (session.decided, session.remaining) == (2, 8)


def test_a_decision_on_a_lost_connection_can_be_repeated(server: str, codebook: Codebook) -> None:
    with Store(server) as store, administrator(server) as connection, ThreadPoolExecutor(1) as thread:
        session = LabellingSession(store, codebook, "ana")
        session.review(["aid"])
        item = session.current()
        with writers_wait(server):
            running = thread.submit(session.review, ["truce"])
            cut_while_waiting(connection, running)
            with pytest.raises(StoreError, match=r"postgresql.*could not be written \(.*terminat.*\)\. " + ADVICE):
                running.result(timeout=20)

        assert (session.decided, session.current()) == (1, item)
        session.review(["truce"])
        assert [event.labels for event in store.events.all()] == [("aid",), ("truce",)]


def test_reopening_after_a_lost_connection_finds_everything_once(server: str, codebook: Codebook) -> None:
    with Store(server) as store, administrator(server) as connection, ThreadPoolExecutor(1) as thread:
        session = LabellingSession(store, codebook, "ana")
        session.review(["aid"], "first")
        session.review([])
        with writers_wait(server):
            running = thread.submit(session.undo)
            cut_while_waiting(connection, running)
            with pytest.raises(StoreError):
                running.result(timeout=20)
        assert session.decided == 2

    with Store(server) as store:
        session = LabellingSession(store, codebook, "ana")
        assert (session.decided, session.remaining) == (2, 8)
        assert session.undo()
        while session.current() is not None:
            session.review([])
        assert store.counts.reviewed() == (10, 0)
        assert len(store.events.all()) == 2 + 1 + 9


def test_an_absent_server_is_named_without_its_password() -> None:
    needed("psycopg")
    url = "postgresql+psycopg://ana:secret@127.0.0.1:1/work?connect_timeout=2"

    with pytest.raises(StoreError, match=r"ana:\*\*\*@127\.0\.0\.1:1/work.*opened \(.*refused") as caught:
        Store(url)
    assert "secret" not in str(caught.value)


def test_a_refused_store_leaves_no_connection_open(server: str) -> None:
    with administrator(server) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(StoreError, match="version 9999"):
            Store(server)

        deadline = monotonic() + 20  # the server takes its time to notice
        while count_others(connection):
            assert monotonic() < deadline, "a connection is still open"
            sleep(0.02)


def test_a_session_keeps_nothing_of_a_refused_decision(codebook: Codebook) -> None:
    with Store("store.db") as store:
        added(store, 3)
        session = LabellingSession(store, codebook, "ana")
        before = session.current()
        with pytest.raises(StoreError):
            session.review(["aid"], "\ud83d")

        assert (session.decided, session.today, session.current()) == (0, 0, before)
