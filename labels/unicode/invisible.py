"""Handle characters that readers do not see: white space, control characters and characters without a width.

`clean` removes them from the ends of a value; `person_name` also refuses them inside a name. `visible` replaces control
characters by visible characters, so that a text cannot move the cursor, change colours or reverse lines.
"""

from __future__ import annotations

import unicodedata

from labels.errors import DataError

INVISIBLE = "".join(map(chr, (0xAD, 0x61C, 0x180E, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F))))
INVISIBLE += "".join(map(chr, range(0x2060, 0x2070)))
"""Characters without a width, such as the byte order mark and the soft hyphen."""

_SPACES = "".join(map(chr, (0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)))
_CONTROLS = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0))))
_EDGES = INVISIBLE + _CONTROLS + _SPACES


def clean(text: str) -> str:
    """Return the text in Unicode NFC without white space, control and invisible characters at its ends."""
    return unicodedata.normalize("NFC", text).strip(_EDGES)


def person_name(name: str, place: str) -> str:
    """Check the name of a person, and return it without white space and invisible characters at its ends.

    Args:
        place: the option, or the file and the row, for messages.

    Raises:
        DataError: no visible character is left, or the name contains control characters or line breaks.
    """
    found = clean(name)
    if not found:
        raise DataError(f"{place}: the name of the annotator is empty. Fill in a name.")
    if visible(found) != found or "\n" in found or "\t" in found:
        raise DataError(f"{place}: the annotator's name {found!r:.80} contains control characters. Remove them.")
    return found


_KEPT = "\t\n"
_DELETE = 0x7F
_REVERSING = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Characters that change the direction in which the rest of a line is shown."""
_LINE_ENDS = (0x85, 0x2028, 0x2029)

_SHOWN: dict[int, str] = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in _KEPT}
_SHOWN |= {_DELETE: "\u2421"}
_SHOWN |= {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}
_SHOWN |= {code: f"\\u{code:04x}" for code in (*_REVERSING, *range(0xD800, 0xE000))}
_SHOWN |= dict.fromkeys(_LINE_ENDS, "\u2424")


def visible(text: str) -> str:
    r"""Replace control characters by pictures or escapes; line feeds, `\r\n` and tabs stay white space.

    C0 controls and DEL become Unicode's control pictures (ESC is shown as "␛"); unusual line ends become "␤"; C1
    controls, characters that reverse the direction of a line, and unpaired surrogates become escapes such as `\u202e`.
    Characters are replaced one by one, so `len(visible(text[:offset]))` is the position of an offset.
    """
    return text.replace("\r\n", " \n").translate(_SHOWN)
