"""Read the header of a table: find the separator of its columns, and the columns that communique uses.

Tables from other sources often have `;` or a tab as the separator, ` Text` for `text`, or columns with other names.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labels.errors import DataError, did_you_mean
from labels.unicode import clean

OUR_COLUMNS = (
    *("text", "label", "labels", "state", "annotator", "note", "seconds", "created_at", "suggestion"),
    *("example_id", "sentence_id", "document_id", "id", "source", "url", "title", "date", "language", "synthetic"),
)
"""Columns that communique reads."""
_REQUIRED = {"text", "label", "labels"}
_WITHOUT_EFFECT_ON_IDS = {"state", "annotator"}

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_DECLARATION = re.compile(r"\ufeff?\"?sep=(.)\"?,*\s*", re.IGNORECASE)
"""The first line that tells Excel the separator of a file; some programs append commas to this line."""


# -- the separator


@dataclass(frozen=True)
class CsvForm:
    """The separator of a CSV file, and whether its first line declares the separator (`sep=;`)."""

    delimiter: str = ","
    declared: bool = False

    @property
    def name(self) -> str:
        """The separator as a plural noun for messages, such as "semicolons"."""
        return _SEPARATORS.get(self.delimiter, f"`{self.delimiter}`")


def csv_form(path: Path) -> CsvForm:
    """Find the separator of a CSV file: as declared, or the only one of `,`, `;` and tab that fits the header.

    Raises:
        OSError, UnicodeDecodeError: the file cannot be read.
    """
    with path.open(encoding="utf-8-sig", newline="") as lines:
        if declaration := _DECLARATION.fullmatch(lines.readline()):
            return CsvForm(declaration[1], declared=True)
    headers = {delimiter: _header(path, delimiter) for delimiter in _SEPARATORS}
    if _has_our_column(headers[","]):
        return CsvForm()
    several = [delimiter for delimiter in (";", "\t") if len(headers[delimiter]) > 1]
    ours = [delimiter for delimiter in several if _has_our_column(headers[delimiter])]
    for found in (ours, several if len(headers[","]) == 1 else []):
        if len(found) == 1:
            return CsvForm(found[0])
    return CsvForm()


def check_header(names: Sequence[str], path: Path) -> None:
    """Refuse a header that names a column twice, because one of the two columns would be ignored.

    Raises:
        DataError: two columns have the same name.
    """
    counts = Counter(name for name in map(clean, names) if name)
    if repeated := next((name for name, count in counts.items() if count > 1), ""):
        raise DataError(
            f"{path}: the header names the column `{repeated}` {counts[repeated]} times. Rename or remove all but one "
            "of these columns."
        )


def _header(path: Path, delimiter: str) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        try:
            return next(csv.reader(lines, delimiter=delimiter, strict=True), [])
        except csv.Error:
            return []


def _has_our_column(names: Iterable[str]) -> bool:
    return any(_column_key(name) in OUR_COLUMNS for name in names)


# -- the columns


@dataclass(frozen=True)
class ColumnNames:
    """The text and label columns that the user chose. An empty name stands for `text`, and for `label` or `labels`."""

    text: str = ""
    label: str = ""


class ColumnFinder:
    """Renames columns to the names that communique uses: columns that the user chose, and variants such as ` Text`.

    Args:
        path: the file, for messages.
        names: the columns chosen by the user.
    """

    def __init__(self, path: Path | str, names: ColumnNames | None = None) -> None:
        self._path = path
        self._chosen = names or ColumnNames()
        self._renamings: dict[tuple[str, ...], Mapping[str, str]] = {}
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """The remarks on the columns of the rows that have been read."""
        return tuple(self._notes)

    def rename(self, row: Mapping[str, Any], place: str) -> dict[str, Any]:
        """Return the row with renamed columns. A column whose name is taken by a chosen column is left out.

        Raises:
            DataError: a chosen column does not exist, or several columns could be the same column.
        """
        columns = tuple(row)
        if columns not in self._renamings:
            self._renamings[columns] = self._renaming(columns, place)
        renaming = self._renamings[columns]
        return {name: value for column, value in row.items() if (name := renaming.get(column, column))}

    def _renaming(self, columns: Sequence[str], place: str) -> Mapping[str, str]:
        """Map columns to their new names; an empty name removes a column."""
        renaming: dict[str, str] = {}
        if self._chosen.text:
            renaming |= dict.fromkeys(_other_names(columns, "text"), "")
            renaming[self._find(self._chosen.text, "--text-column", columns, place)] = "text"
        if self._chosen.label:
            found = self._find(self._chosen.label, "--label-column", columns, place)
            renaming |= dict.fromkeys(_other_names(columns, "label", "labels"), "")
            renaming[found] = "labels" if _column_key(found) == "labels" else "label"
        return renaming | self._near_names([name for name in columns if name not in renaming], renaming, place)

    def _find(self, chosen: str, option: str, columns: Sequence[str], place: str) -> str:
        found = [name for name in columns if clean(name) == clean(chosen)]
        if found:
            return found[0]
        raise DataError(
            f"{place}: there is no column `{chosen}`{did_you_mean(chosen, columns)}. The columns are: "
            f"{', '.join(columns)}. Fix {option} (in an experiment: data.{option[2:].replace('-', '_')})."
        )

    def _near_names(self, columns: Sequence[str], renaming: Mapping[str, str], place: str) -> dict[str, str]:
        """Find the columns whose names differ from known names only in case and in white space at the ends."""
        taken = {*columns, *renaming.values()}
        near: dict[str, list[str]] = {}
        for column in columns:
            if column not in OUR_COLUMNS and (name := _column_key(column)) in OUR_COLUMNS:
                near.setdefault(name, []).append(column)
        if "text" not in taken and len(near.get("text", ())) > 1:
            shown = " and ".join(f"`{column}`" for column in near["text"])
            raise DataError(f"{place}: the columns {shown} could both be `text`. Choose one with --text-column.")
        single = {name: found[0] for name, found in near.items() if name not in taken and len(found) == 1}
        # If the file can be read without renaming, do not rename columns with provenance: document ids would change.
        readable = not renaming and not _REQUIRED & single.keys()
        read = {name: column for name, column in single.items() if not readable or name in _WITHOUT_EFFECT_ON_IDS}
        for column in filter(_MORE_LABELS.fullmatch, map(str, columns)):
            advice = "Write all labels of a row into one cell, separated by `|`"
            self._notes[f"{self._path}: the column `{column}` is not read. {advice}"] = None
        for name, found in near.items():
            for column in found:
                how = (
                    f"is read as `{name}`"
                    if read.get(name) == column
                    else f"is not read (its name is not exactly `{name}`)"
                )
                self._notes[f"{self._path}: the column `{column}` {how}"] = None
        return {column: name for name, column in read.items()}


_MORE_LABELS = re.compile(r"\s*labels?[ _.-]?\d+\s*", re.IGNORECASE)
"""Names of numbered label columns, such as "label 2"."""


def _column_key(name: str) -> str:
    return clean(name).casefold()


def _other_names(columns: Iterable[str], *ours: str) -> list[str]:
    return [column for column in columns if _column_key(column) in ours]
