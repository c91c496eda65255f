"""Split documents into sentences with offsets, and mark boilerplate with the reason.

This module finds lines and paragraphs, and trims list and emphasis marks at the edges of spans. It marks boilerplate:
lines with typical words (`labels.text.boilerplate`), repeated lines, and titles without a verb
(`labels.text.headings`). `labels.text.cuts` cuts a paragraph into sentences. Boilerplate is kept, not deleted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from labels.records import Document, Sentence
from labels.text.boilerplate import boilerplate_reason, glued_reason, lead_length
from labels.text.cuts import cut_paragraph
from labels.text.headings import is_heading, is_speaker_caption, is_title

RULES_VERSION = "4"
"""Increased when the rules for blocks, cuts or trimming change; every sentence records the version."""

_PARAGRAPH = re.compile(r"[^\n]+(?:\n(?![^\S\n]*\n)[^\n]+)*")
_LEADING_MARKS = re.compile(r"(?:\s|[*_]+(?=[\s\w\"“'‘(])|#+(?=\s)|[•▪●◦‣–—*>\-+]+(?=\s))+")
_TRAILING_MARKS = "*_#"
_SENTENCE_END = re.compile(r"[.!?…:;][\"'”’»)\]*]*$")
_FINISHED = re.compile(r"[.!?…][\"'”’»)\]*]*$")
_ITEM_MARK = re.compile(r"[•▪●◦‣–—>+-]|\*(?=\s)")
_SOFT_WRAP_MIN, _SOFT_WRAP_MAX = 50, 100
"""Lengths, in characters, of hard-wrapped lines. Shorter lines end intentionally; longer lines are not wrapped."""
_NARROWEST = 20
"""Minimum width, in characters, of a hard-wrapped paragraph whose lines are filled."""
_RAGGED = 1
"""The width of a paragraph whose lines end anywhere."""
_GOES_ON = re.compile(r"\b(?:an?|the|of|in|on|at|to|for|from|by|with|and|or|that|as|his|her|its|their)\Z")
_DIVIDED = re.compile(r"[^\W\d_]-\Z")
"""The end of a line that divides a word."""
_ITEM = re.compile(r"[•▪●◦‣*#>\-]|\d{1,2}[.)]\s")
_REPEAT_MIN_WORDS = 4
_PROSE_MIN_WORDS = 8
"""Minimum number of words of a finished line that counts as a paragraph; the previous line may be its title."""


@cache
def splitter_name(*, keep_quotes: bool = False) -> str:
    """Return the name and version of the sentence splitter that `split_sentences` uses with these options."""
    from importlib.metadata import version

    return f"sentencex/{version('sentencex')}+{RULES_VERSION}" + ("+keep-quotes" if keep_quotes else "")


def split_sentences(document: Document, *, keep_quotes: bool = False) -> list[Sentence]:
    """Split a document into sentences, in order, including boilerplate, which is marked.

    Lines may end with `\\n`, `\\r\\n` or `\\r`. With `keep_quotes`, a quotation of several sentences is one sentence.

    Returns sentences that do not overlap, with `text == document.text[start:end]`. White space and list or emphasis
    marks at the edges are trimmed.
    """
    identifier = document.id  # outside the loop: the id is a hash of the whole text
    splitter = splitter_name(keep_quotes=keep_quotes)
    # The rules expect `\n` at each line end. Both replacements keep the offsets.
    text = document.text.replace("\r\n", " \n").replace("\r", "\n")
    return [
        Sentence(
            identifier,
            span.start,
            span.end,
            document.text[span.start : span.end],
            splitter,
            span.reason,
            document.synthetic,
            span.heading,
        )
        for span in _spans(text, document.language or "en", keep_quotes)
    ]


class _Line(NamedTuple):
    """A line or a hard-wrapped paragraph, without white space and marks at the edges, and its offset."""

    text: str
    start: int
    is_item: bool


class _Span(NamedTuple):  # a frozen dataclass takes three times as long to create
    """A sentence of the text, the reason why it is boilerplate ("" if it is text), and whether it is a heading."""

    start: int
    end: int
    reason: str = ""
    heading: bool = False

    def moved(self, offset: int) -> _Span:
        return _Span(self.start + offset, self.end + offset, self.reason, self.heading)


def _spans(text: str, language: str, keep_quotes: bool) -> Iterator[_Span]:
    lines = list(_lines(text))
    reasons = _line_reasons(line.text for line in lines)
    if language[:2].lower() == "en":
        reasons = _with_titles(lines, reasons)
    headings = _headings(lines, reasons)
    for index, (line, reason) in enumerate(zip(lines, reasons, strict=True)):
        own = [_Span(0, len(line.text), reason)] if reason else list(_paragraph(line.text, language, keep_quotes))
        if index in headings and len(own) == 1:
            own = [own[0]._replace(heading=True)]
        yield from (span.moved(line.start) for span in own)


def _lines(text: str) -> Iterator[_Line]:
    for left, right in _blocks(text):
        start, end = _trim(text, left, right)
        if start < end:
            yield _Line(text[start:end], start, _ITEM_MARK.search(text, left, start) is not None)


def _paragraph(line: str, language: str, keep_quotes: bool) -> Iterator[_Span]:
    """Yield the sentences of a line that is not boilerplate, and the page date or dateline before the first."""
    lead = lead_length(line)
    if lead:
        yield _Span(0, len(line[:lead].rstrip()), "byline")
    rest = line[lead:]
    if lead and (reason := boilerplate_reason(rest)):
        yield _Span(lead, len(line), reason)
        return
    is_first = True
    for left, right in cut_paragraph(rest, language, keep_quotes=keep_quotes):
        left, right = _trim(rest, left, right)
        if left < right:
            reason = glued_reason(rest[left:right], is_line=right - left == len(line))
            if not reason and not is_first and language[:2].lower() == "en" and is_speaker_caption(rest[left:right]):
                reason = "caption"
            is_first = False
            yield _Span(lead + left, lead + right, reason)


def _line_reasons(lines: Iterable[str]) -> list[str]:
    """Return for each line the reason why it is boilerplate (its words, or because it is repeated); "" for text."""
    reasons: list[str] = []
    seen: set[str] = set()
    for line in lines:
        folded = " ".join(line.casefold().split())
        repeated = folded in seen and folded.count(" ") + 1 >= _REPEAT_MIN_WORDS
        reason = boilerplate_reason(line) or ("repeated line" if repeated else "")
        if not reason:
            seen.add(folded)
        reasons.append(reason)
    return reasons


def _with_titles(lines: Sequence[_Line], reasons: Sequence[str]) -> list[str]:
    """Add the reasons for captions that name a speaker and for section titles."""
    found = list(reasons)
    for index in _before_prose(lines, reasons):
        if is_title(lines[index].text):
            found[index] = "section title"
    for index, (line, reason) in enumerate(zip(lines, reasons, strict=True)):
        if not reason and is_speaker_caption(line.text):
            found[index] = "caption"
    return found


def _headings(lines: Sequence[_Line], reasons: Sequence[str]) -> set[int]:
    """Return the indices of the lines that are headings."""
    return {index for index in _before_prose(lines, reasons) if is_heading(lines[index].text)}


def _before_prose(lines: Sequence[_Line], reasons: Sequence[str]) -> Iterator[int]:
    """Yield the indices of the lines that may be titles of the paragraph after them.

    Such a line is at the top or follows a paragraph; other short lines belong to lists.
    """
    texts = [index for index, reason in enumerate(reasons) if not reason]
    for place, (index, following) in enumerate(pairwise(texts)):
        before = lines[texts[place - 1]].text if place else ""
        is_top = place == 0 or (place == 1 and not before.endswith(":"))
        if not lines[index].is_item and (is_top or _is_prose(before)) and _is_prose(lines[following].text):
            yield index


def _is_prose(line: str) -> bool:
    return bool(_FINISHED.search(line)) and len(line.split(maxsplit=_PROSE_MIN_WORDS)) >= _PROSE_MIN_WORDS


def whole_sentence(document: Document) -> Sentence:
    """Return the stripped text of a document as a single sentence, for rows that already contain one sentence."""
    start, end = _trim_space(document.text)
    return Sentence(document.id, start, end, document.text[start:end], "whole", "", document.synthetic)


def count_boilerplate(sentences: Iterable[Sentence]) -> Counter[str]:
    """Count the boilerplate sentences by reason."""
    return Counter(sentence.boilerplate for sentence in sentences if sentence.boilerplate)


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield the span of every line; the lines of a hard-wrapped paragraph form one span."""
    for match in _PARAGRAPH.finditer(text):
        offset, paragraph = match.start(), match.group()
        lines = [line.span() for line in re.finditer(r"[^\n]+", paragraph)]
        width = max(len(paragraph[left:right].rstrip()) for left, right in lines)
        wrapped = width <= _SOFT_WRAP_MAX
        width = _prose_width([paragraph[left:right].strip() for left, right in lines]) if wrapped else 0
        start = lines[0][0]
        for (left, right), following in zip(lines, [*lines[1:], None], strict=True):
            if following is not None and wrapped:
                current, after = paragraph[left:right].strip(), paragraph[slice(*following)].strip()
                if _is_soft_break(current, after, width, is_first=left == 0):
                    continue
            yield offset + start, offset + right
            start = following[0] if following else right


def _is_soft_break(current: str, after: str, width: int, *, is_first: bool) -> bool:
    """Return whether the line `after` continues the line `current`: the line is long, or the paragraph reads as prose.

    Args:
        width: see `_prose_width`.
        is_first: whether the line is the first of its paragraph.
    """
    if after[:1].islower() and _DIVIDED.search(current):
        return True
    if _ITEM.match(after) or not after:
        return False
    if _SENTENCE_END.search(current):
        return width > 0 and current.endswith(".") and after[0].islower()  # "the U.S." at the end of a line
    if len(current) >= _SOFT_WRAP_MIN:
        return True
    if width == 0 or after[0].islower():
        return width > 0
    # A headline above a paragraph without a blank line is shorter than the paragraph's lines.
    is_headline = is_first and width == _RAGGED
    return bool(_GOES_ON.search(current)) or (_is_full(current, after, width) and not is_headline)


def _prose_width(lines: list[str]) -> int:
    """Return the width of a hard-wrapped paragraph of short lines; 0 for a list, an address, a poem or a menu.

    In prose, most lines that do not end a sentence are continued with a small letter, and there is a sentence end.
    Either each line is filled until the next word no longer fits, or the first line begins like a sentence and all
    lines have several words.
    """
    if any(_ITEM.match(line) for line in lines) or not any(map(_SENTENCE_END.search, lines)):
        return 0
    pairs = [(line, after) for line, after in pairwise(lines) if line and after]
    unfinished = [(line, after) for line, after in pairs if not _SENTENCE_END.search(line)]
    going_on = [(line, after) for line, after in unfinished if after[0].islower()]
    introduces_list = any(line.endswith(":") and after[0].islower() for line, after in pairs)
    if introduces_list or not 2 * len(going_on) >= len(unfinished) > 0:
        return 0
    width = len(max(lines, key=len))
    if width >= _NARROWEST and all(_is_full(*pair, width) for pair in going_on):
        return width
    several_words = all(len(line.split()) > 1 for line, _ in unfinished)
    return _RAGGED if several_words and not lines[0][:1].islower() else 0


def _is_full(line: str, after: str, width: int) -> bool:
    """Return whether the first word of the next line would not have fitted on this line."""
    return len(line) + 1 + len(after.split(maxsplit=1)[0]) > width


def _trim_space(text: str) -> tuple[int, int]:
    start = len(text) - len(text.lstrip())
    return start, max(start, len(text.rstrip()))


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    leading = _LEADING_MARKS.match(text, start, end)
    if leading:
        start = leading.end()
    while end > start and (text[end - 1].isspace() or text[end - 1] in _TRAILING_MARKS):
        end -= 1
    return start, end
