"""Read all label cells of labelled files together, because one cell alone can be ambiguous.

All cells and the codebook together decide whether `aid, truce` is one label or two, whether `Aid` and `aid` are one
label, whether a file is multi-label, and what its blank cells mean. Every such decision is reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from labels.codebook.inferred import infer_codebook
from labels.codebook.schema import Codebook
from labels.errors import CodebookError, DataError, counted, did_you_mean
from labels.text.cells import Cell, Known, LabelNames, parse_cell, without_none
from labels.text.labelled.label_values import LabelValue, LabelValues
from labels.unicode import is_blank, signs_among

Blank = Literal["", "none", "undecided"]
"""The user's choice for blank label cells: no label applies, or nobody decided. It is empty without a choice."""

LabelFile = tuple[str, Sequence["LabelCell"]]
"""The path of a file, for messages, and its label cells."""

LabelSet = tuple[str, ...] | None
"""The labels of a row, by name; None if nobody decided."""

DECIDED_STATES = ("reviewed",)
UNDECIDED_STATES = ("skipped", "unseen", "not_a_sentence")
_STATES = (*DECIDED_STATES, *UNDECIDED_STATES)


@dataclass(frozen=True)
class LabelCell:
    """A label cell with its place (file and row, for messages), its column, and the state of its row (may be empty)."""

    place: str
    column: str
    value: Any
    state: str = ""


@dataclass(frozen=True)
class LabelReading:
    """The labels of all rows.

    - `codebook`: the given codebook, or the codebook inferred from the values
    - `label_sets`: for each file, the labels of its rows
    - `values`: the values that differ from the names of their labels
    - `notes`: remarks on how unclear cells were read
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
        check: whether to check the label sets against the codebook and to report the number of undecided rows. An
            import does both itself, and keeps unknown values unchanged.

    Raises:
        DataError: a cell cannot be read, a label is not in the codebook, or more than half of the rows of a multi-label
            file are blank and `blank` is not set.
        CodebookError: no codebook can be inferred.
    """
    names = None if codebook is None else LabelNames(codebook)
    decisions = [(path, _decide(cells, names, blank)) for path, cells in files]
    everything = [decision for _, own in decisions for decision in own]
    _refuse_indicators(everything)
    values = LabelValues([decision.content for decision in everything if decision.content], names)
    sets = [None if d.content is None else values.labels(d.content, d.cell.place) for d in everything]
    multi_label = _is_multi_label(everything, sets, codebook)
    if not blank and multi_label:
        _refuse_mostly_blank(decisions)
    if codebook is None:
        decided = [labels for labels in sets if labels is not None]
        codebook = infer_codebook(name, decided, exclusive=not multi_label)
    final = LabelNames(codebook)
    if check:
        sets = _checked(sets, everything, codebook, final)
    rest = iter(sets)
    found = tuple(tuple(islice(rest, len(own))) for _, own in decisions)
    notes = (*_decision_notes(decisions, count=check), *_form_notes(everything, sets), *values.notes())
    return LabelReading(codebook, found, tuple(values.renamed(final)), notes)


def _checked(
    sets: Sequence[LabelSet], decisions: Sequence[_Decision], codebook: Codebook, names: LabelNames
) -> list[LabelSet]:
    """Return the label sets in codebook order; each distinct set is checked once, because files have many rows."""
    known: dict[LabelSet, LabelSet] = {None: None}
    for labels, decision in zip(sets, decisions, strict=True):
        if labels not in known:
            try:
                found = [names.find(label) or label for label in labels or ()]
                known[labels] = codebook.check_labels(found, decision.cell.place)
            except CodebookError as error:
                raise DataError(str(error)) from None
    return [known[labels] for labels in sets]


# -- decisions


@dataclass(frozen=True)
class _Decision:
    """A cell with its content. If nobody decided, the content is None and a reason is given."""

    cell: LabelCell
    content: Cell | None
    reason: str = ""


_FileDecisions = tuple[str, Sequence[_Decision]]
"""The path of a file, and the decisions in its cells."""


def _decide(cells: Sequence[LabelCell], names: LabelNames | None, blank: Blank) -> list[_Decision]:
    states = {cell.state for cell in cells} - {""}
    # In a table from another source, a column `state` may contain, for example, the states of a country.
    ours = bool(states & set(_STATES))
    parser = _Parser(names, signs_among(cell.value for cell in cells))
    return [_decision(cell, cell.state if ours else "", parser, blank) for cell in cells]


class _Parser:
    """Parses cells. Each distinct text is parsed once, because files have many rows but few distinct label cells."""

    def __init__(self, names: LabelNames | None, is_sign: Known) -> None:
        self._is_known: Known = names.knows if names else is_sign
        self._texts: dict[str, Cell | None] = {}

    def parse(self, cell: LabelCell) -> Cell | None:
        if not isinstance(cell.value, str):
            return parse_cell(cell.value, cell.place, self._is_known)
        if cell.value not in self._texts:
            self._texts[cell.value] = parse_cell(cell.value, cell.place, self._is_known)
        return self._texts[cell.value]


def check_state(state: str, place: str) -> None:
    """Check the state of a row; empty if the row has none.

    Raises:
        DataError: the state is unknown; the message starts with `place`.
    """
    if state and state not in _STATES:
        near = did_you_mean(state, _STATES)
        raise DataError(f"{place}: `state` must be {' or '.join(_STATES)}, not '{state}'{near}. Fix the row.")


def _decision(cell: LabelCell, state: str, parser: _Parser, blank: Blank) -> _Decision:
    check_state(state, cell.place)
    content = parser.parse(cell)
    if state in UNDECIDED_STATES:
        if content and without_none(content.values, cell.place):
            raise DataError(f"{cell.place}: `state` {state} allows no labels, but the row has labels. Fix the row.")
        return _Decision(cell, None, state.replace("_", " "))
    if content is not None:
        return _Decision(cell, content)
    if state in DECIDED_STATES or (is_blank(cell.value) and blank == "none"):
        return _Decision(cell, Cell(()), "" if state else "blank")
    return _Decision(cell, None, "blank" if is_blank(cell.value) else "no value")


def _refuse_mostly_blank(decisions: Sequence[_FileDecisions]) -> None:
    for path, own in decisions:
        blank = sum(decision.reason == "blank" for decision in own)
        if 2 * blank > len(own):
            raise DataError(
                f"{path}: {blank} of {counted(len(own), 'row')} {'has' if blank == 1 else 'have'} a blank "
                "label cell, and the file is multi-label. "
                "Blank cells can mean two things:\n"
                f"  no label applies: {counted(len(own), 'row counts', 'rows count')}, {blank} of them "
                "without a label. Set data.blank = "
                '"none" in the experiment, or use --blank none.\n'
                f"  nobody decided: {counted(len(own) - blank, 'row counts', 'rows count')}. Set data.blank = "
                '"undecided" in the experiment, or use --blank undecided.'
            )


def _refuse_indicators(decisions: Sequence[_Decision]) -> None:
    """Refuse lists that are all [0, 1] or [1, 0], with one number per label; `parse_cell` refuses longer lists."""
    contents = {decision.content for decision in decisions if decision.content is not None}
    if contents and all(content.is_list and sorted(content.values) == ["0", "1"] for content in contents):
        place = next(decision.cell.place for decision in decisions if decision.content is not None)
        raise DataError(
            f"{place}: each list contains one 0 and one 1, which looks like one number per label. Write the names "
            "of the labels instead."
        )


def _is_multi_label(decisions: Iterable[_Decision], sets: Iterable[LabelSet], codebook: Codebook | None) -> bool:
    if codebook is not None:
        return not codebook.exclusive
    several = any(labels is not None and len(labels) > 1 for labels in sets)
    # A list alone proves nothing: some tools also write a single choice as a list.
    return several or any(decision.cell.column == "labels" for decision in decisions)


# -- notes


def _decision_notes(decisions: Sequence[_FileDecisions], *, count: bool) -> Iterator[str]:
    for path, own in decisions:
        reasons = Counter(decision.reason for decision in own if decision.content is None)
        if reasons and count:
            why = ", ".join(f"{reason} {rows}" for reason, rows in reasons.most_common())
            verb = "was" if reasons.total() == 1 else "were"
            yield (
                f"{path}: {reasons.total()} of {counted(len(own), 'row')} {verb} left out, because nobody "
                f"decided ({why})"
            )
        if filled := sum(decision.content is not None and decision.reason == "blank" for decision in own):
            yield f"{path}: blank label cells were read as no label, as requested ({counted(filled, 'row')})"
        states = {decision.cell.state for decision in own} - {""}
        if states and not states & set(_STATES):
            yield f"{path}: the column `state` was ignored, because it has none of the values {', '.join(_STATES)}"


def _form_notes(decisions: Iterable[_Decision], sets: Iterable[LabelSet]) -> Iterator[str]:
    several = [
        decision.cell.place
        for decision, found in zip(decisions, sets, strict=True)
        if decision.cell.column == "label" and found is not None and len(found) > 1
    ]
    if several:
        yield (
            f"the column `label` was read as multi-label, because {several[0]} has several labels "
            f"({counted(len(several), 'such row')})"
        )
