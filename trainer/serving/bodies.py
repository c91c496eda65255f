"""Request bodies other than predictions in JSON: Word and PDF files, and MLflow's scoring protocol.

The text of a file is read in a child process, for a few files at a time. The bodies of `POST /invocations` are read as
`mlflow models serve` reads them: JSON with one of the keys `dataframe_split`, `dataframe_records`, `inputs` and
`instances`, or CSV with a header. Either has one column of texts, named `text`.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from labels.errors import DataError
from labels.text.parsing.office import OfficeText, is_office, read_office
from labels.text.rows import is_unicode
from trainer.serving.answers import ContentError
from trainer.serving.gate import FILE_TYPES
from trainer.serving.scheduling import QueueFullError
from trainer.serving.schemas import MAX_CHARACTERS, MAX_DOCUMENT_CHARACTERS, MAX_TEXTS

# -- files

AT_ONCE, MAX_FILES = 2, 8
"""Maximum number of files that are read at the same time, and of files that are read or wait."""
_SECONDS_A_FILE = 2.0

FILE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {name: {"schema": {"type": "string", "format": "binary"}} for name in FILE_TYPES},
    }
}
"""The body of `POST /predict/file` in the OpenAPI document."""


class FileReader:
    """Reads files for one application; each file takes a process of up to 512 MB for up to 10 seconds."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._files = 0

    async def read(self, content: bytes) -> OfficeText:
        """The text of a file.

        Raises:
            ContentError: the content is not a Word or PDF file, cannot be read, or has too much text.
            QueueFullError: too many files are read or wait already.
        """
        if not is_office(content[:1024]):
            raise ContentError([], "body: this is neither a Word file (.docx) nor a PDF file. Send its text as JSON")
        if self._files >= MAX_FILES:
            raise QueueFullError(_SECONDS_A_FILE * self._files / AT_ONCE, "files")
        self._files += 1
        try:
            async with self._slots:
                found = await asyncio.to_thread(read_office, content, "body")
        except DataError as error:
            raise ContentError([], str(error)) from error
        finally:
            self._files -= 1
        if len(found.text) > MAX_DOCUMENT_CHARACTERS:
            message = f"body: the text of the file is longer than {MAX_DOCUMENT_CHARACTERS:,} characters"
            raise ContentError([], f"{message}. Divide the file")
        return found


# -- MLflow's scoring protocol

_FORMS = ("dataframe_split", "dataframe_records", "inputs", "instances")


def read_invocation(body: bytes, media_type: str) -> list[str]:
    """The texts of a body with the given media type.

    Raises:
        ContentError: the body is not valid, has no column `text`, or has a value that is not a text within the limits.
    """
    texts = _csv_texts(body) if media_type == "text/csv" else _json_texts(body)
    if not texts:
        raise ContentError([], "the body has no rows. Send at least one text")
    if len(texts) > MAX_TEXTS:
        raise ContentError([], f"the body has {len(texts):,} rows, but at most {MAX_TEXTS:,} are allowed")
    for number, text in enumerate(texts):
        _check_text(text, number)
    return texts


def _check_text(text: Any, number: int) -> None:
    place = f"row {number}: `text`"
    if not isinstance(text, str):
        raise ContentError([number, "text"], f"{place} is not a string. Fill in the text, or remove the row")
    if not text.strip():
        raise ContentError([number, "text"], f"{place} is blank. Fill in the text, or remove the row")
    if len(text) > MAX_CHARACTERS:
        raise ContentError([number, "text"], f"{place} is longer than {MAX_CHARACTERS:,} characters")
    if not is_unicode(text):
        raise ContentError([number, "text"], f"{place} contains an unpaired surrogate")


def _json_texts(body: bytes) -> list[Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise ContentError([], "the body is not valid JSON") from None
    keys = [key for key in _FORMS if isinstance(content, dict) and key in content]
    if len(keys) != 1:
        raise ContentError([], f"the body must be a JSON object with exactly one of the keys {', '.join(_FORMS)}")
    form, value = keys[0], content[keys[0]]
    if form == "dataframe_split":
        return _split_column(value)
    if form == "dataframe_records" or (isinstance(value, list) and any(isinstance(row, dict) for row in value)):
        return _records_column(value, form)
    return _plain_column(value, form)


def _split_column(value: Any) -> list[Any]:
    if not isinstance(value, dict) or not all(isinstance(value.get(key), list) for key in ("columns", "data")):
        raise ContentError(["dataframe_split"], "dataframe_split must have the lists `columns` and `data`")
    position = _position_of_text(value["columns"], "dataframe_split")
    if not all(isinstance(row, list) and len(row) == len(value["columns"]) for row in value["data"]):
        raise ContentError(["dataframe_split"], "dataframe_split: every row of `data` needs one value per column")
    return [row[position] for row in value["data"]]


def _records_column(value: Any, form: str) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ContentError([form], f"{form} must be a list of objects with the key `text`")
    for row in value:
        _position_of_text(list(row), form)
    return [row["text"] for row in value]


def _plain_column(value: Any, form: str) -> list[Any]:
    """The texts in `inputs`: a list of texts, or an object with the list `text`."""
    if isinstance(value, Mapping):
        _position_of_text(list(value), form)
        value = value["text"]
    texts: list[Any] = [value] if isinstance(value, str) else value
    if not isinstance(texts, list):
        raise ContentError([form], f"{form} must be a list of texts, or an object with a list of texts under `text`")
    # MLflow's clients send a column of strings as rows with one cell.
    return [text[0] if isinstance(text, list) and len(text) == 1 else text for text in texts]


def _csv_texts(body: bytes) -> list[Any]:
    try:
        rows = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except UnicodeDecodeError:
        raise ContentError([], "the body is not UTF-8 text") from None
    except csv.Error as error:
        raise ContentError([], f"the body is not valid CSV ({error})") from None
    if not rows:
        return []
    position = _position_of_text(rows[0], "the header")
    if not all(len(row) == len(rows[0]) for row in rows[1:] if row):
        raise ContentError([], "every row of the body needs as many cells as the header")
    return [row[position] for row in rows[1:] if row]


def _position_of_text(columns: Sequence[Any], place: str) -> int:
    if "text" not in columns:
        found = ", ".join(str(column)[:40] for column in columns[:10]) or "none"
        problem = f"{place} has no column `text`. Its columns: {found}. Rename the column with the texts to `text`"
        raise ContentError([], problem)
    return list(columns).index("text")
