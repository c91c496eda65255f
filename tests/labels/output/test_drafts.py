from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

import pytest

from labels.errors import DataError
from labels.output.drafts import check_folder, sole_writer, whole_file, whole_folder, write_whole


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def fill_and_fail(path: Path, error: BaseException) -> None:
    with whole_folder(path, overwrite=True) as draft:
        (draft / "a.txt").write_text("x", encoding="utf-8")
        raise error


def failing_pieces(error: BaseException) -> Iterator[str]:
    yield "half"
    raise error


def test_a_file_is_written_as_utf_8_and_no_draft_remains(isolated: Path) -> None:
    write_whole(isolated / "a.txt", ["one\n", "zwölf\n"])
    assert (isolated / "a.txt").read_bytes() == "one\nzwölf\n".encode()
    assert names_in(isolated) == ["a.txt"]


def test_an_older_file_is_replaced(isolated: Path) -> None:
    write_whole(isolated / "a.txt", ["a long older text"])
    write_whole(isolated / "a.txt", ["new"])
    assert (isolated / "a.txt").read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt(), DataError("rows.csv:3: stop")])
@pytest.mark.parametrize("older", [None, "older"])
def test_an_error_in_the_block_leaves_the_old_file(isolated: Path, error: BaseException, older: str | None) -> None:
    path = isolated / "a.txt"
    if older:
        path.write_text(older, encoding="utf-8")
    with pytest.raises(type(error)):
        write_whole(path, failing_pieces(error))
    assert names_in(isolated) == (["a.txt"] if older else [])
    assert older is None or path.read_text(encoding="utf-8") == older


def test_the_place_holds_the_old_file_until_the_block_ends(isolated: Path) -> None:
    path = isolated / "a.txt"
    path.write_text("old", encoding="utf-8")
    with whole_file(path) as draft:
        draft.write_text("new", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "old"
        assert draft.parent == path.parent
    assert path.read_text(encoding="utf-8") == "new"


def test_a_missing_folder_is_named_with_the_repair(isolated: Path) -> None:
    with pytest.raises(DataError) as caught:
        write_whole(isolated / "absent" / "a.txt", ["x"])
    assert str(caught.value).startswith(str(isolated / "absent" / "a.txt"))
    assert f"the folder {isolated / 'absent'} does not exist. Create the folder first" in str(caught.value)
    assert not (isolated / "absent").exists()


def test_a_file_cannot_take_a_folders_place(isolated: Path, full_folder: Path) -> None:
    with pytest.raises(DataError, match="this is a folder, but a file is needed"):
        write_whole(full_folder, ["x"])
    assert names_in(isolated) == ["out"]
    assert names_in(full_folder) == ["report.json"]


def test_a_file_under_a_file_is_refused(isolated: Path) -> None:
    (isolated / "a.txt").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match=r"b\.txt"):
        write_whole(isolated / "a.txt" / "b.txt", ["x"])


def test_a_folder_appears_whole_with_the_folders_above_it(isolated: Path) -> None:
    target = isolated / "runs" / "first"
    with whole_folder(target) as draft:
        (draft / "a.txt").write_text("x", encoding="utf-8")
        assert not target.exists()
    assert names_in(target) == ["a.txt"]
    assert names_in(target.parent) == ["first"]


def test_an_empty_folder_may_be_filled(isolated: Path) -> None:
    (isolated / "out").mkdir()
    with whole_folder(isolated / "out") as draft:
        (draft / "a.txt").write_text("x", encoding="utf-8")
    assert names_in(isolated / "out") == ["a.txt"]
    assert names_in(isolated) == ["out"]


@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt()])
def test_an_error_leaves_the_older_folder_as_it_was(isolated: Path, full_folder: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        fill_and_fail(full_folder, error)
    assert names_in(isolated) == ["out"]
    assert (full_folder / "report.json").read_text(encoding="utf-8") == "old"


def test_overwriting_leaves_nothing_of_the_older_folder(isolated: Path, full_folder: Path) -> None:
    with whole_folder(full_folder, overwrite=True) as draft:
        (draft / "new.txt").write_text("new", encoding="utf-8")
        assert names_in(full_folder) == ["report.json"]
    assert names_in(full_folder) == ["new.txt"]
    assert names_in(isolated) == ["out"]


def test_an_occupied_folder_is_refused_before_any_work(isolated: Path, full_folder: Path) -> None:
    with pytest.raises(DataError, match=r"is not empty\. Choose another folder\."), whole_folder(full_folder):
        pytest.fail("the block was entered")
    assert names_in(isolated) == ["out"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_never_replaced_by_a_folder(isolated: Path, overwrite: bool) -> None:
    (isolated / "out").write_text("precious", encoding="utf-8")
    with pytest.raises(DataError, match=r"this is a file, but a folder is needed\. Choose a folder\."):
        check_folder(isolated / "out", overwrite=overwrite)
    with pytest.raises(DataError), whole_folder(isolated / "out", overwrite=overwrite):
        pytest.fail("the block was entered")
    assert (isolated / "out").read_text(encoding="utf-8") == "precious"


def test_a_free_place_is_not_refused(isolated: Path, full_folder: Path) -> None:
    (isolated / "empty").mkdir()
    check_folder(isolated / "absent")
    check_folder(isolated / "empty")
    check_folder(full_folder, overwrite=True)


def test_a_folder_written_meanwhile_is_kept_beside_the_new_one(isolated: Path) -> None:
    def both() -> None:
        with whole_folder(isolated / "out") as slow:
            (slow / "a.txt").write_text("slow", encoding="utf-8")
            with whole_folder(isolated / "out") as quick:
                (quick / "a.txt").write_text("quick", encoding="utf-8")

    with pytest.raises(DataError, match="another process has written to this folder") as caught:
        both()
    assert (isolated / "out" / "a.txt").read_text(encoding="utf-8") == "quick"
    (aside,) = [path for path in isolated.iterdir() if path.name != "out"]
    assert (aside / "a.txt").read_text(encoding="utf-8") == "slow"
    assert str(caught.value).endswith(f"The new folder is {aside}.")


@pytest.mark.parametrize("name", [".", "..", "../..", "link"])
def test_the_working_folder_and_its_parents_are_never_replaced(
    isolated: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (isolated / "a" / "b").mkdir(parents=True)
    (isolated / "a" / "b" / "link").symlink_to(isolated / "a")
    monkeypatch.chdir(isolated / "a" / "b")
    with pytest.raises(DataError, match=r"working folder.*Choose a folder inside the working folder\."):
        check_folder(Path(name), overwrite=True)


def test_a_folder_under_a_file_is_refused(isolated: Path) -> None:
    (isolated / "a.txt").write_text("x", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be written"), whole_folder(isolated / "a.txt" / "out"):
        pytest.fail("the block was entered")


def test_an_operating_system_error_in_the_block_names_the_place(isolated: Path) -> None:
    with pytest.raises(DataError, match="out: cannot be written") as caught, whole_folder(isolated / "out") as draft:
        (draft / "absent" / "a.txt").write_text("x", encoding="utf-8")
    assert isinstance(caught.value.__cause__, OSError)
    assert names_in(isolated) == []


@pytest.mark.parametrize("absolute", [False, True])
def test_the_working_folder_is_not_replaced_under_the_process(isolated: Path, absolute: bool) -> None:
    with pytest.raises(DataError), whole_folder(isolated if absolute else Path()) as draft:
        (draft / "a.txt").write_text("x", encoding="utf-8")
    assert Path.cwd() == isolated


def test_the_working_folder_is_refused_as_a_file() -> None:
    with pytest.raises(DataError):
        write_whole(Path(), ["x"])


# -- drafts of killed processes

KILLED = """
import os, signal, sys
from pathlib import Path
from labels.output.drafts import whole_file, whole_folder
whole = {"folder": whole_folder, "file": whole_file}[sys.argv[1]]
with whole(Path(sys.argv[2])) as draft:
    print("open", flush=True)
    sys.stdin.read()
"""


@contextmanager
def writer(kind: str, name: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that is writing the file or folder `name`."""
    command = [sys.executable, "-c", KILLED, kind, name]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


@pytest.mark.parametrize(("kind", "name"), [("folder", "out"), ("folder", "other"), ("file", "out")])
def test_the_draft_of_a_killed_process_is_removed_by_the_next(isolated: Path, kind: str, name: str) -> None:
    with writer(kind, name) as process:
        [draft, lock] = names_in(isolated)
        assert lock == f"{draft}.lock"
        with whole_folder(isolated / "out" / "deeper"), whole_file(isolated / "note.txt"):
            assert draft in names_in(isolated)  # a living process is writing it
        (isolated / "out" / "deeper").rmdir()
        (isolated / "out").rmdir()
        process.kill()
        process.wait()
        whole = {"folder": whole_folder, "file": whole_file}[kind]
        with whole(isolated / "out"):
            assert not {draft, lock} & set(names_in(isolated))
    assert names_in(isolated) == ["note.txt", "out"]


def test_files_that_are_not_drafts_stay(isolated: Path) -> None:
    others = (".out.partial", ".out.12345678.partial.txt", ".mine.abcdef12.partial", ".out.0123456g.partial")
    for name in others:
        (isolated / name).touch()
    (isolated / ".out.0123abcd.old").mkdir()  # `out` is missing: this is the only copy
    with whole_folder(isolated / "out"):
        pass
    assert names_in(isolated) == sorted([*others, ".out.0123abcd.old", "out"])
    with whole_folder(isolated / "out", overwrite=True):
        pass
    assert names_in(isolated) == sorted([*others, "out"])


def test_a_run_of_an_older_version_keeps_its_draft(isolated: Path) -> None:
    (isolated / ".old-run.0123abcd.partial").mkdir()
    with sole_writer(isolated / "old-run"), whole_folder(isolated / "new-run"):
        assert ".old-run.0123abcd.partial" in names_in(isolated)
    with whole_folder(isolated / "another"):
        assert ".old-run.0123abcd.partial" not in names_in(isolated)
