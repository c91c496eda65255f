"""Output that cannot be written: one message with the reason and the repair, and the first error is never hidden."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from labels.errors import DataError
from labels.output.drafts import (
    check_file,
    check_folder,
    hidden_beside,
    sole_writer,
    whole_file,
    whole_folder,
    write_whole,
)
from labels.output.folders import make_folder

Whole = Callable[[Path], AbstractContextManager[Path]]
WHOLE = pytest.mark.parametrize("whole", [whole_file, whole_folder])
CHECKS = pytest.mark.parametrize("check", [check_file, check_folder])
LONGEST = 255


@contextmanager
def small_disk(size: int = 1000) -> Iterator[None]:
    """No file may become longer than `size` bytes, as on a disk that is nearly full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing can be written into the folder. Root may write anywhere, and becomes another user."""
    user = os.geteuid()
    folder.chmod(0o500)
    try:
        os.seteuid(user or 65534)
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o700)


def message_of(action: Callable[[], object]) -> str:
    """The message of the DataError, which is a single line."""
    with pytest.raises(DataError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- names


@pytest.mark.parametrize("name", ["a" * 244, "a" * 255, "é" * 127, "\u4f60" * 85, "🕊" * 63])
def test_a_name_as_long_as_the_file_system_allows_is_written(isolated: Path, name: str) -> None:
    assert len(os.fsencode(name)) <= LONGEST
    write_whole(isolated / name, ["x"])
    assert [path.name for path in isolated.iterdir()] == [name]
    (isolated / name).unlink()
    with whole_folder(isolated / name, overwrite=True) as draft:
        (draft / "a.txt").touch()
    with whole_folder(isolated / name, overwrite=True) as draft:
        (draft / "b.txt").touch()
    assert [path.name for path in isolated.rglob("*")] == [name, "b.txt"]


def test_a_long_name_is_kept_aside_too(isolated: Path) -> None:
    out = isolated / ("é" * 127)

    def both() -> None:
        with whole_folder(out), whole_folder(out) as quick:
            (quick / "a.txt").touch()

    assert "another process has written to this folder" in message_of(both)
    assert len(list(isolated.iterdir())) == 2


def test_hidden_names_are_short_enough_and_differ_where_the_names_differ(isolated: Path) -> None:
    assert hidden_beside(isolated / "run", "checkpoints").name == ".run.checkpoints"
    long = [hidden_beside(isolated / ("é" * 120 + end), "checkpoints") for end in "ab"]
    assert long[0] != long[1]
    for path in long:
        assert len(os.fsencode(path.name)) <= LONGEST
        path.mkdir()


@WHOLE
def test_a_name_that_is_too_long_is_refused(isolated: Path, whole: Whole) -> None:
    refused = pytest.raises(DataError, match=r"aaa: cannot be written \(File name too long\).*Choose a shorter name\.")
    with refused, whole(isolated / ("a" * 300)):
        pytest.fail("the block was entered")
    assert list(isolated.iterdir()) == []


@CHECKS
def test_places_that_cannot_be_written_are_found_before_long_work(
    isolated: Path, check: Callable[[Path], None]
) -> None:
    (isolated / "file.txt").write_text("mine", encoding="utf-8")
    assert "Choose a shorter name." in message_of(lambda: check(isolated / ("a" * 300)))
    for path in (isolated / "file.txt" / "out", isolated / "file.txt" / "deep" / "out"):
        assert message_of(lambda path=path: check(path)).endswith(
            "is a file, but a folder is needed. Choose another path."
        )
    check(isolated / "fine")
    assert [path.name for path in isolated.iterdir()] == ["file.txt"]
    assert (isolated / "file.txt").read_text(encoding="utf-8") == "mine"


def test_checking_a_file_leaves_it_as_it_is(isolated: Path) -> None:
    (isolated / "a.txt").write_text("mine", encoding="utf-8")
    check_file(isolated / "a.txt")
    assert [(path.name, path.read_text(encoding="utf-8")) for path in isolated.iterdir()] == [("a.txt", "mine")]
    assert "does not exist. Create the folder first." in message_of(lambda: check_file(isolated / "absent" / "a.txt"))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@CHECKS
def test_a_folder_in_which_nobody_may_write_is_found_before_long_work(check: Callable[[Path], None]) -> None:
    assert message_of(lambda: check(Path("/proc/out"))).startswith("/proc/out: cannot be written (")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_mount_point_cannot_be_replaced() -> None:
    assert "is a mount point" in message_of(lambda: check_folder(Path("/proc"), overwrite=True))


@pytest.mark.parametrize("write", [check_file, check_folder, whole_file, whole_folder])
def test_a_read_only_folder_is_one_message(
    isolated: Path, write: Callable[[Path], AbstractContextManager[Path]]
) -> None:
    (isolated / "shared").mkdir()

    def enter() -> None:
        with read_only(isolated / "shared"), write(isolated / "shared" / "out") or nullcontext():
            pass

    said = message_of(enter)
    assert said.endswith(
        "cannot be written (Permission denied). Nothing was changed. Choose a folder in which you may write."
    )
    assert list((isolated / "shared").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_message(isolated: Path) -> None:
    (isolated / "file.txt").touch()
    assert "cannot be written" in message_of(lambda: make_folder(isolated / "file.txt" / "out"))


# -- errors while writing


@WHOLE
def test_a_folder_that_vanishes_is_named(isolated: Path, whole: Whole) -> None:
    (isolated / "runs").mkdir()

    def write() -> None:
        with whole(isolated / "runs" / "out"):
            shutil.rmtree(isolated / "runs")

    assert message_of(write).endswith("runs does not exist. Create the folder first.")


def test_a_full_disk_is_one_message_and_leaves_nothing(isolated: Path) -> None:
    def write() -> None:
        with small_disk():
            write_whole(isolated / "a.txt", ["x" * 2000])

    assert message_of(write).endswith("Nothing was changed. Free some space, or choose a path on another disk.")
    assert list(isolated.iterdir()) == []


def test_a_full_disk_found_by_a_library_is_one_message(isolated: Path) -> None:
    def write() -> None:
        with small_disk(), whole_folder(isolated / "out") as draft:
            save_file({"weight": np.zeros(5000)}, draft / "head.safetensors")

    assert f"({os.strerror(errno.EFBIG)})" in message_of(write)
    assert list(isolated.iterdir()) == []


@WHOLE
def test_an_error_in_cleaning_up_does_not_hide_the_first(isolated: Path, whole: Whole) -> None:
    def write() -> None:
        with whole(isolated / "out") as draft:
            # What was a file is a folder now, and the reverse: neither can be removed as what it was.
            draft.unlink() if draft.is_file() else draft.rmdir()
            draft.mkdir() if whole is whole_file else draft.touch()
            raise RuntimeError("first")

    with pytest.raises(RuntimeError, match="first"):
        write()


def test_the_older_folder_is_put_back_if_the_new_one_cannot_take_its_place(isolated: Path, full_folder: Path) -> None:
    def write() -> None:
        with whole_folder(full_folder, overwrite=True) as draft:
            draft.rmdir()

    assert "cannot be written" in message_of(write)
    assert (full_folder / "report.json").read_text(encoding="utf-8") == "old"
    assert list(isolated.iterdir()) == [full_folder]


def test_an_error_about_another_file_stays_what_it_is(isolated: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"), whole_file(isolated / "a.txt"):
        (isolated / "absent").read_text(encoding="utf-8")


@pytest.mark.parametrize("occupied", ["cache", "cache/locks"])
def test_without_a_place_for_locks_nothing_is_locked(
    isolated: Path, monkeypatch: pytest.MonkeyPatch, occupied: str
) -> None:
    monkeypatch.setenv("COMMUNIQUE_CACHE", str(isolated / "cache"))
    (isolated / occupied).parent.mkdir(exist_ok=True)
    (isolated / occupied).touch()
    entered = False
    with sole_writer(isolated / "out"):
        entered = True
    assert entered
