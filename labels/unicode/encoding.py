"""Read text and TOML files, with or without a byte order mark."""

from __future__ import annotations

import codecs
import tomllib
from pathlib import Path
from typing import Any

from labels.errors import DataError

_ENCODINGS = (
    # UTF-32 comes first, because its mark begins with the mark of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks and their encodings. A file without such a mark is read as UTF-8."""


def read_text(path: Path) -> str:
    """Read the text of a file, without a byte order mark and with `\\n` as line ends.

    Raises:
        DataError: the file cannot be read; see also `decode`.
    """
    return decode(read_bytes(path), path)


def read_bytes(path: Path, count: int = -1) -> bytes:
    """Read a file, or its first `count` bytes.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise DataError(f"{path}: the file cannot be read ({error.strerror}). Check the path.") from error


def decode(content: bytes, path: Path) -> str:
    """Decode the content of the file at `path`: UTF-8, or UTF-16 or UTF-32 with a byte order mark.

    Raises:
        DataError: the content is not text in one of these encodings.
    """
    encoding = next((name for mark, name in _ENCODINGS if content.startswith(mark)), "utf-8-sig")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise DataError(f"{path}: the file is not {name} text (byte {error.start}). Save the file as UTF-8.") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        DataError: the file is not valid TOML; see also `read_text`.
    """
    text = read_text(path)
    if "\0" in text:
        raise DataError(
            f"{path}: not valid TOML: the file contains NUL characters, like UTF-16 text without a byte order mark. "
            "Save the file as UTF-8."
        )
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = "the values are nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise DataError(f"{path}: not valid TOML: {reason}. Fix the file.") from error
