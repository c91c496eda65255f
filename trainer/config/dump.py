"""Experiments as text, the way back from `load`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from trainer.config.experiment import Experiment


def dump_experiment(experiment: Experiment) -> str:
    """The experiment as TOML, every key of it but its sweep, that `load_experiment` reads back."""
    return "\n".join(_toml_lines(experiment.model_dump(exclude={"sweep"}))) + "\n"


def _toml_lines(content: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in content.items():
        if not isinstance(value, dict):
            # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
            yield f"{key} = " + json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    for key, value in content.items():
        if isinstance(value, dict):
            yield from ("", f"[{prefix}{key}]", *_toml_lines(value, f"{prefix}{key}."))
