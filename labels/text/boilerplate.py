"""Recognize what surrounds the sentences of scraped pages: boilerplate, page dates and datelines.

A line is boilerplate because of its words, which `boilerplate.toml` lists, never because of its website. Scrapers and
news agencies put page dates and datelines before the first sentence of a text: "date 2024-06-08 On June 7, ..." and
"KYIV, June 8 (Reuters) - Oslo ..." begin with words that belong to no sentence.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

# -- page dates and datelines

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|"
    r"Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_WEEKDAY = r"(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?\.?"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_DATE = (
    rf"(?:\d{{4}}-\d\d-\d\d|\d{{1,2}}[./]\d{{1,2}}[./]\d{{4}}|"
    rf"(?:{_WEEKDAY},? )?(?:{_DAY} {_MONTH},?|{_MONTH} {_DAY},?) \d{{4}})"
)
_ZONE = r"(?:GMT|UTC|[BCE]E?ST|[ECMP][SD]?T|IST|MSK|Z|[+-]\d\d:?\d\d)"
_TIME = rf"(?:\d{{1,2}}[:.]\d\d(?::\d\d)?(?: ?[ap]\.?m\.?(?!\w))?(?: ?{_ZONE}\b)?)"
_LABEL = (
    r"(?i:(?:last |first )?(?:date|published|updated|posted|modified|issued|created|publication date)(?: on| at)?:? )"
)
_GAP = r"(?:,? (?:at |- |– |\| )?|T)"
_REST = r"(?=[\"“‘'(]?[A-Z])"
_PAGE_DATE = re.compile(
    rf"(?:{_LABEL}?{_DATE}(?:{_GAP}{_TIME})?|{_LABEL}{_TIME})(?:[^\S\n]*[|·•–—-][^\S\n]*|[^\S\n]+){_REST}"
)
_PLACE_WORD = r"(?:(?:ST|MT|FT|PT)\.|[A-Z][A-Z'’-]+)"
_PLACE = rf"{_PLACE_WORD}(?:[ /]{_PLACE_WORD}){{0,4}}"
_REGION = r"(?:, (?!(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec))[A-Z][\w.]+(?: [A-Z][\w.]+){0,2})?"
_WHEN = rf"(?:,? (?:{_MONTH} {_DAY}|{_DAY} {_MONTH})(?:,? \d{{4}})?\.?)"
_AGENCY = r"(?:,? ?(?:\([A-Z][\w./ -]{1,40}\)|/[A-Z][\w. -]{1,40}/)\.?)"
_DASH = r"(?: ?(?:--?|[–—])[^\S\n]*| _ |(?<=/) |(?<=/\.) )"
_DATELINE = re.compile(
    rf"(?:{_PLACE}{_REGION}(?:{_WHEN}{_AGENCY}?|{_AGENCY}){_DASH}|\([A-Z][A-Za-z. ]{{1,24}}\) ?(?:--?|[–—]) ){_REST}"
)
_PAGE_LINE = re.compile(rf"{_LABEL}{_DATE}(?:{_GAP}{_TIME})?\.?")


def lead_length(text: str) -> int:
    """Return the length of the page date or dateline before the first sentence of `text`; 0 if there is none.

    The sentence must begin with a capital letter, so "June 8, 2024, was a Saturday" has no lead.
    """
    length = 0
    for pattern in (_PAGE_DATE, _DATELINE):
        match = pattern.match(text, length)
        length = match.end() if match else length
    return length


def is_page_date(text: str) -> bool:
    """Return whether a text consists of a label and a date, such as "Published: June 8, 2024, 12:30"."""
    return _PAGE_LINE.fullmatch(text) is not None


# -- boilerplate

# Scrapers often append lines of these kinds to a paragraph. The patterns of other kinds also match real sentences.
_GLUED_REASONS = frozenset({"share line", "comments", "advertisement", "newsletter", "cookie notice", "mark"})
# Reported speech is not boilerplate: "Sign up to the truce, the envoy urged". After a colon, it may be a link title.
_ATTRIBUTED = re.compile(
    r"[^:|]*,[”\"’']? ([\w’'-]+ ){0,5}"
    r"(said|says|told|tells|urged|urges|asked|asks|begged|pleaded|demanded|ordered|warned|insisted|joked)\b"
)
_LONG = 320
"""A line with more characters is always a paragraph; this also limits the time spent on matching patterns."""
_ODD_SPACE = re.compile(r"[^\S\n ]")
"""White space that pages use in place of plain spaces, such as non-breaking spaces."""
_BAR, _BAR_PARTS, _BAR_WIDTH = re.compile(r"[|»>›]"), 3, 60
_SENTENCE_MARK = re.compile(r"[.?!]")


def boilerplate_reason(line: str) -> str:
    """Return the reason why `line` (a line of a page, with marks trimmed) is boilerplate; "" if it is text.

    The reasons are "navigation" and the keys of `[patterns]` in `boilerplate.toml`. A "mark" is a line without letters.
    """
    if len(line) > _LONG:
        return ""
    line = _ODD_SPACE.sub(" ", line)
    reason = _first_reason(line, _rules()) or ("navigation" if _is_bar(line) else "")
    return "" if reason and reason != "caption" and _ATTRIBUTED.match(line) else reason


class _Rule(NamedTuple):
    """The joined patterns of one reason. The `slow` pattern is only tried if a line contains one of its words."""

    reason: str
    quick: re.Pattern[str]
    slow: tuple[re.Pattern[str], re.Pattern[str]] | None

    def matches(self, line: str, folded: str) -> bool:
        if self.quick.fullmatch(line):
            return True
        return self.slow is not None and bool(self.slow[0].search(folded) and self.slow[1].fullmatch(line))


def _first_reason(line: str, rules: Sequence[_Rule]) -> str:
    folded = line.casefold()
    return next((rule.reason for rule in rules if rule.matches(line, folded)), "")


@cache
def _rules() -> list[_Rule]:
    """Return the rules of `boilerplate.toml`, which are compiled on first use because compiling is slow."""
    content = tomllib.loads(Path(__file__).with_name("boilerplate.toml").read_text(encoding="utf-8"))
    words = {name: text if isinstance(text, str) else "|".join(text) for name, text in content["words"].items()}
    slow = {
        reason: (re.compile("|".join(map(re.escape, own["words"]))), _joined(own["patterns"], words))
        for reason, own in content["slow"].items()
    }
    return [_Rule(reason, _joined(own, words), slow.get(reason)) for reason, own in content["patterns"].items()]


@cache
def _glued_rules() -> _Rule:
    """One rule for all reasons that a sentence in a paragraph can have: one call instead of six."""
    rules = [rule for rule in _rules() if rule.reason in _GLUED_REASONS]
    slow = [rule.slow for rule in rules if rule.slow]
    words, patterns = ("|".join(f"(?:{one.pattern})" for one in own) for own in zip(*slow, strict=True))
    quick = "|".join(f"(?:{rule.quick.pattern})" for rule in rules)
    return _Rule("", re.compile(quick, re.IGNORECASE), (re.compile(words), re.compile(patterns, re.IGNORECASE)))


def _joined(lines: str, words: Mapping[str, str]) -> re.Pattern[str]:
    """Join the patterns in `lines`, one per line, because matching one long pattern is much faster."""
    while named := re.search(r"<(\w+)>", lines):  # word lists may refer to other word lists
        lines = lines.replace(named.group(), words[named.group(1)])
    return re.compile("|".join(f"(?:{pattern})" for pattern in lines.splitlines()), re.IGNORECASE)


def _is_bar(line: str) -> bool:
    """Return whether a line, such as `A | B | C`, has three or more short parts and no sentence punctuation."""
    if _SENTENCE_MARK.search(line):
        return False
    parts = [part.strip() for part in _BAR.split(line)]
    return len(parts) >= _BAR_PARTS and all(0 < len(part) <= _BAR_WIDTH for part in parts)


def glued_reason(sentence: str, *, is_line: bool = False) -> str:
    """Return the reason if a scraper appended this boilerplate sentence to a paragraph; "" if it must be labelled.

    Args:
        is_line: whether the sentence is a whole line for which `boilerplate_reason` found no reason.
    """
    # Most of the time for splitting goes into these patterns, so no line is matched twice, and nearly every sentence
    # only with the patterns of these reasons.
    if not is_line and len(sentence) <= _LONG:
        spaced = _ODD_SPACE.sub(" ", sentence)
        if _glued_rules().matches(spaced, spaced.casefold()):
            reason = boilerplate_reason(sentence)
            if reason in _GLUED_REASONS:
                return reason
    return "byline" if is_page_date(sentence) else ""
