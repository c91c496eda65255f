"""The versions of a codebook that a store keeps, and those in files: finding one, and what leads from one to another.

Moving from one to another is `codebook_migration`'s business.
"""

from __future__ import annotations

import re
from pathlib import Path

from labels.codebook.reading import CodebookHistory, Edge
from labels.codebook.schema import Codebook, load_codebook, shipped_codebooks
from labels.codebook.steps import step_from_json
from labels.errors import CodebookError
from labels.store import Store

_HASH = re.compile(r"[0-9a-f]{16}")


def history_of(store: Store) -> CodebookHistory:
    """Every version that the store keeps, and the changes recorded between them."""
    edges = (
        Edge(row.old_hash, row.new_hash, tuple(step_from_json(step) for step in row.steps))
        for row in store.migrations()
    )
    return CodebookHistory(store.codebooks(), tuple(edges))


def names_stored(reference: str) -> bool:
    """Whether `reference` reads as a version in a store (NAME@VERSION, NAME@HASH or a hash) and is no file."""
    reads_so = "@" in reference or _HASH.fullmatch(reference) is not None
    return reads_so and reference not in shipped_codebooks() and not Path(reference).is_file()


def find_codebook(reference: str, store: str) -> Codebook:
    """The codebook of a TOML file, a shipped one by name, or a version that the store at path or URL `store` keeps.

    Raises:
        CodebookError: there is none, or several versions of the store fit.
        InputError: it is to be found in the store, and there is no store.
    """
    if not names_stored(reference):
        return load_codebook(reference)
    with Store(store, create=False) as opened:
        return stored_codebook(opened, reference)


def stored_codebook(store: Store, reference: str) -> Codebook:
    """The version that NAME@VERSION, NAME@HASH or a hash names.

    Raises:
        CodebookError: the store keeps none that fits, or several; the message lists them.
    """
    name, _, version = reference.rpartition("@")
    kept = store.codebooks()
    found = [
        book
        for codebook_hash, book in kept.items()
        if (version == codebook_hash and name in ("", book.name)) or (name, version) == (book.name, book.version)
    ]
    if len(found) > 1:
        listed = ", ".join(f"{name}@{book.hash}" for book in found)
        raise CodebookError(f"{store.name}: '{reference}' names {len(found)} codebooks. Say which: {listed}.")
    if not found:
        listed = ", ".join(f"{book.name}@{book.version} ({codebook_hash})" for codebook_hash, book in kept.items())
        raise CodebookError(
            f"{store.name}: no codebook '{reference}' is kept here. "
            f"Name one of these, or a TOML file: {listed or 'there is none yet'}."
        )
    return found[0]
