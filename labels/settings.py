"""Where a command finds its store and codebook: `communique.toml`, then the environment, then options."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

from labels.errors import InputError
from labels.spelling import did_you_mean

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
        raise InputError(f"{path}: not valid TOML: {error}. Mend or remove the file.") from error
    known = [field.name for field in fields(Settings)]
    for key, value in content.items():
        if key not in known:
            raise InputError(f"{path}: unknown key '{key}'{did_you_mean(key, known)}. Known keys: {', '.join(known)}.")
        if not isinstance(value, str):
            raise InputError(f"{path}: `{key}` must be a string. Put it in quotes.")
    return content
