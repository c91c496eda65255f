"""Texts made safe for Markdown and LaTeX; for HTML, the templates escape every value by themselves."""

from __future__ import annotations

import re
from html import escape

from labels.unicode import visible

_MARKDOWN = re.compile(r"([\\`*_\[\]#|~$])")
_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def markdown(value: object) -> str:
    """Return a text as one line of Markdown that shows it unchanged: no markup, no HTML, no table cells."""
    return _MARKDOWN.sub(r"\\\1", escape(" ".join(visible(str(value)).split()), quote=False))


def tex(value: object) -> str:
    """Return a text as LaTeX that shows it unchanged."""
    return "".join(_TEX.get(character, character) for character in " ".join(visible(str(value)).split()))
