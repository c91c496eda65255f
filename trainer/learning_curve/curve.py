"""A learning curve: the fits at each size with their mean and its interval, and what more sentences would bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labels.progress import Progress
from trainer.config.experiment import Experiment
from trainer.data import Dataset
from trainer.errors import ExperimentError
from trainer.evaluation.curve import (
    CurveCounts,
    CurveFigures,
    Figure,
    Outlook,
    drawn_figures,
    figure,
    look_ahead,
    measured_figures,
)
from trainer.evaluation.metrics import Counts
from trainer.learning_curve.fits import CurveFit, fit_subsets

REPEATS = 3
SIZES = 6
MORE = 200
"""Labelled sentences whose worth is estimated."""


@dataclass(frozen=True)
class CurvePoint:
    """One size: means over the repeats that could be fitted, of the sentences too, since groups differ in size.

    `labelled` is what people had to label for it: `train` and `validation` together.
    """

    labelled: int
    train: int
    validation: int
    macro_f1: Figure
    per_label_f1: Mapping[str, Figure]
    fits: tuple[CurveFit, ...]


@dataclass(frozen=True)
class LearningCurve:
    """Points in order of size, and what they promise; `outlook` is None where they do not say, as `reason` says.

    `intervals_reason` says why there are no intervals, where there are none.
    """

    experiment: str
    kind: str
    seed: int
    data: str
    synthetic: bool
    split_hash: str
    labels: tuple[str, ...]
    n_test: int
    n_groups: int
    confidence: float
    points: tuple[CurvePoint, ...]
    outlook: Outlook | None
    reason: str
    intervals_reason: str
    notes: tuple[str, ...]


def learning_curve(
    experiment: Experiment,
    dataset: Dataset,
    *,
    repeats: int = REPEATS,
    sizes: int = SIZES,
    progress: Progress | None = None,
) -> LearningCurve:
    """Fit, calibrate and test the experiment's model on nested subsets of train and validation.

    Args:
        repeats: orders of the groups.
        sizes: subsets of each order, in geometric steps up to everything, which is what `train` fits.
        progress: called with (fits done, fits in all).

    At the largest size repeats differ in the model's seed alone: there is only one "everything".

    Raises:
        ExperimentError: the model could not be fitted at any size.
    """
    fits = fit_subsets(experiment, dataset, repeats=repeats, sizes=sizes, progress=progress)
    problems = sorted({fit.problem for row in fits for fit in row})
    if "" not in problems:
        raise ExperimentError(f"{dataset.source}: the model could not be fitted at any size: {'; '.join(problems)}.")
    settings = experiment.evaluation
    counts = _stacked(fits)
    n_groups = counts.counts.tp.shape[2]
    enough = n_groups >= settings.min_groups
    missing = "" if enough else f"{n_groups} test groups, fewer than {settings.min_groups}: too few to resample"
    measured = measured_figures(counts)
    drawn = drawn_figures(counts, draws=settings.bootstrap, seed=experiment.seed) if enough else None
    labelled = len(dataset.parts["train"]) + len(dataset.parts["validation"])
    outlook, reason = look_ahead(measured, drawn, labelled=labelled, more=MORE, confidence=settings.confidence)
    return LearningCurve(
        experiment=experiment.name,
        kind=experiment.model.kind,
        seed=experiment.seed,
        data=dataset.source,
        synthetic=dataset.synthetic,
        split_hash=dataset.split.hash,
        labels=dataset.codebook.label_names,
        n_test=len(dataset.parts["test"]),
        n_groups=n_groups,
        confidence=settings.confidence,
        points=_points(fits, measured, drawn, dataset.codebook.label_names, settings.confidence),
        outlook=outlook,
        reason=reason,
        intervals_reason=missing,
        notes=dataset.notes,
    )


def _stacked(fits: Sequence[Sequence[CurveFit]]) -> CurveCounts:
    """The counts of all fits as arrays; zeros where there was none."""
    shape = next(fit.counts.tp.shape for row in fits for fit in row if fit.counts is not None)
    none = Counts(*(np.zeros(shape) for _ in range(3)))
    counts = [[fit.counts or none for fit in row] for row in fits]
    return CurveCounts(
        counts=Counts(
            tp=np.array([[each.tp for each in row] for row in counts]),
            fp=np.array([[each.fp for each in row] for row in counts]),
            fn=np.array([[each.fn for each in row] for row in counts]),
        ),
        fitted=np.array([[fit.counts is not None for fit in row] for row in fits]),
        labelled=np.array([[float(fit.train + fit.validation) for fit in row] for row in fits]),
    )


def _points(
    fits: Sequence[Sequence[CurveFit]],
    measured: CurveFigures,
    drawn: CurveFigures | None,
    labels: Sequence[str],
    confidence: float,
) -> tuple[CurvePoint, ...]:
    points = []
    for size, own in enumerate(zip(*fits, strict=True)):
        usable = [fit for fit in own if not fit.problem] or own
        train, validation = (round(np.mean([getattr(fit, part) for fit in usable])) for part in ("train", "validation"))
        macro_f1 = figure(measured.macro_f1[0, size], None if drawn is None else drawn.macro_f1[:, size], confidence)
        f1 = None if drawn is None else drawn.per_label[:, size]
        per_label = {
            label: figure(measured.per_label[0, size, i], None if f1 is None else f1[:, i], confidence)
            for i, label in enumerate(labels)
        }
        points.append(CurvePoint(train + validation, train, validation, macro_f1, per_label, own))
    return tuple(points)
