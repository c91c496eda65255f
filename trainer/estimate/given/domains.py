"""The groups that shares are estimated for: periods of time, or the values of a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np

from labels.errors import DataError
from trainer.estimate.estimators import Bools, Ints
from trainer.estimate.given.predictions import Predictions

PERIODS = ("year", "quarter", "month", "week")
DATE = "date"
_FORMATS = ("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d", "%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y", "%d.%m.%Y")
_LISTED = 5


@dataclass(frozen=True)
class Groups:
    """The group of each of N sentences.

    Attributes:
        names: of the groups, in order.
        codes: number of each sentence's group, -1 without one, of shape (N,).
        unparsed: values that are not dates, with the number of sentences of each; empty for other columns.
    """

    names: tuple[str, ...]
    codes: Ints
    unparsed: dict[str, int]

    @property
    def domains(self) -> Bools:
        """Which groups each domain unites: one domain per group, and all sentences as the last, of shape (G + 1, G)."""
        n = len(self.names)
        return np.vstack([np.eye(n, dtype=bool), np.ones((1, n), dtype=bool)])


def columns_for(by: str) -> tuple[str, ...]:
    """Return the columns that a grouping needs."""
    return () if not by else (DATE,) if by in PERIODS else (by,)


def groups_of(predictions: Predictions, by: str) -> Groups:
    """Group sentences by a period or a column; without `by`, there is one group with all of them.

    Raises:
        DataError: there is no such column, or no value of it is a date.
    """
    n = len(predictions.ids)
    if not by:
        return Groups((), np.zeros(n, dtype=int), {})
    name = columns_for(by)[0]
    if name not in predictions.columns:
        raise DataError(
            f"{predictions.source}: there is no column `{name}`. Columns: {', '.join(predictions.columns) or 'none'}."
        )
    import pandas as pd

    codes, values = pd.factorize(predictions.columns[name])
    if by in PERIODS:
        return _periods(predictions.source, by, np.asarray(codes), [str(value) for value in values])
    order = np.argsort([str(value) for value in values], kind="stable")
    rank = np.empty(len(values), dtype=int)
    rank[order] = np.arange(len(values))
    return Groups(tuple(str(values[place]) or "(empty)" for place in order), rank[codes], {})


def _periods(source: str, by: str, codes: Ints, values: Sequence[str]) -> Groups:
    found = [period_of(value, by) for value in values]
    names = tuple(sorted({name for name in found if name}))
    if not names:
        raise DataError(
            f"{source}: no value of `{DATE}` is a date, e.g. '{values[0] if values else ''}'. Write dates in the form "
            "2026-01-31."
        )
    numbers = np.array([names.index(name) if name else -1 for name in found], dtype=int)
    counts = np.bincount(codes, minlength=len(values))
    unparsed = {value: int(counts[place]) for place, value in enumerate(values) if not found[place]}
    return Groups(names, numbers[codes], unparsed)


def period_of(value: str, by: str) -> str:
    """Return the period of a date: year (2026), quarter (2026-Q1), month (2026-01) or ISO week (2026-W05).

    It is empty if the value is not a date.

    >>> period_of("2026-01-31T10:00:00Z", "week"), period_of("31 January 2026", "month"), period_of("1/2/2026", "year")
    ('2026-W05', '2026-01', '')
    """
    day = _date(value.strip())
    if day is None:
        return ""
    if by == "week":
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02}"
    if by == "quarter":
        return f"{day.year:04}-Q{(day.month + 2) // 3}"
    return f"{day.year:04}" if by == "year" else f"{day.year:04}-{day.month:02}"


def _date(value: str) -> date | None:
    try:
        # A time zone may not change the day that the source states.
        return datetime.fromisoformat(value).date()
    except ValueError:
        pass
    for form in _FORMATS:
        try:
            return datetime.strptime(value, form).date()  # only the day is used
        except ValueError:
            continue
    return None


def listed(unparsed: dict[str, int]) -> str:
    """Return the most frequent values that are not dates, in words."""
    order = sorted(unparsed, key=lambda value: -unparsed[value])
    shown = ", ".join(f"'{value}' ({unparsed[value]})" for value in order[:_LISTED])
    return shown + (f" and {len(order) - _LISTED} more" if len(order) > _LISTED else "")
