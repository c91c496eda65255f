"""Cue phrases of a codebook as patterns: `*` at a word's end stands for any ending, `...` for up to six words."""

from __future__ import annotations

import re

# Lazy, so that a cue takes the nearest next word, and bounded, so that it does not join distant clauses.
_GAP = r"(?:\W+\w+){0,6}?\W+"


def compile_cue(cue: str) -> re.Pattern[str]:
    r"""The pattern that finds a cue at word boundaries, ignoring case.

    >>> bool(compile_cue("pledg* ... million").search("Oslo pledged another 40 million."))
    True
    """
    parts = [r"\s+".join(_word(word) for word in part.split()) for part in cue.split("...")]
    # Not \b: a cue may begin with a sign such as "$".
    return re.compile(r"(?<!\w)" + _GAP.join(parts), re.IGNORECASE)


def _word(word: str) -> str:
    return re.escape(word.removesuffix("*")) + (r"\w*" if word.endswith("*") else r"(?!\w)")
