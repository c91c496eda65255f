"""Which store and codebook a command uses, how a store is named, and the command to type next.

Settings come from `communique.toml`, then the environment, then options; the later one wins. A store is the path of a
SQLite file or the URL of a database. SQLAlchemy is imported only to read a URL: loading settings must stay cheap.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from labels.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import sqlalchemy as sa

SETTINGS_FILE = "communique.toml"
_SQLITE_PARAMETERS = ("timeout", "isolation_level", "detect_types", "check_same_thread", "cached_statements", "uri")
"""The parameters of Python's driver in a URL; with `uri`, SQLite itself gets all others."""


# -- settings


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


# -- stores


def store_url(store: str | Path) -> sa.URL:
    """The database URL of a store given as a URL or as the path of a SQLite file.

    Raises:
        InputError: the URL cannot be read, or has a parameter that SQLite's driver would ignore.
    """
    import sqlalchemy as sa

    if "://" in str(store):
        url = _parsed(str(store))
        _check_parameters(url)
        return url
    return sa.URL.create("sqlite", database=str(Path(store).expanduser()))


def store_name(store: str | Path) -> str:
    """A store as messages name it: the path of a SQLite file, else the URL without its password.

    Raises:
        InputError: as `store_url`.
    """
    if "://" not in str(store):
        return str(Path(store).expanduser())
    url = store_url(store)
    file = sqlite_file(url)
    return str(file) if file and url.database else shown_url(url)


def is_other_store(store: str | Path) -> bool:
    """Whether a store is given and is not the one of the settings."""
    return bool(store) and store_name(store) != store_name(load_settings().store)


def sqlite_file(url: sa.URL) -> Path | None:
    """The file that SQLite opens; None for other databases, and where the URL leaves the name to SQLite itself."""
    if url.get_backend_name() != "sqlite" or "uri" in url.query:
        return None
    return Path(url.database or "")


def shown_url(url: sa.URL) -> str:
    """The URL without passwords, which may also be among its parameters."""
    hidden = {key: "hidden" for key in url.query if "password" in key.lower()}
    return url.update_query_dict(hidden).render_as_string()


def _parsed(url: str) -> sa.URL:
    import sqlalchemy as sa

    try:
        return sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # SQLAlchemy's message may quote the password, which is before the last @ or among the parameters.
        place = url.rpartition("@")[2].partition("?")[0]
        raise InputError(
            f"{place}: this is not the URL of a database. Give the path of a SQLite file, or a URL such as "
            "postgresql+psycopg://NAME@HOST:5432/DATABASE."
        ) from None


def _check_parameters(url: sa.URL) -> None:
    # The driver ignores parameters that it does not know: a misspelt `timeout` would silently do nothing.
    if url.drivername not in ("sqlite", "sqlite+pysqlite") or "uri" in url.query:
        return
    for key in url.query:
        if key not in _SQLITE_PARAMETERS:
            raise InputError(
                f"{shown_url(url)}: unknown parameter '{key}'{did_you_mean(key, _SQLITE_PARAMETERS)}. Remove it, or "
                f"use one of {', '.join(_SQLITE_PARAMETERS)}. Parameters of SQLite itself need uri=true as well."
            )


# -- the command to type next


def command(*words: str | Path, store: str | Path = "", codebook: str = "") -> str:
    """`communique` with these words, quoted for a shell, with `--store` and `--codebook` where the settings differ.

    Args:
        store: the store that the command is about, as a path, URL or name; its password is not shown.
        codebook: a value that `--codebook` takes.

    Raises:
        InputError: as `load_settings`.
    """
    options = ["--store", store_name(store)] if is_other_store(store) else []
    options += ["--codebook", codebook] if codebook and codebook != load_settings().codebook else []
    return shlex.join(["communique", *map(str, words), *options])


def relabel_command(annotator: str = "YOUR_NAME", *, store: str | Path = "", codebook: str = "") -> str:
    """The command that labels the queue of sentences to label again."""
    return command("label", "--annotator", annotator, "--strategy", "relabel", store=store, codebook=codebook)
