"""Read the text exports of Nexis, in the classic form ("1 of 25 DOCUMENTS"), and of Nexis Uni ("End of Document")."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from labels.text.parsing.articles import (
    Article,
    Lines,
    blocks,
    iso_date,
    language_code,
    left_over,
    make_article,
    one_line,
)

# -- the classic export: fields in capitals before and after the text

_START = re.compile(r"\s*(?:FOCUS - )?(?:\d+ of \d+ DOCUMENTS?|Dokument \d+ von \d+|Document \d+ de \d+)\s*")
_FIELD = re.compile(r"([A-ZÄÖÜÉ][A-ZÄÖÜÉ-]{2,23}):(?:\s+|$)")
_LENGTH = ("LENGTH", "LÄNGE", "LONGUEUR")
_HEADER = frozenset({
    *_LENGTH, "BYLINE", "SECTION", "HEADLINE", "DATELINE", "HIGHLIGHT", "SERIES", "COLUMN", "EDITION", "BODY",
    "AUTOR", "VON", "RUBRIK", "AUSGABE", "ÜBERSCHRIFT", "AUTEUR", "RUBRIQUE", "TITRE",
})  # fmt: skip
_TRAILER = frozenset({
    "LOAD-DATE", "UPDATE", "LANGUAGE", "SPRACHE", "LANGUE", "PUBLICATION-TYPE", "PUB-TYPE", "DOCUMENT-TYPE",
    "JOURNAL-CODE", "ZEITUNGS-CODE", "ACC-NO", "SUBJECT", "ORGANIZATION", "COMPANY", "TICKER", "INDUSTRY",
    "GEOGRAPHIC", "PERSON", "CITY", "STATE", "COUNTRY", "GRAPHIC", "GRAFIK", "CORRECTION-DATE", "DISTRIBUTION", "ISSN",
    "TYPE", "URL", "NOTES", "CATEGORY",
})  # fmt: skip
_LANGUAGE = ("LANGUAGE", "SPRACHE", "LANGUE")
_GRAPHIC = ("GRAPHIC", "GRAFIK")
_MOST_CAPTIONS = 10
"""Maximum number of paragraphs after a GRAPHIC field that belong to it."""
_RIGHTS = re.compile(
    r"\s*(copyright\s+(\(c\)\s*|©\s*)?\d{4}|©|all rights reserved|alle rechte vorbehalten|tous droits r)", re.IGNORECASE
)
_EDITION = re.compile(r"(.*\b(edition|ausgabe)( \d+)?( - final)?;?|final|correction appended)", re.IGNORECASE)


def read_nexis(text: str) -> list[Article] | None:
    """Return the articles of an export, in order; None if the text is not an export of Nexis."""
    lines = text.split("\n")
    return _read_classic(lines) or _read_uni(lines)


def _read_classic(lines: Lines) -> list[Article] | None:
    starts = [index for index, line in enumerate(lines) if _START.fullmatch(line)]
    parts = [list(blocks(lines[start + 1 : end], start + 2)) for start, end in pairwise([*starts, len(lines)])]
    if not any(_field(paragraph) in _LENGTH for part in parts for _, paragraph in part):
        return None
    return [_classic_article(part, start + 1) for start, part in zip(starts, parts, strict=True)]


def _classic_article(part: list[tuple[int, list[str]]], line: int) -> Article:
    paragraphs = [paragraph for _, paragraph in part]
    names = [_field(paragraph) for paragraph in paragraphs]
    length = next((index for index, name in enumerate(names) if name in _LENGTH), None)
    if length is None:
        return Article(line, problem="this article has no line `LENGTH:`, so its header has no clear end")
    start = next((i for i in range(length, len(names)) if names[i] == "BODY" or names[i] not in _HEADER), len(names))
    end = _trailer_start(paragraphs, names, start)
    outside = [*range(start), *range(end, len(names))]
    fields = {names[index]: _value(paragraphs[index]) for index in outside if names[index]}
    opening = paragraphs[: next(index for index, name in enumerate(names) if name)]
    source, date, title = _opening([row for own in opening if not _RIGHTS.match(own[0]) for row in own])
    title = _first(fields, ("HEADLINE", "ÜBERSCHRIFT", "TITRE")) or title
    body = paragraphs[start:end]
    if body and names[start] == "BODY":
        body[:1] = [rest] if (rest := [_FIELD.sub("", body[0][0], count=1), *body[0][1:]]) != [""] else []
    if "HIGHLIGHT" in fields:
        body.insert(0, [fields["HIGHLIGHT"]])
    language = language_code(_first(fields, _LANGUAGE))
    return make_article(line, title, body, source=source, date=date, language=language)


def _field(paragraph: list[str]) -> str:
    """Return the name of the field in a paragraph; "" if the paragraph is not a field."""
    found = _FIELD.match(paragraph[0])
    return found[1] if found and (found[1] in _HEADER or found[1] in _TRAILER) else ""


def _value(paragraph: list[str]) -> str:
    return one_line([_FIELD.sub("", paragraph[0], count=1), *paragraph[1:]])


def _first(fields: dict[str, str], names: Iterable[str]) -> str:
    return next((fields[name] for name in names if name in fields), "")


def _trailer_start(paragraphs: list[list[str]], names: list[str], start: int) -> int:
    """Return the index of the first paragraph after the text, where the fields and captions at the end begin."""
    found, captions = len(paragraphs), 0
    for index in range(len(paragraphs) - 1, start - 1, -1):
        if names[index] in _GRAPHIC and captions <= _MOST_CAPTIONS:
            found, captions = index, 0
        elif names[index] in _TRAILER and not captions:
            found = index
        elif names[index] in _TRAILER:
            break  # a line of the text that looks like a field
        elif not _RIGHTS.match(paragraphs[index][0]):
            captions += 1
        elif index == found - 1:
            found = index  # a copyright notice after the text
    return found


def _opening(rows: list[str]) -> tuple[str, str, str]:
    """Return the source, the date and the headline in the lines above the first field."""
    at = next((index for index, row in enumerate(rows) if iso_date(row.strip())), None)
    if at is None:
        return one_line(rows[:1]), "", one_line(rows[1:])
    # Nexis centres all lines except the headline. Some programs remove the spaces.
    headline = [row for row in rows[at + 1 :] if not row.startswith(" ")]
    if not rows[at].startswith(" "):
        headline = [row for row in headline if not _EDITION.fullmatch(row)]
    return one_line(rows[max(at - 1, 0) : at]), iso_date(rows[at].strip()), one_line(headline)


# -- Nexis Uni: headings such as "Body" on lines of their own

_END = "End of Document"
_UNI_FIELD = re.compile(r"(Section|Length|Byline|Dateline|Highlight|Language|Load-Date):\s*(.*)")
_COVER = re.compile(r".*\bAbout LexisNexis\b.*|\s*[-_]{20,}\s*")
_COVER_FIELD = re.compile(r"\s*(Job Number|User Name|Client/Matter|Documents \(\d+\))\b.*")
_PAGE_LINE = re.compile(r"\s*Page \d+ of \d+\s*")
_AFTER_BODY = ("Classification", "Notes", "Graphic")
"""Headings after the text, from last to first."""
_LONGEST_APPENDIX = 60
"""Maximum number of lines under such a heading; with more lines, the heading belongs to the text."""


def _read_uni(lines: Lines) -> list[Article] | None:
    ends = [index for index, line in enumerate(lines) if line.strip() == _END]
    parts = [lines[start:end] for start, end in zip([0, *(end + 1 for end in ends)], ends, strict=False)]
    if not any(_is_uni_article(part) for part in parts):
        return None
    found = [_uni_article(part, start) for start, part in zip([0, *(end + 1 for end in ends)], parts, strict=False)]
    return [*found, *left_over(lines, ends[-1] + 1)]


def _is_uni_article(part: Lines) -> bool:
    stripped = [line.strip() for line in part]
    return "Body" in stripped and any(line.startswith(("Length:", "Load-Date:")) for line in stripped)


def _uni_article(part: Lines, first: int) -> Article:
    rows = [line.strip() for line in part if not _PAGE_LINE.fullmatch(line)]
    line = first + 1 + next((index for index, row in enumerate(part) if row.strip()), 0)
    if "Body" not in rows:
        return Article(line, problem="this article has no line `Body`, so its header has no clear end")
    body_at = rows.index("Body")
    end = _uni_end(rows, body_at)
    header = [row for row in rows[:body_at] if row]
    cover = max((index for index, row in enumerate(header) if _COVER.fullmatch(row)), default=-1)
    source, date, title = _uni_opening(header[cover + 1 :])
    fields = {found[1]: found[2] for row in (*header, *rows[end:]) if (found := _UNI_FIELD.fullmatch(row))}
    body = [paragraph for _, paragraph in blocks(rows[body_at + 1 : end])]
    if fields.get("Highlight"):
        body.insert(0, [fields["Highlight"]])
    language = language_code(fields.get("Language", ""))
    return make_article(line, title, body, source=source, date=date, language=language)


def _uni_end(rows: Lines, body_at: int) -> int:
    """Return the index of the first line after the text."""
    after = range(len(rows) - 1, body_at, -1)
    end = next((index for index in after if rows[index].startswith("Load-Date:")), len(rows))
    for heading in _AFTER_BODY:
        at = next((index for index in range(end - 1, body_at, -1) if rows[index] == heading), end)
        end = at if end - at <= _LONGEST_APPENDIX else end
    return end


def _uni_opening(header: list[str]) -> tuple[str, str, str]:
    """Return the source, the date and the headline in the lines above the text."""
    at = next((index for index, row in enumerate(header) if iso_date(row)), None)
    if at is None:
        known = [row for row in header if not _UNI_FIELD.match(row) and not _RIGHTS.match(row)]
        return one_line(known[1:2]), "", one_line(known[:1])
    has_cover = any(_COVER_FIELD.fullmatch(row) for row in header[:at])
    title = header[max(at - 2, 0) : max(at - 1, 0)] if has_cover else header[: max(at - 1, 0)]
    return one_line(header[max(at - 1, 0) : at]), iso_date(header[at]), one_line(title)
