"""What a merge of stores does to their codebooks: unrelated codebooks are refused.

The rows of codebooks and of recorded changes are copied by `labels.store.upkeep.merging`.
"""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from labels.store.codebooks import decisions_by_codebook, history_in


def unrelated_codebooks(here: sa.Connection, there: sa.Connection, store: str) -> Iterator[str]:
    """Describe the codebooks of decisions in the other store that have nothing to do with the decisions here.

    Codebooks are related if they have the same name, or the same labels and flags, or if recorded changes in either
    store lead from one to the other. Versions that a store does not have are not compared.

    Args:
        store: the name of the other store.
    """
    made, arriving = decisions_by_codebook(here), decisions_by_codebook(there)
    if not made or arriving.keys() <= made.keys():
        return
    from labels.codebook.changes import titled
    from labels.codebook.reading import CodebookHistory, VersionReader

    own, theirs = history_in(here, "this store"), history_in(there, store)
    history = CodebookHistory({**own.versions, **theirs.versions}, (*own.edges, *theirs.edges))
    used = [history.versions[known] for known in made if known in history.versions]
    for book in (history.versions[known] for known in arriving if known in history.versions):
        reader = VersionReader(book, history)
        if used and not any(one.name == book.name or reader.route(one.hash) is not None for one in used):
            yield (
                f"its decisions were made under codebook {titled(book)}, and the decisions here under "
                f"{' and '.join(map(titled, used))}, which are unrelated: keep decisions under different codebooks in "
                "different stores or, if one is a version of the other, first record the change with "
                "`communique codebook migrate`"
            )
