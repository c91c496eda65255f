"""Which endings the files of a format have, so that no file says by its name that it is of another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from labels.errors import DataError


def check_ending(path: Path, endings: Sequence[str], format: str) -> str:
    """The file's ending in lower case.

    Raises:
        DataError: it is none of `endings`.
    """
    ending = path.suffix.lower()
    if ending not in endings:
        known = " or ".join(endings)
        raise DataError(
            f"{path}: a file of format {format} ends in {known}, not '{path.suffix}'. Rename the file, or "
            "choose its format with --format."
        )
    return ending
