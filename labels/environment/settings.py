"""Load the settings of a command, handle names and URLs of stores, and build suggested commands.

Settings come from `communique.toml`, environment variables and command-line options; later sources take precedence. A
store is the path of a SQLite file or the URL of a database. SQLAlchemy is imported only to parse URLs, so that loading
settings stays fast.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from labels.errors import InputError, did_you_mean
from labels.unicode import read_toml

if TYPE_CHECKING:
    import sqlalchemy as sa

SETTINGS_FILE = "communique.toml"
_STRINGS = ("store", "codebook", "annotator")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_SQLITE_PARAMETERS = ("timeout", "isolation_level", "detect_types", "check_same_thread", "cached_statements", "uri")
"""The URL parameters of Python's SQLite driver. With `uri`, all other parameters are passed to SQLite itself."""


# -- settings


@dataclass(frozen=True)
class Team:
    """The table `[team]`, which all members of a team share.

    - `overlap`: share (0 to 1) of every random draw that several coders label independently of each other
    - `coders_per_sentence`: number of coders (at least 2) of each of these sentences
    - `planted`: share (0 to 0.5) of every draw that consists of sentences with known answers
    - `experts`: annotators whose decisions alone are known answers
    """

    overlap: float = 0.0
    coders_per_sentence: int = 2
    planted: float = 0.0
    experts: tuple[str, ...] = ()


AnswerForm = Literal["json", "names"]
"""How a language model writes its answer: as a JSON object, or as names of labels separated by commas."""

ProbabilitySource = Literal["none", "logprobs", "samples"]
"""The source of a model coder's probabilities: none (each label gets 0 or 1), token log-probabilities, or samples."""


@dataclass(frozen=True)
class LanguageModel:
    """The table `[llm]`: an OpenAI-compatible endpoint, and how requests are sent to it.

    - `base_url`, `model`: the address of the endpoint, such as http://localhost:8000/v1, and its name for the model
    - `key`: the name of the environment variable with the key; empty for an endpoint without keys
    - `name`: the name of the coder, without `llm:`; empty for the name of the model
    - `temperature` (0 to 2), `seed`: sent with every request
    - `concurrency`: number of simultaneous requests
    - `timeout`: seconds after which a request is repeated; `retries`: maximum number of repetitions, after longer and
      longer pauses
    - `answer`: see `AnswerForm`; `probabilities`: see `ProbabilitySource`; `samples`: their number, at temperature 1
    - `answer_tokens`: maximum number of tokens in an answer; 0 derives the limit from the codebook
    - `price_in`, `price_out`: prices per million input and output tokens; None if unknown
    """

    base_url: str = ""
    model: str = ""
    key: str = ""
    name: str = ""
    temperature: float = 0.0
    seed: int = 13
    concurrency: int = 4
    timeout: float = 120.0
    retries: int = 6
    answer: AnswerForm = "json"
    probabilities: ProbabilitySource = "none"
    samples: int = 5
    answer_tokens: int = 0
    price_in: float | None = None
    price_out: float | None = None


@dataclass(frozen=True)
class Settings:
    """The settings of a command.

    - `store`: SQLite path or database URL
    - `codebook`: shipped name, TOML file, or NAME@VERSION in the store
    - `annotator`: the name under which this person decides; empty if it is given with each command
    """

    store: str = "communique.db"
    codebook: str = "diplomatic"
    annotator: str = ""
    team: Team = Team()
    llm: LanguageModel = LanguageModel()


def load_settings(*, store: str | None = None, codebook: str | None = None, folder: Path | None = None) -> Settings:
    """Load the settings for `folder` (default: the working folder); options passed here take precedence.

    Raises:
        InputError: `communique.toml` is not valid TOML, has an unknown key, or has a value of another type.
    """
    values = _from_file((folder or Path.cwd()) / SETTINGS_FILE)
    for name in _STRINGS:
        if from_environment := os.environ.get(f"COMMUNIQUE_{name.upper()}"):
            values[name] = from_environment
    given = {"store": store, "codebook": codebook}
    return Settings(**(values | {key: value for key, value in given.items() if value}))


def _from_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content = read_toml(path)
    _check_known(content, Settings, f"{path}: ")
    for key in _STRINGS:
        if not isinstance(content.get(key, ""), str):
            raise InputError(f"{path}: `{key}` must be a string. Put the value in quotes.")
    return content | {"team": _team(content.get("team", {}), path), "llm": _llm(content.get("llm", {}), path)}


def _team(content: Any, path: Path) -> Team:
    if not isinstance(content, dict):
        raise InputError(f"{path}: `team` must be a table. Write [team] on a line of its own, and its keys below.")
    _check_known(content, Team, f"{path}: [team]: ")
    experts = content.get("experts", [])
    if not (isinstance(experts, list) and all(isinstance(name, str) for name in experts)):
        raise InputError(f'{path}: [team]: `experts` must be a list of names, such as ["eva"].')
    team = Team(**content | {"experts": tuple(experts)})
    for name, most in (("overlap", 1), ("planted", 0.5)):
        value = getattr(team, name)
        # In Python, `True` is an int.
        if isinstance(value, bool) or not (isinstance(value, int | float) and 0 <= value <= most):
            raise InputError(f"{path}: [team]: `{name}` must be a number from 0 to {most}, such as 0.2.")
    coders = team.coders_per_sentence
    if isinstance(coders, bool) or not (isinstance(coders, int) and coders >= 2):
        raise InputError(f"{path}: [team]: `coders_per_sentence` must be a whole number of at least 2.")
    return team


_LLM_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 2), "seed": (0, 2**31 - 1), "concurrency": (1, 256), "timeout": (1, 3600), "retries": (0, 20),
    "samples": (2, 100), "answer_tokens": (0, 100_000), "price_in": (0, 1e6), "price_out": (0, 1e6),
}  # fmt: skip
"""The minimum and the maximum of each number in `[llm]`."""
_LLM_CHOICES = {"answer": get_args(AnswerForm), "probabilities": get_args(ProbabilitySource)}


def _llm(content: Any, path: Path) -> LanguageModel:
    if not isinstance(content, dict):
        raise InputError(f"{path}: `llm` must be a table. Write [llm] on a line of its own, and its keys below.")
    _check_known(content, LanguageModel, f"{path}: [llm]: ")
    for name, value in content.items():
        place = f"{path}: [llm]: `{name}`"
        if name in _LLM_RANGES:
            low, high = _LLM_RANGES[name]
            whole = isinstance(getattr(LanguageModel, name), int)
            # In Python, `True` is an int.
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or (whole and not isinstance(value, int)) or not low <= value <= high:
                raise InputError(f"{place} must be a {'whole ' * whole}number from {low:g} to {high:.10g}.")
        elif not isinstance(value, str):
            raise InputError(f"{place} must be a string. Put the value in quotes.")
        elif name in _LLM_CHOICES and value not in _LLM_CHOICES[name]:
            raise InputError(f"{place} must be one of {', '.join(_LLM_CHOICES[name])}.")
    if (key := content.get("key", "")) and not _VARIABLE.fullmatch(key):
        # The value is not shown: it may be the key.
        raise InputError(
            f"{path}: [llm]: `key` must be the name of an environment variable, such as OPENAI_API_KEY, not the key "
            "itself. Store the key in that variable, and write the variable's name here."
        )
    return LanguageModel(**content)


def _check_known(content: Mapping[str, Any], kind: type[Settings | Team | LanguageModel], place: str) -> None:
    known = [field.name for field in fields(kind)]
    for key in content:
        if key not in known:
            raise InputError(f"{place}unknown key '{key}'{did_you_mean(key, known)}. Known keys: {', '.join(known)}.")


# -- stores


def store_url(store: str | Path) -> sa.URL:
    """Return the database URL of a store, from a URL or the path of a SQLite file.

    Raises:
        InputError: the URL is not valid, or has a parameter that the SQLite driver would ignore.
    """
    import sqlalchemy as sa

    if "://" in str(store):
        url = _parsed(str(store))
        _check_parameters(url)
        return url
    return sa.URL.create("sqlite", database=str(Path(store).expanduser()))


def store_name(store: str | Path) -> str:
    """Return the name of a store for messages: the path of a SQLite file, or the database URL without passwords.

    Raises:
        InputError: see `store_url`.
    """
    if "://" not in str(store):
        return str(Path(store).expanduser())
    url = store_url(store)
    file = sqlite_file(url)
    return str(file) if file and url.database else shown_url(url)


def is_other_store(store: str | Path) -> bool:
    """Return whether `store` is not empty and differs from the store in the settings."""
    return bool(store) and store_name(store) != store_name(load_settings().store)


def sqlite_file(url: sa.URL) -> Path | None:
    """Return the path of a SQLite file; None for other databases and for URLs with `uri`, which SQLite parses."""
    if url.get_backend_name() != "sqlite" or "uri" in url.query:
        return None
    return Path(url.database or "")


def check_sqlite_file(url: sa.URL, store: str | Path, *, create: bool) -> None:
    """Check that the SQLite file of a store can be opened or, if `create` is true, created; other databases pass.

    Raises:
        InputError: the path is a folder, or the file is missing or empty and must not be created.
    """
    file = sqlite_file(url)
    if file is None:
        return
    if url.database and file.is_dir():
        raise InputError(f"{store}: this is a folder. Name a file in it, such as {file / 'communique.db'}.")
    if create or (file.exists() and not (file.is_file() and file.stat().st_size == 0)):
        return
    fill = command("ingest", "ARTICLES", store=store)
    if file.exists():
        # SQLite would turn any empty file into a database.
        raise InputError(f"{store}: this file is empty and is not a label store. Check the path, or fill it: `{fill}`.")
    raise InputError(f"{store}: this label store does not exist. Create it with `{fill}`.")


def shown_url(url: sa.URL) -> str:
    """Return the URL without passwords, including passwords in query parameters."""
    hidden = {key: "hidden" for key in url.query if "password" in key.lower()}
    return url.update_query_dict(hidden).render_as_string()


def _parsed(url: str) -> sa.URL:
    import sqlalchemy as sa

    try:
        return sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # SQLAlchemy's message may contain the password: show only the part after the last @, without parameters.
        place = url.rpartition("@")[2].partition("?")[0]
        raise InputError(
            f"{place}: this is not a valid database URL. Use the path of a SQLite file, or a URL such as "
            "postgresql+psycopg://NAME@HOST:5432/DATABASE."
        ) from None


def _check_parameters(url: sa.URL) -> None:
    # The driver ignores unknown parameters: a misspelt `timeout` would have no effect.
    if url.drivername not in ("sqlite", "sqlite+pysqlite") or "uri" in url.query:
        return
    for key in url.query:
        if key not in _SQLITE_PARAMETERS:
            raise InputError(
                f"{shown_url(url)}: unknown parameter '{key}'{did_you_mean(key, _SQLITE_PARAMETERS)}. Remove the "
                f"parameter, or use one of {', '.join(_SQLITE_PARAMETERS)}. Parameters of SQLite itself also need "
                "uri=true."
            )


# -- suggested commands


def command(*words: str | Path, store: str | Path = "", codebook: str = "") -> str:
    """Build a `communique` command from words, quoted for a shell.

    `--store` and `--codebook` are added if their values differ from the settings.

    Args:
        store: the store of the command, as a path, URL or name; its password is not shown.
        codebook: a value for `--codebook`.

    Raises:
        InputError: see `load_settings` and `store_url`.
    """
    options = ["--store", store_name(store)] if is_other_store(store) else []
    options += ["--codebook", codebook] if codebook and codebook != load_settings().codebook else []
    return shlex.join(["communique", *map(str, words), *options])


def relabel_command(annotator: str = "YOUR_NAME", *, store: str | Path = "", codebook: str = "") -> str:
    """Build the command that labels the queued sentences again."""
    return command("label", "--annotator", annotator, "--strategy", "relabel", store=store, codebook=codebook)
