"""Read all label cells of labelled files together: what one cell alone cannot tell.

Whether `aid, truce` is one label or two, whether `Aid` and `aid` are the same label, whether a file is multi-label, and
what its blank cells mean is decided once, from all cells and the codebook. Every such decision is reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from labels.codebook.inferred import infer_codebook
from labels.codebook.schema import Codebook
from labels.errors import CodebookError, DataError, did_you_mean
from labels.text.cells import (
    Cell,
    LabelNames,
    has_separator,
    is_blank,
    merge_key,
    parse_cell,
    split_parts,
    without_none,
)

Blank = Literal["", "none", "undecided"]
"""The meaning of a blank label cell, as chosen by the user: no label applies, or nobody decided. Empty: not chosen."""

LabelFile = tuple[str, Sequence["LabelCell"]]
"""The path of a file, for messages, and its label cells."""

LabelSet = tuple[str, ...] | None
"""The labels of a row, by name; None if nobody decided."""

DECIDED_STATES = ("reviewed",)
UNDECIDED_STATES = ("skipped", "unseen", "not_a_sentence")
_STATES = (*DECIDED_STATES, *UNDECIDED_STATES)
_LISTED = 5
"""The maximum number of merged values listed in a note."""


@dataclass(frozen=True)
class LabelCell:
    """A label cell with its place (file and row, for messages), its column, and the state of its row (may be empty)."""

    place: str
    column: str
    value: Any
    state: str = ""


@dataclass(frozen=True)
class LabelValue:
    """A value in label cells, the name of the label that it means, and the number of its rows.

    The name is empty if the value means that no label applies.
    """

    value: str
    name: str
    rows: int


@dataclass(frozen=True)
class LabelReading:
    """The labels of all rows.

    - `codebook`: the given codebook, or the codebook inferred from the values
    - `label_sets`: for each file, the labels of its rows
    - `values`: the values that differ from the names of their labels
    - `notes`: remarks on all decisions that the files leave open
    """

    codebook: Codebook
    label_sets: tuple[tuple[LabelSet, ...], ...]
    values: tuple[LabelValue, ...]
    notes: tuple[str, ...]


def read_labels(
    files: Sequence[LabelFile], codebook: Codebook | None, *, blank: Blank = "", name: str = "", check: bool = True
) -> LabelReading:
    """Read the label cells of files.

    Args:
        files: the path of each file, for notes, and its cells.
        codebook: the codebook with the labels; None to infer a codebook from the values.
        blank: the meaning of blank cells.
        name: the name of an inferred codebook.
        check: whether to check the label sets against the codebook; otherwise, unknown values are kept unchanged.

    Raises:
        DataError: a cell cannot be read, a label is not in the codebook, or more than half of the rows of a multi-label
            file are blank and `blank` is not set.
        CodebookError: no codebook can be inferred.
    """
    names = None if codebook is None else LabelNames(codebook)
    decisions = [(path, _decide(cells, names, blank)) for path, cells in files]
    everything = [decision for _, own in decisions for decision in own]
    values = _Values([decision.content for decision in everything if decision.content], names)
    sets = [values.read(decision) for decision in everything]
    multi_label = _is_multi_label(everything, sets, codebook)
    if not blank and multi_label:
        _refuse_mostly_blank(decisions)
    if codebook is None:
        decided = [labels for labels in sets if labels is not None]
        codebook = infer_codebook(name, decided, exclusive=not multi_label)
    final = LabelNames(codebook)
    pairs = zip(sets, everything, strict=True)
    if check:
        sets = [_checked(labels, decision.cell.place, codebook, final) for labels, decision in pairs]
    rest = iter(sets)
    found = tuple(tuple(islice(rest, len(own))) for _, own in decisions)
    notes = (*_decision_notes(decisions), *_form_notes(everything, sets), *values.notes())
    return LabelReading(codebook, found, tuple(values.renamed(final)), notes)


def _checked(labels: LabelSet, place: str, codebook: Codebook, names: LabelNames) -> LabelSet:
    if labels is None:
        return None
    try:
        return codebook.check_labels([names.find(label) or label for label in labels], place)
    except CodebookError as error:
        raise DataError(str(error)) from None


# -- decisions


@dataclass(frozen=True)
class _Decision:
    """A cell with its content. Without content, nobody decided, for the reason given."""

    cell: LabelCell
    content: Cell | None
    reason: str = ""


_FileDecisions = tuple[str, Sequence[_Decision]]
"""The path of a file, and the decisions in its cells."""


def _decide(cells: Sequence[LabelCell], names: LabelNames | None, blank: Blank) -> list[_Decision]:
    states = {cell.state for cell in cells} - {""}
    # A table of other origin may have a column `state` with regions of a country.
    ours = bool(states & set(_STATES))
    return [_decision(cell, cell.state if ours else "", names, blank) for cell in cells]


def _decision(cell: LabelCell, state: str, names: LabelNames | None, blank: Blank) -> _Decision:
    if state and state not in _STATES:
        raise DataError(
            f"{cell.place}: `state` must be {' or '.join(_STATES)}, not '{state}'{did_you_mean(state, _STATES)}. "
            "Fix the row."
        )
    content = parse_cell(cell.value, cell.place, names.knows if names else lambda _: False)
    if state in UNDECIDED_STATES:
        if content and without_none(content.values, cell.place):
            raise DataError(f"{cell.place}: `state` {state} allows no labels, but the row has some. Fix the row.")
        return _Decision(cell, None, state.replace("_", " "))
    if content is not None:
        return _Decision(cell, content)
    if state in DECIDED_STATES or (is_blank(cell.value) and blank == "none"):
        return _Decision(cell, Cell(()), "" if state else "blank")
    return _Decision(cell, None, "blank" if is_blank(cell.value) else "no value (null, NaN, -1)")


def _refuse_mostly_blank(decisions: Sequence[_FileDecisions]) -> None:
    for path, own in decisions:
        blank = sum(decision.reason == "blank" for decision in own)
        if 2 * blank > len(own):
            raise DataError(
                f"{path}: {blank} of {len(own)} rows have a blank label cell, and the file is multi-label. "
                "Blank cells can mean two things:\n"
                f"  no label applies: all {len(own)} rows count, {blank} of them without a label. Set data.blank = "
                '"none" in the experiment, or use --blank none.\n'
                f"  nobody decided: {len(own) - blank} rows count. Set data.blank = "
                '"undecided" in the experiment, or use --blank undecided.'
            )


def _is_multi_label(decisions: Iterable[_Decision], sets: Iterable[LabelSet], codebook: Codebook | None) -> bool:
    if codebook is not None:
        return not codebook.exclusive
    several = any(labels is not None and len(labels) > 1 for labels in sets)
    listed = any(decision.content is not None and decision.content.is_list for decision in decisions)
    return several or listed or any(decision.cell.column == "labels" for decision in decisions)


# -- values


class _Values:
    """The values in all cells, and what they mean together.

    Args:
        cells: the contents of all cells with a decision.
        names: the labels of the codebook; None if the codebook will be inferred.
    """

    def __init__(self, cells: Sequence[Cell], names: LabelNames | None) -> None:
        self._names = names
        alone = (value for cell in cells for value in cell.values if not has_separator(value))
        self._alone = {merge_key(value) for value in alone}
        self._split: dict[str, tuple[str, ...]] = {}
        self._compounds: Counter[str] = Counter()
        self._rows: Counter[str] = Counter()
        for cell in cells:
            self._compounds.update(value for value in cell.values if self._is_compound(value, cell))
            self._rows.update(self._parts(cell))
        self._groups = self._grouped()
        self._canonical = {value: self._chosen(group) for group in self._groups.values() for value in group}

    def read(self, decision: _Decision) -> LabelSet:
        """The labels of a cell, each in its most frequent spelling; None if nobody decided."""
        if decision.content is None:
            return None
        return without_none([self._canonical[part] for part in self._parts(decision.content)], decision.cell.place)

    def renamed(self, names: LabelNames) -> Iterator[LabelValue]:
        """The values that differ from the names of their labels, the most frequent first."""
        for value, rows in self._rows.most_common():
            name = "" if self._is_none(value) else names.find(self._canonical[value])
            if name is not None and name != value:
                yield LabelValue(value, name, rows)

    def notes(self) -> Iterator[str]:
        """Remarks on values that were split, kept whole, or merged."""
        split = [value for value in self._compounds if self._split[value] != (value,)]
        whole = [value for value in self._compounds if self._split[value] == (value,)]
        for found, what in (
            (split, "were split into labels, because each part also occurs alone"),
            (whole, "were kept as one label, because not every part occurs alone"),
        ):
            if found:
                rows = sum(self._compounds[value] for value in found)
                yield f"label cells such as '{found[0][:60]}' {what} ({rows} rows)"
        merged = {label: group for label, group in self._groups.items() if self._is_merged(group)}
        if merged:
            shown = [f"{self._canonical[group[0]]}: {self._shown(group)}" for group in merged.values()]
            more = f"; and {len(shown) - _LISTED} more" if len(shown) > _LISTED else ""
            groups = "; ".join(shown[:_LISTED]) + more
            yield f"values that differ only in case, white space or '.0' are one label (rows per value: {groups})"
        if none := sum(rows for value, rows in self._rows.items() if self._is_none(value)):
            yield f"label cells with 'none' were read as no label ({none} rows)"

    def _is_merged(self, group: Sequence[str]) -> bool:
        """Whether values of different spelling mean one label; the name and the title of a label do not count."""
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
        """The values that mean the same label, in order of frequency."""
        groups: dict[str, list[str]] = {}
        for value in sorted(self._rows, key=self._preference):
            name = self._names.find(value) if self._names else None
            groups.setdefault(merge_key(value) if name is None else f"\0{name}", []).append(value)
        return groups

    def _preference(self, value: str) -> tuple[int, bool, bool, str]:
        """The sort key of spellings: frequent ones first, then those in lower case, then those with single spaces."""
        return -self._rows[value], value != value.lower(), value != " ".join(value.split()), value

    def _chosen(self, group: Sequence[str]) -> str:
        return (self._names.find(group[0]) if self._names else None) or group[0]


# -- notes


def _decision_notes(decisions: Sequence[_FileDecisions]) -> Iterator[str]:
    for path, own in decisions:
        reasons = Counter(decision.reason for decision in own if decision.content is None)
        if reasons:
            why = ", ".join(f"{reason} {rows}" for reason, rows in reasons.most_common())
            yield f"{path}: {reasons.total()} of {len(own)} rows left out, because nobody decided on them ({why})"
        if filled := sum(decision.content is not None and decision.reason == "blank" for decision in own):
            yield f"{path}: blank label cells were read as no label, as chosen ({filled} rows)"
        states = {decision.cell.state for decision in own} - {""}
        if states and not states & set(_STATES):
            yield f"{path}: the column `state` was ignored, because its values are not {', '.join(_STATES)}"


def _form_notes(decisions: Iterable[_Decision], sets: Iterable[LabelSet]) -> Iterator[str]:
    several = [
        decision.cell.place
        for decision, found in zip(decisions, sets, strict=True)
        if decision.cell.column == "label" and found is not None and len(found) > 1
    ]
    if several:
        yield (
            f"the column `label` was read as multi-label, because {several[0]} has several labels "
            f"({len(several)} such rows)"
        )
