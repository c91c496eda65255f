"""What is wrong with an experiment, in the words of its file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from labels.spelling import did_you_mean
from trainer.config.experiment import Experiment
from trainer.config.models import CascadeSection, SingleSection
from trainer.config.sweep import SweepRange


def describe_problems(error: ValidationError, content: dict[str, Any]) -> Iterator[str]:
    """A line for each problem: its key, what is wrong and, for an unknown key or kind, the nearest known one."""
    for problem in error.errors():
        path = _keys_alone([str(part) for part in problem["loc"]])
        key = ".".join(path) or "experiment"
        if problem["type"] == "extra_forbidden":
            yield f"{key}: unknown key{did_you_mean(path[-1], _known_keys(path, content))}"
        elif problem["type"].startswith("union_tag"):
            kinds = [get_args(section.model_fields["kind"].annotation)[0] for section in _model_sections(path)]
            given = str(_section_at(path, content).get("kind", ""))
            hint = did_you_mean(given, kinds)
            yield f"{key}.kind: '{given}' is no kind of model{hint}; use one of {', '.join(kinds)}"
        elif problem["type"] == "missing":
            yield f"{key}: this key is needed" + (', e.g. [model] kind = "tfidf"' if key == "model" else "")
        else:
            given = problem.get("input")
            shown = "" if isinstance(given, dict) else f" (given: {given!r})"
            yield f"{key}: {problem['msg'].removeprefix('Value error, ')}{shown}"


def _keys_alone(path: list[str]) -> list[str]:
    """The path without the values of discriminators, which are no keys of the file."""
    if path[:1] == ["model"]:
        return [*path[:1], *path[2:3], *path[4:]]  # model, KIND, cheap, KIND, C
    return [*path[:3], *path[4:]] if path[:2] == ["sweep", "space"] else path


def _section_at(path: list[str], content: dict[str, Any]) -> dict[str, Any]:
    """What the file has at this path; nothing where that is no section."""
    for key in path:
        found = content.get(key)
        content = found if isinstance(found, dict) else {}
    return content


def _model_sections(path: list[str]) -> tuple[type[BaseModel], ...]:
    """The kinds that the model at this path can be of: a model within a cascade is no cascade."""
    union, _ = get_args(SingleSection)
    single: tuple[type[BaseModel], ...] = get_args(union)
    return (*single, CascadeSection) if len(path) == 1 else single


def _known_keys(path: list[str], content: dict[str, Any]) -> list[str]:
    if len(path) == 1:
        return list(Experiment.model_fields)
    if path[0] == "model":
        kind = _section_at(path[:-1], content).get("kind")
        return [
            key
            for section in _model_sections(path[:-1])
            if kind in get_args(section.model_fields["kind"].annotation)
            for key in section.model_fields
        ]
    if path[:2] == ["sweep", "space"]:
        return list(SweepRange.model_fields)
    section = Experiment.model_fields[path[0]].annotation
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []
