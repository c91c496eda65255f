"""The report of a model on labelled examples: computed from arrays, and stored as `report.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from labels.errors import DataError, counted
from trainer.calibration.calibration import Bools, Floats
from trainer.calibration.certificate import Certificate
from trainer.evaluation import metrics
from trainer.evaluation.metrics import defined

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Outcome:
    """The predictions for n labelled examples.

    Attributes:
        gold, predicted: booleans of shape (n, labels).
        probabilities: calibrated probabilities in [0, 1], of shape (n, labels).
        groups: the group number of each example: documents connected by near-duplicates form one group.
        thresholds: shape (labels,).
    """

    labels: tuple[str, ...]
    exclusive: bool
    gold: Bools
    predicted: Bools
    probabilities: Floats
    groups: Sequence[int]
    thresholds: Floats


class _Figures(BaseModel):
    """Base class of the parts of a report. Unknown keys from newer versions are kept on reading and writing."""

    model_config = ConfigDict(extra="allow", frozen=True)


class LabelFigures(_Figures):
    """The figures of one label on test; None if undefined, such as the precision of a label that is never predicted."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    predicted: int
    threshold: float | None
    average_precision: float | None


class LabelCalibrationFigures(_Figures):
    """Measures of the error of one label's probabilities; 0 is the best value of each."""

    expected_calibration_error: float | None
    brier_score: float | None
    log_loss: float | None


class CalibrationFigures(LabelCalibrationFigures):
    """Means over the labels, and the figures of each label. `bins` is the number of bins of the calibration error."""

    bins: int
    per_label: dict[str, LabelCalibrationFigures]


class IntervalFigures(_Figures):
    """Bootstrap intervals. `accuracy` is set for exclusive codebooks, `subset_accuracy` for other codebooks."""

    method: str
    draws: int
    confidence: float
    macro_f1: metrics.Interval
    micro_f1: metrics.Interval
    accuracy: metrics.Interval | None = None
    subset_accuracy: metrics.Interval | None = None
    per_label_f1: dict[str, metrics.Interval]


class CodebookReference(_Figures):
    """The codebook of a report."""

    name: str
    version: str
    hash: str


class LabelValueFigures(_Figures):
    """A value in the label cells of a file, the name of its label (empty for "none"), and the number of its rows."""

    value: str
    name: str
    rows: int


class Report(_Figures):
    """The contents of `report.json`: the figures on test, with the experiment, data and model behind them.

    None means undefined or unknown. `accuracy` is set for exclusive codebooks, `subset_accuracy` for other codebooks.
    `intervals` is None if there are too few groups to resample; `intervals_reason` gives their number. The run or
    evaluation that makes the report sets the keys from `sentences_per_second` onwards.
    """

    labels: list[str]
    exclusive: bool
    n_test: int
    n_groups: int
    macro_f1: float | None
    micro_f1: float | None
    accuracy: float | None = None
    subset_accuracy: float | None = None
    per_label: dict[str, LabelFigures]
    calibration: CalibrationFigures
    intervals: IntervalFigures | None
    intervals_reason: str = ""

    sentences_per_second: float | None = None
    experiment: str = ""
    kind: str = ""
    seed: int | None = None
    codebook: CodebookReference | None = None
    data: str = ""
    synthetic: bool = False
    n_train: int | None = None
    n_validation: int | None = None
    split_hash: str = ""
    model_id: str = ""
    artefact_bytes: int | None = None
    uncalibrated: dict[str, str] = {}
    notes: list[str] = []
    label_values: list[LabelValueFigures] = []
    certificate: Certificate | None = None
    train_seconds: float | None = None
    validation_macro_f1: float | None = None

    @property
    def exact_match_name(self) -> str:
        """The key of the share of sentences whose whole label set is correct."""
        return "accuracy" if self.exclusive else "subset_accuracy"

    @property
    def exact_match(self) -> float | None:
        """The share of sentences whose whole label set is correct."""
        return self.accuracy if self.exclusive else self.subset_accuracy

    # `plots` imports this module, so the methods below import `plots` only when they are called.

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table with one row per label, then `micro avg` and `macro avg`.

        `low` and `high` are the bounds of the F1 interval.
        """
        from trainer.evaluation.plots import report_frame

        return report_frame(self)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the F1 of each label with its interval on `ax`, or on a new pyplot figure."""
        from matplotlib import pyplot

        from trainer.evaluation.plots import draw_f1

        if ax is None:
            _, ax = pyplot.subplots(figsize=(6.5, 1.5 + 0.4 * len(self.labels)), layout="constrained")
            ax.spines[["top", "right"]].set_visible(False)
        draw_f1(ax, self)
        return ax

    def __str__(self) -> str:
        """Return a table like scikit-learn's `classification_report`, with F1 intervals and remarks."""
        from trainer.evaluation.plots import report_text

        return report_text(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Show the table in a notebook."""
        printer.text(str(self))

    def extended(self, **values: Any) -> Self:
        """Return a copy of the report with these values; validates the values."""
        # Not `model_copy`, which does not validate the new values.
        return type(self).model_validate(self.to_dict() | values)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values as in `report.json`, which contains only the keys that were set."""
        return self.model_dump(mode="json", exclude_unset=True)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a `report.json`.

        Raises:
            DataError: the file cannot be read, or is not a report.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise DataError(
                f"{path}: not a report ({str(error).splitlines()[0]}). Evaluate or train the model again."
            ) from error


def build_report(outcome: Outcome, *, bootstrap: int, confidence: float, min_groups: int, seed: int) -> Report:
    """Compute the figures of a report, with intervals.

    Args:
        bootstrap: number of bootstrap draws.
        confidence: confidence level of the intervals, in (0, 1).
        min_groups: minimum number of groups for intervals. A label that occurs or is predicted in fewer than half of
            this number of groups has no F1 interval, but a `reason`.
    """
    counts = metrics.count(outcome.gold, outcome.predicted)
    n_groups = len(set(outcome.groups))
    exact = "accuracy" if outcome.exclusive else "subset_accuracy"
    intervals, reason = None, f"{counted(n_groups, 'test group')}, fewer than {min_groups}: too few to resample"
    if n_groups >= min_groups:
        arrays = outcome.gold, outcome.predicted, outcome.groups
        drawn = metrics.bootstrap_intervals(
            *arrays, draws=bootstrap, confidence=confidence, min_groups=min_groups, seed=seed
        )
        reason = ""
        intervals = {
            "method": "percentile bootstrap over groups",
            "draws": bootstrap,
            "confidence": confidence,
            "macro_f1": drawn.macro_f1,
            "micro_f1": drawn.micro_f1,
            exact: drawn.exact_match,
            "per_label_f1": dict(zip(outcome.labels, drawn.per_label, strict=True)),
        }
    # From a dictionary, because `to_dict` writes only the keys that were set: a key that does not apply stays absent.
    return Report.model_validate(
        {
            "labels": list(outcome.labels),
            "exclusive": outcome.exclusive,
            "n_test": len(outcome.gold),
            "n_groups": n_groups,
            "macro_f1": defined(counts.macro_f1),
            "micro_f1": defined(counts.micro_f1),
            exact: defined(metrics.exact_match(outcome.gold, outcome.predicted).mean()),
            "per_label": _per_label(outcome, counts),
            "calibration": _calibration(outcome),
            "intervals": intervals,
            "intervals_reason": reason,
        }
    )


def _per_label(outcome: Outcome, counts: metrics.Counts) -> dict[str, LabelFigures]:
    return {
        label: LabelFigures(
            precision=defined(counts.precision[i]),
            recall=defined(counts.recall[i]),
            f1=defined(counts.f1[i]),
            support=int(outcome.gold[:, i].sum()),
            predicted=int(outcome.predicted[:, i].sum()),
            threshold=None if outcome.exclusive else float(outcome.thresholds[i]),
            average_precision=defined(metrics.average_precision(outcome.probabilities[:, i], outcome.gold[:, i])),
        )
        for i, label in enumerate(outcome.labels)
    }


def _calibration(outcome: Outcome) -> CalibrationFigures:
    """Compute the calibration figures of each label and their means."""
    # The fields of the report have the same names as the functions in `metrics`.
    names = tuple(LabelCalibrationFigures.model_fields)
    columns = zip(outcome.probabilities.T, outcome.gold.T, strict=True)
    figures = np.array([[getattr(metrics, name)(*column) for name in names] for column in columns])
    *own, means = (dict(zip(names, map(defined, row), strict=True)) for row in (*figures, figures.mean(axis=0)))
    per_label = {label: LabelCalibrationFigures(**row) for label, row in zip(outcome.labels, own, strict=True)}
    return CalibrationFigures(bins=metrics.CALIBRATION_BINS, per_label=per_label, **means)


def headline_metrics(report: Report) -> dict[str, float | None]:
    """Return the figures of a report that are logged to MLflow as metrics, by name."""
    # Runs in existing MLflow stores have these names: under a new name, a figure would be missing from leaderboards.
    names = (
        "macro_f1",
        "micro_f1",
        report.exact_match_name,
        "train_seconds",
        "sentences_per_second",
        "validation_macro_f1",
        "artefact_bytes",
        "n_test",
        "n_groups",
        "n_train",
    )
    figures = {name: getattr(report, name) for name in names}
    figures |= {f"f1.{label}": own.f1 for label, own in report.per_label.items()}
    figures |= {
        f"calibration.{name}": getattr(report.calibration, name)
        for name in ("expected_calibration_error", "brier_score", "log_loss")
    }
    if report.intervals:
        bounds = report.intervals.macro_f1
        figures |= {"macro_f1.low": bounds.low, "macro_f1.high": bounds.high}
    return figures
