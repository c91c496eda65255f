"""Back up a SQLite store while others write to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from labels.environment.settings import shown_url, sqlite_file, store_name, store_url
from labels.errors import InputError
from labels.output.drafts import whole_file


def back_up(store: str, target: Path) -> None:
    """Copy a SQLite store to a file, completely or not at all. Other processes can write in the meantime.

    Raises:
        InputError: the store is not a SQLite file, or does not exist; the target is the store itself.
        DataError: the target cannot be written.
    """
    url = store_url(store)
    file = sqlite_file(url)
    if file is None:
        raise InputError(
            f"{shown_url(url)}: only SQLite stores can be backed up here. Use the database's own tool, for example "
            "`pg_dump --format=custom --file=backup.dump DATABASE`."
        )
    if not file.is_file():
        raise InputError(f"{store_name(store)}: this label store does not exist. Check the path.")
    if target.exists() and target.samefile(file):
        raise InputError(f"{target}: this is the store itself. Choose another file for the backup.")
    with (
        whole_file(target) as draft,
        closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(draft)) as copy,
    ):
        # SQLite's backup copies a consistent state, including changes that are still in the journal.
        source.backup(copy)
