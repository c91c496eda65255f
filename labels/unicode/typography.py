"""Fold typographic variants of the same words, so that cues and searches match texts as people type them.

`fold` is the only place that decides which characters count as equal. `labels.store.tables` states the same rules in
SQL, built from the tables below. Stored texts never change: only the compared copies are folded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cached_property

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
    """Return the folded text without case. A text contains words if its search form contains their search form."""
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
