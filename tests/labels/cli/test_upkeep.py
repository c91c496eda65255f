"""Care of a store: backups, names of annotators, and warnings about its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from labels.store import Store
from labels.store.upkeep.places import risky_place
from tests.labels.cli.running import BOOK, refuse, run, succeed
from tests.labels.store.builders import added, decision


@pytest.fixture
def ids(isolated: Path) -> list[str]:
    """The default store with decisions by ana, anna and ben."""
    (isolated / "book.toml").write_text(BOOK, encoding="utf-8")
    with Store("communique.db") as store:
        made = added(store, 3)
        store.events.add(
            [
                decision(made[0], "ana", labels=("aid",)),
                decision(made[0], "anna", labels=("truce",)),
                decision(made[1], "anna"),
                decision(made[2], "ben"),
            ]
        )
    return made


# -- backup


def test_a_backup_has_everything_that_the_store_has(ids: list[str]) -> None:
    with Store("communique.db") as store:  # open: the newest changes may be in the journal
        store.events.add([decision(ids[2], "ana")])
        assert "Copied to copy.db." in succeed("store", "backup", "copy.db")
        with Store("copy.db") as copy:
            assert copy.events.all() == store.events.all()


def test_a_backup_replaces_nothing_unasked(ids: list[str]) -> None:
    succeed("store", "backup", "copy.db")

    assert "copy.db: this file exists." in run("store", "backup", "copy.db").stderr
    succeed("store", "backup", "copy.db", "--overwrite")
    assert "this is the store itself" in run("store", "backup", "communique.db", "--overwrite").stderr


def test_a_backup_replaces_only_an_earlier_copy(ids: list[str]) -> None:
    Path("notes.txt").write_text("Remember the milk. " * 300, encoding="utf-8")
    succeed("store", "backup", "live.db")
    with Store("live.db") as live:
        live.events.add([decision(ids[2], "eva")])

    assert "notes.txt: this file is not a label store" in refuse("store", "backup", "notes.txt", "--overwrite")
    message = refuse("store", "backup", "live.db", "--overwrite")
    assert "live.db: this label store has 1 event that communique.db does not have" in message


def test_a_backup_does_not_replace_a_store_that_is_open(ids: list[str]) -> None:
    succeed("store", "backup", "copy.db")
    with Store("copy.db") as copy:
        assert copy.events.annotators()
        assert (
            "copy.db: another program has this label store open."
            in run("store", "backup", "copy.db", "--overwrite").stderr
        )
        assert copy.events.annotators()


@pytest.mark.parametrize(
    ("store", "message"),
    [("absent.db", "this label store does not exist"), ("postgresql+psycopg://ana@host/base", "`pg_dump")],
)
def test_a_backup_of_something_else_is_refused(isolated: Path, store: str, message: str) -> None:
    assert message in refuse("store", "backup", "copy.db", "--store", store)


def test_an_error_names_the_file_as_it_was_typed(isolated: Path) -> None:
    Path("notes.txt").write_text("Remember the milk. " * 300, encoding="utf-8")
    message = refuse("status", "--store", "notes.txt", code=1)
    assert message.startswith("Error: notes.txt: the store could not be opened (file is not a database).")


# -- names


def test_an_annotator_is_renamed_with_all_decisions(ids: list[str]) -> None:
    assert "1 event by ben in communique.db is now recorded under Benno." in succeed(
        "annotators", "rename", "ben", "Benno"
    )

    with Store("communique.db") as store:
        assert store.events.annotators() == ["Benno", "ana", "anna"]
        assert {one.annotator for one in store.counts.annotators(today="")} == {"Benno", "ana", "anna"}


def test_two_names_of_one_person_are_merged(ids: list[str]) -> None:
    printed = succeed("annotators", "merge", "anna", "ana")

    assert "2 events by anna in communique.db are now recorded under ana." in printed
    assert "Both had decided on 1 sentence: the later decision stands." in printed
    with Store("communique.db") as store:
        (ana,) = (one for one in store.counts.annotators(today="") if one.annotator == "ana")
        assert ana.reviewed == 2
        assert store.counts.label_sets() == {("truce",): 1, (): 2}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rename", "bne", "Benno"), "no annotator 'bne' (did you mean 'ben'?). Annotators: ana, anna, ben."),
        (("rename", "ben", "ana"), "use `communique annotators merge ben ana`"),
        (("merge", "ana", "ana"), "are the same name"),
        (("merge", "ana", "zoe"), "no annotator 'zoe'"),
    ],
)
def test_wrong_names_are_refused(ids: list[str], words: tuple[str, ...], message: str) -> None:
    assert message in refuse("annotators", *words)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_names_change_on_postgresql_too(url: str) -> None:
    with Store(url) as store:
        made = added(store, 1)
        store.events.add([decision(made[0], "ana", labels=("aid",)), decision(made[0], "ben")])

        assert store.names.merge("ana", "ben") == (1, 1)
        assert store.names.rename("ben", "eva") == 2
        assert store.counts.label_sets() == {(): 1}


# -- the place


MOUNTS = """dev / ext4 rw 0 0
server:/x /mnt/team nfs4 rw 0 0
//nas/a /mnt/my\\040share cifs rw 0 0
t /mnt/team/tmp tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/home/ana/team.db", ""),
        ("/mnt/team/store.db", "a network drive"),
        ("/mnt/my share/store.db", "a network drive"),
        ("/mnt/team/tmp/store.db", ""),
        ("/home/ana/Dropbox/store.db", "a synchronized folder"),
        ("/home/ana/OneDrive - Uni/x/store.db", "a synchronized folder"),
        ("/home/ana/Drop/store.db", ""),
    ],
)
def test_risky_places_are_recognized(path: str, place: str) -> None:
    assert risky_place(Path(path), MOUNTS) == place


def test_a_folder_with_a_marker_is_synchronized(isolated: Path) -> None:
    (isolated / ".stfolder").mkdir()
    assert risky_place(isolated / "deep" / "store.db", MOUNTS) == "a synchronized folder"


def test_commands_warn_of_a_risky_place(ids: list[str], isolated: Path) -> None:
    (isolated / ".stfolder").mkdir()
    result = run("label", "--annotator", "ana", "--codebook", "book.toml", typed="q\n")

    assert result.exit_code == 0
    assert "Warning: communique.db is in a synchronized folder." in result.stderr
    assert "Warning: communique.db is in a synchronized folder." in run("status").stderr
    (isolated / "news.txt").write_text("Oslo will send aid to its neighbour.", encoding="utf-8")
    assert "Warning: communique.db is in a synchronized folder." in run("ingest", "news.txt").stderr


def test_the_settings_name_the_annotator(ids: list[str], isolated: Path) -> None:
    (isolated / "communique.toml").write_text('annotator = "zoe"\ncodebook = "book.toml"\n', encoding="utf-8")
    run("label", "--strategy", "also-by ana", typed="\nq\n")
    succeed("label", "--strategy", "also-by ana", typed="n\n")
    with Store("communique.db") as store:
        assert "zoe" in store.events.annotators()
