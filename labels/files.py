"""Output files and folders appear whole or not at all: each is written next to its place, then moved there."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from labels.errors import DataError

OUTPUT_MARKS = ("report.json", "manifest.json", "learning_curve.json", "study.journal")
"""Every output folder contains one of them: a run or evaluation, an export, a learning curve, a sweep."""


def read_text(path: Path) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        DataError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error


def write_whole(path: Path, pieces: Iterable[str]) -> None:
    """Write a text file, whole or not at all.

    Raises:
        DataError: it cannot be written; an older file of that name stays as it was.
    """
    with whole_file(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(pieces)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a draft path next to `path`; it takes `path`'s place when the block ends without an error.

    Raises:
        DataError: the folder is missing or cannot be written.
    """
    if path.is_dir() or not path.name:
        raise DataError(f"{path}: this is a folder, and a file is needed. Name a file in it.")
    draft = _beside(path, "partial")
    try:  # from here on, as an interrupt can come at any moment
        with _explained(path):
            draft.touch()
        with _explained(path, draft):
            yield draft
        with _explained(path):
            draft.replace(path)
    finally:
        with suppress(FileNotFoundError, NotADirectoryError):
            draft.unlink()


@contextmanager
def whole_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a draft folder next to `path`; it takes `path`'s place when the block ends without an error.

    `overwrite` replaces any folder: the caller decides whether its content may go.

    Raises:
        DataError: as `check_folder`, or the place cannot be written. Where another process wrote there meanwhile, the
            new folder is kept next to it.
    """
    check_folder(path, overwrite=overwrite)
    draft = _beside(path, "partial")
    try:  # from here on, as an interrupt can come at any moment
        with _explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.mkdir()
        with _explained(path, draft):
            yield draft
        with _explained(path):
            _take_place(draft, path, overwrite=overwrite)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_folder(path: Path, *, overwrite: bool = False, repair: str = "Name another.") -> None:
    """Refuse a place where no new folder can be made; `repair` says what to do where the folder is not empty.

    Raises:
        DataError: `path` is the working folder or contains it, is a file, or is a folder that is not empty while
            `overwrite` is false.
    """
    if Path.cwd().is_relative_to(path.resolve()):
        raise DataError(
            f"{path}: this folder is or contains the working folder, so it cannot be replaced. Name a folder in it."
        )
    if path.is_file():
        raise DataError(f"{path}: this is a file. Name a folder.")
    if not overwrite and path.is_dir() and any(path.iterdir()):
        raise DataError(f"{path}: this folder is not empty. {repair}")


@contextmanager
def output_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a draft folder that takes `path`'s place when the block ends without an error.

    Raises:
        DataError: as `refuse_occupied` and `labels.files.whole_folder`.
    """
    refuse_occupied(path, overwrite=overwrite)
    with whole_folder(path, overwrite=overwrite) as draft:
        yield draft


def refuse_occupied(
    path: Path,
    *,
    overwrite: bool = False,
    reads: Iterable[str | Path] = (),
    repair: str = "Name another with --out, or add --overwrite.",
) -> None:
    """Raise DataError if no output folder can be made at `path`; cheap, so call it before long work.

    `overwrite` replaces only what an earlier command left: not the working folder or one around it, no folder without
    one of `OUTPUT_MARKS`, and none with a file of `reads`, which the work is about to read.
    """
    check_folder(path, overwrite=overwrite, repair=repair)
    if not path.is_dir() or not any(path.iterdir()):
        return
    # A mistyped --out must not delete a folder of the user's own.
    if not any((path / mark).is_file() for mark in OUTPUT_MARKS):
        raise DataError(
            f"{path}: --overwrite replaces only folders that an earlier command made, and this folder contains none of "
            f"{', '.join(OUTPUT_MARKS)}. Name another with --out, or empty it yourself."
        )
    for read in map(Path, reads):
        if read.resolve().is_relative_to(path.resolve()):
            raise DataError(f"{path}: --overwrite would delete {read}, which is to be read. Name another with --out.")


@contextmanager
def sole_writer(out: Path) -> Iterator[None]:
    """Lock `out` for this process; the lock ends with the process, however that ends.

    Locks are files in the cache. Where it cannot be written nothing is locked, and a deleted lock file no longer
    protects the folder.

    Raises:
        DataError: another process of this machine holds it.
    """
    from filelock import FileLock, Timeout

    name = hashlib.sha256(str(out.resolve()).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    path = cache_folder() / "locks" / f"{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        yield
        return
    try:
        lock = FileLock(path).acquire(timeout=0)
    except Timeout:
        raise DataError(
            f"{out}: another process is writing there now. Wait until it is done, or name another folder with --out."
        ) from None
    with lock:
        yield


def cache_folder() -> Path:
    """The folder of vectors and locks that commands share: COMMUNIQUE_CACHE, else `~/.cache/communique`."""
    named = os.environ.get("COMMUNIQUE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "communique"


def _take_place(draft: Path, path: Path, *, overwrite: bool) -> None:
    if not path.exists():
        draft.replace(path)
        return
    # The check before the work may be hours old; what took hours is not thrown away for it.
    if not overwrite and any(path.iterdir()):
        aside = path.with_name(f"{path.name}-{uuid.uuid4().hex[:8]}")
        draft.replace(aside)
        raise DataError(f"{path}: another process wrote there meanwhile. The new folder is now {aside}.")
    old = _beside(path, "old")  # deleting takes time: with two moves, the place is empty only for a moment
    path.replace(old)
    draft.replace(path)
    shutil.rmtree(old, ignore_errors=True)


def _beside(path: Path, ending: str) -> Path:
    """A hidden, unused name in the same folder: a move within a file system is a single step."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.{ending}")


@contextmanager
def _explained(path: Path, draft: Path | None = None) -> Iterator[None]:
    """Turn errors of the file system into '`path` cannot be written'; with a `draft`, only those that concern it."""
    try:
        yield
    except OSError as error:
        if draft is not None and not _concerns(error, draft):
            raise
        if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
            raise DataError(f"{path}: the folder {path.parent} does not exist. Create it first.") from error
        raise DataError(f"{path}: cannot be written ({error.strerror or error}). Nothing was changed.") from error


def _concerns(error: OSError, draft: Path) -> bool:
    # A full disk is reported without the name of a file; what is being written is the draft.
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
    return full or (isinstance(error.filename, str | Path) and Path(error.filename).is_relative_to(draft))
