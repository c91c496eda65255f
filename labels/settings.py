"""Where a command finds its store and codebook: `communique.toml`, then the environment, then options.

Where a label store is: the path of a SQLite file or the URL of a database, and what people call it.
Commands to be typed next, as they can be pasted into a shell: quoted, about the same store and codebook.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

import sqlalchemy as sa

from labels.errors import InputError, did_you_mean

SETTINGS_FILE = "communique.toml"


@dataclass(frozen=True)
class Settings:
    """`store`: SQLite path or database URL; `codebook`: a shipped name, a TOML file, or NAME@VERSION of the store."""

    store: str = "communique.db"
    codebook: str = "diplomatic"


def load_settings(*, store: str | None = None, codebook: str | None = None, folder: Path | None = None) -> Settings:
    """The settings in force in `folder` (default: the working folder); options that are given win.

    Raises:
        InputError: `communique.toml` is not TOML, or has an unknown key or a value that is not a string.
    """
    values = _from_file((folder or Path.cwd()) / SETTINGS_FILE)
    for field in fields(Settings):
        from_environment = os.environ.get(f"COMMUNIQUE_{field.name.upper()}")
        if from_environment:
            values[field.name] = from_environment
    given = {"store": store, "codebook": codebook}
    return Settings(**(values | {key: value for key, value in given.items() if value}))


def _from_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid TOML: {error}. Fix or remove the file.") from error
    known = [field.name for field in fields(Settings)]
    for key, value in content.items():
        if key not in known:
            raise InputError(f"{path}: unknown key '{key}'{did_you_mean(key, known)}. Known keys: {', '.join(known)}.")
        if not isinstance(value, str):
            raise InputError(f"{path}: `{key}` must be a string. Put it in quotes.")
    return content


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


def command(*words: str | Path, store: str | Path = "", codebook: str = "") -> str:
    """`communique` with these words, and with `--store` and `--codebook` where the settings lead to others.

    Args:
        store: what the command is to be about, as it was given or is called; no password of it shows.
        codebook: what `--codebook` takes for the codebook.

    Raises:
        InputError: as `labels.settings.load_settings`.
    """
    options = ["--store", store_name(store)] if is_other_store(store) else []
    options += ["--codebook", codebook] if codebook and codebook != load_settings().codebook else []
    return shlex.join(["communique", *map(str, words), *options])


def relabel_command(annotator: str = "YOUR_NAME", *, store: str | Path = "", codebook: str = "") -> str:
    """What to type to label the queue again, under the codebook that is named so."""
    return command("label", "--annotator", annotator, "--strategy", "relabel", store=store, codebook=codebook)


def is_other_store(store: str | Path) -> bool:
    """Whether a store is named and is not that of the settings."""
    return bool(store) and store_name(store) != store_name(load_settings().store)
