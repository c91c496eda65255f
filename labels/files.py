"""Output files and folders appear whole or not at all: written beside their place, then moved there."""

from __future__ import annotations

import errno
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from labels.errors import DataError


def write_whole(path: Path, pieces: Iterable[str]) -> None:
    """Write a text file whole.

    Raises:
        DataError: it cannot be written there; an older file of that name is left as it was.
    """
    with whole_file(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(pieces)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a draft path beside `path`; it takes `path`'s place when the block ends without an error.

    Raises:
        DataError: the folder is missing or cannot be written.
    """
    if path.is_dir() or not path.name:
        raise DataError(f"{path}: a folder cannot be written as a file. Name a file in it.")
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
    """Yield a draft folder beside `path`; it takes `path`'s place when the block ends without an error.

    `overwrite` lets it take the place of any folder: whether what lies there may go is the caller's to know.

    Raises:
        DataError: as `check_folder`, or the place cannot be written. Where something came to lie there only meanwhile,
            the new folder is kept beside it.
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
    """Refuse a place where no new folder can be made; `repair` says what to do about a folder that is not empty.

    Raises:
        DataError: `path` is the working folder or one around it, a file, or a folder that holds something and
            `overwrite` is false.
    """
    if Path.cwd().is_relative_to(path.resolve()):
        raise DataError(
            f"{path}: this is the working folder, or one around it, which cannot be replaced. Name a folder in it."
        )
    if path.is_file():
        raise DataError(f"{path}: this is a file. Name a folder.")
    if not overwrite and path.is_dir() and any(path.iterdir()):
        raise DataError(f"{path}: this folder holds something already. {repair}")


def _take_place(draft: Path, path: Path, *, overwrite: bool) -> None:
    if not path.exists():
        draft.replace(path)
        return
    if not overwrite and any(path.iterdir()):
        aside = path.with_name(f"{path.name}-{uuid.uuid4().hex[:8]}")
        draft.replace(aside)
        raise DataError(f"{path}: something else was written there meanwhile. What was to lie there is now in {aside}.")
    old = _beside(path, "old")
    path.replace(old)
    draft.replace(path)
    shutil.rmtree(old, ignore_errors=True)


def _beside(path: Path, ending: str) -> Path:
    """A hidden, unused name in the same folder, so that moving it to `path` is one step of the file system."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.{ending}")


@contextmanager
def _explained(path: Path, draft: Path | None = None) -> Iterator[None]:
    """Say that `path` cannot be written. With a `draft`, only errors that concern it: others are none of ours."""
    try:
        yield
    except OSError as error:
        if draft is not None and not _concerns(error, draft):
            raise
        if isinstance(error, FileNotFoundError) and not path.parent.is_dir():
            raise DataError(f"{path}: the folder {path.parent} does not exist. Make it first.") from error
        raise DataError(f"{path}: cannot be written ({error.strerror or error}). Nothing was left there.") from error


def _concerns(error: OSError, draft: Path) -> bool:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
    return full or (isinstance(error.filename, str | Path) and Path(error.filename).is_relative_to(draft))
