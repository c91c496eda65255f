"""Read the dates that data state: a day, a month or a year, in the forms that cannot be misunderstood."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date

from labels.text.parsing.articles import iso_date

_NUMBERS = re.compile(r"(?P<year>\d{4})(?:(?P<mark>[-/.])(?P<month>\d{2})(?:(?P=mark)(?P<day>\d{2}))?)?(?:[T\s].*)?")
_DIGITS = re.compile(r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})")


@dataclass(frozen=True)
class Period:
    """The first and the last day of a stated date; equal for a date with a day."""

    first: date
    last: date


def read_period(text: str) -> Period | None:
    """Read a date; None for any other text, such as 5/6/2024, which is two different days in two countries.

    Dates are 2024-05-31, with or without a time, 20240531, 2024/05/31, 31 May 2024, May 31, 2024, 2024-05 and 2024.
    """
    text = text.strip()
    found = _DIGITS.fullmatch(text) or _NUMBERS.fullmatch(iso_date(text) or text)
    if found is None:
        return None
    year, month, day = (int(found[name]) if found[name] else None for name in ("year", "month", "day"))
    try:
        first = date(year or 0, month or 1, day or 1)
    except ValueError:  # not in the calendar
        return None
    last_month = month or 12
    return Period(first, date(first.year, last_month, day or monthrange(first.year, last_month)[1]))
