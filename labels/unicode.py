"""Handle characters and encodings: text files, invisible characters, missing values, typographic variants.

`read_text` and `read_toml` read files with or without a byte order mark. `clean` removes invisible characters from the
ends of a value, and `person_name` also refuses them inside a name. `visible` replaces control characters by visible
characters, so that a text cannot move the cursor, change colours or reverse lines.

`is_missing` is the only place that decides what counts as missing: a blank or null cell, or text that stands for a
missing value, such as `nan` and `N/A`. A label cell with a missing value means that nobody decided; `none` is not a
missing value.

`fold` is the only place that decides which characters count as equal, so that cues and searches match texts as people
type them. `labels.store.tables` states the same rules in SQL, built from the tables below. Stored texts never change:
only the compared copies are folded.
"""

from __future__ import annotations

import codecs
import math
import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from labels.errors import DataError

# -- text files

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


# -- invisible characters

INVISIBLE = "".join(map(chr, (0xAD, 0x61C, 0x180E, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F))))
INVISIBLE += "".join(map(chr, range(0x2060, 0x2070)))
"""Characters without a width, such as the byte order mark and the soft hyphen."""

_BLANKS = "".join(map(chr, (0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)))
_CONTROLS = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0))))
_EDGES = INVISIBLE + _CONTROLS + _BLANKS


def clean(text: str) -> str:
    """Return the text in Unicode NFC without white space, control and invisible characters at its ends."""
    return unicodedata.normalize("NFC", text).strip(_EDGES)


def person_name(name: str, place: str) -> str:
    """Check the name of a person, and return it without white space and invisible characters at its ends.

    Args:
        place: the option, or the file and the row, for messages.

    Raises:
        DataError: no visible character is left, or the name contains control characters or line breaks.
    """
    found = clean(name)
    if not found:
        raise DataError(f"{place}: the name of the annotator is empty. Fill in a name.")
    if visible(found) != found or "\n" in found or "\t" in found:
        raise DataError(f"{place}: the annotator's name {found!r:.80} contains control characters. Remove them.")
    return found


_KEPT = "\t\n"
_DELETE = 0x7F
_REVERSING = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Characters that change the direction in which the rest of a line is shown."""
_LINE_ENDS = (0x85, 0x2028, 0x2029)

_SHOWN: dict[int, str] = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in _KEPT}
_SHOWN |= {_DELETE: "\u2421"}
_SHOWN |= {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}
_SHOWN |= {code: f"\\u{code:04x}" for code in (*_REVERSING, *range(0xD800, 0xE000))}
_SHOWN |= dict.fromkeys(_LINE_ENDS, "\u2424")


def visible(text: str) -> str:
    r"""Replace control characters by pictures or escapes; line feeds, `\r\n` and tabs stay white space.

    C0 controls and DEL become Unicode's control pictures (ESC is shown as "␛"); unusual line ends become "␤"; C1
    controls, characters that reverse the direction of a line, and unpaired surrogates become escapes such as `\u202e`.
    Characters are replaced one by one, so `len(visible(text[:offset]))` is the position of an offset.
    """
    return text.replace("\r\n", " \n").translate(_SHOWN)


# -- missing values

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


# -- typographic variants

_APOSTROPHES = "‘’‚‛`´′ʹʻʼʽ᾽᾿՚׳‹›"
_QUOTES = "“”„‟″〝〞〟״«»"
_HYPHENS = "‐‑‒–−"
_SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u00a0\u1680\u2028\u2029"
_IGNORED = (
    # Soft hyphen, joiners, direction marks, byte order mark, variation selectors, tags: Unicode's "default ignorable".
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE01EF),
)  # fmt: skip
IGNORED = "".join(chr(code) for first, last in _IGNORED for code in range(first, last + 1))
"""Characters without a visible form of their own; `fold` removes them."""
REPLACED = dict.fromkeys(_APOSTROPHES, "'") | dict.fromkeys(_QUOTES, '"') | dict.fromkeys(_HYPHENS, "-")
REPLACED |= dict.fromkeys(_SPACES, " ")
"""Maps typographic characters to characters that every keyboard has."""

_TABLE: dict[int, str | None] = str.maketrans(REPLACED) | dict.fromkeys(map(ord, IGNORED))
_SPACE_RUN = re.compile(" +")
LINE_END = r"[ \t]*\r?\n[ \t]*"
COMPOUND_PARTS = (
    *("cross", "full", "half", "hard", "high", "long", "low", "much", "non", "self", "short", "vice", "well"),
    *("north", "south", "east", "west", "two", "three", "four", "five", "six"),
)
"""Words that keep their hyphen at the end of a line: "long-" and "term" become "long-term"."""
_DIVIDED = re.compile(rf"\u00ad{LINE_END}|(?<=[^\W\d_])-{LINE_END}(?=[^\W\d_])")
_LAST_WORD = re.compile(r"\w+\Z")
_LONGEST_PART = 12


def fold(text: str) -> str:
    """Return the text with plain quotes, hyphens, letters and single spaces, and without invisible characters.

    Case is kept. Compatibility characters, such as ligatures and wide letters, are replaced as in Unicode's NFKC. A
    word that is divided at the end of a line is joined.

    >>> fold("They won’t sign the “cease\u2011ﬁre”")
    'They won\\'t sign the "cease-fire"'
    """
    joined = undivided(text)
    # The table comes first because NFKC turns an acute accent used as an apostrophe into a space, and again afterwards
    # because NFKC turns other characters, such as wide hyphens, into characters of the table.
    return _SPACE_RUN.sub(" ", unicodedata.normalize("NFKC", joined.translate(_TABLE)).translate(_TABLE))


def undivided(text: str) -> str:
    r"""Join the words that a hyphen divides at the end of a line; classifiers read this form of a text.

    A hyphen after a word of `COMPOUND_PARTS` stays. A hyphen before a capital letter or a digit does not divide a word.

    >>> undivided("hu-\nmanitarian aid, long-\nterm")
    'humanitarian aid, long-term'
    """
    pieces, start = [], 0
    for left, right in _gaps(text):
        pieces.append(text[start:left])
        start = right
    return "".join([*pieces, text[start:]]) if start else text


def _gaps(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of hyphens and line ends that `undivided` removes."""
    if "\n" not in text:
        return
    for match in _DIVIDED.finditer(text):
        left, right = match.span()
        if text[left] == "-":
            if not text[right].islower():
                continue
            word = _LAST_WORD.search(text, max(0, left - _LONGEST_PART), left)
            left += word is not None and word.group().lower() in COMPOUND_PARTS
        yield left, right


def search_form(text: str) -> str:
    """Return the folded text with case differences removed.

    A text contains words if its search form contains their search form.
    """
    return fold(text).casefold()


class Folded:
    """A folded text with the positions of its characters in the original text.

    `text` is the result of `fold`; `span` converts offsets in `text` to offsets in the original.
    """

    def __init__(self, original: str) -> None:
        self.text = fold(original)
        self._original = original
        self._joined = undivided(original)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the smallest span of the original text that covers the characters `[start, end)` of `text`.

        The span must not be empty. A character that folds to several, such as a ligature, is covered completely.
        """
        starts, ends = self._bounds
        return self._place(starts[start]), self._place(ends[end - 1] - 1) + 1

    def _place(self, offset: int) -> int:
        """Return the offset in the original text of the character at `offset` in the joined text."""
        for left, right in self._removed:
            if left > offset:
                break
            offset += right - left
        return offset

    @cached_property
    def _removed(self) -> list[tuple[int, int]]:
        return list(_gaps(self._original))

    @cached_property
    def _bounds(self) -> tuple[list[int], list[int]]:
        """The start and end in the joined text of each character of `text`."""
        starts: list[int] = []
        ends: list[int] = []
        for start, end in _pieces(self._joined):
            size = len(fold(self._joined[start:end]))
            starts += [start] * size
            ends += [end] * size
        return starts, ends


def _pieces(text: str) -> list[tuple[int, int]]:
    """Divide a text into spans that can be folded one by one: a character with its marks, or a run of spaces."""
    pieces: list[tuple[int, int]] = []
    last = ""
    for place, character in enumerate(text):
        folded = fold(character)
        if pieces and (not folded or _modifies(character) or (last == folded[0] == " ")):
            pieces[-1] = pieces[-1][0], place + 1
        else:
            pieces.append((place, place + 1))
        last = folded[-1:] or last
    return pieces


def _modifies(character: str) -> bool:
    """Return whether a character can combine with the previous one, such as an accent or a vowel sign."""
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.category(first).startswith("M") or "\u1160" <= first <= "\u11ff"
