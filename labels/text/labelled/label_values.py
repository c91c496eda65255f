"""Interpret the values in the label cells of files together: split and merge values, and recognize `none`.

`labels.text.labelled.label_reading` decides which cells have a decision, and what a blank cell means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from labels.errors import counted
from labels.text.cells import Cell, LabelNames, has_separator, merge_key, split_parts, without_edges, without_none

_LISTED = 5
"""The maximum number of merged values listed in a note."""


@dataclass(frozen=True)
class LabelValue:
    """A value in label cells, the name of its label, and the number of its rows.

    The name is empty if the value means that no label applies.
    """

    value: str
    name: str
    rows: int


class LabelValues:
    """The values in all cells, and how they are interpreted together.

    Args:
        cells: the contents of all cells with a decision.
        names: the labels of the codebook; None if the codebook will be inferred.
    """

    def __init__(self, cells: Sequence[Cell], names: LabelNames | None) -> None:
        self._names = names
        distinct = Counter(cells)
        alone = (without_edges(value) for cell in distinct for value in cell.values)
        self._alone = {merge_key(value) for value in alone if not has_separator(value)} - {""}
        self._split: dict[str, tuple[str, ...]] = {}
        self._compounds: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        for cell, rows in distinct.items():
            self._compounds.update(dict.fromkeys((v for v in cell.values if self._is_compound(v, cell)), rows))
            self._rows.update(dict.fromkeys(self._parts(cell), rows))
        self._groups = self._grouped()
        self._canonical = {value: self._chosen(group) for group in self._groups.values() for value in group}
        self._read: dict[Cell, tuple[str, ...]] = {}

    def labels(self, cell: Cell, place: str) -> tuple[str, ...]:
        """Return the labels of a cell, each in its most frequent spelling.

        Raises:
            DataError: the cell contains `none` and labels; the message starts with `place`.
        """
        if cell not in self._read:
            self._read[cell] = without_none([self._canonical[part] for part in self._parts(cell)], place)
        return self._read[cell]

    def renamed(self, names: LabelNames) -> Iterator[LabelValue]:
        """Yield the values that differ from the names of their labels, the most frequent first."""
        for value, rows in self._rows.most_common():
            name = "" if self._is_none(value) else names.find(self._canonical[value])
            if name is not None and name != value:
                yield LabelValue(value, name, rows)

    def notes(self) -> Iterator[str]:
        """Yield remarks on values that were split, kept whole, or merged."""
        split = [value for value in self._compounds if self._split[value] != (value,)]
        whole = [value for value in self._compounds if self._split[value] == (value,)]
        for found, what in (
            (split, "were split into labels, because each part also occurs alone"),
            (whole, "were kept as one label, because not every part occurs alone"),
        ):
            if found:
                rows = sum(self._compounds[value] for value in found)
                yield f"label cells such as '{found[0][:60]}' {what} ({counted(rows, 'row')})"
        merged = {label: group for label, group in self._groups.items() if self._is_merged(group)}
        if merged:
            shown = [f"{self._canonical[group[0]]}: {self._shown(group)}" for group in merged.values()]
            more = f"; and {len(shown) - _LISTED} more" if len(shown) > _LISTED else ""
            groups = "; ".join(shown[:_LISTED]) + more
            yield (
                "values that differ only in case, white space, typography or '.0' count as one label (rows per value: "
                f"{groups})"
            )
        if none := sum(rows for value, rows in self._rows.items() if self._is_none(value)):
            yield f"label cells with 'none' were read as no label ({counted(none, 'row')})"

    def _is_merged(self, group: Sequence[str]) -> bool:
        """Return whether different spellings, other than the name and the title, were merged into one label."""
        if self._is_none(group[0]):
            return False
        return len(group) > 1 if self._names is None else not all(map(self._names.has, group))

    def _is_none(self, value: str) -> bool:
        return merge_key(value) == "none" and not (self._names and self._names.knows(value))

    def _shown(self, group: Sequence[str]) -> str:
        return ", ".join(f"'{value[:60]}' {self._rows[value]}" for value in group)

    def _is_compound(self, value: str, cell: Cell) -> bool:
        return not cell.is_list and has_separator(value) and not (self._names and self._names.knows(value))

    def _parts(self, cell: Cell) -> tuple[str, ...]:
        found: list[str] = []
        for value in cell.values:
            if self._is_compound(value, cell):
                if value not in self._split:
                    self._split[value] = split_parts(value, self._is_known)
                found += self._split[value]
            else:
                found.append(value)
        return tuple(found)

    def _is_known(self, part: str) -> bool:
        return merge_key(part) in self._alone or (self._names is not None and self._names.knows(part))

    def _grouped(self) -> dict[str, list[str]]:
        """Group the values that mean the same label, in order of frequency."""
        groups: dict[str, list[str]] = {}
        for value in sorted(self._rows, key=self._preference):
            name = self._names.find(value) if self._names else None
            groups.setdefault(merge_key(value) if name is None else f"\0{name}", []).append(value)
        return groups

    def _preference(self, value: str) -> tuple[int, bool, bool, int, str]:
        """Return the sort key of a spelling: descending frequency, then lower case, single spaces and length."""
        return -self._rows[value], value != value.lower(), value != " ".join(value.split()), len(value), value

    def _chosen(self, group: Sequence[str]) -> str:
        return (self._names.find(group[0]) if self._names else None) or group[0]
