"""Find cues in texts. A cue is a phrase in a codebook that hints at a label."""

from __future__ import annotations

import re

from labels.unicode import Folded, fold

# Lazy, to find the nearest next word; bounded, so that a match does not extend over distant clauses.
_GAP = r"(?:\W+\w+){0,6}?\W+"
_NEVER = r"(?!)"


class Cue:
    r"""A phrase that is found at word boundaries, regardless of case and typography (see `labels.unicode`).

    `*` at the end of a word matches any ending; `...` matches up to six words. A blank cue is never found.

    >>> Cue("pledg* ... million").spans(Folded("Oslo pledged another 40 million."))
    [(5, 31)]
    >>> Cue("won't").is_in(Folded("They won’t sign."))
    True
    """

    def __init__(self, phrase: str) -> None:
        parts = [r"\s+".join(map(_word, part.split())) for part in fold(phrase).split("...")]
        # Not \b: a cue may begin with a sign such as "$".
        pattern = r"(?<!\w)" + _GAP.join(parts) if any(parts) else _NEVER
        self._pattern = re.compile(pattern, re.IGNORECASE)

    def is_in(self, text: Folded) -> bool:
        """Return whether the text contains the cue."""
        return self._pattern.search(text.text) is not None

    def spans(self, text: Folded) -> list[tuple[int, int]]:
        """Return the start and end of each occurrence of the cue, as offsets in the original text."""
        return [text.span(*found.span()) for found in self._pattern.finditer(text.text) if found.group()]


def _word(word: str) -> str:
    return re.escape(word.removesuffix("*")) + (r"\w*" if word.endswith("*") else r"(?!\w)")
