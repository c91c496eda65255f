"""A whole experiment: the sections that all kinds of model share, and `sweep` with the settings to try."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from trainer.config.models import Count, Fraction, ModelSection, Section


class SweepRange(Section):
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


class SweepSection(Section):
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
    ] = Field(default_factory=dict)

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


class DataSection(Section):
    """Where the examples come from. Files win over `source`."""

    source: Literal["seeds", "store"] = "seeds"
    store: str = ""
    train: str = ""
    validation: str = ""
    test: str = ""
    codebook: str = ""
    only: str = ""

    @model_validator(mode="after")
    def _train_comes_first(self) -> Self:
        if (self.validation or self.test) and not self.train:
            raise ValueError("`data.validation` and `data.test` need `data.train`")
        return self

    @model_validator(mode="after")
    def _only_is_of_a_source(self) -> Self:
        if self.only and self.train:
            raise ValueError(
                "`data.only` chooses from `data.source`, not from the file `data.train`: leave it out, and take the "
                "other rows out of the file"
            )
        return self


class SplitSection(Section):
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


class CalibrationSection(Section):
    """How probabilities and thresholds are fitted on validation."""

    method: Literal["platt", "isotonic", "none"] = "platt"
    holdout: Fraction = 0.15
    min_positives: Count = 20
    crossfit: bool = False
    folds: Annotated[int, Field(ge=3, le=20)] = 5


class EvaluationSection(Section):
    """How test figures are given."""

    bootstrap: Annotated[int, Field(ge=100)] = 1000
    confidence: Fraction = 0.95
    min_groups: Annotated[int, Field(ge=2)] = 20


class TrackingSection(Section):
    """What is logged in MLflow. Where it logs is its own setting, MLFLOW_TRACKING_URI."""

    enabled: bool = True
    experiment: str = "communique"
    register_as: str = ""


class Experiment(Section):
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

    @model_validator(mode="after")
    def _one_division(self) -> Self:
        if self.split.manifest and self.data.test:
            raise ValueError(
                "`split.manifest` and `data.test` both say what is test: leave one of them out (without `data.test`, "
                "the manifest divides the rows of `data.train`)"
            )
        return self
