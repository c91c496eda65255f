"""The folders that commands leave: where one may be made, and which may be replaced by `--overwrite`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labels.errors import DataError
from labels.files import check_folder, whole_folder

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
