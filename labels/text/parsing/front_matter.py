"""Read front matter: a YAML block with metadata between `---` lines at the top of a text file."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

from labels.errors import DataError

Matter = dict[str, Any]
"""Metadata of a text: `source`, `url`, `title`, `date`, `language`, `synthetic`, and any other keys in the file."""

_BLOCK = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_NO_VALUE = ("", "~", "null")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def split_front_matter(content: str, path: Path) -> tuple[Matter, str]:
    """Split the content of a file into front matter and the remaining text.

    Single values are text exactly as written, so `language: no`, `title: 12:30` and `title: 007` do not become truth
    values or numbers. An empty value, `~` or `null` becomes None.

    Raises:
        DataError: the block is not valid YAML, has a key twice, or its `date` is not in the calendar.
    """
    import yaml

    match = _BLOCK.match(content)
    if match is None:
        return {}, content
    try:
        pairs = _pairs(match.group(1))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise DataError(
            f"{_place(path, mark)}: the front matter is not valid YAML ({getattr(error, 'problem', None) or error}). "
            "Put values with `: ` or brackets in quotes, or remove the front matter."
        ) from error
    if pairs is None:
        return {}, content  # not front matter: the text begins with a horizontal rule
    matter: Matter = {}
    for key, value, mark in pairs:
        if key in matter:
            raise DataError(f"{_place(path, mark)}: the front matter has `{key}` twice. Remove one of the two lines.")
        if key == "date" and isinstance(value, str):
            check_date(value, f"{_place(path, mark)}: front matter")
        matter[key] = value
    return matter, content[match.end() :].lstrip("\n")


def _pairs(block: str) -> list[tuple[str, Any, Any]] | None:
    """Return the keys, values and places of the keys in a YAML mapping; None if the block is not a mapping."""
    import yaml

    # The base loader keeps every value as text. YAML 1.1 would read `no` as false and `12:30` as 750.
    loader = yaml.BaseLoader(block)
    node = loader.get_single_node()
    if not isinstance(node, yaml.MappingNode):
        return None
    pairs = []
    for key, value in node.value:
        empty = isinstance(value, yaml.ScalarNode) and value.style is None and value.value in _NO_VALUE
        constructed = None if empty else loader.construct_object(value, deep=True)
        pairs.append((str(loader.construct_object(key, deep=True)), constructed, key.start_mark))
    return pairs


def check_date(value: str, place: str) -> None:
    """Check that a date of the form YYYY-MM-DD is in the calendar; other texts are not checked.

    Raises:
        DataError: the day does not exist; the message starts with `place`.
    """
    if _DATE.fullmatch(value):
        try:
            date.fromisoformat(value)
        except ValueError:
            raise DataError(f"{place}: the `date` {value} does not exist in the calendar. Fix the date.") from None


def _place(path: Path, mark: Any) -> str:
    # Marks count lines from 0 and do not include the first `---` line.
    return DataError.place(path, None if mark is None else mark.line + 2)
