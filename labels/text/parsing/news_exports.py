"""Read the text exports of the news archives Factiva and Nexis.

Factiva writes field codes ("HD", "LP", "TD") or a plain header, and ends every article with its accession number, such
as `Document REUT000020240608ek68000a1`. Nexis has a classic form ("1 of 25 DOCUMENTS"), and the form of Nexis Uni ("End
of Document").
"""

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

# -- Factiva

_ACCESSION_LINE = re.compile(r"\s*(?:\*?AN\*?[\s|]+)?(?:Document|Dokument)\s+([A-Za-z][A-Za-z0-9]{17,39})[\s|]*")
_FACTIVA_PAGE = re.compile(r"\s*(Page \d+ of \d+.*|(©|\(c\))\s*\d{4} Factiva.*)", re.IGNORECASE)
_ORDER = (
    "CLM", "SE", "HD", "CR", "BY", "WC", "PD", "ET", "SN", "SC", "ED", "PG", "VOL", "LA", "CY", "CX", "LP", "TD",
    "ART", "CT", "RF", "CO", "IN", "NS", "RE", "IPD", "IPC", "PUB", "AN",
)  # fmt: skip
_CODES = {code: rank for rank, code in enumerate(_ORDER)}
"""Field codes and their order in an article."""
_MARKED = re.compile(r"\s*(?:\*([A-Z]{2,3})\*|([A-Z]{2,3})\s*\|)(.*)")
_PLAIN = re.compile(r"([A-Z]{2,3})(?:(\s+)(.*))?")
_CODED = re.compile(r"\s*[a-z0-9]{2,10}\s+:\s|[A-Z][A-Z0-9/]{1,9}\b")
"""The beginning of an index field's value: `usa : United States` or `CAX-GPOL`."""
_WORDS = re.compile(r"\s*[\d.,]+\s+(words|Wörter|mots)\s*", re.IGNORECASE)
_HEADLINE_LINES = 3
"""Number of lines above the word count that can contain the section, the headline and the byline."""
_HEADER_LINES = 8
"""Maximum number of lines from the source to the copyright notice."""
_TIME = re.compile(r"\s*\d{1,2}:\d{2}.*")
_BYLINE = re.compile(r"\s*(by|von|par)\s", re.IGNORECASE)
_RIGHTS_LINE = re.compile(r"\s*(copyright\b|©|\(c\)|all rights reserved)", re.IGNORECASE)


def read_factiva(text: str) -> list[Article] | None:
    """Return the articles of an export, in order; None if the text is not an export of Factiva."""
    lines = text.split("\n")
    ends = [(index, found[1]) for index, line in enumerate(lines) if (found := _ACCESSION_LINE.fullmatch(line))]
    starts = [0, *(end + 1 for end, _ in ends)]
    articles = [_article(lines[start:end], start, number) for start, (end, number) in zip(starts, ends, strict=False)]
    if all(article.problem for article in articles):
        return None
    return [*articles, *left_over(lines, starts[-1])]


def _article(lines: Lines, first: int, number: str) -> Article:
    """Parse the article in `lines`, whose first line has the index `first` in the file."""
    line = first + 1 + next((index for index, row in enumerate(lines) if row.strip()), 0)
    rows = [row for row in lines if not _FACTIVA_PAGE.fullmatch(row)]
    return _with_codes(rows, line, number) or _with_header(rows, line, number)


# -- Factiva, with field codes


def _with_codes(rows: Lines, line: int, number: str) -> Article | None:
    fields: dict[str, list[str]] = {}
    code = ""
    for row in rows:
        found, rest = _code(row, code)
        if found:
            code, fields[found] = found, [rest]
        elif code:
            fields[code].append(row.rstrip(" |"))
    if "HD" not in fields or not fields.keys() & {"LP", "TD"}:
        return None
    values = {name: one_line(own) for name, own in fields.items()}
    body = [paragraph for name in ("LP", "TD") for _, paragraph in blocks(fields.get(name, []))]
    return make_article(
        line,
        values["HD"],
        body,
        id=number,
        source=values.get("SN", ""),
        date=iso_date(values.get("PD", "")),
        language=language_code(values.get("LA", "")),
    )


def _code(row: str, current: str) -> tuple[str, str]:
    """Return the field code at the start of a line and the rest of the line; ("", "") if it continues a field.

    Fields come in a fixed order, so a word in capitals within the text is rarely taken for a code.
    """
    if (marked := _MARKED.fullmatch(row)) and (code := marked[1] or marked[2]) in _CODES:
        return code, marked[3].strip(" |")
    plain = _PLAIN.fullmatch(row.rstrip())
    if plain is None or _CODES.get(plain[1], -1) <= _CODES.get(current, -1):
        return "", ""
    code, gap, rest = plain[1], plain[2] or "", plain[3] or ""
    in_header = _CODES.get(current, -1) < _CODES["LP"]
    if in_header or not rest or len(gap) > 1 or gap == "\t" or (_CODES[code] >= _CODES["CO"] and _CODED.match(rest)):
        return code, rest
    return "", ""


# -- Factiva, with a plain header: headline, byline, words, date, time, source, code, language, copyright


def _with_header(rows: Lines, line: int, number: str) -> Article:
    filled = [index for index, row in enumerate(rows) if row.strip()]
    at = next((n for n, index in enumerate(filled[:-1]) if _is_dated(rows, index, filled[n + 1])), None)
    end = None if at is None else _header_end(rows, filled[at + 2 : at + 2 + _HEADER_LINES])
    if at is None or end is None:
        return Article(line, problem="the header of this article is not in a known form")
    rest = filled[at + 2 :]
    source = rows[rest[1] if _TIME.fullmatch(rows[rest[0]]) else rest[0]]
    languages = (language_code(rows[index]) for index in rest if index < end and _is_language(rows[index]))
    return make_article(
        line,
        _headline([rows[index] for index in filled[:at]]),
        [paragraph for _, paragraph in blocks(rows[end:])],
        id=number,
        source=source.strip(),
        date=iso_date(rows[filled[at + 1]].strip()),
        language=next(languages, ""),
    )


def _is_dated(rows: Lines, words: int, date: int) -> bool:
    return bool(_WORDS.fullmatch(rows[words]) and iso_date(rows[date].strip()))


def _is_language(row: str) -> bool:
    return row.strip().isalpha() and bool(language_code(row))


def _header_end(rows: Lines, candidates: list[int]) -> int | None:
    """Return the index of the first line of the text, after the language and the copyright notice."""
    known = [index for index in candidates if _is_language(rows[index]) or _RIGHTS_LINE.match(rows[index])]
    return known[-1] + 1 if known else None


def _headline(above: list[str]) -> str:
    """Find the headline in the lines above the word count; it is longer than a section or byline next to it."""
    found = [row for row in above[-_HEADLINE_LINES:] if not _BYLINE.match(row)]
    return one_line([max(found, key=len)]) if found else ""


# -- Nexis, the classic export: fields in capitals before and after the text

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
