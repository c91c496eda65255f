"""Lines of the native form that are no events: the codebook versions of a store, and the changes between them.

They stand before the events, and only where the events were made under several versions: labels then mean what they
meant, in any store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from labels.codebook import Codebook, dump_codebook, parse_codebook
from labels.errors import CodebookError, DataError, InputError
from labels.records import Annotation
from labels.rows import Row
from labels.steps import step_from_json
from labels.store import CodebookMigration, Store

CODEBOOK, MIGRATION = "codebook", "codebook_migration"
"""The key by which such a line is known, and under which it holds its content."""


def codebook_lines(store: Store, events: Iterable[Annotation]) -> Iterator[Row]:
    """The lines that go before `events`; none where all of them were made under one version and nothing was changed."""
    kept, migrations = store.codebooks(), store.migrations()
    used = {event.codebook_hash for event in events} & kept.keys()
    if len(used) < 2 and not migrations:
        return
    for version in kept.values():
        yield {CODEBOOK: dump_codebook(version)}
    for migration in migrations:
        steps = [dict(step) for step in migration.steps]
        yield {
            MIGRATION: {
                "old_hash": migration.old_hash,
                "new_hash": migration.new_hash,
                "steps": steps,
                "created_at": migration.created_at,
            }
        }


def parse_codebook_line(row: Row, place: str) -> Codebook | CodebookMigration | None:
    """The codebook or the change that a line holds; None for a line that holds neither.

    Raises:
        DataError: it is not what was written there.
    """
    if isinstance(row.get(CODEBOOK), str):
        try:
            return parse_codebook(row[CODEBOOK], place)
        except CodebookError as error:
            raise DataError(str(error)) from None
    if MIGRATION not in row:
        return None
    try:
        content = row[MIGRATION]
        steps = tuple(content["steps"])
        for step in steps:
            step_from_json(step)
        return CodebookMigration(str(content["old_hash"]), str(content["new_hash"]), steps, str(content["created_at"]))
    except InputError as error:
        raise DataError(f"{place}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{place}: `{MIGRATION}` must hold old_hash, new_hash, steps and created_at ({error}). Export it again."
        ) from None
