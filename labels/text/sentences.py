"""Split documents into sentences with offsets, and mark boilerplate with the reason.

The library sentencex splits the text. This module prepares its input (lines and paragraphs), trims list and emphasis
marks at the edges of spans, and recognizes boilerplate of scraped pages. A line is boilerplate because of its words
(see `boilerplate.toml`) or because it is repeated, never because of its website. Boilerplate is kept, not deleted.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from labels.records import Document, Sentence

RULES_VERSION = "2"
"""Increased when the rules for blocks, splitter input or trimming change; every sentence records the version."""

_PARAGRAPH = re.compile(r"[^\n]+(?:\n(?![^\S\n]*\n)[^\n]+)*")
_LEADING_MARKS = re.compile(r"(?:\s|[*_]+(?=[\s\w\"“'‘(])|#+(?=\s)|[•▪●◦‣–—*>\-+]+(?=\s))+")
_TRAILING_MARKS = "*_#"
_SENTENCE_END = re.compile(r"[.!?…:;][\"'”’»)\]*]*$")
_INLINE_SPACE = re.compile(r"[^\S\n]")
_SOFT_WRAP_MIN, _SOFT_WRAP_MAX = 50, 100
"""Lengths, in characters, of hard-wrapped lines. Shorter lines end intentionally; longer lines are not wrapped."""
_REPEAT_MIN_WORDS = 4
# Scrapers often append lines of these kinds to a paragraph. The patterns of other kinds also match real sentences.
_GLUED_REASONS = frozenset({"share line", "comments", "advertisement", "newsletter", "cookie notice", "mark"})
# Reported speech is not boilerplate: "Sign up to the truce, the envoy urged". After a colon, it may be a link title.
_ATTRIBUTED = re.compile(
    r"[^:|]*,[”\"’']? ([\w’'-]+ ){0,5}"
    r"(said|says|told|tells|urged|urges|asked|asks|begged|pleaded|demanded|ordered|warned|insisted|joked)\b"
)
_LONG = 320
"""A line with more characters is always a paragraph; this also limits the time spent on matching patterns."""
_BAR_PARTS, _BAR_WIDTH = 3, 60


@cache
def splitter_name() -> str:
    """Name and version of the sentence splitter that `split_sentences` uses."""
    from importlib.metadata import version

    return f"sentencex/{version('sentencex')}+{RULES_VERSION}"


def split_sentences(document: Document) -> list[Sentence]:
    """Split a document into sentences, in order, including boilerplate, which is marked.

    Returns sentences that do not overlap, with `text == document.text[start:end]`. White space and list or emphasis
    marks at the edges are trimmed.
    """
    identifier, splitter = document.id, splitter_name()  # outside the loop: the id is a hash of the whole text
    sentences: list[Sentence] = []
    seen: set[str] = set()
    for start, end in _blocks(document.text):
        start, end = _trim(document.text, start, end)
        if start == end:
            continue
        block = document.text[start:end]
        folded = " ".join(block.casefold().split())
        repeated = folded in seen and folded.count(" ") + 1 >= _REPEAT_MIN_WORDS
        reason = boilerplate_reason(block) or ("repeated line" if repeated else "")
        if not reason:
            seen.add(folded)
        for left, right in [(start, end)] if reason else _cut(document, start, end):
            text = document.text[left:right]
            own_reason = reason or _glued_reason(text)
            sentences.append(Sentence(identifier, left, right, text, splitter, own_reason, document.synthetic))
    return sentences


def whole_sentence(document: Document) -> Sentence:
    """The stripped text of a document as a single sentence, for rows that already contain one sentence."""
    start, end = _trim_space(document.text)
    return Sentence(document.id, start, end, document.text[start:end], "whole", "", document.synthetic)


def count_boilerplate(sentences: Iterable[Sentence]) -> Counter[str]:
    """The number of boilerplate sentences, by reason."""
    return Counter(sentence.boilerplate for sentence in sentences if sentence.boilerplate)


def boilerplate_reason(line: str) -> str:
    """The reason why `line` (a line of a page, with marks trimmed) is boilerplate; "" if it is text.

    The reasons are "navigation" and the keys of `[patterns]` in `boilerplate.toml`. A "mark" is a line without letters.
    """
    if len(line) > _LONG:
        return ""
    known = next((reason for reason, pattern in _boilerplate_patterns() if pattern.fullmatch(line)), "")
    if known != "caption" and _ATTRIBUTED.match(line):
        return ""
    return known or ("navigation" if _is_bar(line) else "")


@cache
def _boilerplate_patterns() -> list[tuple[str, re.Pattern[str]]]:
    """The reasons and patterns from `boilerplate.toml`; compiled on first use, because compiling is slow."""
    content = tomllib.loads(Path(__file__).with_name("boilerplate.toml").read_text(encoding="utf-8"))
    words = {name: text if isinstance(text, str) else "|".join(text) for name, text in content["words"].items()}
    found = []
    for reason, lines in content["patterns"].items():
        for pattern in lines.splitlines():
            while named := re.search(r"<(\w+)>", pattern):  # word lists may refer to other word lists
                pattern = pattern.replace(named.group(), words[named.group(1)])
            found.append((reason, re.compile(pattern, re.IGNORECASE)))
    return found


def _is_bar(line: str) -> bool:
    """Whether a line has three or more short parts and no sentence punctuation, such as `Home | World | Sport`."""
    parts = [part.strip() for part in re.split(r"[|»>›]", line)]
    return len(parts) >= _BAR_PARTS and not re.search(r"[.?!]", line) and all(0 < len(p) <= _BAR_WIDTH for p in parts)


def _glued_reason(sentence: str) -> str:
    """The reason for a boilerplate sentence that a scraper appended to a paragraph; "" if it must be labelled."""
    reason = boilerplate_reason(sentence)
    return reason if reason in _GLUED_REASONS else ""


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield the span of every line; consecutive lines of a hard-wrapped paragraph form one span."""
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
    """Whether the next line continues this line: the line is long and unfinished, and the next is not a list item."""
    current, after = paragraph[slice(*line)].strip(), paragraph[slice(*following)].strip()
    long_enough = len(current) >= _SOFT_WRAP_MIN
    unfinished = not _SENTENCE_END.search(current)
    starts_item = bool(re.match(r"[•▪●◦‣*#>\-]|\d{1,2}[.)]\s", after))
    return long_enough and unfinished and not starts_item and after[:1] != ""


def _cut(document: Document, start: int, end: int) -> Iterator[tuple[int, int]]:
    from sentencex import segment

    position = start
    # sentencex crashes on multi-byte white space before a full stop. Replacing each by one space keeps the offsets.
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
