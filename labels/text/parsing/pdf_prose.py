"""Join the lines of a PDF file into paragraphs, without repeated headers and footers.

Page headers, footers and page numbers are recognized because they repeat at the edge of pages; they are left out.
Footnotes follow at the end, so that they do not interrupt a sentence. A line break is deliberate if the next word would
have fitted on the line; at all other breaks, lines are joined. A hyphen at the end of a line is removed unless other
words in the file show that it belongs to the word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median


@dataclass(frozen=True, eq=False)  # two lines may look the same
class Line:
    """A line of text, with its left edge, right edge and base line in points from the lower left corner of the page.

    `size` is the height of the boxes of its letters; `bold` is true if it begins and ends in bold letters.
    """

    text: str
    left: float
    right: float
    base: float
    size: float
    bold: bool = False

    def joined(self, following: Line) -> Line:
        """Join this line with `following`, which is in the same row."""
        text = f"{self.text} {following.text}".strip()
        return replace(self, text=text, right=following.right, bold=self.bold and following.bold)


Pages = Sequence[Sequence[Line]]

_EDGE_ROWS = 3
"""Maximum number of rows at the top and bottom of a page that may be furniture: headers, footers, page numbers."""
_REPEATED = 1 / 3
"""Share of the pages on which a line must appear to count as furniture; left and right pages may differ."""
_NUMBER = re.compile(r"(?:page|seite|p\.)?\W*(\d{1,4}|[ivxl]{1,6})\W*(?:(?:of|von|/)\s*\d{1,4}\W*)?", re.IGNORECASE)
_END = re.compile(r"[.!?:;…][\"'”’»)\]]*\Z")
_ITEM = re.compile(r"[•▪●◦‣–—∙·▪■]\s|[-*]\s")
_NUMBERED = re.compile(r"\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.)]\s+\S")
_HYPHENATED = re.compile(r"(?P<head>[^\W\d_]+)[-‐]\Z")
_WORD = re.compile(r"[^\W_]+(?:[-‐][^\W_]+)*")
_LIGATURES = {0xFB00 + i: text for i, text in enumerate(("ff", "fi", "fl", "ffi", "ffl", "st", "st"))}
_FOOTNOTE_SIZE = 0.92
_WIDE_GAP = 1.3


def prose(pages: Pages) -> str:
    """Return the text of a file, with one blank line between paragraphs; "" if the pages have no text."""
    kept = _without_furniture([[_plain(line) for line in page] for page in pages])
    body_size = _body_size(kept)
    pages, notes = [], []
    for page in kept:
        text, below = _divide_footnotes(page, body_size)
        pages.append(text)
        notes.append(below)
    join = _Joiner([line.text for page in kept for line in page])
    paragraphs = [*_paragraphs(pages, join), *_paragraphs(notes, join)]
    return "\n\n".join(paragraphs) + "\n" if paragraphs else ""


def _plain(line: Line) -> Line:
    return replace(line, text=line.text.translate(_LIGATURES))


# -- furniture of the page


def _without_furniture(pages: Pages) -> list[list[Line]]:
    leading = _leading(pages)
    edges = [_edges(page, leading) for page in pages]
    seen = Counter(key for edge in edges for key in {_key(place, line) for place, line in _candidates(edge)})
    least = max(2, _REPEATED * sum(bool(page) for page in pages))
    kept = []
    for number, (page, edge) in enumerate(zip(pages, edges, strict=True), start=1):
        furniture = {line for place, groups in edge.items() for line in _peeled(place, groups, number, seen, least)}
        kept.append([line for line in page if line not in furniture])
    return kept


Key = tuple[str, str]
Edges = dict[str, list[list[Line]]]
"""The edges "top" and "bottom" with groups of lines that may be furniture, from the outside to the inside."""


def _candidates(edge: Edges) -> Iterator[tuple[str, Line]]:
    yield from ((place, line) for place, groups in edge.items() for group in groups for line in group)


def _peeled(place: str, groups: list[list[Line]], number: int, seen: Counter[Key], least: float) -> Iterator[Line]:
    """Yield the furniture at one edge of the page with this number."""
    for group in groups:
        found = [line for line in group if seen[_key(place, line)] >= least or _is_number(line, number)]
        yield from found
        # After a page number there may be a footer. After a footer there is text, which may repeat too.
        if not all(_is_number(line, number) for line in group):
            return


def _is_number(line: Line, number: int) -> bool:
    found = _NUMBER.fullmatch(line.text)
    return found is not None and found[1] == str(number)


def _key(place: str, line: Line) -> Key:
    """Return a key for repeated lines: the text with `#` for numbers, so that page numbers and dates do not matter."""
    return place, re.sub(r"\d+", "#", line.text.lower())


def _leading(pages: Pages) -> float:
    """Return the usual distance between two lines of a paragraph, as a multiple of their size."""
    steps = [
        (above.base - below.base) / above.size
        for page in pages
        for above, below in pairwise(page)
        if 0 < above.base - below.base < 3 * above.size and _same_look(above, below)
    ]
    return median(steps) if steps else 1.2


def _edges(page: Sequence[Line], leading: float) -> Edges:
    downwards = sorted(page, key=lambda line: -line.base)
    return {"top": _groups(downwards, leading), "bottom": _groups(downwards[::-1], leading)}


def _groups(lines: Sequence[Line], leading: float) -> list[list[Line]]:
    """Return the outermost groups of rows, which wide gaps divide; one row if the text begins without a gap."""
    groups: list[list[list[Line]]] = []
    for line in lines:
        last = groups[-1][-1][-1] if groups else None
        step = abs(last.base - line.base) / line.size if last is not None else 0.0
        if last is None or step > _WIDE_GAP * leading:
            groups.append([[line]])
        elif step < 0.5:
            groups[-1][-1].append(line)
        else:
            groups[-1].append([line])
        if sum(map(len, groups)) > _EDGE_ROWS:
            break
    # The last group may continue beyond the rows that were examined.
    outer = groups[:-1] if sum(map(len, groups)) > _EDGE_ROWS else groups
    return [[line for row in group for line in row] for group in outer] or [group[0] for group in groups[:1]]


# -- footnotes


def _body_size(pages: Pages) -> float:
    sizes = Counter[float]()
    for page in pages:
        for line in page:
            sizes[round(line.size, 1)] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def _divide_footnotes(page: Sequence[Line], body_size: float) -> tuple[list[Line], list[Line]]:
    """Separate the lines of a page from the small lines below its last line of normal size."""
    lowest = min((line.base for line in page if line.size > _FOOTNOTE_SIZE * body_size), default=None)
    if lowest is None:
        return list(page), []
    return [line for line in page if line.base >= lowest], [line for line in page if line.base < lowest]


# -- paragraphs


def _paragraphs(pages: Pages, join: _Joiner) -> Iterator[str]:
    leading = _leading(pages)
    paragraph: list[Line] = []
    edges: dict[Line, float] = {}
    for page in pages:
        edges |= _right_edges(page)
        for number, line in enumerate(page):
            if paragraph and _begins(line, paragraph, edges, leading, on_same_page=number > 0):
                yield join.text(paragraph)
                paragraph = []
            paragraph.append(line)
    if paragraph:
        yield join.text(paragraph)


def _right_edges(page: Sequence[Line]) -> dict[Line, float]:
    """Find the right edge of each line's column from lines of the same size with nearly the same left edge."""
    columns: list[list[Line]] = []
    for line in sorted(page, key=lambda one: (round(one.size), one.left)):
        last = columns[-1][-1] if columns else None
        if last is not None and round(last.size) == round(line.size) and line.left - last.left < 2 * line.size:
            columns[-1].append(line)
        else:
            columns.append([line])
    return {line: _edge([one.right for one in column]) for column in columns for line in column}


def _edge(rights: list[float]) -> float:
    # A headline may be wider than the column below.
    return sorted(rights)[-1 - len(rights) // 8]


def _begins(
    line: Line, paragraph: Sequence[Line], edges: dict[Line, float], leading: float, *, on_same_page: bool
) -> bool:
    """Return whether `line` begins a paragraph after the lines of `paragraph`."""
    last = paragraph[-1]
    if not _same_look(last, line) or _ITEM.match(line.text):
        return True
    step = last.base - line.base
    fitting = _would_have_fitted(line, last, edges[last])
    if not on_same_page or step <= -0.5 * last.size:  # a new page or column
        return (fitting or _END.search(last.text) is not None) and not line.text[0].islower()
    if step > _WIDE_GAP * leading * last.size:
        return True
    if _NUMBERED.match(line.text) and _END.search(last.text):
        return True
    hanging = _ITEM.match(paragraph[0].text) or _NUMBERED.match(paragraph[0].text)
    indented = line.left - last.left > 0.8 * line.size and len(paragraph) > 1
    return (indented and not hanging) or fitting


def _same_look(line: Line, other: Line) -> bool:
    return abs(line.size - other.size) < 0.1 * line.size and line.bold == other.bold


def _would_have_fitted(line: Line, last: Line, edge: float) -> bool:
    """Return whether the first word of `line` would have fitted on the line before, so that the break is deliberate."""
    width = (last.right - last.left) / max(1, len(last.text))
    word = line.text.split(maxsplit=1)[0]
    # The widths of letters differ, so a little more space is required.
    return last.right + 1.3 * width * (len(word) + 2) < edge


class _Joiner:
    """Joins the lines of a paragraph. The words of the whole file decide which hyphens at line ends are kept."""

    def __init__(self, lines: Sequence[str]) -> None:
        inner = (_HYPHENATED.sub("", line) for line in lines)
        self._words = Counter(word.lower() for line in inner for word in _WORD.findall(line))

    def text(self, lines: Sequence[Line]) -> str:
        """Return the text of a paragraph in one line."""
        text = lines[0].text
        for line in lines[1:]:
            text = self._joined(text, line.text)
        return text

    def _joined(self, text: str, following: str) -> str:
        head, tail = _HYPHENATED.search(text), _WORD.match(following)
        if head is None or tail is None:
            return text + ("" if text.endswith(("-", "‐", "/")) and following[:1].isalnum() else " ") + following
        return text + following if self._keeps_hyphen(head["head"], tail[0]) else text[:-1] + following

    def _keeps_hyphen(self, head: str, tail: str) -> bool:
        if not tail[0].islower():
            return True
        count = self._words
        joined, hyphenated = count[(head + tail).lower()], count[f"{head}-{tail}".lower()]
        if joined or hyphenated:
            return hyphenated > joined
        # Two words of the file, as in "long-range", are a compound. Parts of one word do not occur alone.
        return bool(count[head.lower()] and count[tail.lower()])
