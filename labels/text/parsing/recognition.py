"""Recognise the content of a file: its kind, whatever its name says, and traces of other programs in its texts.

HTML, JSON or a table saved as .txt is found by its content. Texts with traces of other programs, such as HTML tags in
the cells of a table, are not changed, because removing the traces might remove words; a remark advises the user to
convert them.
"""

from __future__ import annotations

import csv
import json
import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Self
from zipfile import BadZipFile, ZipFile

from labels.errors import DataError, counted
from labels.text.headers import OUR_COLUMNS
from labels.unicode import read_bytes

_SIGNATURES = (
    (b"%PDF-", "a PDF file", "Give the file the extension .pdf."),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an old Microsoft Office file (such as .doc) or a document with a password",
        "Save the document as .docx without a password, or as plain text.",
    ),
    (b"\x1f\x8b", "a gzip archive", "Unpack the archive."),
    (b"BZh91AY&SY", "a bzip2 archive", "Unpack the archive."),
    (b"\xfd7zXZ\0", "an xz archive", "Unpack the archive."),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "Unpack the archive."),
    (b"Rar!\x1a\x07", "a RAR archive", "Unpack the archive."),
    (b"\x89PNG\r\n", "a picture (PNG)", "Save the text itself, not a picture of it."),
    (b"\xff\xd8\xff", "a picture (JPEG)", "Save the text itself, not a picture of it."),
    (b"GIF87a", "a picture (GIF)", "Save the text itself, not a picture of it."),
    (b"GIF89a", "a picture (GIF)", "Save the text itself, not a picture of it."),
    (b"PAR1", "a Parquet file", "Give the file the extension .parquet."),
    (b"SQLite format 3\0", "a SQLite database", "Export its texts to a .csv or .jsonl file."),
)
"""The first bytes of a file, its name in messages, and the repair."""

_ZIPPED = (
    ("word/", "a Word document (.docx)", "Give the file the extension .docx."),
    ("xl/", "an Excel workbook (.xlsx)", "Save the workbook as CSV, with the extension .csv."),
    ("ppt/", "a PowerPoint presentation (.pptx)", "Save its text as a .txt file."),
    ("content.xml", "an OpenDocument file (such as .odt)", "Save the document as .docx or as plain text."),
    ("META-INF/container.xml", "an e-book (EPUB)", "Save the document as plain text."),
)
"""A name in a ZIP archive, the name of this kind of archive in messages, and the repair."""

_HEAD = 4096
_TABLE_HEAD = 2**16
_SEPARATED = {"\t": "tabs", ";": "semicolons", ",": "commas"}
_TABLE_ROWS = 2
_NAME_LENGTH = 40
_MARKUP = (
    (re.compile(r"<\?xml\b"), "XML"),
    (re.compile(r"\\documentclass\b"), "LaTeX"),
    (re.compile(r"(?:TY  - |@\w+\{[\w:.-]+,\s*\n)"), "a list of references"),
    (
        re.compile(r"(?:(?!MIME-V|Content-T)[\w-]+:.*\n)*+(?:MIME-Version|Content-T[\w-]+):", re.IGNORECASE),
        "an email",
    ),
)
_PUNCTUATION = re.compile(r"[.!?:](?:\s|\Z)")
# Atomic and possessive, because a pattern that backtracks over comments would take exponential time.
_PAGE = re.compile(r"(?>\s|<\?xml[^>]*>|<!--.*?-->)*+<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_FRAGMENT = re.compile(r"\s*<(p|div|article|section|main|span|table|h[1-6]|ul|ol)\b[^<>]*>", re.IGNORECASE)
_WEB_ARCHIVE = re.compile(r"(?=.*^MIME-Version:).*^Content-Type:\s*multipart/related", re.IGNORECASE | re.M | re.S)


def refuse_binary(path: Path) -> None:
    """Raise DataError if a file is of a known kind without plain text; the message has the kind and the repair."""
    head = read_bytes(path, _HEAD).removeprefix(BOM_UTF8).lstrip()
    for signature, name, repair in _SIGNATURES:
        if head.startswith(signature):
            raise DataError(f"{path}: this is {name}, not text. {repair}")
    if head.startswith(b"PK\x03\x04"):
        raise DataError(f"{path}: {_describe_archive(path)}")


def _describe_archive(path: Path) -> str:
    try:
        with ZipFile(path) as archive:
            return describe_zip(archive.namelist())
    except BadZipFile:
        return describe_zip(())


def describe_zip(names: Collection[str]) -> str:
    """Describe the kind of a ZIP archive by the names of its entries, and add the repair."""
    found = (known[1:] for known in _ZIPPED if any(name.startswith(known[0]) for name in names))
    name, repair = next(found, ("a ZIP archive", "Unpack the archive."))
    return f"this is {name}, not text. {repair}"


def is_rtf(content: bytes) -> bool:
    """Return whether the content is an RTF document."""
    return content[:_HEAD].removeprefix(BOM_UTF8).lstrip().startswith(b"{\\rtf")


def refuse_data(content: str, path: Path) -> None:
    """Raise DataError if a text file contains JSON, JSON lines, XML or a table, which are not prose."""
    found = _kind_of_data(content)
    if found:
        raise DataError(f"{path}: this is {found[0]}, not prose. {found[1]}")


def _kind_of_data(content: str) -> tuple[str, str] | None:
    """Return the name of the data for messages, and the repair; None for prose."""
    head = content.lstrip()
    if kind := next((kind for start, kind in _MARKUP if start.match(head)), ""):
        return kind, "Save the text itself."
    # The last line of the beginning of a long file may be incomplete.
    beginning = head if len(head) <= _TABLE_HEAD else head[:_TABLE_HEAD].rpartition("\n")[0]
    lines = [line for line in beginning.split("\n") if line.strip()]
    if head[:1] in ("{", "[") and lines:
        if all(map(_is_json, lines[:2])) and lines[0].startswith("{"):
            return "JSON lines", "Give the file the extension .jsonl."
        if _is_json(content):
            return "JSON", "Write one object per line, with its text under the key `text`, to a .jsonl file."
    named = next((_SEPARATED[one] for one in _SEPARATED if _is_table(lines, one)), "")
    return (f"a table with {named}", "Give the file the extension .csv.") if named else None


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _is_table(lines: list[str], separator: str) -> bool:
    """Return whether lines are a table: a header of different short names, and at least two rows of the same form."""
    try:
        header, *rows = list(csv.reader(lines, delimiter=separator, strict=True)) or [[]]
    except csv.Error:
        return False
    names = [name.strip() for name in header]
    if not all(0 < len(name) <= _NAME_LENGTH and not _PUNCTUATION.search(name) for name in names):
        return False
    # Two columns may be prose with a comma in each line.
    is_clear = separator == "\t" or any(name.casefold() in OUR_COLUMNS for name in names)
    is_header = len(set(names)) == len(names) >= (2 if is_clear else 3)
    return is_header and len(rows) >= _TABLE_ROWS and all(len(row) == len(names) for row in rows)


def is_page(content: str) -> bool:
    """Return whether the content is an HTML page with a head or a body."""
    return _PAGE.match(content[:_HEAD]) is not None


def is_html_fragment(content: str) -> bool:
    """Return whether the content is part of an HTML page: it begins with the tag of a block that is closed later."""
    opened = _FRAGMENT.match(content[:_HEAD])
    return opened is not None and f"</{opened[1].lower()}>" in content.lower()


def refuse_markup(path: Path) -> None:
    """Raise DataError if a file that should be a table is a web page or an RTF document."""
    head = read_bytes(path, _HEAD)
    found = "an RTF document" if is_rtf(head) else "a web page" if is_page(head.decode(errors="replace")) else ""
    if found:
        raise DataError(f"{path}: this is {found}, not a table. Save the table as CSV, with the extension .csv.")


def refuse_web_archive(content: str, path: Path) -> None:
    """Raise DataError if the content is a web page saved with its images in one file (MHTML)."""
    if _WEB_ARCHIVE.match(content[:_HEAD]):
        raise DataError(f"{path}: this is a web archive (MHTML), not text. Save the page as HTML only.")


_KINDS = {
    "HTML tags": re.compile(r"</?(?:p|br|div|span|b|i|em|strong|a|ul|ol|li|h[1-6]|table|t[rdh])(?:\s[^<>]{0,200})?/?>"),
    "HTML entities": re.compile(r"&(?:amp|quot|nbsp|lt|gt|apos|#\d{2,6}|#x[0-9a-fA-F]{2,5});"),
    "characters of a wrong encoding": re.compile(r"â€[\x80-\xbf™œ˜“”¦]|Ã[\x80-\xbf]|ï»¿|\ufffd"),
    "escaped line breaks": re.compile(r"(?<=[.!?\"”])\\n"),
    "rows of a table": re.compile(r"^ ?\|[-: |]+\|$|\|[-:]{3,}\|", re.MULTILINE),
}
_PERHAPS = re.compile(r"[<&âÃï\ufffd\\|]")


class Oddities:
    """Counts the texts of one file that contain traces of other programs, by kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    @classmethod
    def of(cls, texts: Iterable[object]) -> Self:
        """Count the traces in texts."""
        found = cls()
        for text in texts:
            found.see(text)
        return found

    def see(self, text: object) -> None:
        """Count the traces in a text; other values are ignored."""
        if not isinstance(text, str) or not _PERHAPS.search(text):
            return
        for kind, pattern in _KINDS.items():
            if found := pattern.search(text):
                self._counts[kind] += 1
                self._examples.setdefault(kind, found.group()[:40])

    def notes(self, path: Path | str) -> Iterator[str]:
        """Yield a remark for each kind."""
        for kind, count in self._counts.items():
            texts = counted(count, "text contains", "texts contain")
            example = self._examples[kind]
            yield f"{path}: {texts} {kind}, such as {example!r}, which are read as part of the text"
