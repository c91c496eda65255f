"""Report traces of other programs in texts, such as HTML tags in the cells of a table.

Such texts are not changed, because removing the traces might remove words. The report advises the user to convert them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from labels.errors import counted

_KINDS = {
    "HTML tags": re.compile(r"</?(?:p|br|div|span|b|i|em|strong|a|ul|ol|li|h[1-6]|table|t[rdh])(?:\s[^<>]{0,200})?/?>"),
    "HTML entities": re.compile(r"&(?:amp|quot|nbsp|lt|gt|apos|#\d{2,6}|#x[0-9a-fA-F]{2,5});"),
    "characters of a wrong encoding": re.compile(r"â€[\x80-\xbf™œ˜“”¦]|Ã[\x80-\xbf]|ï»¿|\ufffd"),
    "escaped line breaks": re.compile(r"(?<=[.!?\"”])\\n"),
    "rows of a table": re.compile(r"^ ?\|[-: |]+\|$|\|[-:]{3,}\|", re.MULTILINE),
}
_PERHAPS = re.compile(r"[<&âÃï\ufffd\\|]")


class Oddities:
    """Counts the texts of one file that contain traces of other programs, by kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    @classmethod
    def of(cls, texts: Iterable[object]) -> Self:
        """Count the traces in texts."""
        found = cls()
        for text in texts:
            found.see(text)
        return found

    def see(self, text: object) -> None:
        """Count the traces in a text; other values are ignored."""
        if not isinstance(text, str) or not _PERHAPS.search(text):
            return
        for kind, pattern in _KINDS.items():
            if found := pattern.search(text):
                self._counts[kind] += 1
                self._examples.setdefault(kind, found.group()[:40])

    def notes(self, path: Path | str) -> Iterator[str]:
        """Yield a remark for each kind."""
        for kind, count in self._counts.items():
            texts = counted(count, "text contains", "texts contain")
            example = self._examples[kind]
            yield f"{path}: {texts} {kind}, such as {example!r}, which are read as part of the text"
