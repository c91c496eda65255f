"""Document -> sentences with offsets; boilerplate is set aside with its reason, never dropped.

The cuts are sentencex's; here are the blocks it is given (lines and paragraphs), the trimming of marks at a span's
edges, and the repeated lines of scraped pages.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import version

from labels.records import Document, Sentence
from labels.text.boilerplate import boilerplate_reason

RULES_VERSION = "2"
"""Counts up when the blocks, what the splitter sees or the trimming change, so that spans say which code cut them."""

_PARAGRAPH = re.compile(r"[^\n]+(?:\n(?![^\S\n]*\n)[^\n]+)*")
_LEADING_MARKS = re.compile(r"(?:\s|[*_]+(?=[\s\w\"“'‘(])|#+(?=\s)|[•▪●◦‣–—*>\-+]+(?=\s))+")
_TRAILING_MARKS = "*_#"
_SENTENCE_END = re.compile(r"[.!?…:;][\"'”’»)\]*]*$")
_INLINE_SPACE = re.compile(r"[^\S\n]")
_SOFT_WRAP_MIN, _SOFT_WRAP_MAX = 50, 100
_REPEAT_MIN_WORDS = 4
_GLUED_REASONS = frozenset({"share line", "comments", "advertisement", "newsletter", "cookie notice", "mark"})


@cache
def splitter_name() -> str:
    """Name and version of the splitter that `split_sentences` uses."""
    return f"sentencex/{version('sentencex')}+{RULES_VERSION}"


def split_sentences(document: Document) -> list[Sentence]:
    """Cut a document into sentences, in order, boilerplate included and marked.

    Returns spans that do not overlap; `text == document.text[start:end]` for each, without white space or list and
    emphasis marks at its edges.
    """
    sentences: list[Sentence] = []
    seen: set[str] = set()
    for start, end in _blocks(document.text):
        start, end = _trim(document.text, start, end)
        if start == end:
            continue
        reason = _block_reason(document.text[start:end], seen)
        spans = [(start, end)] if reason else _cut(document, start, end)
        for left, right in spans:
            text = document.text[left:right]
            why = reason or _sentence_reason(text)
            sentences.append(Sentence(document.id, left, right, text, splitter_name(), why, document.synthetic))
    return sentences


def whole_sentence(document: Document) -> Sentence:
    """The whole text of a document, white space at its edges aside, as one sentence: for rows that are sentences
    already.
    """
    start, end = _trim_space(document.text)
    return Sentence(document.id, start, end, document.text[start:end], "whole", "", document.synthetic)


def count_boilerplate(sentences: Iterable[Sentence]) -> Counter[str]:
    """How many sentences were set aside, by reason."""
    return Counter(sentence.boilerplate for sentence in sentences if sentence.boilerplate)


def _block_reason(block: str, seen: set[str]) -> str:
    """Reason of a whole block; a line of some words that the page has said already is a repeat."""
    reason = boilerplate_reason(block)
    if reason:
        return reason
    folded = " ".join(block.casefold().split())
    if folded in seen and len(folded.split()) >= _REPEAT_MIN_WORDS:
        return "repeated line"
    seen.add(folded)
    return ""


def _sentence_reason(sentence: str) -> str:
    """Reason of a sentence inside a block: furniture that scraping glued to a paragraph's end."""
    reason = boilerplate_reason(sentence)
    return reason if reason in _GLUED_REASONS else ""


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Spans of lines, with the lines of a hard-wrapped paragraph joined."""
    for match in _PARAGRAPH.finditer(text):
        offset, paragraph = match.start(), match.group()
        lines = [line.span() for line in re.finditer(r"[^\n]+", paragraph)]
        wrapped = max(end - start for start, end in lines) <= _SOFT_WRAP_MAX
        start = lines[0][0]
        for (left, right), following in zip(lines, [*lines[1:], None], strict=True):
            if following is not None and wrapped and _is_soft_break(paragraph, (left, right), following):
                continue
            yield offset + start, offset + right
            start = following[0] if following else right


def _is_soft_break(paragraph: str, line: tuple[int, int], following: tuple[int, int]) -> bool:
    """Whether the line runs on: long enough to have been wrapped, unfinished, and no list item follows."""
    current, after = paragraph[slice(*line)].strip(), paragraph[slice(*following)].strip()
    long_enough = len(current) >= _SOFT_WRAP_MIN
    unfinished = not _SENTENCE_END.search(current)
    starts_item = bool(re.match(r"[•▪●◦‣*#>\-]|\d{1,2}[.)]\s", after))
    return long_enough and unfinished and not starts_item and after[:1] != ""


def _cut(document: Document, start: int, end: int) -> Iterator[tuple[int, int]]:
    from sentencex import segment

    position = start
    # Before a full stop, sentencex panics at a white space of several bytes. One space for one keeps the offsets.
    spaced = _INLINE_SPACE.sub(" ", document.text[start:end])
    for piece in segment(document.language or "en", spaced):
        left, right = _trim(document.text, position, position + len(piece))
        position += len(piece)
        if left < right:
            yield left, right


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
