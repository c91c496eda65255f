"""Write output files and folders completely or not at all: write a draft next to the target, then move it there."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from labels.errors import DataError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_LONGEST_NAME = 255
"""Longest file name, in bytes, on common file systems."""
_LEFTOVER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(?P<ending>partial|old)", re.DOTALL)
"""A pattern for the names that `_beside` makes."""
_LOCK = ".lock"


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
        DataError: the folder does not exist or is not writable, the name is too long, the disk is full, or `path` is a
            folder.
    """
    with explained(path):
        _refuse_place_of_file(path)
    remove_leftovers(path)
    with _draft(path, Path.touch) as draft:
        yield draft
        with explained(path):
            draft.replace(path)


def check_file(path: Path) -> None:
    """Check that a file can be written at `path`; call it before long computations.

    Raises:
        DataError: see `whole_file`.
    """
    with explained(path):
        _refuse_place_of_file(path)
        _try_writing(path)


def _refuse_place_of_file(path: Path) -> None:
    if path.is_dir() or not path.name:
        raise DataError(f"{path}: this is a folder, but a file is needed. Choose a file in this folder.")
    path.parent.stat()  # unlike a folder, a file does not create the folders above it
    _try_name(path)


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
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _draft(path, Path.mkdir) as draft:
        yield draft
        with explained(path):
            take_place(draft, path, overwrite=overwrite)


def check_folder(path: Path, *, overwrite: bool = False, repair: str = "Choose another folder.") -> None:
    """Check that a new folder can be created at `path`; `repair` is the advice if the folder is not empty.

    Raises:
        DataError: `path` is the working folder or contains it, is a file, or is a folder that is not empty while
            `overwrite` is false; or a folder cannot be created there.
    """
    with explained(path):
        _refuse_place_of_folder(path, overwrite=overwrite, repair=repair)
        _try_name(path)
        _try_writing(path)


def _refuse_place_of_folder(path: Path, *, overwrite: bool, repair: str) -> None:
    if Path.cwd().is_relative_to(os.path.realpath(path)):
        raise DataError(
            f"{path}: this folder is or contains the working folder and cannot be replaced. Choose a folder inside the "
            "working folder."
        )
    if path.is_file():
        raise DataError(f"{path}: this is a file, but a folder is needed. Choose a folder.")
    if path.is_mount():
        raise DataError(f"{path}: this folder is a mount point and cannot be replaced. Choose a folder inside it.")
    if not overwrite and path.is_dir() and any(path.iterdir()):
        raise DataError(f"{path}: this folder is not empty. {repair}")


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
        lock = FileLock(path).acquire(timeout=0)
    except Timeout:
        raise DataError(
            f"{out}: another process is writing to this folder. Wait until it has finished, or choose another folder "
            "with --out."
        ) from None
    except (OSError, NotImplementedError):  # the cache folder is not writable, or its file system has no locks
        yield
        return
    with lock:
        yield


def _lock_file(out: Path) -> Path:
    name = hashlib.sha256(os.path.realpath(out).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return cache_folder() / "locks" / f"{name}.lock"


def cache_folder() -> Path:
    """Return the folder for cached embeddings and locks: COMMUNIQUE_CACHE if set, otherwise `~/.cache/communique`."""
    named = os.environ.get("COMMUNIQUE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "communique"


def take_place(draft: Path, path: Path, *, overwrite: bool) -> None:
    """Move a complete draft folder to `path` in the same folder; `overwrite` replaces any folder there."""
    if not path.exists():
        draft.replace(path)
        return
    # The last check may be hours old. A result that took hours must not be lost, so it is kept under another name.
    if not overwrite and any(path.iterdir()):
        aside = named_beside(path, "", f"-{uuid.uuid4().hex[:8]}")
        draft.replace(aside)
        raise DataError(
            f"{path}: another process has written to this folder in the meantime. The new folder is {aside}."
        )
    old = _beside(path, "old")
    path.replace(old)  # moving is faster than deleting, so `path` is missing only for an instant
    try:
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


# -- drafts


@contextmanager
def _draft(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Lock a draft of `path`, create it with `make`, and remove it at the end if it still exists.

    The system releases the lock even if the process is killed. The lock file is next to the draft, so that it also
    protects the draft from other users and machines. If the file system has no locks, nothing is locked, and
    `remove_leftovers` removes nothing.
    """
    draft = _beside(path, "partial")
    with ExitStack() as locks:
        try:  # starts here, because an interrupt can occur at any time
            with explained(path):
                with suppress(OSError, NotImplementedError):
                    locks.enter_context(_locked(draft))
                make(draft)  # not earlier: other processes remove a draft that is not locked
            with explained(path, draft):
                yield draft
        finally:
            _remove(draft)


def remove_leftovers(path: Path) -> None:
    """Remove the leftovers of killed processes next to `path`: drafts of `path`, and drafts of other folders.

    A draft that a living process is writing is kept. A draft that cannot be removed is skipped.
    """
    with suppress(OSError):
        for entry in list(path.parent.iterdir()):
            match = _LEFTOVER.fullmatch(entry.name)
            if match is None or not (match["name"] == path.name or _is_folder(entry)):
                continue
            target = path.with_name(match["name"])
            # A process that was killed between its two moves has left the only copy of the older folder.
            if match["ending"] == "partial" or target.exists():
                _remove_unused(entry, target, is_own=target == path)


def _remove_unused(entry: Path, target: Path, *, is_own: bool) -> None:
    with suppress(OSError, NotImplementedError, DataError), ExitStack() as held:
        held.enter_context(_locked(entry))
        if not is_own and _lock_file(target).exists():
            held.enter_context(sole_writer(target))
        _remove(entry)


def _remove(path: Path) -> None:
    """Remove a file or folder if possible: an error here must not replace an earlier error."""
    with suppress(OSError):
        if _is_folder(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


@contextmanager
def _locked(draft: Path) -> Iterator[None]:
    """Hold the lock on a draft, which need not exist yet.

    Raises:
        OSError, NotImplementedError: another process holds the lock, or the file system has no locks.
    """
    from filelock import FileLock

    path = draft.with_name(f"{draft.name}{_LOCK}")
    with FileLock(path).acquire(timeout=0):
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()  # no other draft ever has this name


# -- names, and errors of the file system


def named_beside(path: Path, before: str, after: str) -> Path:
    """Return a path in the same folder whose name has text before and after; a long name is cut and gets a hash."""
    whole = os.fsencode(path.name)
    room = _LONGEST_NAME - len(before) - len(after) - len(_LOCK)
    if len(whole) <= room:
        return path.with_name(f"{before}{path.name}{after}")
    digest = hashlib.sha256(whole).hexdigest()[:16]
    start = whole[: room - len(digest) - 1].decode("utf-8", "ignore")
    return path.with_name(f"{before}{start}-{digest}{after}")


def hidden_beside(path: Path, ending: str) -> Path:
    """Return the hidden path `.NAME.ENDING` in the same folder; see `named_beside`."""
    return named_beside(path, ".", f".{ending}")


def _beside(path: Path, ending: str) -> Path:
    """Return a hidden, unused path in the same folder, because a move within a file system is atomic."""
    return hidden_beside(path, f"{uuid.uuid4().hex[:8]}.{ending}")


def _try_name(path: Path) -> None:
    """Raise OSError if the file system does not accept the path, for example because its name is too long."""
    with suppress(FileNotFoundError):
        os.lstat(path)


def _try_writing(path: Path) -> None:
    """Create and remove a hidden file in the first existing folder above `path`; raises OSError if that fails."""
    place = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    trial = _beside(place / "communique", "partial")
    trial.touch()
    with suppress(OSError):
        trial.unlink()


@contextmanager
def explained(path: Path, draft: Path | None = None) -> Iterator[None]:
    """Convert errors of the file system to a DataError about `path`; with `draft`, only errors about the draft."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        found = _system_error(error)
        if found is None or (draft is not None and not _concerns(found, draft)):
            raise
        raise DataError(f"{path}: {_reason(path, found)}") from error


def _system_error(error: Exception) -> OSError | None:
    if isinstance(error, OSError):
        return error
    # Libraries written in Rust (safetensors, tokenizers) only mention the error in their message.
    found = re.search(r"\(os error (\d+)\)", str(error))
    number = int(found[1]) if found else 0
    if isinstance(error, RuntimeError) and "inline_container.cc" in str(error):
        number = errno.EIO  # `torch.save` does not mention the error at all
    return OSError(number, os.strerror(number)) if number else None


def _reason(path: Path, error: OSError) -> str:
    if error.errno == errno.ENOENT and not path.parent.is_dir():
        return f"the folder {path.parent} does not exist. Create the folder first."
    repair = "Choose another path."
    if error.errno == errno.ENAMETOOLONG:
        repair = "Choose a shorter name."
    elif error.errno in (errno.ENOTDIR, errno.EEXIST):
        repair = "A part of this path is a file, but a folder is needed. Choose another path."
    elif error.errno in _NOT_ALLOWED:
        repair = "Choose a folder in which you may write."
    elif error.errno in _NO_ROOM:
        repair = "Free some space, or choose a path on another disk."
    reason = os.strerror(error.errno) if error.errno else str(error).partition("\n")[0]
    return f"cannot be written ({reason}). Nothing was changed. {repair}"


def _concerns(error: OSError, draft: Path) -> bool:
    # The error for a full disk has no file name, but only the draft is being written at that time.
    if error.errno in (*_NO_ROOM, errno.EROFS) or not os.path.lexists(draft):
        return True
    name = error.filename
    return isinstance(name, str | Path) and Path(name).absolute().is_relative_to(draft.absolute())
