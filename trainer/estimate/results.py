"""An estimate as it is published: its figures, what they mean, and where each comes from."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from labels.errors import InputError, did_you_mean
from trainer.estimate.shares import Estimand, Method

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

Unit = Literal["sentences", "statements", "documents"]
UNITS: Mapping[Unit, str] = {
    "sentences": "sentences",
    "statements": "statements: near-duplicate sentences count together as one",
    "documents": "documents with at least one sentence with the label",
}
ALL = "all"
"""The name of the group with all sentences, which has an empty name in files; a group may have the same name."""
FORMAT = 1
"""Version of `estimate.json`."""


class Figure(BaseModel):
    """A share with its interval; None where undefined."""

    model_config = ConfigDict(frozen=True)

    share: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, *numbers: float) -> Figure:
        """Create a figure from a share and its bounds; nan becomes None."""
        share, low, high = (None if math.isnan(one) else float(one) for one in numbers)
        return cls(share=share, low=low, high=high)


class Cell(BaseModel):
    """The figures of one label in one group.

    - `group`: empty for all sentences
    - `size`: how many units the group has in the corpus
    - `labelled`, `positives`: sentences of the sample in the group, and those of them with the label
    - `raw`: the share of the units to which the model assigns the label, which is biased
    - `figures`: by method; the first is the published one
    - `small`: whether the published share rests on the sample alone, because of few positives or negatives
    - `all_negative`, `all_positive`: the published figure if no sentence without gold had the label, or all had it
    """

    model_config = ConfigDict(frozen=True)

    label: str
    group: str
    size: float
    labelled: int
    positives: int
    raw: float
    figures: dict[Method, Figure]
    small: bool
    all_negative: Figure | None = None
    all_positive: Figure | None = None

    @property
    def published(self) -> Figure:
        """The published share."""
        return self.figures["ppi"]


class Change(BaseModel):
    """The published share of a label in `group` minus that in `reference`."""

    model_config = ConfigDict(frozen=True)

    label: str
    group: str
    reference: str
    figure: Figure


class Estimate(BaseModel):
    """Estimated shares of labels in a corpus, as written to `estimate.json`.

    `not_sentences` is the share of spans that are not sentences; they are not part of the corpus, whose size is
    estimated without them. The shares can be computed from `sample_rows` and `corpus_rows`, which are separate files.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    estimand: Estimand
    unit: Unit
    by: str
    confidence: float
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    cells: list[Cell]
    changes: list[Change]
    form: str
    missing: dict[str, int]
    drawn: int
    labelled: int
    weights: dict[str, float]
    notes: list[str]
    provenance: dict[str, str]
    not_sentences: Figure | None = None
    sample_rows: list[dict[str, str | float]] = Field(default=[], exclude=True, repr=False)
    corpus_rows: list[dict[str, str | float]] = Field(default=[], exclude=True, repr=False)

    def cell(self, label: str, group: str = "") -> Cell:
        """Return the figures of a label in a group; without a group, or for "all", of all sentences.

        Raises:
            InputError: there is no such label or group.
        """
        if label not in self.labels:
            raise InputError(
                f"the estimate has no label '{label}'{did_you_mean(label, self.labels)}. Labels: "
                f"{', '.join(self.labels)}."
            )
        name = "" if group == ALL and ALL not in self.groups else group
        if name and name not in self.groups:
            known = f"Groups: {', '.join((ALL, *self.groups))}" if self.groups else "It was made without `by`"
            raise InputError(f"the estimate has no group '{group}'{did_you_mean(group, self.groups)}. {known}.")
        return next(one for one in self.cells if (one.label, one.group) == (label, name))

    def only(self, labels: Collection[str]) -> Estimate:
        """Return the estimate with some of its labels, in its order; with all if `labels` is empty."""
        if not labels:
            return self
        kept = {
            "labels": tuple(one for one in self.labels if one in labels),
            "cells": [one for one in self.cells if one.label in labels],
            "changes": [one for one in self.changes if one.label in labels],
            "weights": {label: weight for label, weight in self.weights.items() if label in labels},
        }
        return self.model_copy(update=kept)

    def rows(self) -> Iterator[dict[str, str | float | int | None]]:
        """Yield one row per label, group and method, for a table."""
        for cell in self.cells:
            for method, figure in cell.figures.items():
                yield {
                    "label": cell.label,
                    "group": cell.group,
                    "method": method,
                    "share": figure.share,
                    "low": figure.low,
                    "high": figure.high,
                    **{
                        name: None if value is None else value * cell.size
                        for name, value in zip(
                            ("count", "count_low", "count_high"), (figure.share, figure.low, figure.high), strict=True
                        )
                    },
                    "size": cell.size,
                    "labelled": cell.labelled,
                    "positives": cell.positives,
                    "raw_share": cell.raw,
                    "from_sample_alone": int(cell.small and method == "ppi"),
                }

    def change_rows(self) -> Iterator[dict[str, str | float | None]]:
        """Yield one row per difference, for a table."""
        for one in self.changes:
            names = {"label": one.label, "group": one.group, "reference": one.reference}
            yield {**names, "difference": one.figure.share, "low": one.figure.low, "high": one.figure.high}

    # The modules of `published` import this one, so the methods below import them only when they are called.

    def to_frame(self) -> pd.DataFrame:
        """Return `rows()` as a table: one row per label, group and method."""
        import pandas as pd

        return pd.DataFrame(list(self.rows()))

    def plot(self) -> Canvas:
        """Return the plot of `estimate.png` as a figure of matplotlib, e.g. for `.savefig(path)`."""
        from trainer.estimate.published.trend import draw_estimate

        return draw_estimate(self)

    def __str__(self) -> str:
        """The published shares as a table, below the estimand and the size of the sample."""
        from trainer.estimate.published.methods import estimate_text

        return estimate_text(self)

    def __repr__(self) -> str:
        groups = f", by={self.by!r}" if self.by else ""
        return f"Estimate(labels={self.labels!r}{groups}, labelled={self.labelled})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Show the table in a notebook, as `print` does."""
        printer.text(str(self))
