"""Output files and folders appear whole or not at all: each is written next to its place, then moved there."""

from __future__ import annotations

import errno
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from labels.errors import DataError


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


def _take_place(draft: Path, path: Path, *, overwrite: bool) -> None:
    if not path.exists():
        draft.replace(path)
        return
    if not overwrite and any(path.iterdir()):
        aside = path.with_name(f"{path.name}-{uuid.uuid4().hex[:8]}")
        draft.replace(aside)
        raise DataError(f"{path}: another process wrote there meanwhile. The new folder is now {aside}.")
    old = _beside(path, "old")
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
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
    return full or (isinstance(error.filename, str | Path) and Path(error.filename).is_relative_to(draft))
