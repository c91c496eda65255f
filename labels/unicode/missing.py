"""Recognize cells without a value: blank, null, or text that stands for a missing value, such as `nan` and `N/A`.

This module is the only place that decides what counts as missing. A label cell with a missing value means that nobody
decided; `none` is not a missing value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from labels.unicode.invisible import clean

_WORDS = frozenset({"nan", "-nan", "<na>", "na", "n/a", "n.a.", "nat", "null"})
_WORDS |= {"#n/a", "#na", "#null!", "#value!", "#ref!", "#name?", "#div/0!", "#num!"}  # error values of spreadsheets
"""Texts that pandas, R, databases, spreadsheets and people write for a missing value, in lower case."""

_MARKS = re.compile(r"[-\u2010-\u2015\u2212.\u2026?]+")
"""A pattern for dashes, dots and question marks in place of a value."""


def is_blank(value: Any) -> bool:
    """Return whether a cell is text without a visible character."""
    return isinstance(value, str) and not clean(value)


def is_missing(value: Any) -> bool:
    """Return whether a cell is blank, null, NaN, or text that stands for a missing value, such as `nan` or `N/A`."""
    if isinstance(value, str):
        return not (text := clean(value)) or text.lower() in _WORDS
    is_nan = isinstance(value, float | Decimal) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def is_no_value(value: Any) -> bool:
    """Return whether a cell is missing, or contains only marks in place of a value: `-`, `—`, `...`, `?`."""
    return is_missing(value) or (isinstance(value, str) and _MARKS.fullmatch(clean(value)) is not None)


def signs_among(values: Iterable[Any]) -> Callable[[str], bool]:
    """Return a function that tells whether a text is the value `-` in a file that also has the value `+`."""
    has_plus = any(isinstance(value, str) and clean(value) == "+" for value in values)
    return lambda text: has_plus and text in ("-", "\u2212", "\u2013")
