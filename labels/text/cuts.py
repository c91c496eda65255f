"""Cut one paragraph into sentences with the library sentencex, and correct its cuts.

sentencex keeps a quotation in one piece and knows few abbreviations of diplomatic texts. This module also cuts inside
quotations, in all languages, and applies the rules of `abbreviations.toml` to English. Every rule reads a few words
around a cut, so the time is linear in the length of the paragraph.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from labels.text.headings import is_finite

_ODD_SPACE = re.compile(r"[^\S\n ]")
_LONE_RETURN = re.compile(r"\r(?!\n)")
# Quotation marks. An apostrophe between letters is not a mark.
_QUOTE = re.compile(r"[“”„‟«»\"]|(?<!\w)['‘‚]|['’](?!\w)")
_ANY_QUOTE = re.compile(r"[“”„‟«»\"'‘’‚]")  # much faster to search for than `_QUOTE`
_POSSESSIVE = re.compile(r"['’](?<=s['’])(?=\s[a-z])")
"""An apostrophe that looks like a closing mark, as in "the workers’ call"."""
_QUOTE_MIN_WORDS = 4
_EXCLAMATION_MIN_WORDS = 6
"""Shorter quotations stay whole, because they are titles or exclamations, such as “Oh! What a Lovely War”."""
_OPENING, _CLOSING = "\"'“‘„‚«‹([", "\"'”’»›)]"
_STRAIGHT = ('"', "'", "”", "’", "»")
_WINDOW = 4000
"""The number of characters that sentencex reads at once. Hardly any paragraph is longer."""
_REACH = 40
"""The number of characters that the rules read before and after a cut."""
_TOKEN = re.compile(r"\S+\Z")
_NEXT = re.compile(r"\s*([\"'“‘„«(\[]*)([^\s,;:.!?\"”’'»)\]]*)")
# As in: "Who?" the envoy asked. A name or a noun, then a verb of speech that ends the clause.
_SPEAKER = re.compile(
    r"\s*[\w’'.-]+(?: [\w’'.-]+){0,5}? (?:said|says|asked|asks|told \w+|added|replied|wrote|demanded|shouted)[.,;]"
)
_NEXT_TWO = re.compile(r"\s*(\w[\w-]*) (\w+)")
_NUMERAL = re.compile(r"[\d(\[§]|[IVXLC]+\b|[a-z]\)|[A-Z]/")
_DAY = re.compile(r"(?:[1-9]|[12]\d|3[01])\.")
# Places where sentencex may have missed the end of a sentence.
# The pattern begins with the full stop and looks back afterwards, so that the search skips other characters quickly.
_MISSED = re.compile(r"[.…](?:(?<=[\w.][.…])(?:(?<=\.)[)\]])?|(?<=\s…)|(?<=\s\.\s\.\s\.))(?=\s+[\"“‘'(]?[A-Z])")
_HEADLINE = 160
"""The greatest length of a headline in characters."""
_FINISHED = re.compile(r"[.!?…][\"'”’»)\]]*\Z")
_HOUR = re.compile(r"\d ?[aApP]\.?[mM]\.\Z")
_INITIALS = re.compile(r"(?:[A-Z]\.){2,}|[apAP]\.[mM]\.")


@dataclass(frozen=True)
class _Words:
    """The word lists of `abbreviations.toml`."""

    always: frozenset[str]
    before_name: frozenset[str]
    surnames: frozenset[str]
    before_number: frozenset[str]
    time: frozenset[str]
    after_time: frozenset[str]
    months: frozenset[str]
    names: frozenset[str]
    words: frozenset[str]
    abbreviations: frozenset[str]
    starters: frozenset[str]
    articles: frozenset[str]
    countries: frozenset[str]


@cache
def _words() -> _Words:
    content = tomllib.loads(Path(__file__).with_name("abbreviations.toml").read_text(encoding="utf-8"))
    lists = content["continues"] | content["ends"]
    return _Words(**{name: frozenset(own) for name, own in lists.items()})


def cut_paragraph(text: str, language: str, *, keep_quotes: bool = False) -> Iterator[tuple[int, int]]:
    """Yield the spans of the sentences in a paragraph, in order, without the white space between them.

    Args:
        text: one paragraph, which may contain line ends.
        language: the language code of the text. The rules for abbreviations apply if it begins with "en".
        keep_quotes: whether a quotation of several sentences stays one sentence.
    """
    # sentencex crashes on multi-byte white space before a full stop. Replacing each by one space keeps the offsets.
    spaced = _ODD_SPACE.sub(" ", _LONE_RETURN.sub("\n", text))
    ends = set(_segment(spaced, language))
    if not keep_quotes:
        ends |= _ends_in_quotations(spaced, language, ends)
    if language[:2].lower() == "en":
        ends = {end for end in ends | _missed_ends(spaced, ends) if not _continues(spaced, end)}
    start = 0
    for end in sorted(ends | {len(text.rstrip())}):
        start += len(text[start:end]) - len(text[start:end].lstrip())
        if start < end:
            yield start, end
        start = end


def _segment(text: str, language: str) -> Iterator[int]:
    """Yield the ends of the pieces into which sentencex divides a text, without trailing white space.

    The end of the whole text is left out. sentencex takes quadratic time on some texts, such as many opening quotation
    marks, so it reads the text in windows. The last piece of a window may be incomplete, so the next window begins with
    this piece.
    """
    from sentencex import segment

    start = 0
    while start < len(text):
        end = start + _WINDOW
        *pieces, last = segment(language, text[start:end])
        for piece in pieces:
            start += len(piece)
            yield start - len(piece) + len(piece.rstrip())
        # Skip a very long last piece. Otherwise, each window might advance by only a few characters.
        if end >= len(text) or len(last) > _WINDOW // 2:
            start += len(last)


# -- quotations


def _ends_in_quotations(text: str, language: str, known: set[int]) -> set[int]:
    """Return the ends of sentences inside quotations, found by splitting the text without its quotation marks."""
    found = _QUOTE.finditer(text) if _ANY_QUOTE.search(text) else ()
    marks = [match.start() for match in found if not _POSSESSIVE.match(text, match.start())]
    if not marks:
        return set()
    bare = _QUOTE.sub(" ", text)
    return {end for end in _segment(bare, language) if end not in known and _is_inside(text, end, marks)}


def _is_inside(text: str, end: int, marks: list[int]) -> bool:
    """Return whether a sentence ends at `end` within a quotation that has enough words to be divided."""
    following = text[end : end + _REACH].lstrip()
    if text[end - 1] not in ".!?…。" or not text[end].isspace() or following[:1].islower():
        return False
    if following[:1] in _STRAIGHT and not following[1:2].isalnum():  # a closing mark after a space
        return False
    place = bisect(marks, end)
    left = marks[place - 1] if place else 0
    right = marks[place] if place < len(marks) else len(text)
    least = _QUOTE_MIN_WORDS if text[end - 1] in ".。" else _EXCLAMATION_MIN_WORDS
    return len(text[left : min(right, left + 10 * _REACH)].split()) >= least


# -- abbreviations in English


def _continues(text: str, end: int) -> bool:
    """Return whether the sentence continues after `end`, where sentencex ends a piece."""
    before, after = _around(text, end)
    token, lists = before.removesuffix("."), _words()
    if before[-2:-1] in ("?", "!") and before[-1] in _CLOSING:
        return _SPEAKER.match(text, end, end + 2 * _REACH) is not None
    if token == before:
        return False
    follower = _follower(after)[1]
    if _is_title(token) or (before == "P.M." and not _HOUR.search(text, max(0, end - _REACH), end)):
        return follower[:1].isupper() and (follower not in lists.starters or follower in lists.surnames)
    if token in lists.time:
        return follower in lists.after_time or _names_a_zone(after)
    if _INITIALS.fullmatch(before) and (after.lstrip().startswith(tuple(lists.names)) or _is_headline(text, after)):
        return True
    if _DAY.fullmatch(before):
        return follower in lists.months
    return token in lists.always or (token in lists.before_number and bool(_NUMERAL.match(after.lstrip())))


def _follower(after: str) -> tuple[str, str]:
    """Return the opening marks and the first word after a cut."""
    match = _NEXT.match(after)
    return (match.group(1), match.group(2)) if match else ("", "")


def _is_title(token: str) -> bool:
    """Return whether a token is a title or a rank, as in "MS. LIND" or "Lt.-Gen. Lind"."""
    titles, last = _words().before_name, token.rpartition("-")[2]
    return token in titles or last in titles or (last.isupper() and len(last) > 1 and last.capitalize() in titles)


def _is_headline(text: str, after: str) -> bool:
    """Return whether a paragraph is a short line without a final full stop, with capital letters after a cut."""
    if len(text) > _HEADLINE or _FINISHED.search(text.rstrip()):
        return False
    return all(word[:1].isupper() for word in after.split()[:2])


def _around(text: str, end: int) -> tuple[str, str]:
    """Return the last token before `end`, without opening marks, and the text after `end`."""
    match = _TOKEN.search(text, max(0, end - _REACH), end)
    return (match.group() if match else "").lstrip(_OPENING), text[end : end + _REACH]


def _names_a_zone(after: str) -> bool:
    """Return whether a time zone such as "Moscow time" follows."""
    match = _NEXT_TWO.match(after)
    return match is not None and match.group(2).lower() == "time"


def _missed_ends(text: str, known: set[int]) -> set[int]:
    """Find the ends of sentences that sentencex overlooks because it takes the last word for an abbreviation."""
    return {match.end() for match in _MISSED.finditer(text) if match.end() not in known and _ends(text, match.end())}


def _ends(text: str, end: int) -> bool:
    before, after = _around(text, end)
    lists, token = _words(), before.removesuffix(".")
    if token in lists.words:
        return True
    if token not in lists.abbreviations and not _INITIALS.fullmatch(before) and not before.endswith("…"):
        return False
    if _is_headline(text, after):
        return False
    marks, follower = _follower(after)
    rest = after.lstrip()[len(marks) + len(follower) :].lstrip()
    if follower in lists.countries:  # "the U.S. Israel rejected it", not "the U.S. Ukraine envoy"
        return is_finite(re.split(r"\W", rest, maxsplit=1)[0])
    return follower in lists.starters or (follower in lists.articles and rest[:1].islower())
