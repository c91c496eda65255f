"""Recognize boilerplate of scraped pages by its words, which are listed in `boilerplate.toml`.

A line is boilerplate because of its words, never because of its website.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from labels.text.leads import is_page_date

# Scrapers often append lines of these kinds to a paragraph. The patterns of other kinds also match real sentences.
_GLUED_REASONS = frozenset({"share line", "comments", "advertisement", "newsletter", "cookie notice", "mark"})
# Reported speech is not boilerplate: "Sign up to the truce, the envoy urged". After a colon, it may be a link title.
_ATTRIBUTED = re.compile(
    r"[^:|]*,[”\"’']? ([\w’'-]+ ){0,5}"
    r"(said|says|told|tells|urged|urges|asked|asks|begged|pleaded|demanded|ordered|warned|insisted|joked)\b"
)
_LONG = 320
"""A line with more characters is always a paragraph; this also limits the time spent on matching patterns."""
_ODD_SPACE = re.compile(r"[^\S\n ]")
"""White space that pages use in place of plain spaces, such as non-breaking spaces."""
_BAR_PARTS, _BAR_WIDTH = 3, 60


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


def glued_reason(sentence: str, *, is_line: bool = False) -> str:
    """The reason for a boilerplate sentence that a scraper appended to a paragraph; "" if it must be labelled.

    Args:
        is_line: whether the sentence is a whole line for which `boilerplate_reason` found no reason.
    """
    # Most of the time for splitting goes into these patterns, so no line is matched twice.
    if not is_line and (reason := boilerplate_reason(sentence)) in _GLUED_REASONS:
        return reason
    return "byline" if is_page_date(sentence) else ""
