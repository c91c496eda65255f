"""Single keys of an experiment's content, set from outside its file."""

from __future__ import annotations

import tomllib
from typing import Any

from trainer.errors import ExperimentError


def set_key(content: dict[str, Any], key: str, value: Any, place: str) -> None:
    """Put a value at a dotted key of an experiment's content; `place` names its origin in messages.

    Raises:
        ExperimentError: the key goes on below a value.
    """
    *sections, last = key.split(".")
    target = content
    for section in sections:
        target = target.setdefault(section, {})
        if not isinstance(target, dict):
            raise ExperimentError(f"{place}: '{section}' is a value, not a section.")
    target[last] = value


def apply_override(content: dict[str, Any], override: str) -> None:
    """Put the value of a `key=value` at its key.

    Raises:
        ExperimentError: there is no `=` or no key, or the key goes on below a value.
    """
    key, separator, literal = override.partition("=")
    if not separator or not key.strip():
        raise ExperimentError(f"--set {override}: write key=value, e.g. --set model.epochs=3.")
    set_key(content, key.strip(), _literal(literal.strip()), f"--set {override}")


def _literal(text: str) -> Any:
    """A TOML literal; anything else is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
