"""Bring a store to the newest schema version; refuse one that is newer than this code."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from labels.errors import StoreError

HEAD = "0002"
"""The newest revision under `versions/`; a test holds it to that."""
_OURS = {"documents", "sentences", "events"}
"""Tables that every version of the store has."""


def schema_version(connection: Connection) -> str | None:
    """The revision of a store, None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def migrate(connection: Connection, url: str) -> None:
    """Create or upgrade the tables, within a transaction that writes.

    Raises:
        StoreError: the store was written by a newer communique, or the database is something else's.
    """
    version = schema_version(connection)
    if version == HEAD:
        return
    tables = set(inspect(connection).get_table_names()) - {"alembic_version"}
    if tables and not (version and tables >= _OURS):
        raise StoreError(
            f"{url}: this database has tables of something else; it is no communique store. Name another file."
        )
    if version is not None and version > HEAD:
        raise StoreError(
            f"{url}: this store has schema version {version}, this communique knows up to {HEAD}. "
            "Upgrade communique (`pip install -U communique`), or name another store."
        )
    _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
