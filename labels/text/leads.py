"""Find page dates and datelines, which scrapers and news agencies put before the first sentence of a text.

"date 2024-06-08 On June 7, ..." and "KYIV, June 8 (Reuters) - Oslo ..." begin with words that belong to no sentence.
"""

from __future__ import annotations

import re

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
