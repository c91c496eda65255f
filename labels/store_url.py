"""Where a label store is: the path of a SQLite file or the URL of a database, and what people call it.

Nothing is opened here: that is `labels.store`'s business.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from labels.errors import InputError
from labels.spelling import did_you_mean

_SQLITE_PARAMETERS = ("timeout", "isolation_level", "detect_types", "check_same_thread", "cached_statements", "uri")
"""What Python's driver takes in a URL; with `uri` any other goes to SQLite itself."""


def store_url(store: str | Path) -> sa.URL:
    """The database URL of a store given as a URL or as a path of a SQLite file.

    Raises:
        InputError: it has the form of a URL and is none, or bears a parameter that SQLite's driver would not heed.
    """
    if "://" in str(store):
        url = _parsed(str(store))
        _check_parameters(url)
        return url
    return sa.URL.create("sqlite", database=str(Path(store).expanduser()))


def store_name(store: str | Path) -> str:
    """What people call a store: the path of a SQLite file, else its URL; no password shows.

    Raises:
        InputError: as `store_url`.
    """
    url = store_url(store)
    file = sqlite_file(url)
    return str(file) if file and url.database else shown_url(url)


def shown_url(url: sa.URL) -> str:
    """The URL as it may be printed: without its password, wherever in it that stands."""
    hidden = {key: "hidden" for key in url.query if "password" in key.lower()}
    return url.update_query_dict(hidden).render_as_string()


def _parsed(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # Its cause may quote the password, which stands before the last @ or among the parameters.
        place = url.rpartition("@")[2].partition("?")[0]
        raise InputError(
            f"{place}: this is no URL of a database. Give the path of a SQLite file, or a URL such as "
            "postgresql+psycopg://NAME@HOST:5432/DATABASE."
        ) from None


def _check_parameters(url: sa.URL) -> None:
    if url.drivername not in ("sqlite", "sqlite+pysqlite") or "uri" in url.query:
        return
    for key in url.query:
        if key not in _SQLITE_PARAMETERS:
            raise InputError(
                f"{shown_url(url)}: unknown parameter '{key}'{did_you_mean(key, _SQLITE_PARAMETERS)}. Leave it out, or "
                f"use one of {', '.join(_SQLITE_PARAMETERS)}; those of SQLite's own URIs need uri=true beside them."
            )


def sqlite_file(url: sa.URL) -> Path | None:
    """The file that SQLite is to open; None for other databases, and where the URL leaves the name to SQLite itself."""
    if url.get_backend_name() != "sqlite" or "uri" in url.query:
        return None
    return Path(url.database or "")
