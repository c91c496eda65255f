"""Read one label cell, which contains label values or shows that nobody decided.

A cell is a value from any source: CSV text, JSON, Parquet, a record of another tool, a column of a notebook.
`labels.text.labelled.label_reading` decides what only a whole file can show: whether `aid, truce` is one label.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.text.rows import is_unicode
from labels.unicode import clean, fold, is_no_value

SEPARATOR = "|"
"""Separates several labels in one cell of a table."""

Known = Callable[[str], bool]
"""A function that returns whether a text is a single value in a codebook or a file."""

_QUOTES = "\"'"
_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_OTHER_SEPARATORS = re.compile(r"(?:[,;\n]\s*)+|#")
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_CALL = re.compile(r"(?:array|frozenset|list|set|tuple)\((.*)\)", re.DOTALL)
_DTYPE = re.compile(r",\s*dtype=[^,]*\Z")
_CHOICES = re.compile(r"""\{\s*[uU]?(?:'choices'|"choices")\s*:(.*)\}""", re.DOTALL)
_QUOTED = r"""[uU]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_TOKEN = re.compile(rf"""\s*(?:(?P<comma>,)|(?P<quoted>{_QUOTED})|(?P<bare>[^\s,:'"()\[\]{{}}]+))\s*""", re.DOTALL)
_BARE = re.compile(r"[+-]?\d{1,300}(?:\.\d{0,300})?|None|null|nan|NaN")
_KEY_AND_VALUE = re.compile(r"""['"]\s*:""")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_CONTROL_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True)
class Cell:
    """The values of a label cell; empty for "none". `is_list` is true if the cell was a list or the text of a list."""

    values: tuple[str, ...]
    is_list: bool = False


def cell_values(value: Any, place: str) -> tuple[str, ...] | None:
    """Return the label values in a cell, without repeats and in order; None if nobody decided. See `parse_cell`.

    Raises:
        DataError: the cell contains something other than labels; the message starts with `place`.
    """
    cell = parse_cell(value, place)
    return None if cell is None else cell.values


def parse_cell(value: Any, place: str, is_known: Known = lambda _: False) -> Cell | None:
    """Parse a label cell; None if nobody decided: null, NaN, a blank cell, or text such as `nan`, `N/A` or `-`.

    Lists may be written as text: `["aid"]`, `['aid', 'truce']`, `{"choices": ["aid"]}`. An empty list means that no
    label applies. `|` separates labels. Values are stripped of white space and invisible characters, in Unicode NFC.

    Args:
        place: the file and the row, for messages.
        is_known: texts that are one value even if they look like a list, such as the title "[unclear]" of a label.

    Raises:
        DataError: the cell contains something other than labels; the message starts with `place`.
    """
    value = _plain(value)
    if isinstance(value, str):
        return _parse_text(value, place, is_known)
    if is_no_value(value):
        return None
    if isinstance(value, Mapping):
        return _parse_object(value, place, is_known)
    if isinstance(value, list | tuple):
        return _parse_items(value, place, is_known)
    if isinstance(value, set | frozenset):
        return _parse_items(sorted(value, key=str), place, is_known)
    return Cell((_scalar(value, place),))


def merge_key(value: str) -> str:
    """Return a key that is equal for values that differ only in typography or number format, such as `1` and `1.0`.

    Typography means case, white space, invisible characters, quotation marks around the value, and the forms of
    quotation marks, dashes and letters.
    """
    visible = clean(fold(value)).casefold()
    spaced = unicodedata.normalize("NFC", " ".join(visible.split()))
    if len(spaced) > 2 and spaced[0] == spaced[-1] and spaced[0] in _QUOTES:
        spaced = spaced[1:-1].strip()
    whole = _WHOLE.fullmatch(spaced)
    return whole[1] if whole else spaced


def split_parts(value: str, is_known: Known) -> tuple[str, ...]:
    """Split a value such as `aid, truce`, `aid;truce` or `[aid]` if each part is known; otherwise return it whole."""
    inner = value[1:-1] if value[:1] in "[{" and value[-1:] == _BRACKETS.get(value[:1]) else value
    parts = [clean(part) for part in _OTHER_SEPARATORS.split(without_edges(inner))]
    separated = parts != [value]
    return tuple(dict.fromkeys(parts)) if separated and all(part and is_known(part) for part in parts) else (value,)


def without_edges(value: str) -> str:
    """Remove separators at the ends of a value, because some forms write one after each label: `aid;`."""
    return clean(value.strip(",; \n"))


def has_separator(value: str) -> bool:
    """Return whether a value contains a character that separates labels in some tables, such as `,` or a line break."""
    return _OTHER_SEPARATORS.search(value) is not None or value[:1] in "[{"


class LabelNames:
    """Finds the labels of a codebook to which the values in cells and records refer.

    A value refers to the label with this name or title. If there is none, it refers to the label whose name or title
    has the same `merge_key`, if there is only one such label.
    """

    def __init__(self, codebook: Codebook) -> None:
        self._exact = {value: name for value, name in codebook.names_by_value.items() if value}
        found: dict[str, set[str]] = {}
        for value, name in self._exact.items():
            found.setdefault(merge_key(value), set()).add(name)
        self._by_key = {key: next(iter(names)) for key, names in found.items() if len(names) == 1}

    def find(self, value: str) -> str | None:
        """Return the name of the label to which a value refers; None if the codebook has no such label."""
        return self._exact.get(value) or self._by_key.get(merge_key(value))

    def has(self, value: str) -> bool:
        """Return whether a value is exactly the name or the title of a label."""
        return value in self._exact

    def knows(self, value: str) -> bool:
        """Return whether a value refers to a label of the codebook."""
        return self.find(value) is not None

    def read(self, value: Any, place: str) -> tuple[str, ...] | None:
        """Return the label names in a cell or record; None if nobody decided. Unknown values are returned unchanged.

        Raises:
            DataError: see `parse_cell`; or the cell contains `none` and labels.
        """
        cell = parse_cell(value, place, self.knows)
        if cell is None:
            return None
        parts = cell.values
        if not cell.is_list:
            parts = tuple(part for value in parts for part in self._parts(value))
        return without_none([self.find(part) or part for part in parts], place)

    def _parts(self, value: str) -> tuple[str, ...]:
        return (value,) if self.knows(value) else split_parts(value, self.knows)


def without_none(labels: Iterable[str], place: str) -> tuple[str, ...]:
    """Return the labels without repeats; `none` alone stands for the empty set.

    Raises:
        DataError: the cell contains `none` beside labels.
    """
    distinct = tuple(dict.fromkeys(labels))
    named = tuple(label for label in distinct if merge_key(label) != "none")
    if named and len(named) < len(distinct):
        raise DataError(f"{place}: the labels are 'none' and also {', '.join(named)}. Remove 'none' or the others.")
    return named


def _plain(value: Any) -> Any:
    """Convert a numpy scalar or array to a Python value."""
    return value.tolist() if type(value).__module__ == "numpy" else value


def _parse_text(text: str, place: str, is_known: Known) -> Cell | None:
    _refuse_surrogates(text, place)
    found = clean(text)
    if is_known(found):
        return Cell((found,))
    content = _from_text(found)
    if content is not None:
        return parse_cell(content, place, is_known)
    if found[:1] in _BRACKETS and _KEY_AND_VALUE.search(found):
        raise _no_labels(found, place)
    values = tuple(dict.fromkeys(_parts(found, is_known)))
    return Cell(values) if values else None


def _parts(text: str, is_known: Known) -> list[str]:
    """Return the values in a text, separated by `|`, without missing values; a known text is one value."""
    pieces = [clean(text)] if is_known(clean(text)) else map(clean, text.split(SEPARATOR))
    return [piece for piece in pieces if is_known(piece) or not is_no_value(piece)]


def _parse_object(value: Mapping[str, Any], place: str, is_known: Known) -> Cell | None:
    """Parse the result of a choice, `{"choices": [...]}`; an empty object means that nobody decided."""
    choices = value.get("choices")
    if choices is None and (not value or "choices" in value):
        return None
    if isinstance(choices, str | list):
        return _parse_items([choices] if isinstance(choices, str) else choices, place, is_known)
    raise _no_labels(value, place)


def _parse_items(items: Iterable[Any], place: str, is_known: Known) -> Cell | None:
    listed = list(map(_plain, items))
    _refuse_indicators(listed, place)
    values = [value for item in listed for value in _item_values(item, place, is_known)]
    # A list that contains only missing values is not an empty list: nobody wrote that no label applies.
    return None if listed and not values else Cell(tuple(dict.fromkeys(values)), is_list=True)


def _item_values(item: Any, place: str, is_known: Known) -> list[str]:
    if isinstance(item, str):
        _refuse_surrogates(item, place)
        return _parts(item, is_known)
    return [] if is_no_value(item) else [_scalar(item, place)]


def _scalar(value: Any, place: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float | Decimal) and math.isfinite(value):
        return str(int(value)) if value == int(value) else str(value)
    raise _no_labels(value, place)


def _no_labels(value: Any, place: str) -> DataError:
    return DataError(
        f"{place}: a label cell must contain the name of a label or a list of names, not {value!r:.80}. Write the "
        f"names of the labels, separated by `{SEPARATOR}`, or `[]` if no label applies."
    )


def _refuse_indicators(items: list[Any], place: str) -> None:
    """Refuse a list such as [0, 1, 1], which has a 0 or 1 for each label instead of label names."""
    if len(items) > len(set(map(str, items))) and all(type(item) is int and item in (0, 1) for item in items):
        raise DataError(
            f"{place}: the list {items!r:.80} looks like one 0 or 1 per label. Write the names of the labels instead."
        )


def _refuse_surrogates(text: str, place: str) -> None:
    if not is_unicode(text):
        raise DataError(f"{place}: the label cell contains an unpaired surrogate. Fix or remove the character.")


# -- lists written as text


def _from_text(text: str) -> Any:
    """Return the list, object or string that a text contains as JSON or Python code; None if it is plain text."""
    if text[:1] in ("[", "{", '"'):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass
    if choices := _CHOICES.fullmatch(text):
        return _python_choices(choices[1].strip())
    if call := _CALL.fullmatch(text):
        inner = _DTYPE.sub("", call[1]).strip()
        return _python_items(inner) if inner else []
    return _python_items(text)


def _python_choices(text: str) -> dict[str, Any] | None:
    if re.fullmatch(_QUOTED, text, re.DOTALL):
        return {"choices": _unquoted(text)}
    items = _python_items(text)
    return None if items is None and text != "None" else {"choices": items}


def _python_items(text: str) -> list[Any] | None:
    """Return the items of a flat Python list, tuple or set, or of an array as numpy prints it; None for other text.

    Python's own parser would join the adjacent strings in numpy's `['aid' 'truce']` into one string.
    """
    if len(text) < 2 or text[-1] != _BRACKETS.get(text[0]):
        return None
    items: list[Any] = []
    position, end, quoted = 1, len(text) - 1, False
    while position < end:
        token = _TOKEN.match(text, position, end)
        if token is None or (token["bare"] and not _BARE.fullmatch(token["bare"])):
            return None if text[position:end].strip() else items
        if token["quoted"]:
            items.append(_unquoted(token["quoted"]))
            quoted = True
        elif token["bare"]:
            items.append(_number(token["bare"]))
        position = token.end()
    # "(1)" is more often a label than a tuple.
    return items if quoted or not items or text[0] == "[" else None


def _unquoted(token: str) -> str:
    body = token.lstrip("uU")[1:-1]
    return _ESCAPE.sub(_unescaped, body) if "\\" in body else body


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else _CONTROL_ESCAPES.get(match[3], match[3])


def _number(text: str) -> float | int | None:
    if text[-1].isalpha():
        return None
    return float(text) if "." in text else int(text)
