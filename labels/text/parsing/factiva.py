"""Read the text exports of Factiva: with field codes ("HD", "LP", "TD") or with a plain header.

Both end every article with its accession number, such as `Document REUT000020240608ek68000a1`.
"""

from __future__ import annotations

import re

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

_END = re.compile(r"\s*(?:\*?AN\*?[\s|]+)?(?:Document|Dokument)\s+([A-Za-z][A-Za-z0-9]{17,39})[\s|]*")
_PAGE_LINE = re.compile(r"\s*(Page \d+ of \d+.*|(©|\(c\))\s*\d{4} Factiva.*)", re.IGNORECASE)
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
_RIGHTS = re.compile(r"\s*(copyright\b|©|\(c\)|all rights reserved)", re.IGNORECASE)


def read_factiva(text: str) -> list[Article] | None:
    """Return the articles of an export, in order; None if the text is not an export of Factiva."""
    lines = text.split("\n")
    ends = [(index, found[1]) for index, line in enumerate(lines) if (found := _END.fullmatch(line))]
    starts = [0, *(end + 1 for end, _ in ends)]
    articles = [_article(lines[start:end], start, number) for start, (end, number) in zip(starts, ends, strict=False)]
    if all(article.problem for article in articles):
        return None
    return [*articles, *left_over(lines, starts[-1])]


def _article(lines: Lines, first: int, number: str) -> Article:
    """Parse the article in `lines`, whose first line has the index `first` in the file."""
    line = first + 1 + next((index for index, row in enumerate(lines) if row.strip()), 0)
    rows = [row for row in lines if not _PAGE_LINE.fullmatch(row)]
    return _with_codes(rows, line, number) or _with_header(rows, line, number)


# -- with field codes


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


# -- with a plain header: headline, byline, words, date, time, source, code, language, copyright


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
    known = [index for index in candidates if _is_language(rows[index]) or _RIGHTS.match(rows[index])]
    return known[-1] + 1 if known else None


def _headline(above: list[str]) -> str:
    """Find the headline in the lines above the word count; it is longer than a section or byline next to it."""
    found = [row for row in above[-_HEADLINE_LINES:] if not _BYLINE.match(row)]
    return one_line([max(found, key=len)]) if found else ""
