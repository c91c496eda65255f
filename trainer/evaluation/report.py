"""The report of a model on labelled examples: figures from arrays alone, and their form in `report.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from labels.errors import DataError
from trainer.calibration.calibration import Bools, Floats
from trainer.calibration.certificate import Certificate
from trainer.evaluation import metrics
from trainer.evaluation.metrics import defined

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Outcome:
    """What was predicted for n labelled examples.

    gold, predicted: (n, labels) booleans; probabilities: (n, labels) in [0, 1]; groups: (n,) numbers of the groups
    (documents and near-duplicates) that examples belong to; thresholds: (labels,).
    """

    labels: tuple[str, ...]
    exclusive: bool
    gold: Bools
    predicted: Bools
    probabilities: Floats
    groups: Sequence[int]
    thresholds: Floats


class _Figures(BaseModel):
    """Part of a report. Keys of newer versions are kept, so that their reports can be read and written back."""

    model_config = ConfigDict(extra="allow", frozen=True)


class LabelFigures(_Figures):
    """One label on test. None: undefined, as precision is where the label is never predicted."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    predicted: int
    threshold: float | None
    average_precision: float | None


class LabelCalibrationFigures(_Figures):
    """How far one label's probabilities are from the frequencies: each 0 at best."""

    expected_calibration_error: float | None
    brier_score: float | None
    log_loss: float | None


class CalibrationFigures(LabelCalibrationFigures):
    """Means over the labels, and each label. `bins` are the calibration error's, of equal mass."""

    bins: int
    per_label: dict[str, LabelCalibrationFigures]


class IntervalFigures(_Figures):
    """Bootstrap intervals; of the exact-match figures the one that the report has."""

    method: str
    draws: int
    confidence: float
    macro_f1: metrics.Interval
    micro_f1: metrics.Interval
    accuracy: metrics.Interval | None = None
    subset_accuracy: metrics.Interval | None = None
    per_label_f1: dict[str, metrics.Interval]


class CodebookReference(_Figures):
    """Which codebook a report is about."""

    name: str
    version: str
    hash: str


class LabelValueFigures(_Figures):
    """A value in the label cells of a file, the name of its label (empty for "none"), and the number of its rows."""

    value: str
    name: str
    rows: int


class Report(_Figures):
    """What `report.json` holds: the figures on test, and what they refer to. None: undefined, or not known.

    `accuracy` is there for exclusive codebooks, `subset_accuracy` for multi-label ones. `intervals` is None where there
    are too few groups to resample, as `intervals_reason` says. The keys from `sentences_per_second` on are set by the
    run or evaluation that the report comes from.
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
        """The key of the share of sentences whose whole label set is right."""
        return "accuracy" if self.exclusive else "subset_accuracy"

    @property
    def exact_match(self) -> float | None:
        """The share of sentences whose whole label set is right."""
        return self.accuracy if self.exclusive else self.subset_accuracy

    # What shows a report reads it, and so can only be imported here.

    def to_frame(self) -> pd.DataFrame:
        """A pandas table: a row for each label, then `micro avg` and `macro avg`; `low` and `high` bound the F1."""
        from trainer.evaluation.plots import report_frame

        return report_frame(self)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the F1 of each label with its interval into `ax`, or into a new pyplot figure."""
        from matplotlib import pyplot

        from trainer.evaluation.plots import draw_f1

        if ax is None:
            _, ax = pyplot.subplots(figsize=(6.5, 1.5 + 0.4 * len(self.labels)), layout="constrained")
            ax.spines[["top", "right"]].set_visible(False)
        draw_f1(ax, self)
        return ax

    def __str__(self) -> str:
        """A table like that of scikit-learn's `classification_report`, with intervals of F1, and remarks."""
        from trainer.evaluation.plots import report_text

        return report_text(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What a notebook shows."""
        printer.text(str(self))

    def extended(self, **values: Any) -> Self:
        """The report with more keys, or other values of them."""
        return type(self).model_validate(self.to_dict() | values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: exactly the keys that were set, as `report.json` has them."""
        return self.model_dump(mode="json", exclude_unset=True)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The report in a `report.json`.

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
    """Metrics with intervals; what is undefined is None.

    Args:
        bootstrap: draws.
        confidence: of the intervals, in (0, 1).
        min_groups: below this many groups there are no intervals. The F1 of a label that occurs or is predicted in
            fewer than half as many has none either, and a `reason`.
    """
    counts = metrics.count(outcome.gold, outcome.predicted)
    n_groups = len(set(outcome.groups))
    exact = "accuracy" if outcome.exclusive else "subset_accuracy"
    intervals, reason = None, f"{n_groups} test groups, fewer than {min_groups}: too few to resample"
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
    """Each measure of `metrics` for each label, by the name that it has in a report, and the means over the labels."""
    names = tuple(LabelCalibrationFigures.model_fields)
    columns = zip(outcome.probabilities.T, outcome.gold.T, strict=True)
    figures = np.array([[getattr(metrics, name)(*column) for name in names] for column in columns])
    *own, means = (dict(zip(names, map(defined, row), strict=True)) for row in (*figures, figures.mean(axis=0)))
    per_label = {label: LabelCalibrationFigures(**row) for label, row in zip(outcome.labels, own, strict=True)}
    return CalibrationFigures(bins=metrics.CALIBRATION_BINS, per_label=per_label, **means)


def headline_metrics(report: Report) -> dict[str, float | None]:
    """Return the figures of a report that are logged to MLflow as metrics, by name."""
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
