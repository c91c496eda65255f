"""Experiments from files: found, read, overridden, checked."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trainer.config.experiment import Experiment
from trainer.config.overrides import apply_override
from trainer.config.problems import describe_problems
from trainer.errors import ExperimentError
from trainer.resources import shipped, shipped_experiments


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment of a TOML file, with `key=value` overrides applied in order.

    `path` may also name a shipped experiment (`finetune`, `experiments/finetune.toml`) where no such file exists.

    Raises:
        ExperimentError: no such file, not TOML, an unknown key, or a value of the wrong type or range.
    """
    file = find_experiment(path)
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path}: not valid TOML: {error}. Mend that line.") from error
    for override in overrides:
        apply_override(content, override)
    content["name"] = content.get("name") or file.stem
    return parse_experiment(content, str(path))


def find_experiment(path: str | Path) -> Path:
    """The experiment file at `path`, or the shipped one of that name.

    Raises:
        ExperimentError: there is neither.
    """
    if Path(path).is_file():
        return Path(path)
    if Path(path).name and Path(path).parent in (Path(), Path("experiments")):
        candidate = shipped("experiments") / Path(path).with_suffix(".toml").name
        if candidate.is_file():
            return candidate
    raise ExperimentError(
        f"{path}: there is no such experiment. Give a TOML file, or a shipped one: {', '.join(shipped_experiments())}."
    )


def parse_experiment(content: dict[str, Any], place: str) -> Experiment:
    """The experiment with this content; `place` names its origin in messages.

    Raises:
        ExperimentError: every problem is listed with its key and, for an unknown one, the nearest known key.
    """
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        lines = [f"{place}: this experiment cannot run."]
        lines += [f"  {line}" for line in describe_problems(error, content)]
        lines.append("experiments/default.toml documents every key.")
        raise ExperimentError("\n".join(lines)) from None
