"""Fields of records from other tools: kept in the round trip, and read as JSON values, objects and lists of labels.

`Texts` reads the text of a record as a document, with the provenance that the record states.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from labels.errors import DataError
from labels.exchange.lines import canonical_json
from labels.output.table_files import json_text
from labels.records import Annotation, Document, Origin
from labels.text.rows import EqualTexts, Row, checked_text, is_unicode
from labels.unicode import is_missing

KEY = "communique"
"""The key or column for the stamp of communique in records of other tools."""

_PROVENANCE = ("url", "title", "date", "language")
_NUMBERING_TOOLS = ("argilla", "doccano", "label-studio-min")
"""Formats with flat records in which the tool sets a new `id` in every project."""


def without_stamp(value: Any) -> Any:
    """A copy of a record without the stamp, which is also removed from nested objects."""
    if not isinstance(value, dict):
        return value
    return {key: without_stamp(entry) for key, entry in value.items() if key != KEY}


def foreign_fields(record: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> Row:
    """The fields of a record that are missing or different in the record that an export would write.

    See `with_foreign_fields`.
    """
    left: Row = {}
    for key, value in record.items():
        if key == KEY:
            continue
        if isinstance(value, dict):
            inner = foreign_fields(value, rebuilt[key] if isinstance(rebuilt.get(key), dict) else {})
            # An empty object is also kept, unless we would write an object under the same key.
            if inner or not (value or key in rebuilt):
                left[key] = inner
        elif key not in rebuilt or rebuilt[key] != value:
            left[key] = json_value(value)
    return left


def with_foreign_fields(rebuilt: Mapping[str, Any], extra: Mapping[str, Any]) -> Row:
    """Add the tool's own fields to the record for an export: the reverse of `foreign_fields`."""
    record = dict(rebuilt)
    for key, value in extra.items():
        both = isinstance(value, dict) and isinstance(record.get(key), dict)
        record[key] = with_foreign_fields(record[key], value) if both else value
    return record


def extra_of(event: Annotation, format: str) -> Row:
    """The extra data of an event in this format; empty if there is none."""
    extra = (event.extra or {}).get(format)
    return dict(extra) if isinstance(extra, dict) else {}


def json_value(value: Any) -> Any:
    """Convert a value to JSON types: dates and similar types become text, numbers that are not finite become null."""
    if isinstance(value, dict):
        return {str(key): json_value(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def label_list(value: Any, place: str) -> list[str]:
    """Convert one label name or a list of names to a list; null becomes an empty list.

    Raises:
        DataError: the value has another type.
    """
    names = [value] if isinstance(value, str) else value
    if names is None:
        return []
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{place}: expected a label name or a list of label names, not {value!r:.80}. Fix the record.")
    return [name for name in names if name]


def object_at(record: Mapping[str, Any], key: str, place: str) -> Row:
    """The object under `key` in a record; empty if the key is missing or null.

    Raises:
        DataError: the value is not an object.
    """
    value = record.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DataError(f"{place}: `{key}` must be an object, not {type(value).__name__}. Fix the record.")
    return value


class Texts:
    """The texts of one file.

    Args:
        format: the name of the format.
        file: the name of the file, shown as the source of texts without a source.
    """

    def __init__(self, format: str, file: str) -> None:
        self._format = format
        self._file = file
        self._equal = EqualTexts()

    def document(
        self, text: Any, metadata: Mapping[str, Any], identifier: Any, place: str, *annotators: str
    ) -> Document:
        """The document with the text of a record. Call this method once per record, in order.

        Args:
            metadata: the metadata of the text, with any of `labels.records.ID_COLUMNS`, source, url, title, date and
                language.
            identifier: the tool's own id of the record, which is not part of the identity; "" or None if there is none.
            place: the file and row, for messages.
            annotators: the annotators who decided on the record, to number equal texts without provenance.

        Raises:
            DataError: the record has no text, or the text or metadata contain an unpaired surrogate.
        """
        text = checked_text(check_text(text, place), place)
        found = ((key, metadata.get(key)) for key in _PROVENANCE)
        given: dict[str, Any] = {key: str(value) for key, value in found if not is_missing(value)}
        own = "" if identifier in (None, "") else f"{self._format}:{identifier}"
        named = (metadata.get("source"), metadata.get("document_id"))
        source = next((str(name) for name in named if not is_missing(name)), own or self._file)
        check_unicode([source, given, text], place)
        numbered = self._format in _NUMBERING_TOOLS
        origin = Origin.of({key: value for key, value in metadata.items() if not (numbered and key == "id")})
        if not origin.is_stated:
            origin = Origin(number=self._equal.number(text, *annotators, record=own))
        return Document(source, text, origin=origin, **given)


def check_text(text: Any, place: str) -> str:
    """Return the text of a record.

    Raises:
        DataError: there is no text.
    """
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{place}: this record has no text. Fill in `text` or remove the record.")
    return text


def check_unicode(value: Any, place: str) -> None:
    """Check that all strings in a JSON value can be stored.

    Raises:
        DataError: a string contains an unpaired surrogate.
    """
    if not is_unicode(canonical_json(value)):
        raise DataError(f"{place}: a text contains an unpaired surrogate. Fix the record.")


def json_array(rows: Iterable[Row]) -> Iterator[str]:
    """The chunks of a JSON array, with one record per line."""
    before = "[\n"
    for row in rows:
        yield before + json_text(row)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"
