"""The characters at the ends of a value that readers do not see: white space, controls, zero-width characters."""

from __future__ import annotations

import unicodedata

INVISIBLE = "".join(map(chr, (0xAD, 0x61C, 0x180E, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F))))
INVISIBLE += "".join(map(chr, range(0x2060, 0x2070)))
"""Characters without a width, such as the byte order mark and the soft hyphen."""

_SPACES = "".join(map(chr, (0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)))
_CONTROLS = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0))))
_EDGES = INVISIBLE + _CONTROLS + _SPACES


def clean(text: str) -> str:
    """The text in Unicode NFC without white space, control and invisible characters at both ends."""
    return unicodedata.normalize("NFC", text).strip(_EDGES)
