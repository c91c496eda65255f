"""What the sections of an experiment are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Keys of one TOML table; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)
