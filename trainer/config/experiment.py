"""Define the whole experiment, and read, override, check and write its file.

`sections` and `models` define its sections. Error messages name the keys of the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from labels.errors import DataError, ExperimentError, did_you_mean
from labels.unicode import read_toml
from trainer.config.models import ModelSection, Section, find_section, kind_names
from trainer.config.sections import (
    CalibrationSection,
    DataSection,
    EvaluationSection,
    SplitSection,
    SweepRange,
    SweepSection,
    TrackingSection,
)
from trainer.environment import shipped, shipped_experiments


class Experiment(Section):
    """A whole experiment; every section except `model` is optional."""

    name: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 13
    data: DataSection = DataSection()
    split: SplitSection = SplitSection()
    model: ModelSection
    calibration: CalibrationSection = CalibrationSection()
    evaluation: EvaluationSection = EvaluationSection()
    tracking: TrackingSection = TrackingSection()
    sweep: SweepSection = SweepSection()

    @model_validator(mode="after")
    def _one_division(self) -> Self:
        if self.split.manifest and self.data.test:
            raise ValueError(
                "`split.manifest` and `data.test` both define the test part: remove one of them (without `data.test`, "
                "the manifest divides the rows of `data.train`)"
            )
        if self.data.test and (self.split.by_time or self.split.by or self.split.cross_validates):
            raise ValueError(
                "`data.test` defines the test part, and [split] divides the rows in another way: remove `data.test`, "
                "or `train_before`, `test_after`, `by` and `folds` from [split]. A model of a cross-validation can be "
                "tested on a file with `communique evaluate`"
            )
        return self


def set_key(content: dict[str, Any], key: str, value: Any, place: str) -> None:
    """Set the value of a dotted key in an experiment's content; `place` names the value's origin in messages.

    Raises:
        ExperimentError: a parent of the key is a value, not a section.
    """
    *sections, last = key.split(".")
    target = content
    for section in sections:
        target = target.setdefault(section, {})
        if not isinstance(target, dict):
            raise ExperimentError(f"{place}: '{section}' is a value, not a section. Remove the rest of the key.")
    target[last] = value


def apply_override(content: dict[str, Any], override: str) -> None:
    """Apply a `key=value` override to an experiment's content.

    Raises:
        ExperimentError: the `=` or the key is missing, or a parent of the key is a value, not a section.
    """
    key, separator, literal = override.partition("=")
    if not separator or not key.strip():
        raise ExperimentError(f"--set {override}: write key=value, e.g. --set model.epochs=3.")
    set_key(content, key.strip(), _literal(literal.strip()), f"--set {override}")


def _literal(text: str) -> Any:
    """Parse text as a TOML literal; text that is not a TOML literal is a string."""
    # Strings need no quotes on a command line, where a shell would remove them.
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def describe_problems(error: ValidationError, content: dict[str, Any]) -> Iterator[str]:
    """Yield one line per problem: the key, the reason and, for an unknown key or kind, the nearest known name."""
    for problem in error.errors():
        path = _keys_alone([str(part) for part in problem["loc"]])
        key = ".".join(path) or "experiment"
        if problem["type"] == "extra_forbidden":
            yield f"{key}: unknown key{did_you_mean(path[-1], _known_keys(path, content))}"
        elif problem["type"].startswith("union_tag"):
            # A cascade cannot contain another cascade.
            kinds = [kind for kind in kind_names() if len(path) == 1 or kind != "cascade"]
            given = str(_section_at(path, content).get("kind", ""))
            hint = did_you_mean(given, kinds)
            yield f"{key}.kind: '{given}' is not a kind of model{hint}; use one of {', '.join(kinds)}"
        elif problem["type"] == "missing":
            yield f"{key}: this key is required" + (', e.g. [model] kind = "tfidf"' if key == "model" else "")
        else:
            given = problem.get("input")
            shown = "" if isinstance(given, dict) else f" (given: {given!r})"
            yield f"{key}: {_plain_message(problem['type'], problem['msg'])}{shown}"


_MUST_BE = {"int": "a whole number", "float": "a number", "bool": "true or false", "string": "text"}


def _plain_message(kind: str, message: str) -> str:
    """Return what is wrong with a value without the words of Pydantic, of which `kind` is the type of problem."""
    type_, _, how = kind.partition("_")
    if type_ in _MUST_BE and how in ("type", "parsing", "from_float"):
        return f"must be {_MUST_BE[type_]}"
    return message.removeprefix("Value error, ").replace("Input should be", "must be", 1)


def _keys_alone(path: list[str]) -> list[str]:
    """Remove the values of discriminators from a path: they are not keys of the file."""
    if path[:1] == ["model"]:
        if path[2:3] == ["middle"]:
            return [*path[:1], *path[2:4], *path[5:]]  # model, KIND, middle, 0, KIND, C
        return [*path[:1], *path[2:3], *path[4:]]  # model, KIND, cheap, KIND, C
    return [*path[:3], *path[4:]] if path[:2] == ["sweep", "space"] else path


def _section_at(path: list[str], content: dict[str, Any]) -> dict[str, Any]:
    """Return the section of the file at this path; empty if there is no section."""
    found: Any = content
    for key in path:
        if isinstance(found, list | tuple):
            found = dict(enumerate(found)).get(int(key))
        else:
            found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _known_keys(path: list[str], content: dict[str, Any]) -> list[str]:
    if len(path) == 1:
        return list(Experiment.model_fields)
    if path[0] == "model":
        found = find_section(str(_section_at(path[:-1], content).get("kind")))
        return list(found.model_fields) if found else []
    if path[:2] == ["sweep", "space"]:
        return list(SweepRange.model_fields)
    section = Experiment.model_fields[path[0]].annotation
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """Load an experiment from a TOML file and apply `key=value` overrides in order.

    If there is no file at `path`, `path` may name a shipped experiment (`finetune`, `experiments/finetune.toml`).

    Raises:
        ExperimentError: the file does not exist or is not TOML, a key is unknown, or a value has the wrong type or is
            out of range.
    """
    file = find_experiment(path)
    try:
        content = read_toml(file)
    except DataError as error:
        raise ExperimentError(str(error)) from error
    for override in overrides:
        apply_override(content, override)
    content["name"] = content.get("name") or file.stem
    return parse_experiment(content, str(path))


def find_experiment(path: str | Path) -> Path:
    """Return the experiment file at `path` or, if there is no such file, the shipped experiment of this name.

    Raises:
        ExperimentError: neither a file nor a shipped experiment exists.
    """
    if Path(path).is_file():
        return Path(path)
    # Accept only these two forms: a mistyped path to another folder must not silently select a shipped experiment.
    if Path(path).name and Path(path).parent in (Path(), Path("experiments")):
        candidate = shipped("experiments") / Path(path).with_suffix(".toml").name
        if candidate.is_file():
            return candidate
    raise ExperimentError(
        f"{path}: this experiment does not exist. Name a TOML file or a shipped experiment: "
        f"{', '.join(shipped_experiments())}."
    )


def parse_experiment(content: dict[str, Any], place: str) -> Experiment:
    """Build an experiment from its content; `place` names the content's origin in messages.

    Raises:
        ExperimentError: the content has problems. The message lists every problem with its key and, for an unknown
            key, the nearest known key.
    """
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        lines = [f"{place}: this experiment cannot run."]
        lines += [f"  {line}" for line in describe_problems(error, content)]
        lines.append("experiments/default.toml documents every key.")
        raise ExperimentError("\n".join(lines)) from None


def with_values(experiment: Experiment, values: Mapping[str, Any], place: str) -> Experiment:
    """Return the experiment with values set at dotted keys, without its sweep.

    Args:
        place: origin of the values, for messages.

    Raises:
        ExperimentError: a key is unknown, or a value is outside its limits.
    """
    content = experiment.model_dump(exclude={"sweep"})  # checked again as a whole: two values may contradict each other
    for key, value in values.items():
        set_key(content, key, value, place)
    return parse_experiment(content, place)


def dump_experiment(experiment: Experiment) -> str:
    """Return the experiment, without its sweep, as TOML that `load_experiment` can read."""
    import tomli_w

    return tomli_w.dumps(experiment.model_dump(exclude={"sweep"}))
