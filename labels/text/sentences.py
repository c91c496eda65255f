"""Split documents into sentences with offsets, and mark boilerplate with the reason.

This module finds lines and paragraphs, trims list and emphasis marks at the edges of spans, and recognizes boilerplate
of scraped pages. `labels.text.cuts` cuts a paragraph into sentences. A line is boilerplate because of its words (see
`boilerplate.toml`), because it is repeated, or because it is a title (`labels.text.headings`), never because of its
website. Boilerplate is kept, not deleted.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

from labels.records import Document, Sentence
from labels.text.cuts import cut_paragraph
from labels.text.headings import is_speaker_caption, is_title
from labels.text.leads import is_page_date, lead_length

RULES_VERSION = "3"
"""Increased when the rules for blocks, cuts or trimming change; every sentence records the version."""

_PARAGRAPH = re.compile(r"[^\n]+(?:\n(?![^\S\n]*\n)[^\n]+)*")
_LEADING_MARKS = re.compile(r"(?:\s|[*_]+(?=[\s\w\"“'‘(])|#+(?=\s)|[•▪●◦‣–—*>\-+]+(?=\s))+")
_TRAILING_MARKS = "*_#"
_SENTENCE_END = re.compile(r"[.!?…:;][\"'”’»)\]*]*$")
_FINISHED = re.compile(r"[.!?…][\"'”’»)\]*]*$")
_SOFT_WRAP_MIN, _SOFT_WRAP_MAX = 50, 100
"""Lengths, in characters, of hard-wrapped lines. Shorter lines end intentionally; longer lines are not wrapped."""
_NARROWEST = 20
"""Minimum width, in characters, of a hard-wrapped paragraph."""
_ITEM = re.compile(r"[•▪●◦‣*#>\-]|\d{1,2}[.)]\s")
_ODD_SPACE = re.compile(r"[^\S\n ]")
"""White space that pages use in place of plain spaces, such as non-breaking spaces."""
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


_PROSE_MIN_WORDS = 8
"""The number of words from which a finished line is a paragraph, so that the line before may be its title."""


@cache
def splitter_name(*, keep_quotes: bool = False) -> str:
    """Name and version of the sentence splitter that `split_sentences` uses with these options."""
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
    # The rules see `\n` at each line end. Both replacements keep the offsets.
    text = document.text.replace("\r\n", " \n").replace("\r", "\n")
    return [
        Sentence(identifier, start, end, document.text[start:end], splitter, reason, document.synthetic)
        for start, end, reason in _spans(text, document.language or "en", keep_quotes)
    ]


def _spans(text: str, language: str, keep_quotes: bool) -> Iterator[tuple[int, int, str]]:
    """Yield the start and end of each sentence and the reason why the sentence is boilerplate, "" if it is text."""
    blocks = [(start, end) for start, end in (_trim(text, *block) for block in _blocks(text)) if start < end]
    lines = [text[start:end] for start, end in blocks]
    reasons = _line_reasons(lines)
    if language[:2].lower() == "en":
        reasons = _with_titles(lines, reasons)
    for (start, _), line, reason in zip(blocks, lines, reasons, strict=True):
        for left, right, own_reason in [(0, len(line), reason)] if reason else _paragraph(line, language, keep_quotes):
            yield start + left, start + right, own_reason


def _paragraph(line: str, language: str, keep_quotes: bool) -> Iterator[tuple[int, int, str]]:
    """Yield the sentences of a line that is not boilerplate, and the page date or dateline before the first."""
    lead = lead_length(line)
    if lead:
        yield 0, len(line[:lead].rstrip()), "byline"
    rest = line[lead:]
    if lead and (reason := boilerplate_reason(rest)):
        yield lead, len(line), reason
        return
    is_first = True
    for left, right in cut_paragraph(rest, language, keep_quotes=keep_quotes):
        left, right = _trim(rest, left, right)
        if left < right:
            reason = _glued_reason(rest[left:right])
            if not reason and not is_first and language[:2].lower() == "en" and is_speaker_caption(rest[left:right]):
                reason = "caption"
            is_first = False
            yield lead + left, lead + right, reason


def _line_reasons(lines: Iterable[str]) -> list[str]:
    """The reason why each line is boilerplate because of its words or because it is repeated; "" for text."""
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


def _with_titles(lines: Sequence[str], reasons: Sequence[str]) -> list[str]:
    """The reasons, extended by captions that name a speaker and by section titles.

    A section title stands before a paragraph, and after a paragraph or the first line. Other short lines are lists.
    """
    found = list(reasons)
    texts = [index for index, reason in enumerate(reasons) if not reason]
    for place, index in enumerate(texts):
        line = lines[index]
        before = lines[texts[place - 1]] if place else ""
        after = lines[texts[place + 1]] if place + 1 < len(texts) else ""
        if is_speaker_caption(line):
            found[index] = "caption"
        elif _is_prose(after) and (_is_prose(before) or _is_first(place, before)) and is_title(line):
            found[index] = "section title"
    return found


def _is_first(place: int, before: str) -> bool:
    """Whether a line is the headline, or follows the headline."""
    return place == 0 or (place == 1 and not before.endswith(":"))


def _is_prose(line: str) -> bool:
    return bool(_FINISHED.search(line)) and len(line.split(maxsplit=_PROSE_MIN_WORDS)) >= _PROSE_MIN_WORDS


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
    line = _ODD_SPACE.sub(" ", line)
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
    if reason in _GLUED_REASONS:
        return reason
    return "byline" if is_page_date(sentence) else ""


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield the span of every line; consecutive lines of a hard-wrapped paragraph form one span."""
    for match in _PARAGRAPH.finditer(text):
        offset, paragraph = match.start(), match.group()
        lines = [line.span() for line in re.finditer(r"[^\n]+", paragraph)]
        width = max(len(paragraph[left:right].rstrip()) for left, right in lines)
        wrapped = width <= _SOFT_WRAP_MAX
        if not wrapped or not _reads_as_prose([paragraph[left:right].strip() for left, right in lines]):
            width = 0
        start = lines[0][0]
        for (left, right), following in zip(lines, [*lines[1:], None], strict=True):
            if following is not None and wrapped and _is_soft_break(paragraph, (left, right), following, width):
                continue
            yield offset + start, offset + right
            start = following[0] if following else right


def _is_soft_break(paragraph: str, line: tuple[int, int], following: tuple[int, int], width: int) -> bool:
    """Whether the next line continues this line, because the line is long, or because the paragraph reads as prose.

    `width` is the length of the paragraph's longest line; 0 if the paragraph does not read as prose.
    """
    current, after = paragraph[slice(*line)].strip(), paragraph[slice(*following)].strip()
    if _ITEM.match(after) or not after:
        return False
    if _SENTENCE_END.search(current):
        return width > 0 and current.endswith(".") and after[0].islower()  # "the U.S." at the end of a line
    if len(current) >= _SOFT_WRAP_MIN:
        return True
    # A headline above a paragraph without a blank line is shorter than the paragraph's lines.
    return width > 0 and (after[0].islower() or _is_full(current, after, width))


def _reads_as_prose(lines: list[str]) -> bool:
    """Whether short lines are a hard-wrapped paragraph, and not a list, an address, a poem or a menu.

    In prose, most lines that do not end a sentence go on with a small letter, each line is filled until the next word
    no longer fits, and there is a sentence end.
    """
    width = len(max(lines, key=len))
    if width < _NARROWEST or any(_ITEM.match(line) for line in lines) or not any(map(_SENTENCE_END.search, lines)):
        return False
    unfinished = [(line, after) for line, after in pairwise(lines) if line and after and not _SENTENCE_END.search(line)]
    going_on = [(line, after) for line, after in unfinished if after[0].islower()]
    return 2 * len(going_on) >= len(unfinished) > 0 and all(_is_full(*pair, width) for pair in going_on)


def _is_full(line: str, after: str, width: int) -> bool:
    """Whether the first word of the next line would not have fitted on this line."""
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
