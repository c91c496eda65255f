"""A whole experiment, and the sections that every kind of model shares."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trainer.config.fields import Count, Fraction, Section
from trainer.config.models import ModelSection
from trainer.config.sweep import SweepSection


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
    """What MLflow is told. Where it logs is its own setting, MLFLOW_TRACKING_URI."""

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
