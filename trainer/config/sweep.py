"""The section `sweep`: which settings are tried."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from trainer.config.fields import Count, Section


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
