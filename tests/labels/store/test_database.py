from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from labels.environment.settings import store_name
from labels.errors import InputError, StoreError
from labels.store import Store, filled_store, now
from tests.labels.store.builders import PAST, decision, sentences


@pytest.mark.parametrize("place", ["", "sqlite:///", "sqlite+pysqlite:///"])
def test_a_missing_file_is_not_created_unless_asked_for(isolated: Path, place: str) -> None:
    with pytest.raises(InputError, match=r"absent\.db: this label store does not exist\. Create it with"):
        Store(f"{place}absent.db", create=False)
    assert list(isolated.iterdir()) == []

    Store(f"{place}present.db").close()
    with Store(f"{place}present.db", create=False) as store:
        assert store.counts.texts().documents == 0


def test_a_file_in_sqlites_own_uri_form_is_found(isolated: Path) -> None:
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
def test_a_malformed_url_is_refused_without_its_password(
    isolated: Path, use: Callable[[str], object], url: str
) -> None:
    with pytest.raises(InputError, match=r"this is not a valid database URL\. Use the path of a SQLite file") as caught:
        use(url)

    assert str(caught.value).startswith(url.rpartition("@")[2].partition("?")[0])
    assert "S3CRET" not in str(caught.value)
    assert list(isolated.iterdir()) == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("foo=bar", r"\?foo=bar: unknown parameter 'foo'\. Remove the parameter, or use one of timeout, .*uri=true"),
        ("timout=5", r"unknown parameter 'timout' \(did you mean 'timeout'\?\)"),
        ("mode=ro", r"unknown parameter 'mode'"),
        ("timeout=long", r"\?timeout=long: a parameter of this URL is invalid \(.*'long'\)\. Fix the URL"),
        ("timeout=5&timeout=6", r"a parameter of this URL is invalid"),
    ],
)
def test_a_parameter_that_sqlite_would_ignore_is_refused(isolated: Path, query: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Store(f"sqlite:///store.db?{query}")
    assert list(isolated.iterdir()) == []

    Store("sqlite:///store.db?timeout=5").close()
    Store("sqlite:///file:store.db?uri=true&mode=rw", create=False).close()


@pytest.mark.parametrize("name", ["plain.db", "two words.db", "50%.db", "why?.db", "a#b.db", "Ünïcode.db"])
def test_a_store_is_created_at_the_given_path(isolated: Path, name: str) -> None:
    with Store(isolated / name) as store:
        store.add_annotated(sentences(1), [])

    assert [path.name for path in isolated.iterdir()] == [name]
    with closing(sqlite3.connect(isolated / name)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM sentences").fetchone() == (1,)


def test_a_tilde_names_the_home_folder(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(isolated))
    Store("~/mine.db").close()

    assert (isolated / "mine.db").is_file()


def test_writes_are_seen_by_another_connection_at_once(url: str) -> None:
    with Store(url) as writer, Store(url) as reader:
        writer.events.add([decision("s1")])

        assert len(reader.events.all()) == 1


def test_a_closed_store_can_be_opened_again(url: str) -> None:
    event = decision("s1", labels=("aid",))
    with Store(url) as store:
        store.events.add([event])

    with Store(url, create=False) as store:
        assert store.events.all() == [event]


def test_a_damaged_store_cannot_be_read() -> None:
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


def test_an_empty_file_is_refused_and_stays_empty(isolated: Path) -> None:
    notes = isolated / "notes.jsonl"
    notes.touch()

    with pytest.raises(InputError, match=r"notes\.jsonl: this file is empty and is not a label store"):
        Store(notes, create=False)
    assert notes.read_bytes() == b""


def test_opening_a_current_store_loads_only_what_it_needs() -> None:
    Store("store.db").close()
    slow = {"alembic", "labels.codebook.schema", "sqlalchemy.dialects.postgresql"}
    code = f"""
import sys
from labels.store import Store

with Store("store.db", create=False) as store:
    assert store.counts.texts().documents == 0
print(*sorted({slow!r} & set(sys.modules)))
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_new_store_without_content_is_deleted_again(isolated: Path) -> None:
    with pytest.raises(RuntimeError), filled_store("store.db"):
        raise RuntimeError
    with filled_store("store.db"):
        pass
    assert list(isolated.iterdir()) == []


def test_a_store_that_others_use_is_not_deleted(isolated: Path) -> None:
    with filled_store("store.db"), Store("store.db") as other:
        pass
    assert list(isolated.iterdir()) == []

    with Store("store.db") as other:
        with filled_store("store.db"):
            pass
        other.add_annotated(sentences(1), [])
    assert (isolated / "store.db").exists()
    with filled_store("store.db"):
        pass
    assert (isolated / "store.db").exists()


def test_a_new_store_that_another_process_has_open_is_kept(isolated: Path) -> None:
    with filled_store("store.db"):
        other = Store("store.db")
        assert other.counts.texts().documents == 0
    other.add_annotated(sentences(1), [])
    other.close()

    with Store("store.db", create=False) as store:
        assert store.counts.texts().sentences == 1
