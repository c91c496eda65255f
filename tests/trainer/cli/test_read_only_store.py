"""Commands that only read a label store work on one that cannot be written, as on a read-only share."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from labels.codebook.schema import dump_codebook
from labels.store import Store
from tests.conftest import make_examples
from tests.labels.store.builders import make_first_store
from tests.labels.store.read_only import read_only
from tests.trainer.cli.test_commands import run
from tests.trainer.conftest import fill_store, plain_codebook

STORE = ("--store", "share/team.db")


@pytest.fixture
def share(isolated: Path) -> Iterator[Path]:
    """The folder of a labelled store that cannot be written, in a working folder that can."""
    codebook = plain_codebook("aid", "truce")
    (isolated / "share").mkdir()
    fill_store(isolated / "share" / "team.db", codebook, make_examples(90))
    (isolated / "book.toml").write_text(dump_codebook(codebook), encoding="utf-8")
    with read_only(isolated / "share"):
        with pytest.raises(OSError):
            (isolated / "share" / "x").touch()
        yield isolated / "share"


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        pytest.param(["status"], "90", id="status"),
        pytest.param(["agreement", "--codebook", "book.toml"], "", id="agreement"),
        pytest.param(["annotations", "export", "out.jsonl", "--codebook", "book.toml"], "out.jsonl", id="export"),
        pytest.param(["doubts", "--codebook", "book.toml"], "in doubt", id="doubts"),
    ],
)
def test_a_read_only_store_can_be_read(share: Path, command: list[str], printed: str) -> None:
    assert printed in run(*command, *STORE)
    assert [path.name for path in share.iterdir()] == ["team.db"]


def test_a_model_can_be_trained_on_a_read_only_store(share: Path) -> None:
    data = ('data.source="store"', f"data.store={share / 'team.db'}", "data.codebook=book.toml")
    settings = [f"--set={value}" for value in (*data, "tracking.enabled=false", "evaluation.bootstrap=100")]
    assert "Saved in out" in run("train", "majority", "--out", "out", *settings)


def test_labelling_in_a_read_only_store_is_refused(share: Path) -> None:
    message = run("label", "--annotator", "eva", "--also-by", "ana", "--codebook", "book.toml", *STORE, code=1)
    assert "share/team.db: the store could not be written (attempt to write a readonly database)" in message


def test_a_read_only_store_of_an_older_version_must_be_copied(isolated: Path) -> None:
    (isolated / "share").mkdir()
    engine = sa.create_engine("sqlite:///share/team.db")
    make_first_store(engine)
    engine.dispose()
    with read_only(isolated / "share"):
        message = run("status", *STORE, code=1)
    assert "has the older schema version 0001 and must be upgraded, but it is read-only. Copy the file" in message
    shutil.copy("share/team.db", "copy.db")
    assert run("status", "--store", "copy.db")


def test_changes_that_sqlite_cannot_read_are_never_ignored(isolated: Path) -> None:
    (isolated / "share").mkdir()
    with Store("share/team.db"):
        pass
    with closing(sqlite3.connect("share/team.db")) as living:
        living.execute("PRAGMA wal_autocheckpoint=0")
        living.execute("INSERT INTO codebooks VALUES ('h', 'n', '1', 'c')")
        living.commit()
        (isolated / "snapshot").mkdir()
        for name in ("team.db", "team.db-wal"):
            shutil.copy(f"share/{name}", f"snapshot/{name}")
    with read_only(isolated / "snapshot"):
        message = run("status", "--store", "snapshot/team.db", code=1)
    assert "its newest changes are in team.db-wal" in message
    assert "Copy team.db and team.db-wal to a writable folder" in message
    shutil.copytree("snapshot", "copy")
    with Store("copy/team.db"):
        pass
    with closing(sqlite3.connect("copy/team.db")) as copied:
        assert copied.execute("SELECT count(*) FROM codebooks").fetchone() == (1,)
