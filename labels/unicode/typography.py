"""Fold the ways of typing the same words, so that cues and searches match texts as people type them.

`fold` is the only place that decides which characters count as equal. `labels.store.tables` states the same rules in
SQL, built from the tables below. Stored texts never change: only the compared copies are folded.
"""

from __future__ import annotations

import re
import unicodedata
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
"""Typographic characters -> the characters on every keyboard."""

_TABLE: dict[int, str | None] = str.maketrans(REPLACED) | dict.fromkeys(map(ord, IGNORED))
_SPACE_RUN = re.compile(" +")
_WORD_BROKEN_AT_LINE_END = re.compile(r"\u00ad[ \t]*\n[ \t]*")
_TOKEN = re.compile(rf"{_WORD_BROKEN_AT_LINE_END.pattern}|.", re.DOTALL)


def fold(text: str) -> str:
    """The text with plain quotes, hyphens and single spaces, without ligatures, wide letters and invisible characters.

    Case is kept. Compatibility characters are replaced as in Unicode's NFKC. A word that a soft hyphen divides at the
    end of a line is one word.

    >>> fold("They won’t sign the “cease\u2011ﬁre”")
    'They won\\'t sign the "cease-fire"'
    """
    joined = _WORD_BROKEN_AT_LINE_END.sub("", text)
    # The table comes first because NFKC turns an acute accent used as an apostrophe into a space, and again afterwards
    # because NFKC turns other characters, such as wide hyphens, into characters of the table.
    return _SPACE_RUN.sub(" ", unicodedata.normalize("NFKC", joined.translate(_TABLE)).translate(_TABLE))


def search_form(text: str) -> str:
    """The folded text without case: a text contains words if its search form contains their search form."""
    return fold(text).casefold()


class Folded:
    """A folded text with the positions of its characters in the original text.

    `text` is the result of `fold`; `span` converts offsets in `text` to offsets in the original.
    """

    def __init__(self, original: str) -> None:
        self.text = fold(original)
        self._original = original

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The smallest span of the original text that covers the characters `[start, end)` of `text`; not empty.

        A character that folds to several characters, such as a ligature, is covered completely.
        """
        starts, ends = self._bounds
        return starts[start], ends[end - 1]

    @cached_property
    def _bounds(self) -> tuple[list[int], list[int]]:
        """The start and the end in the original of each character of `text`."""
        starts: list[int] = []
        ends: list[int] = []
        for start, end in _pieces(self._original):
            size = len(fold(self._original[start:end]))
            starts += [start] * size
            ends += [end] * size
        return starts, ends


def _pieces(text: str) -> list[tuple[int, int]]:
    """Divide a text into spans that can be folded one by one: a character with its marks, or a run of spaces."""
    pieces: list[tuple[int, int]] = []
    last = ""
    for token in _TOKEN.finditer(text):
        folded = fold(token.group())
        if pieces and (not folded or _modifies(token.group()) or (last == folded[0] == " ")):
            pieces[-1] = pieces[-1][0], token.end()
        else:
            pieces.append(token.span())
        last = folded[-1:] or last
    return pieces


def _modifies(character: str) -> bool:
    """Whether a character can combine with the previous one: an accent, a vowel sign, or the rest of a syllable."""
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.category(first).startswith("M") or "\u1160" <= first <= "\u11ff"
