"""Keys that depend on the codebook: those of answers at adjudication, and capital letters that count as small ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from labels.annotate.items import Opinion
from labels.codebook.schema import RESERVED_KEYS, Codebook

_CANDIDATES = "1234567890abcdefghijklmoprtvwxyz"
"""Digits first, then the letters that are not reserved."""


def answer_keys(opinions: Iterable[Opinion], codebook: Codebook) -> dict[str, Opinion]:
    """Keys that take an opinion as a whole: the first digits (then letters) that no label and no command has.

    Opinions that are no answer under the codebook in use, such as skips, get no key.
    """
    free = (key for key in _CANDIDATES if key not in codebook.keys and key not in RESERVED_KEYS)
    return dict(zip(free, (one for one in opinions if one.is_answer), strict=False))


def small(key: str, known: Collection[str]) -> str:
    """The key itself or, for a capital letter without a meaning of its own, the small letter if it has one."""
    return key.lower() if key not in known and key.lower() in known else key
