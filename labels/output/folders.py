"""Create the output folders of commands, which replace only the output of an earlier command."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labels.errors import DataError
from labels.output.drafts import check_folder, explained, whole_folder

OUTPUT_MARKS = ("report.json", "manifest.json", "learning_curve.json", "study.journal", "texts.json")
"""Files that identify the output folder of a run or evaluation, an export, a learning curve, a sweep, or texts."""


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
    # A typing error in --out must not delete another folder of the user.
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


def make_folder(path: Path, *, empty: bool = False) -> None:
    """Create a folder and its missing parents; with `empty`, the content of an existing folder is deleted.

    Raises:
        DataError: the folder cannot be created or emptied.
    """
    with explained(path):
        if empty and path.is_dir():
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
