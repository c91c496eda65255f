"""An experiment: what `communique train` is told by a TOML file and `--set key=value`.

Types, defaults and limits of every key stand here and nowhere else; `experiments/default.toml` explains them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from labels.spelling import did_you_mean
from trainer.errors import ExperimentError
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


class EmbeddingSection(_Section):
    """A frozen sentence encoder with logistic regression on its vectors."""

    kind: Literal["embedding"]
    encoder: str = "minilm"
    pooling: Literal["auto", "mean", "first"] = "auto"
    max_length: Annotated[int, Field(ge=8)] = 128
    C: Positive = 10.0
    class_weight: Literal["balanced", "none"] = "balanced"


class FinetuneSection(_Section):
    """A transformer encoder, all layers trained, with a linear head."""

    kind: Literal["finetune"]
    encoder: str = "minilm"
    pooling: Literal["auto", "mean", "first"] = "auto"
    max_length: Annotated[int, Field(ge=8)] = 128
    epochs: Positive = 4
    min_steps: Annotated[int, Field(ge=0)] = 160
    batch_size: Count = 16
    learning_rate: Positive = 1e-4
    head_learning_rate: Positive = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    positive_weight: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 4.0
    patience: Count = 3
    keep_layers: Annotated[int, Field(ge=0)] = 0


ModelSection = Annotated[
    MajoritySection | KeywordsSection | TfidfSection | EmbeddingSection | FinetuneSection,
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
        path = [str(part) for part in problem["loc"]]
        if len(path) > 1 and path[0] == "model":
            path.pop(1)  # the discriminator's value, which is no key of the file
        key = ".".join(path) or "experiment"
        if problem["type"] == "extra_forbidden":
            yield f"{key}: unknown key{did_you_mean(path[-1], _known_keys(path, content))}"
        elif problem["type"].startswith("union_tag"):
            kinds = [get_args(section.model_fields["kind"].annotation)[0] for section in _model_sections()]
            given = str(content.get("model", {}).get("kind", "")) if isinstance(content.get("model"), dict) else ""
            hint = did_you_mean(given, kinds)
            yield f"model.kind: '{given}' is no kind of model{hint}; use one of {', '.join(kinds)}"
        elif problem["type"] == "missing":
            yield f"{key}: this key is needed" + (', e.g. [model] kind = "tfidf"' if key == "model" else "")
        else:
            given = problem.get("input")
            shown = "" if isinstance(given, dict) else f" (given: {given!r})"
            yield f"{key}: {problem['msg'].removeprefix('Value error, ')}{shown}"


def _model_sections() -> tuple[type[BaseModel], ...]:
    return (MajoritySection, KeywordsSection, TfidfSection, EmbeddingSection, FinetuneSection)


def _known_keys(path: list[str], content: dict[str, Any]) -> list[str]:
    if len(path) == 1:
        return list(Experiment.model_fields)
    if path[0] == "model":
        kind = content.get("model", {}).get("kind")
        return [
            key
            for section in _model_sections()
            if kind in get_args(section.model_fields["kind"].annotation)
            for key in section.model_fields
        ]
    section = Experiment.model_fields[path[0]].annotation
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []


def _apply(content: dict[str, Any], override: str) -> None:
    key, separator, literal = override.partition("=")
    if not separator or not key.strip():
        raise ExperimentError(f"--set {override}: write key=value, e.g. --set model.epochs=3.")
    *sections, last = key.strip().split(".")
    target = content
    for section in sections:
        target = target.setdefault(section, {})
        if not isinstance(target, dict):
            raise ExperimentError(f"--set {override}: '{section}' is a value, not a section.")
    target[last] = _literal(literal.strip())


def _literal(text: str) -> Any:
    """A TOML literal; anything else is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
