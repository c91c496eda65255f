from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from labels.errors import InputError, StoreError
from labels.settings import store_name
from labels.store import Store, now
from tests.labels.store.builders import PAST, decision, sentences


@pytest.mark.parametrize("place", ["", "sqlite:///", "sqlite+pysqlite:///"])
def test_a_file_that_is_absent_is_not_made_when_it_must_be_there(isolated: Path, place: str) -> None:
    with pytest.raises(InputError, match=r"absent\.db: there is no such label store\. Fill one with"):
        Store(f"{place}absent.db", create=False)
    assert list(isolated.iterdir()) == []

    Store(f"{place}present.db").close()
    with Store(f"{place}present.db", create=False) as store:
        assert store.counts.texts().documents == 0


def test_a_file_that_a_url_names_in_sqlites_own_way_is_found(isolated: Path) -> None:
    store = "sqlite:///file:present.db?uri=true"
    Store(store).close()

    with Store(store, create=False) as opened:
        assert opened.counts.texts().documents == 0
    assert [path.name for path in isolated.iterdir()] == ["present.db"]


@pytest.mark.parametrize(
    "url",
    [
        "://",
        "sqlite//://",
        "postgresql://ana:S3CRET@db.example:port/coding",
        "postgresql://db.example:port/coding?password=S3CRET",
    ],
)
@pytest.mark.parametrize("use", [Store, store_name])
def test_a_url_that_cannot_be_read_is_refused_without_its_password(
    isolated: Path, use: Callable[[str], object], url: str
) -> None:
    with pytest.raises(
        InputError, match=r"this is not the URL of a database\. Give the path of a SQLite file"
    ) as caught:
        use(url)

    assert str(caught.value).startswith(url.rpartition("@")[2].partition("?")[0])
    assert "S3CRET" not in str(caught.value)
    assert list(isolated.iterdir()) == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("foo=bar", r"\?foo=bar: unknown parameter 'foo'\. Remove it, or use one of timeout, .*uri=true"),
        ("timout=5", r"unknown parameter 'timout' \(did you mean 'timeout'\?\)"),
        ("mode=ro", r"unknown parameter 'mode'"),
        ("timeout=long", r"\?timeout=long: a parameter of this URL cannot be used \(.*'long'\)\. Fix it"),
        ("timeout=5&timeout=6", r"a parameter of this URL cannot be used"),
    ],
)
def test_a_parameter_that_sqlite_would_not_heed_is_refused(isolated: Path, query: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Store(f"sqlite:///store.db?{query}")
    assert list(isolated.iterdir()) == []

    Store("sqlite:///store.db?timeout=5").close()
    Store("sqlite:///file:store.db?uri=true&mode=rw", create=False).close()


@pytest.mark.parametrize("name", ["plain.db", "two words.db", "50%.db", "why?.db", "a#b.db", "Ünïcode.db"])
def test_a_store_is_the_file_of_the_path_that_was_given(isolated: Path, name: str) -> None:
    with Store(isolated / name) as store:
        store.add_annotated(sentences(1), [])

    assert [path.name for path in isolated.iterdir()] == [name]
    with closing(sqlite3.connect(isolated / name)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM sentences").fetchone() == (1,)


def test_a_store_in_the_home_folder_can_be_named_with_a_tilde(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(isolated))
    Store("~/mine.db").close()

    assert (isolated / "mine.db").is_file()


def test_what_was_written_is_seen_by_another_connection_at_once(url: str) -> None:
    with Store(url) as writer, Store(url) as reader:
        writer.events.add([decision("s1")])

        assert len(reader.events.all()) == 1


def test_a_closed_store_can_be_opened_again_with_all_that_was_in_it(url: str) -> None:
    event = decision("s1", labels=("aid",))
    with Store(url) as store:
        store.events.add([event])

    with Store(url, create=False) as store:
        assert store.events.all() == [event]


def test_a_store_that_was_damaged_says_that_it_cannot_be_read() -> None:
    with Store("store.db") as store:
        with closing(sqlite3.connect("store.db")) as connection, connection:
            connection.execute("DROP TABLE events")

        with pytest.raises(StoreError, match=r"store\.db: the store could not be read \(no such table: events\)"):
            store.events.all()


def test_now_is_a_moment_in_utc_to_the_microsecond() -> None:
    before = datetime.now(UTC)
    moment = datetime.fromisoformat(now())

    assert moment.utcoffset() == timedelta(0)
    assert before <= moment <= datetime.now(UTC)
    assert len(now()) == len(PAST)


def test_an_empty_file_is_no_store_and_stays_empty(isolated: Path) -> None:
    notes = isolated / "notes.jsonl"
    notes.touch()

    with pytest.raises(InputError, match=r"notes\.jsonl: there is no such label store"):
        Store(notes, create=False)
    assert notes.read_bytes() == b""
