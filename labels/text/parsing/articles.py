"""Articles in exports of news archives, and what their readers (`news_exports`) share.

An export is recognised by its structure. Its header lines, such as length and byline, are not sentences of the article:
they become metadata or are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from labels.text.parsing.markup import Matter

Lines = Sequence[str]


@dataclass(frozen=True)
class Article:
    """One article of an export.

    `line` is the line of the file on which the article begins, from 1; `text` is the headline and the body. `problem`
    is the reason why the article cannot be read; empty if there is none.
    """

    line: int
    text: str = ""
    matter: Matter = field(default_factory=dict)
    problem: str = ""


_MONTHS = {
    "january": 1, "february": 2, "march": 3, "april": 4, "may": 5, "june": 6, "july": 7, "august": 8, "september": 9,
    "october": 10, "november": 11, "december": 12,
    "januar": 1, "februar": 2, "märz": 3, "mai": 5, "juni": 6, "juli": 7, "oktober": 10, "dezember": 12,
    "janvier": 1, "février": 2, "mars": 3, "avril": 4, "juin": 6, "juillet": 7, "août": 8, "septembre": 9,
    "octobre": 10, "novembre": 11, "décembre": 12,
}  # fmt: skip
_DATE = re.compile(r"(?P<day>\d{1,2})\.?\s+(?P<month>[^\W\d]+)\.?,?\s+(?P<year>\d{4})\b", re.IGNORECASE)
_AMERICAN_DATE = re.compile(r"(?P<month>[^\W\d]+)\.?\s+(?P<day>\d{1,2}),\s+(?P<year>\d{4})\b", re.IGNORECASE)

_LANGUAGES = {
    "arabic": "ar", "chinese": "zh", "czech": "cs", "danish": "da", "dutch": "nl", "english": "en", "finnish": "fi",
    "french": "fr", "german": "de", "greek": "el", "hebrew": "he", "hungarian": "hu", "indonesian": "id",
    "italian": "it", "japanese": "ja", "korean": "ko", "norwegian": "no", "persian": "fa", "polish": "pl",
    "portuguese": "pt", "romanian": "ro", "russian": "ru", "spanish": "es", "swedish": "sv", "turkish": "tr",
    "ukrainian": "uk", "deutsch": "de", "englisch": "en", "französisch": "fr", "anglais": "en", "français": "fr",
    "allemand": "de",
}  # fmt: skip
_LANGUAGE_NAME = re.compile(r"[^\W\d_]+")


_SUMMARY = re.compile(r"\s*(Search Summary|Text\b|Page \d+ of \d+|©|\(c\)|Factiva\b)", re.IGNORECASE)
"""Lines that archives print after the last article."""


def iso_date(line: str) -> str:
    """Return the date at the start of a line as YYYY-MM-DD; "" if the line does not start with a date.

    >>> iso_date("June 8, 2024 Saturday"), iso_date("8 June 2024")
    ('2024-06-08', '2024-06-08')
    """
    found = _DATE.match(line) or _AMERICAN_DATE.match(line)
    month = _MONTHS.get(found["month"].lower()) if found else None
    return f"{found['year']}-{month:02}-{int(found['day']):02}" if found and month else ""


def language_code(name: str) -> str:
    """Return the ISO 639-1 code of a language; of "ENGLISH; Spanish", the first counts; "" if it is unknown."""
    found = _LANGUAGE_NAME.search(name)
    return _LANGUAGES.get(found[0].lower(), "") if found else ""


def blocks(lines: Lines, first: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Yield the paragraphs of `lines`, which blank lines separate, as the index of the first line and the lines."""
    block: list[str] = []
    for index, line in enumerate([*lines, ""], start=first):
        if line.strip():
            block.append(line.rstrip())
        elif block:
            yield index - len(block), block
            block = []


def one_line(lines: Iterable[str]) -> str:
    """Join lines into one line with single spaces."""
    return " ".join(" ".join(lines).split())


def left_over(lines: Lines, start: int) -> Iterator[Article]:
    """Yield an article with a problem if there is text from the index `start` on, after the last article."""
    at = next((index for index in range(start, len(lines)) if lines[index].strip()), None)
    if at is not None and not _SUMMARY.match(lines[at]):
        yield Article(at + 1, problem="there is text after the last article of this export")


def make_article(line: int, title: str, body: Iterable[Sequence[str]], **matter: str) -> Article:
    """Make an article from its headline and the paragraphs of its body, each of which is a list of lines.

    The headline is the first paragraph of the text, because a headline is often a statement.
    """
    paragraphs = ["\n".join(row.strip() for row in paragraph) for paragraph in body]
    if not paragraphs:
        return Article(line, problem="this article has no text")
    text = "\n\n".join([title, *paragraphs] if title and paragraphs[0] != title else paragraphs)
    known = {"title": title} | matter
    return Article(line, f"{text}\n", {key: value for key, value in known.items() if value})
