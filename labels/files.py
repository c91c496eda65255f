"""Write output files and folders completely or not at all: a draft is written next to the target, then moved there."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from labels.errors import DataError

OUTPUT_MARKS = ("report.json", "manifest.json", "learning_curve.json", "study.journal")
"""Files that identify an output folder: of a run or evaluation, an export, a learning curve, or a sweep."""

_LEFTOVER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(?P<ending>partial|old)", re.DOTALL)
"""Names made by `_beside`."""


def write_whole(path: Path, pieces: Iterable[str]) -> None:
    """Write a text file completely or not at all.

    Raises:
        DataError: the file cannot be written; an existing file stays unchanged.
    """
    with whole_file(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(pieces)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield the path of a draft file next to `path`; if the block ends without an error, the draft replaces `path`.

    Raises:
        DataError: the folder does not exist or is not writable, or `path` is a folder.
    """
    if path.is_dir() or not path.name:
        raise DataError(f"{path}: this is a folder, but a file is needed. Choose a file in this folder.")
    remove_leftovers(path)
    with _draft(path, Path.touch) as draft:
        yield draft
        with _explained(path):
            draft.replace(path)


@contextmanager
def whole_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield the path of a draft folder next to `path`; if the block ends without an error, the draft replaces `path`.

    `overwrite` replaces any folder: the caller must check that its content may be deleted.

    Raises:
        DataError: see `check_folder`; also if the folder cannot be written, or if another process has filled `path` in
            the meantime. In the last case, the draft is kept next to `path` under a new name.
    """
    check_folder(path, overwrite=overwrite)
    remove_leftovers(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _draft(path, Path.mkdir) as draft:
        yield draft
        with _explained(path):
            _take_place(draft, path, overwrite=overwrite)


def check_folder(path: Path, *, overwrite: bool = False, repair: str = "Choose another folder.") -> None:
    """Check that a new folder can be created at `path`; `repair` is the advice for a folder that is not empty.

    Raises:
        DataError: `path` is the working folder or contains it, is a file, or is a folder that is not empty while
            `overwrite` is false.
    """
    if Path.cwd().is_relative_to(path.resolve()):
        raise DataError(
            f"{path}: this folder is or contains the working folder and cannot be replaced. Choose a folder inside the "
            "working folder."
        )
    if path.is_file():
        raise DataError(f"{path}: this is a file, but a folder is needed. Choose a folder.")
    if not overwrite and path.is_dir() and any(path.iterdir()):
        raise DataError(f"{path}: this folder is not empty. {repair}")


@contextmanager
def output_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield the path of a draft folder; if the block ends without an error, the draft replaces `path`.

    Raises:
        DataError: see `refuse_occupied` and `whole_folder`.
    """
    refuse_occupied(path, overwrite=overwrite)
    with whole_folder(path, overwrite=overwrite) as draft:
        yield draft


def refuse_occupied(
    path: Path,
    *,
    overwrite: bool = False,
    reads: Iterable[str | Path] = (),
    repair: str = "Choose another folder with --out, or add --overwrite.",
) -> None:
    """Raise DataError if no output folder can be created at `path`; call it before long computations.

    `overwrite` replaces only the output of an earlier command. It never replaces the working folder or its parents, a
    folder without one of the `OUTPUT_MARKS`, or a folder that contains one of the input files `reads`.
    """
    check_folder(path, overwrite=overwrite, repair=repair)
    if not path.is_dir() or not any(path.iterdir()):
        return
    # A mistyped --out must not delete another folder of the user.
    if not any((path / mark).is_file() for mark in OUTPUT_MARKS):
        raise DataError(
            f"{path}: --overwrite replaces only the output of an earlier command, but this folder contains none of "
            f"{', '.join(OUTPUT_MARKS)}. Choose another folder with --out, or empty this folder yourself."
        )
    for read in map(Path, reads):
        if read.resolve().is_relative_to(path.resolve()):
            raise DataError(
                f"{path}: --overwrite would delete {read}, which this command reads. Choose another folder with --out."
            )


@contextmanager
def sole_writer(out: Path) -> Iterator[None]:
    """Lock the folder `out` for this process; the lock is released when the process ends, even after a crash.

    Lock files are kept in the cache folder. If the cache folder is not writable, nothing is locked; if a lock file is
    deleted, its folder is no longer protected.

    Raises:
        DataError: another process on this machine holds the lock.
    """
    from filelock import FileLock, Timeout

    path = _lock_file(out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        yield
        return
    try:
        lock = FileLock(path).acquire(timeout=0)
    except Timeout:
        raise DataError(
            f"{out}: another process is writing to this folder. Wait until it has finished, or choose another folder "
            "with --out."
        ) from None
    with lock:
        yield


def _lock_file(out: Path) -> Path:
    name = hashlib.sha256(str(out.resolve()).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return cache_folder() / "locks" / f"{name}.lock"


def cache_folder() -> Path:
    """The folder for cached embeddings and locks: COMMUNIQUE_CACHE if set, otherwise `~/.cache/communique`."""
    named = os.environ.get("COMMUNIQUE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "communique"


def _take_place(draft: Path, path: Path, *, overwrite: bool) -> None:
    if not path.exists():
        draft.replace(path)
        return
    # The last check may be hours old. A result that took hours must not be lost, so it is kept under another name.
    if not overwrite and any(path.iterdir()):
        aside = path.with_name(f"{path.name}-{uuid.uuid4().hex[:8]}")
        draft.replace(aside)
        raise DataError(
            f"{path}: another process has written to this folder in the meantime. The new folder is {aside}."
        )
    old = _beside(path, "old")  # moving is faster than deleting: `path` is missing only for an instant
    path.replace(old)
    draft.replace(path)
    shutil.rmtree(old, ignore_errors=True)


def _beside(path: Path, ending: str) -> Path:
    """A hidden, unused name in the same folder, because a move within a file system is atomic."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.{ending}")


# -- drafts


@contextmanager
def _draft(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Create a draft of `path` with `make`, lock it, and remove it at the end if it still exists.

    The system releases the lock even if the process is killed. On file systems without locks, nothing is locked, and
    `remove_leftovers` removes nothing.
    """
    fresh, draft = _beside(path, "new"), _beside(path, "partial")
    with ExitStack() as locks:
        try:  # starts here, because an interrupt can occur at any time
            with _explained(path):
                make(fresh)
                with suppress(OSError):
                    locks.enter_context(_locked(fresh))
                fresh.rename(draft)  # not earlier: other processes remove a draft that is not locked
            with _explained(path, draft):
                yield draft
        finally:
            _remove(fresh)
            _remove(draft)


def remove_leftovers(path: Path) -> None:
    """Remove what killed processes left next to `path`: drafts of `path`, and drafts of other folders.

    A draft that a living process is writing is kept. Failing to remove a draft is no reason to stop.
    """
    with suppress(OSError):
        for entry in list(path.parent.iterdir()):
            match = _LEFTOVER.fullmatch(entry.name)
            if match is None or not (match["name"] == path.name or _is_folder(entry)):
                continue
            target = path.with_name(match["name"])
            # A process that was killed between its two moves has left the only copy of the older folder.
            if match["ending"] == "partial" or target.exists():
                _remove_unused(entry, () if target == path else (_lock_file(target),))


def _remove_unused(entry: Path, locks: Iterable[Path]) -> None:
    with suppress(OSError), ExitStack() as held:
        for path in (entry, *locks):
            held.enter_context(_locked(path))
        _remove(entry)


def _remove(path: Path) -> None:
    """Remove a file or folder if possible: an error here must not replace an earlier error."""
    if _is_folder(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock on an existing file or folder; does nothing if `path` does not exist.

    Raises:
        OSError: another process holds the lock, or the file system has no locks.
    """
    if not path.exists():
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _explained(path: Path, draft: Path | None = None) -> Iterator[None]:
    """Convert file system errors into a DataError for `path`; if `draft` is given, only errors about the draft."""
    try:
        yield
    except OSError as error:
        if draft is not None and not _concerns(error, draft):
            raise
        if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
            raise DataError(f"{path}: the folder {path.parent} does not exist. Create the folder first.") from error
        raise DataError(f"{path}: cannot be written ({error.strerror or error}). Nothing was changed.") from error


def _concerns(error: OSError, draft: Path) -> bool:
    # The error for a full disk has no file name; only the draft is being written at that time.
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
    return full or (isinstance(error.filename, str | Path) and Path(error.filename).is_relative_to(draft))
