"""An experiment: what `communique train` is told by a TOML file and `--set key=value`.

Types, defaults and limits of every key stand here and nowhere else; `experiments/default.toml` explains them.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from labels.spelling import did_you_mean
from trainer.errors import ExperimentError
from trainer.precision import Precision
from trainer.resources import shipped, shipped_experiments

Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class DataSection(_Section):
    """Where the examples come from. Files win over `source`."""

    source: Literal["seeds", "store"] = "seeds"
    store: str = ""
    train: str = ""
    validation: str = ""
    test: str = ""
    codebook: str = "diplomatic"
    only: str = ""

    @model_validator(mode="after")
    def _train_comes_first(self) -> Self:
        if (self.validation or self.test) and not self.train:
            raise ValueError("`data.validation` and `data.test` need `data.train`")
        return self


class SplitSection(_Section):
    """How examples are divided when there is no test file."""

    train: Fraction = 0.6
    validation: Fraction = 0.2
    test: Fraction = 0.2
    manifest: str = ""
    allow_large_groups: bool = False

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"`split.train`, `split.validation` and `split.test` must sum to 1, not {total:g}")
        return self


class MajoritySection(_Section):
    """Predicts how frequent each label is in train, whatever the text."""

    kind: Literal["majority"]


class KeywordsSection(_Section):
    """Looks for the codebook's cues."""

    kind: Literal["keywords"]


class TfidfSection(_Section):
    """Word and character TF-IDF with logistic regression."""

    kind: Literal["tfidf"]
    word_ngrams: Annotated[int, Field(ge=1, le=3)] = 2
    char_ngrams: Annotated[int, Field(ge=2, le=6)] = 4
    min_df: Count = 1
    C: Positive = 10.0
    class_weight: Literal["balanced", "none"] = "balanced"


class _EncoderSection(_Section):
    encoder: str = "minilm"
    pooling: Literal["auto", "mean", "first"] = "auto"
    max_length: Annotated[int, Field(ge=8)] = 128


class EmbeddingSection(_EncoderSection):
    """A frozen sentence encoder with logistic regression on its vectors."""

    kind: Literal["embedding"]
    C: Positive = 10.0
    class_weight: Literal["balanced", "none"] = "balanced"


class ContrastiveSection(_EncoderSection):
    """A sentence encoder tuned so that sentences of one label lie close, then logistic regression on its vectors."""

    kind: Literal["contrastive"]
    batch_size: Annotated[int, Field(ge=4)] = 32
    per_label: Annotated[int, Field(ge=2)] = 4
    passes: Positive = 12
    min_steps: Count = 10
    max_steps: Count = 100
    learning_rate: Positive = 1e-4
    temperature: Positive = 0.1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    C: Positive = 10.0
    class_weight: Literal["balanced", "none"] = "balanced"
    keep_layers: Annotated[int, Field(ge=0)] = 0


class FinetuneSection(_EncoderSection):
    """A transformer encoder, all layers trained, with a linear head."""

    kind: Literal["finetune"]
    epochs: Positive = 4
    min_steps: Annotated[int, Field(ge=0)] = 160
    batch_size: Count = 16
    learning_rate: Positive = 1e-4
    head_learning_rate: Positive = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    loss: Literal["cross_entropy", "asymmetric"] = "cross_entropy"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    positive_weight: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 4.0
    patience: Count = 3
    precision: Precision = "auto"
    lora_rank: Annotated[int, Field(ge=0)] = 0
    gradient_accumulation: Count = 1
    activation_checkpointing: bool = False
    keep_layers: Annotated[int, Field(ge=0)] = 0


SingleSection = Annotated[
    MajoritySection | KeywordsSection | TfidfSection | EmbeddingSection | ContrastiveSection | FinetuneSection,
    Field(discriminator="kind"),
]


class CascadeSection(_Section):
    """A cheap model answers where it is sure, an expensive one the rest; how far they may differ is certified."""

    kind: Literal["cascade"]
    cheap: SingleSection = TfidfSection(kind="tfidf")
    expensive: SingleSection = FinetuneSection(kind="finetune")
    max_disagreement: Fraction = 0.01
    max_lost: Fraction = 0.10
    confidence: Fraction = 0.95


ModelSection = Annotated[
    MajoritySection
    | KeywordsSection
    | TfidfSection
    | EmbeddingSection
    | ContrastiveSection
    | FinetuneSection
    | CascadeSection,
    Field(discriminator="kind"),
]


class CalibrationSection(_Section):
    """How probabilities and thresholds are fitted on validation."""

    method: Literal["platt", "isotonic", "none"] = "platt"
    holdout: Fraction = 0.15
    min_positives: Count = 20
    crossfit: bool = False
    folds: Annotated[int, Field(ge=3, le=20)] = 5


class EvaluationSection(_Section):
    """How test figures are given."""

    bootstrap: Annotated[int, Field(ge=100)] = 1000
    confidence: Fraction = 0.95
    min_groups: Annotated[int, Field(ge=2)] = 20


class TrackingSection(_Section):
    """What MLflow is told. Where it logs is its own setting, MLFLOW_TRACKING_URI."""

    enabled: bool = True
    experiment: str = "communique"
    register_as: str = ""


class SweepRange(_Section):
    """Numbers from `low` to `high`, both included, for one key of a sweep."""

    low: int | float
    high: int | float
    log: bool = False
    step: Annotated[int | float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not (self.low < self.high and math.isfinite(self.high - self.low)):
            raise ValueError("`low` must be less than `high`, and both finite")
        if self.log and (self.step is not None or self.low <= 0):
            raise ValueError("`log` needs a `low` above 0, and allows no `step`")
        if self.step is not None and abs((steps := (self.high - self.low) / self.step) - round(steps)) > 1e-6:
            raise ValueError("`high` must be a whole number of steps away from `low`")
        return self


SweepChoices = Annotated[tuple[bool | int | float | str, ...], Field(min_length=2)]


class SweepSection(_Section):
    """Which settings `communique sweep` tries: a range or a list of choices for each key of `space`."""

    trials: Count = 20
    timeout_minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    startup: Count = 5
    executor: Literal["local", "ray"] = "local"
    workers: Count = 1
    space: dict[
        str,
        Annotated[
            Annotated[SweepRange, Tag("range")] | Annotated[SweepChoices, Tag("choices")],
            Discriminator(lambda value: "range" if isinstance(value, dict | SweepRange) else "choices"),
        ],
    ] = {}

    @field_validator("space", mode="before")
    @classmethod
    def _join_keys(cls, space: Any) -> Any:
        return _dotted(space) if isinstance(space, dict) else space

    @model_validator(mode="after")
    def _workers_are_rays(self) -> Self:
        if self.workers > 1 and self.executor == "local":
            raise ValueError('`sweep.workers` above 1 need `sweep.executor = "ray"`')
        return self


def _dotted(space: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Ranges and choices by dotted key: TOML reads an unquoted `model.C = {...}` as nested tables."""
    found: dict[str, Any] = {}
    for key, value in space.items():
        if isinstance(value, dict) and value and all(isinstance(item, dict | list) for item in value.values()):
            found |= _dotted(value, f"{prefix}{key}.")
        elif isinstance(value, dict | list | tuple | SweepRange):
            found[f"{prefix}{key}"] = value
        else:
            raise ValueError(f"`{prefix}{key}` needs a range, {{ low = 1, high = 9 }}, or a list of choices")
    return found


class Experiment(_Section):
    """A whole experiment; every section but `model` may be left out."""

    name: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 13
    data: DataSection = DataSection()
    split: SplitSection = SplitSection()
    model: ModelSection
    calibration: CalibrationSection = CalibrationSection()
    evaluation: EvaluationSection = EvaluationSection()
    tracking: TrackingSection = TrackingSection()
    sweep: SweepSection = SweepSection()


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
        _apply(content, override)
    content.setdefault("name", file.stem)
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
        lines += [f"  {line}" for line in _problems(error, content)]
        lines.append("experiments/default.toml documents every key.")
        raise ExperimentError("\n".join(lines)) from None


def _problems(error: ValidationError, content: dict[str, Any]) -> Iterator[str]:
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
    single = (MajoritySection, KeywordsSection, TfidfSection, EmbeddingSection, ContrastiveSection, FinetuneSection)
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


def _apply(content: dict[str, Any], override: str) -> None:
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
