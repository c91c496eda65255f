"""The folders that commands leave: where one may be made, and which may be replaced by `--overwrite`.

One process at a time writes to an output folder: two trainings would delete each other's checkpoints.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labels.errors import DataError
from labels.files import check_folder, whole_folder
from trainer.environment import cache_folder

OUTPUT_MARKS = ("report.json", "manifest.json", "learning_curve.json", "study.journal")
"""One of them lies in every folder that a command leaves: a run or evaluation, an export, a learning curve, a sweep."""


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
    """Raise DataError when an output folder cannot be made at `path`; cheap, so ask before long work.

    `overwrite` replaces what an earlier call left, and nothing else: not the working folder or one around it, no folder
    without one of `OUTPUT_MARKS`, and none that holds a file of `reads`, which the work is about to read.
    """
    check_folder(path, overwrite=overwrite, repair=repair)
    if not path.is_dir() or not any(path.iterdir()):
        return
    if not any((path / mark).is_file() for mark in OUTPUT_MARKS):
        raise DataError(
            f"{path}: --overwrite replaces what an earlier call left, and this folder holds none of "
            f"{', '.join(OUTPUT_MARKS)}. Name another with --out, or empty it yourself."
        )
    for read in map(Path, reads):
        if read.resolve().is_relative_to(path.resolve()):
            raise DataError(f"{path}: --overwrite would delete {read}, which is to be read. Name another with --out.")


@contextmanager
def sole_writer(out: Path) -> Iterator[None]:
    """Hold `out` for this process; the lock goes with the process, however it ends.

    Locks lie in the cache: where there is no place for that nothing is locked, and one that is deleted while it is held
    holds nobody off any more.

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
            f"{out}: another process writes there at this moment. Wait until it is done, or name another with --out."
        ) from None
    with lock:
        yield
