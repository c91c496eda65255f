"""The files of a bulk prediction: found by path, folder or pattern, and recognised when a run continues."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

from labels.errors import DataError, did_you_mean, refuse_lone_string
from labels.text.documents import FoundFiles, find_files
from labels.text.labelled.exported import DELTA_LOG, describe_skipped, named_folder
from labels.text.rows import ROW_SUFFIXES, read_rows

FACTS = ("date", "title", "url")
"""What articles may state in their front matter or metadata, and each row of the output can keep like a column."""
_PIECE = 1 << 20
_PATTERN = "*?["
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class InputFile:
    """A file as it was when the run began.

    `rows` is the number of rows of a table, or an estimate for CSV, in which a cell can have several lines; it is only
    used to tell how much is left.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str
    rows: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read a file once for its digest.

        Raises:
            DataError: the file cannot be read.
        """
        try:
            status, lines = path.stat(), 0
            digest = hashlib.sha256()
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
                    lines += piece.count(b"\n")
        except OSError as error:
            raise DataError(f"{path}: the file cannot be read ({error.strerror}). Check the path.") from error
        return cls(str(path), status.st_size, status.st_mtime_ns, digest.hexdigest(), _count_rows(path, lines))

    @property
    def is_table(self) -> bool:
        """Whether the file has rows."""
        return Path(self.path).suffix.lower() in ROW_SUFFIXES

    def is_unchanged(self) -> bool:
        """Whether the file still has the same content. The content is read only if the time of change differs."""
        try:
            status = Path(self.path).stat()
        except OSError:
            return False
        if status.st_size != self.size:
            return False
        return status.st_mtime_ns == self.mtime_ns or InputFile.of(Path(self.path)).sha256 == self.sha256

    def check(self) -> None:
        """Check, after reading, that the file was not written to.

        Raises:
            DataError: the file was changed or removed.
        """
        try:
            status = Path(self.path).stat()
            same = (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns)
        except OSError:
            same = False
        if not same:
            raise DataError(
                f"{self.path}: the file was changed while it was being read. Wait until it is complete, and start "
                "again with --restart."
            )

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)


def _count_rows(path: Path, lines: int) -> int:
    if path.suffix.lower() != ".parquet":
        return lines
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError):  # reported when the file is read
        return 1


def find_inputs(outputs: Mapping[str, Path], inputs: Iterable[str | Path]) -> FoundFiles:
    """The input files, without the outputs (by option) that an earlier call left in one of the input folders.

    A path that does not exist and has `*`, `?` or `[` is a pattern; `**` stands for any folders. What a pattern matches
    in folders of unfinished output, such as `_temporary`, is left out with a note, as in folders that are given.

    Raises:
        DataError: a path does not exist, a pattern matches nothing, or an output is or contains an input.
    """
    refuse_lone_string(inputs, "inputs")
    skipped: dict[Path, str] = {}
    given = [path for one in inputs for path in _matching(Path(one), skipped)]
    own = {option: path.resolve() for option, path in outputs.items()}
    for option, place in own.items():
        for path in given:
            if path.resolve().is_relative_to(place):
                raise DataError(
                    f"{outputs[option]}: this path is or contains the input {path}, so it cannot also be an output. "
                    f"Choose another place with {option}."
                )
    found = find_files(given)
    places = ((file, file.resolve()) for file in found.files)
    # A file that is given twice, for example by two patterns, is read once.
    others = dict.fromkeys(
        file for file, place in places if not any(place.is_relative_to(output) for output in own.values())
    )
    notes = dict.fromkeys([*describe_skipped(skipped.items()), *found.notes])
    return replace(found, files=tuple(others), notes=tuple(notes))


def _matching(path: Path, skipped: dict[Path, str]) -> Sequence[Path]:
    """The path itself, or what the pattern matches; folders of unfinished output are added to `skipped`."""
    if path.exists() or not _is_pattern(str(path)):
        return [path]
    fixed = sum(1 for _ in takewhile(lambda part: not _is_pattern(part), path.parts))
    found = []
    for match in sorted(map(Path, glob.glob(str(path), recursive=True))):  # noqa: PTH207  # patterns may be absolute
        parts = match.parts
        inside = next((end for end in range(fixed, len(parts)) if named_folder(parts[end])), None)
        if inside is None:
            found.append(match)
        else:
            skipped[Path(*parts[: inside + 1])] = named_folder(parts[inside])
    # The log itself does not match `*.parquet`, but a reader must learn that the files belong to a Delta table.
    tables = {folder for match in found for folder in match.parents if len(folder.parts) >= fixed}
    logs = sorted(folder / DELTA_LOG for folder in tables if (folder / DELTA_LOG).is_dir())
    skipped |= dict.fromkeys(logs, named_folder(DELTA_LOG))
    if not found:
        others = "".join(f" Note: {note}." for note in describe_skipped(skipped.items()))
        raise DataError(f"{path}: no file or folder matches this pattern. Check the pattern.{others}")
    return found


def _is_pattern(text: str) -> bool:
    return any(mark in text for mark in _PATTERN)


def check_columns(files: Iterable[Path], columns: Sequence[str], reserved: Sequence[str]) -> None:
    """Check that the columns to keep exist, and that the output has no such column itself.

    They can be in the first row of a table, among the keys of its folders (`partition_keys`), or `FACTS` of articles.

    Raises:
        DataError: a column does not exist in any input, or has the name of a column of the output.
    """
    for name in columns:
        if name in reserved:
            raise DataError(
                f"--columns {name}: the output has a column `{name}` of its own. Rename the column in the input, or "
                "leave it out of --columns."
            )
    missing, seen = set(columns), dict[str, None]()
    for path in files:
        if not missing:
            return
        names = [*(_first_columns(path) if path.suffix.lower() in ROW_SUFFIXES else FACTS), *partition_keys(path)]
        missing -= set(names)
        seen |= dict.fromkeys(names)
    for name in columns:
        if name in missing:
            known = f" The columns are: {', '.join(seen)}." if seen else " The inputs have no tables."
            raise DataError(f"--columns {name}: no input has a column `{name}`{did_you_mean(name, seen)}.{known}")


def _first_columns(path: Path) -> list[str]:
    try:
        _, row = next(iter(read_rows(path, lambda _: None)), (0, {}))
    except DataError:  # reported when the file is read
        return []
    return list(row)


def partition_keys(path: str | Path) -> dict[str, str | None]:
    """The keys of a partitioned data set that the folders of a file name, as Hive and Spark write them.

    `set/year=2024/lang=en/part.parquet` has the keys {"year": "2024", "lang": "en"}; values are text.
    """
    pairs = (folder.partition("=") for folder in Path(path).absolute().parent.parts)
    found = {unquote(name): unquote(value) for name, equals, value in pairs if name and equals}
    return {name: None if value == _NO_VALUE else value for name, value in found.items()}


def changed_input(before: Sequence[Mapping[str, Any]], now: Sequence[Path]) -> str:
    """What differs between the files of an interrupted run and the present files; empty if nothing does."""
    old, new = [one["path"] for one in before], [str(path) for path in now]
    if gone := [path for path in old if path not in set(new)]:
        return f"the input {gone[0]} is missing"
    if added := [path for path in new if path not in set(old)]:
        return f"the input {added[0]} is new"
    if old != new:
        return "the inputs are in a different order"
    changed = (one["path"] for one in before if not InputFile(**one).is_unchanged())
    return next((f"the input {path} was changed" for path in changed), "")
