"""One process at a time writes to an output folder: two trainings would delete each other's checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labels.errors import DataError
from trainer.resources import cache_folder


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
