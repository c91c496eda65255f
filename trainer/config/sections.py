"""Define the sections of an experiment, except `[model]`, which `models` defines."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from labels.text.parsing.dates import read_period
from trainer.config.models import Count, Fraction, Positive, Section


class SweepRange(Section):
    """The range of one key in a sweep: numbers from `low` to `high`, both included."""

    low: int | float
    high: int | float
    log: bool = False
    step: Annotated[int | float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not (self.low < self.high and math.isfinite(self.high - self.low)):
            raise ValueError("`low` must be less than `high`, and both must be finite")
        if self.log and (self.step is not None or self.low <= 0):
            raise ValueError("`log` needs a `low` above 0 and cannot be combined with `step`")
        if self.step is not None and abs((steps := (self.high - self.low) / self.step) - round(steps)) > 1e-6:
            raise ValueError("`high` must be a whole number of steps away from `low`")
        return self


SweepChoices = Annotated[tuple[bool | int | float | str, ...], Field(min_length=2)]


class SweepSection(Section):
    """The settings that `communique sweep` tries: a range or a list of choices for each key of `space`."""

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
            raise ValueError('`sweep.workers` above 1 needs `sweep.executor = "ray"`')
        return self


def _dotted(space: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a space to dotted keys: TOML reads an unquoted `model.C = {...}` as nested tables."""
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
    """The origin of the examples. Files take precedence over `source`."""

    source: Literal["seeds", "store"] = "seeds"
    store: str = ""
    train: str = ""
    validation: str = ""
    test: str = ""
    codebook: str = ""
    only: str = ""
    extra: str = ""
    extra_weight: Positive = 1.0
    silver: str = ""
    silver_weight: Positive = 1.0
    text_column: str = ""
    label_column: str = ""
    blank: Literal["", "none", "undecided"] = ""

    @model_validator(mode="after")
    def _train_comes_first(self) -> Self:
        if (self.validation or self.test) and not self.train:
            raise ValueError("`data.validation` and `data.test` need `data.train`")
        return self

    @model_validator(mode="after")
    def _columns_are_of_a_file(self) -> Self:
        given = [key for key in ("text_column", "label_column", "blank") if getattr(self, key)]
        if given and not self.train and self.extra in ("", "seeds"):
            raise ValueError(f"`data.{given[0]}` applies only to files of rows: set `data.train`, or remove this key")
        return self

    @model_validator(mode="after")
    def _weight_is_of_extra_rows(self) -> Self:
        if self.extra_weight != 1 and not self.extra:
            raise ValueError(
                "`data.extra_weight` applies only to rows of `data.extra`: set `data.extra`, or remove this key"
            )
        return self

    @model_validator(mode="after")
    def _silver_is_of_a_store(self) -> Self:
        if self.silver and (self.source != "store" or self.train):
            raise ValueError(
                '`data.silver` names a language model whose answers are in a label store: set `data.source = "store"`, '
                "and remove `data.train`"
            )
        if self.silver_weight != 1 and not self.silver:
            raise ValueError(
                "`data.silver_weight` applies only to `data.silver`: set `data.silver`, or remove this key"
            )
        return self

    @model_validator(mode="after")
    def _only_is_of_a_source(self) -> Self:
        if self.only and self.train:
            raise ValueError(
                "`data.only` selects from `data.source`, not from the file `data.train`: remove `data.only`, and "
                "delete the unwanted rows from the file"
            )
        return self


class SplitSection(Section):
    """How the examples are divided if there is no test file."""

    train: Fraction = 0.6
    validation: Fraction = 0.2
    test: Fraction = 0.2
    manifest: str = ""
    new_rows: Literal["follow", "ignore"] = "follow"
    allow_large_groups: bool = False
    train_before: str = ""
    test_after: str = ""
    by: str = ""
    leave_one_out: bool = False
    folds: Annotated[int, Field(ge=0, le=20)] = 0
    missing: Literal["refuse", "leave_out"] = "refuse"

    @property
    def by_time(self) -> bool:
        """Whether dates divide the examples."""
        return bool(self.train_before or self.test_after)

    @property
    def cross_validates(self) -> bool:
        """Whether every example is predicted by a model that has not learned from it: there is no test part."""
        return self.leave_one_out or self.folds > 0

    @field_validator("train_before", "test_after", mode="before")
    @classmethod
    def _is_a_date(cls, given: Any) -> Any:
        text = str(given) if isinstance(given, int | date) else given  # TOML has dates, and 2024 is a number
        if isinstance(text, str) and text and read_period(text) is None:
            raise ValueError("write a date such as 2024-05-31, 2024-05 or 2024")
        return text

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = {
            "manifest": bool(self.manifest),
            "train_before": bool(self.train_before),
            "test_after": bool(self.test_after),
            "by": bool(self.by),
            "folds": self.folds > 0,
        }
        given = [f"`split.{name}`" for name, is_given in ways.items() if is_given]
        if len(given) > 1 and not (len(given) == 2 and self.train_before and self.test_after):
            raise ValueError(f"{' and '.join(given)} divide the examples in different ways: keep one of them")
        if self.folds == 1:
            raise ValueError("`split.folds` must be at least 2 (0: no cross-validation)")
        if self.leave_one_out and not self.by:
            raise ValueError(
                '`split.leave_one_out` needs the column whose values are left out, e.g. split.by = "source"'
            )
        return self

    @model_validator(mode="after")
    def _periods_do_not_overlap(self) -> Self:
        before, after = (read_period(text) if text else None for text in (self.train_before, self.test_after))
        if before and after and before.first > after.last + timedelta(days=1):
            raise ValueError(
                f"the periods overlap: train ends before {before.first}, but test starts after {after.last}. Set "
                "`split.train_before` to the same day as `split.test_after`, or to an earlier one"
            )
        return self

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"`split.train`, `split.validation` and `split.test` must sum to 1, not {total:g}")
        return self


class CalibrationSection(Section):
    """Settings for fitting probabilities and thresholds on validation."""

    method: Literal["platt", "isotonic", "none"] = "platt"
    holdout: Fraction = 0.15
    min_positives: Count = 20
    crossfit: bool = False
    folds: Annotated[int, Field(ge=3, le=20)] = 5


class EvaluationSection(Section):
    """Settings for evaluation on the test set."""

    bootstrap: Annotated[int, Field(ge=100)] = 1000
    confidence: Fraction = 0.95
    min_groups: Annotated[int, Field(ge=2)] = 20
    prevalence: float | dict[str, float] | str = ""

    @property
    def corpus(self) -> str:
        """The unlabelled corpus from which the prevalence is estimated; empty if there is none."""
        return self.prevalence if isinstance(self.prevalence, str) else ""

    @field_validator("prevalence")
    @classmethod
    def _is_a_share(cls, given: Any) -> Any:
        for value in given.values() if isinstance(given, dict) else [given]:
            if not isinstance(value, str) and not 0 < value < 1:
                raise ValueError("a prevalence is the share of sentences with a label: above 0 and below 1")
        return given


class TrackingSection(Section):
    """Settings for logging to MLflow. MLflow's own variable MLFLOW_TRACKING_URI determines where it logs."""

    enabled: bool = True
    experiment: str = "communique"
    register_as: str = ""
    system_metrics: bool = False

    @model_validator(mode="after")
    def _names_are_mlflows(self) -> Self:
        if not self.experiment.strip():
            raise ValueError("`tracking.experiment` must not be empty")
        if self.register_as and (not self.register_as.strip() or set(self.register_as) & set("/:")):
            raise ValueError("`tracking.register_as` must not be blank or contain '/' or ':'")
        return self
