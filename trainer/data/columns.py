"""Convert columns from a notebook to examples, and predictions back to the form of the given labels.

A column is a list, a pandas Series, a numpy array or a column of a `datasets.Dataset`. Rows are counted from 0.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np

from labels.codebook.inferred import infer_codebook
from labels.codebook.schema import Codebook
from labels.errors import CodebookError, ColumnError, DataError, refuse_lone_string
from labels.records import Example
from labels.text.cells import SEPARATOR, Known, LabelNames, merge_key, parse_cell
from labels.text.examples import row_id
from labels.text.rows import is_unicode
from labels.unicode import clean, is_blank, is_missing, is_no_value, signs_among
from trainer.calibration.calibration import Bools

logger = logging.getLogger(__name__)

Form = Literal["name", "set", "indicator"]
Value = str | int | float
"""A label as written in a column."""
_COLLECTIONS = (list, tuple, set, frozenset, np.ndarray)


@dataclass(frozen=True)
class Labelling:
    """The form in which a user writes labels.

    - `codebook`: the labels
    - `form`: one name per row ("" for no label), a set of names per row, or a table of 0 and 1 with a column per class
    - `classes`: the value that the user writes for each label, in codebook order
    """

    codebook: Codebook
    form: Form
    classes: tuple[Value, ...]

    @classmethod
    def of(cls, y: Any, codebook: Codebook | None = None) -> Labelling:
        """Return the labelling of a column or table of labels. Without a codebook, infer one from the values.

        The inferred codebook is exclusive if `y` has one name per row; otherwise sentences can have several labels.

        Raises:
            ColumnError: a row is not a label, a set of labels or a row of 0 and 1; the columns of the table do not
                match `codebook`; there are no labels; or every row has the same label.
        """
        given = _read(y, codebook)
        if codebook is None:
            return _inferred(given)
        if given.form == "indicator":
            _check_columns(given, codebook.label_names)
        form: Form = "set" if given.form == "name" and not codebook.exclusive else given.form
        used = {value for row in given.rows for value in row}
        by_title = (label.title not in used or label.name in used for label in codebook.labels)
        names = (label.name if plain else label.title for label, plain in zip(codebook.labels, by_title, strict=True))
        return cls(codebook, form, codebook.label_names if form == "indicator" else tuple(names))

    def label_sets(self, y: Any) -> list[tuple[str, ...]]:
        """Return the labels of each row as names in the codebook, in codebook order.

        Raises:
            ColumnError: as for `of`, or the codebook lacks a label or does not allow a combination of labels.
        """
        given = _read(y, self.codebook)
        if given.form == "indicator":
            _check_columns(given, self.classes)
            names: Mapping[Any, str] = dict(zip(given.columns, self.codebook.label_names, strict=True))
        else:
            names = dict(zip(self.classes, self.codebook.label_names, strict=True))
        found = LabelNames(self.codebook)
        try:
            return [
                self.codebook.check_labels(
                    [names.get(value) or found.find(str(value)) or str(value) for value in row], f"y[{number}]"
                )
                for number, row in enumerate(given.rows)
            ]
        except CodebookError as error:
            raise ColumnError(str(error)) from None

    def written(self, assigned: Bools) -> Any:
        """Return decisions of shape (n, labels) in the form of `y`: an array of names, a list of tuples, or an array of
        0 and 1.
        """
        if self.form == "indicator":
            return assigned.astype(np.int64)
        classes = np.asarray(self.classes)
        if self.form == "set":
            return [tuple(classes[row].tolist()) for row in assigned]
        # One name per row. The type is object only if "" is needed, which an array of numbers cannot contain.
        names = classes[assigned.argmax(axis=1)]
        return names if assigned.any(axis=1).all() else np.where(assigned.any(axis=1), names.astype(object), "")


def read_texts(X: Any) -> list[str]:
    """Return the texts in a column.

    Raises:
        ColumnError: `X` is a single string or a table, or a row is not text.
    """
    texts = _column(X, "X")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise ColumnError(f"X[{number}] is {text!r}, not text. Remove rows without text, or fill in the text.")
    return texts


def build_examples(
    texts: Sequence[str], label_sets: Sequence[tuple[str, ...]], groups: Any = None, part: str = "train"
) -> list[Example]:
    """Build examples from columns. Examples of one group stay together whenever examples are divided.

    Args:
        groups: a column with the document, or another group, of each text. A text without a group, or every text if
            None, forms a group of its own.
        part: "train" or "test". Rows get the same ids as rows of a file that is read as this part.

    Raises:
        ColumnError: the columns differ in length, or a text is empty or cannot be written as UTF-8.
    """
    own = [None] * len(texts) if groups is None else _column(groups, "groups")
    _check_lengths(X=texts, y=label_sets, groups=own)
    examples = []
    for number, (text, labels, group) in enumerate(zip(texts, label_sets, own, strict=True)):
        if not text.strip() or not is_unicode(text):
            problem = "contains an unpaired surrogate" if text.strip() else "is empty"
            raise ColumnError(f"X[{number}]: this text {problem}. Fix or remove the row.")
        identifier = row_id(part, number + 1, text)
        examples.append(Example(identifier, identifier if is_missing(group) else str(group), text, labels))
    return examples


@dataclass(frozen=True)
class _Given:
    """The labels of each row and, for a table, the names of the columns."""

    form: Form
    rows: list[tuple[Value, ...]]
    columns: tuple[Value, ...] = ()


def _read(y: Any, codebook: Codebook | None) -> _Given:
    if hasattr(y, "toarray"):  # scipy's sparse tables
        y = y.toarray()
    if getattr(y, "ndim", 1) == 2:
        return _indicator(np.asarray(y).tolist(), tuple(getattr(y, "columns", range(y.shape[1]))))
    values = [_listed(value, number) for number, value in enumerate(_column(y, "y"))]
    items = chain.from_iterable(value if isinstance(value, _COLLECTIONS) else [value] for value in values)
    is_known = LabelNames(codebook).knows if codebook else signs_among(items)
    if not any(isinstance(value, _COLLECTIONS) for value in values):
        names: list[tuple[Value, ...]] = [
            () if is_blank(v) else (_label(v, n, is_known),) for n, v in enumerate(values)
        ]
        return _Given("name", _merged(names))
    for number, value in enumerate(values):
        if not isinstance(value, _COLLECTIONS):
            raise ColumnError(f"y[{number}] is {value!r}, but other rows are sets of labels. Write {[value]!r}.")
    if all(isinstance(item, int | np.integer) for value in values for item in value) and any(map(len, values)):
        return _indicator([list(value) for value in values], tuple(range(len(values[0]))))
    return _Given(
        "set", _merged([tuple(_label(item, n, is_known) for item in value) for n, value in enumerate(values)])
    )


def _listed(value: Any, number: int) -> Any:
    """A tuple for a list that is written as text, as in a column that was read from CSV; otherwise the value."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "(", "{"):
        return value
    try:
        cell = parse_cell(value, f"y[{number}]")
    except DataError as error:
        raise ColumnError(str(error)) from None
    return cell.values if cell is not None and cell.is_list else value


def _merged(rows: list[tuple[Value, ...]]) -> list[tuple[Value, ...]]:
    """The rows with one spelling per label, the most frequent; a merge is logged as a warning."""
    counts = Counter(value for row in rows for value in row if isinstance(value, str))
    groups: dict[str, list[str]] = {}
    for value, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        groups.setdefault(merge_key(value), []).append(value)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        return rows
    for group in several:
        others = ", ".join(f"'{value}'" for value in group[1:])
        logger.warning(
            "y: %s and '%s' differ only in case, white space or typography, and count as one label: '%s'.",
            others,
            *group[:1] * 2,
        )
    canonical: dict[Value, str] = {value: group[0] for group in several for value in group}
    return [tuple(dict.fromkeys(canonical.get(value, value) for value in row)) for row in rows]


def _indicator(rows: Sequence[Sequence[Any]], columns: tuple[Value, ...]) -> _Given:
    for number, row in enumerate(rows):
        if len(row) != len(columns) or any(value not in (0, 1) for value in row):
            raise ColumnError(
                f"y[{number}] is {row!r}, but a table of labels has one column per label and contains only 0 and 1. "
                "Pass a table of 0 and 1, or a column with a label or a set of labels in each row."
            )
    held = (tuple(column for column, value in zip(columns, row, strict=True) if value) for row in rows)
    return _Given("indicator", list(held), columns)


def _label(value: Any, number: int, is_known: Known) -> Value:
    plain: Any = value.item() if isinstance(value, np.generic) else value
    whole = isinstance(plain, float) and plain.is_integer()
    # `plain == plain` excludes nan, which pandas uses for a missing label.
    if isinstance(plain, float) and not whole and plain == plain:
        raise ColumnError(f"y[{number}] is {plain!r}, a continuous value, not a label. Use names or whole numbers.")
    if not whole and not isinstance(plain, str | int):
        raise _undecided(plain, number)
    if isinstance(plain, str) and SEPARATOR in plain:
        raise ColumnError(
            f"y[{number}] is {plain!r}: several labels in one string. Split the string: {plain.split(SEPARATOR)}"
        )
    if isinstance(plain, str):
        if is_no_value(plain) and not is_known(clean(plain)):
            raise _undecided(plain, number)
        return clean(plain)
    label: Value = plain
    return label


def _undecided(value: Any, number: int) -> ColumnError:
    return ColumnError(
        f'y[{number}] is {value!r}, not a label. Write "" if no label applies, and remove rows that no annotator has '
        "decided."
    )


def _inferred(given: _Given) -> Labelling:
    """A labelling with an inferred codebook, in which the values are titles, in their natural or column order.

    All columns of a table become labels, even a column without a 1.
    """
    values = {value for row in given.rows for value in row}
    ordered = given.columns or tuple(_in_order(values))
    exclusive = given.form == "name"
    blank = [()] if not all(given.rows) else []
    if exclusive and len(ordered) == 1 and not blank:
        raise ColumnError(
            f"y has only one class: every row is {ordered[0]!r}. Add rows with other labels, or rows without a label."
        )
    if not ordered:
        raise ColumnError("y has no labels: every row is empty. Add rows with labels.")
    try:
        found = infer_codebook("labels", [*((str(value),) for value in ordered), *blank], exclusive=exclusive)
    except CodebookError as error:
        raise ColumnError(str(error)) from None
    place = {str(value): position for position, value in enumerate(ordered)}
    labels = tuple(sorted(found.labels, key=lambda label: place[label.title]))
    return Labelling(found.model_copy(update={"labels": labels}), given.form, ordered)


def _in_order(values: Iterable[Value]) -> Iterator[Value]:
    """Numbers in ascending order, then strings in alphabetical order."""
    yield from sorted(values, key=lambda value: (isinstance(value, str), value))


def _check_columns(given: _Given, classes: Sequence[Value]) -> None:
    unnamed = given.columns == tuple(range(len(given.columns)))
    if len(given.columns) != len(classes) or not (unnamed or given.columns == tuple(classes)):
        raise ColumnError(
            f"y has the columns {', '.join(map(str, given.columns))}, but the labels are "
            f"{', '.join(map(str, classes))}. Pass one column per label, in this order."
        )


def _column(values: Any, name: str) -> list[Any]:
    refuse_lone_string(values, name)
    if getattr(values, "ndim", 1) != 1:
        raise ColumnError(f"{name} has {values.ndim} dimensions. Pass a single column, e.g. table['text'].")
    if values is None:
        raise ColumnError(f"This method requires {name} to be passed, but the target {name} is None. Pass a column.")
    if not isinstance(values, Iterable) and hasattr(values, "__array__"):
        values = np.asarray(values)
    if isinstance(values, Mapping) or not isinstance(values, Iterable):
        raise ColumnError(f"{name} is of type {type(values).__name__}. Pass a list or another column of values.")
    return list(values.tolist() if hasattr(values, "tolist") else values)


def _check_lengths(**columns: Sequence[Any]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ColumnError(f"The columns differ in length: {said} rows. Pass one value per row.")
