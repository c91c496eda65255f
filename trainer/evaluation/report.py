"""The report of a model on labelled examples: computed from arrays, and stored as `report.json`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from labels.errors import DataError, counted
from trainer.calibration.calibration import Bools, Floats
from trainer.calibration.certificate import Certificate
from trainer.evaluation import metrics
from trainer.evaluation.estimates import AVERAGES, DECIDED, RANKED, Score, Scores, score_all
from trainer.evaluation.figures import (
    AgreementFigures,
    Amount,
    AverageFigures,
    CalibrationFigures,
    ChecksFigures,
    CodebookReference,
    ConfusionFigures,
    Figures,
    FoldFigures,
    IntervalFigures,
    LabelCalibrationFigures,
    LabelFigures,
    LabelValueFigures,
    Number,
    PrevalenceFigures,
    Share,
    SliceFigures,
)
from trainer.evaluation.intervals import METHOD, Interval
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

    def subset(self, rows: Bools) -> Outcome:
        """Return the outcome on some of the examples: those whose boolean in `rows`, of shape (n,), is true."""
        return replace(
            self,
            gold=self.gold[rows],
            predicted=self.predicted[rows],
            probabilities=self.probabilities[rows],
            groups=[group for group, kept in zip(self.groups, rows, strict=True) if kept],
        )


class Report(Figures):
    """The contents of `report.json`: the figures on test, with the experiment, data and model behind them.

    None means undefined or unknown. `accuracy` is set for exclusive codebooks, `subset_accuracy` for other codebooks.
    `intervals` is None if there are too few groups for intervals; `intervals_reason` gives their number. The run or
    evaluation that makes the report sets the keys from `sentences_per_second` onwards.

    `averages` has the keys "macro", "micro" and "weighted". `agreement` is the annotators' agreement by label, if the
    annotations are known. `slices` are parts of the test sentences, such as those of one source. `test_looks` counts
    the tracked runs and commands that have shown figures of these test sentences, this one included; None if untracked.
    `basis` is "out-of-fold" in a cross-validation, and `folds` has the figures of each fold.
    """

    labels: list[str]
    exclusive: bool
    n_test: Number
    n_groups: Number
    macro_f1: Share | None
    micro_f1: Share | None
    accuracy: Share | None = None
    subset_accuracy: Share | None = None
    jaccard: Share | None = None
    per_label: dict[str, LabelFigures]
    averages: dict[str, AverageFigures] = Field(default_factory=dict)
    confusion: ConfusionFigures | None = None
    calibration: CalibrationFigures
    intervals: IntervalFigures | None
    intervals_reason: str = ""

    sentences_per_second: Amount | None = None
    experiment: str = ""
    kind: str = ""
    seed: int | None = None
    codebook: CodebookReference | None = None
    data: str = ""
    synthetic: bool = False
    n_train: Number | None = None
    n_validation: Number | None = None
    split_hash: str = ""
    model_id: str = ""
    artefact_bytes: Number | None = None
    uncalibrated: dict[str, str] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    label_values: list[LabelValueFigures] = Field(default_factory=list)
    certificate: Certificate | None = None
    train_seconds: Amount | None = None
    validation_macro_f1: Share | None = None
    agreement: dict[str, AgreementFigures] = Field(default_factory=dict)
    prevalence: PrevalenceFigures | None = None
    slices: list[SliceFigures] = Field(default_factory=list)
    checks: ChecksFigures | None = None
    test_hash: str = ""
    test_looks: Number | None = None
    basis: Literal["test", "out-of-fold"] = "test"
    folds: list[FoldFigures] = Field(default_factory=list)

    @model_validator(mode="after")
    def _labels_are_the_same_everywhere(self) -> Self:
        parts: dict[str, Collection[str]] = {
            "per_label": self.per_label,
            "calibration.per_label": self.calibration.per_label,
            **({"intervals.per_label_f1": self.intervals.per_label_f1} if self.intervals else {}),
            **({"confusion.labels": self.confusion.labels[:-1]} if self.confusion else {}),
        }
        for key, found in parts.items():
            if set(found) != set(self.labels):
                odd = sorted(set(found) ^ set(self.labels))[0]
                raise ValueError(f"`{key}` and `labels` do not have the same labels: '{odd}' is in only one of them")
        return self

    @property
    def exact_match_name(self) -> str:
        """The key of the share of sentences whose whole label set is correct."""
        return "accuracy" if self.exclusive else "subset_accuracy"

    @property
    def exact_match(self) -> float | None:
        """The share of sentences whose whole label set is correct."""
        return self.accuracy if self.exclusive else self.subset_accuracy

    @property
    def exact_interval(self) -> Interval | None:
        """The interval of `exact_match`."""
        if self.intervals is None:
            return None
        return self.intervals.accuracy if self.exclusive else self.intervals.subset_accuracy

    # `plots` and `report_tables` import this module, so the methods below import them only when they are called.

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table with one row per label, then `micro avg`, `macro avg` and `weighted avg`.

        `low` and `high` are the bounds of the F1 interval.
        """
        from trainer.evaluation.report_tables import report_frame

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
        from trainer.evaluation.report_tables import report_text

        return report_text(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Show the table in a notebook."""
        printer.text(str(self))

    def extended(self, **values: Any) -> Self:
        """Return a copy of the report with these values; validates the values."""
        # Not `model_copy`, which does not validate the new values.
        return type(self).model_validate(self.to_dict() | values)

    def to_text(self) -> str:
        """Return the text of `report.json`."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a `report.json`.

        Raises:
            DataError: the file cannot be read, or is not a report.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise DataError(f"{path}: this report cannot be read ({error.strerror}). Check the path.") from error
        except ValidationError as error:
            raise DataError(
                f"{path}: {_first_problem(error)}. The file is damaged or was edited: restore it, or evaluate or train "
                "the model again."
            ) from error

    def check_predictions(self, gold: Bools, predicted: Bools, place: str) -> None:
        """Check that the counts and decisions of the report are those of predictions of shape (n, labels).

        Raises:
            DataError: a figure is another one; the message names its key in the report at `place`.
        """
        stated = {"n_test": float(self.n_test)}
        found: dict[str, float | None] = {"n_test": float(len(gold))}
        counts = metrics.count(gold, predicted)
        columns = {"support": counts.tp + counts.fn, "predicted": counts.tp + counts.fp}
        columns |= {name: getattr(counts, name) for name in ("precision", "recall", "f1")}
        for i, label in enumerate(self.labels):
            for name, values in columns.items():
                found[f"per_label.{label}.{name}"] = defined(values[i])
                stated[f"per_label.{label}.{name}"] = getattr(self.per_label[label], name)
        for key, value in found.items():
            # Undefined figures are not compared: older versions stated an F1 of 0 for a label without positives.
            if value is None or (stated[key] is not None and abs(stated[key] - value) <= _ROUNDED):
                continue
            raise DataError(
                f"{place}: key `{key}` is {stated[key]}, but the predictions beside it give {value:g}. The report was "
                "edited, or belongs to another run: restore the folder, or evaluate or train the model again."
            )


_ROUNDED = 1e-6


def _first_problem(error: ValidationError) -> str:
    """The key of the first problem, what is wrong with it, and its value."""
    problem = error.errors()[0]
    key = ".".join(map(str, problem["loc"]))
    message = problem["msg"].removeprefix("Value error, ")
    value = problem.get("input")
    given = f" (given: {value!r})" if isinstance(value, int | float | str) and key and len(str(value)) < 80 else ""
    return f"key `{key}`: {message}{given}" if key else f"not a report ({message})"


PRECISION_AT = {"1%": 0.01, "5%": 0.05, "20%": 0.20}
"""The shares of the highest probabilities at which every report shows the precision."""


def build_report(outcome: Outcome, *, confidence: float, min_groups: int) -> Report:
    """Compute the figures of a report, with intervals.

    Args:
        confidence: confidence level of the intervals, in (0, 1).
        min_groups: minimum number of groups for intervals; see `estimates.score_all`.
    """
    n_groups = len(set(outcome.groups))
    exact = "accuracy" if outcome.exclusive else "subset_accuracy"
    arrays = outcome.gold, outcome.predicted, outcome.probabilities, outcome.groups
    scores = score_all(*arrays, confidence=confidence, min_groups=min_groups)
    enough = n_groups >= min_groups
    # From a dictionary, because `to_dict` writes only the keys that were set: a key that does not apply stays absent.
    return Report.model_validate(
        {
            "labels": list(outcome.labels),
            "exclusive": outcome.exclusive,
            "n_test": len(outcome.gold),
            "n_groups": n_groups,
            "macro_f1": scores.averages["macro"]["f1"].value,
            "micro_f1": scores.averages["micro"]["f1"].value,
            exact: scores.exact_match.value,
            "jaccard": scores.jaccard.value,
            "per_label": _per_label(outcome, scores, enough),
            "averages": {name: AverageFigures(**_stored(scores.averages[name], enough)) for name in AVERAGES},
            "confusion": {
                "labels": [*outcome.labels, "none"],
                "matrix": metrics.confusion(outcome.gold, outcome.predicted).tolist(),
            },
            "calibration": _calibration(outcome),
            "intervals": _intervals(outcome, scores, confidence) if enough else None,
            "intervals_reason": ""
            if enough
            else f"{counted(n_groups, 'test group')}, fewer than {min_groups}: too few for intervals",
        }
    )


def _intervals(outcome: Outcome, scores: Scores, confidence: float) -> dict[str, Any]:
    return {
        "method": METHOD,
        "confidence": confidence,
        "macro_f1": scores.averages["macro"]["f1"].interval,
        "micro_f1": scores.averages["micro"]["f1"].interval,
        "accuracy" if outcome.exclusive else "subset_accuracy": scores.exact_match.interval,
        "jaccard": scores.jaccard.interval,
        "per_label_f1": {
            label: score.interval for label, score in zip(outcome.labels, scores.per_label["f1"], strict=True)
        },
    }


def _per_label(outcome: Outcome, scores: Scores, enough: bool) -> dict[str, LabelFigures]:
    return {
        label: LabelFigures(
            support=int(outcome.gold[:, i].sum()),
            predicted=int(outcome.predicted[:, i].sum()),
            threshold=None if outcome.exclusive else float(outcome.thresholds[i]),
            precision_at={
                name: defined(metrics.precision_at(outcome.probabilities[:, i], outcome.gold[:, i], share))
                for name, share in PRECISION_AT.items()
            },
            **_stored({name: scores.per_label[name][i] for name in (*DECIDED, *RANKED)}, enough),
        )
        for i, label in enumerate(outcome.labels)
    }


def _stored(scores: Mapping[str, Score], enough: bool) -> dict[str, Any]:
    """The values, reasons and intervals of scores, as in a report."""
    intervals: dict[str, Interval] = {name: score.interval for name, score in scores.items() if enough}
    return {
        **{name: score.value for name, score in scores.items()},
        "undefined": {name: score.reason for name, score in scores.items() if score.value is None},
        "intervals": intervals,
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
