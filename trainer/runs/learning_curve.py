"""A learning curve as a run: means and intervals at each size, the gain expected from more sentences, files, MLflow."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from labels.errors import ExperimentError
from labels.files import output_folder, refuse_occupied, sole_writer, write_whole
from trainer.config.experiment import Experiment
from trainer.data.dataset import Dataset, files_read, load_dataset
from trainer.environment import silence_libraries, world_size
from trainer.evaluation.curve_figures import (
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
from trainer.evaluation.plots import BLUE, GREY, INK
from trainer.runs.learning_curve_fits import CurveFit, fit_subsets
from trainer.runs.tracking import Tracker, track_experiment

REPEATS = 3
SIZES = 6
MORE = 200
"""The number of further labelled sentences whose gain is estimated."""
_BEYOND = 1.25
"""How far past the data the law is drawn, at least."""


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
    """Points in order of size, and the outlook; that is None if it cannot be estimated, for the given `reason`.

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
) -> LearningCurve:
    """Fit, calibrate and test the experiment's model on nested subsets of train and validation.

    Args:
        repeats: orders of the groups.
        sizes: subsets of each order, in geometric steps up to everything, which is what `train` fits.

    At the largest size repeats differ in the model's seed alone: there is only one "everything".

    Raises:
        ExperimentError: the model could not be fitted at any size.
    """
    fits = fit_subsets(experiment, dataset, repeats=repeats, sizes=sizes)
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


FILES = ("learning_curve.json", "learning_curve.csv")


@dataclass(frozen=True)
class CurveResult:
    """A curve, its folder, and its MLflow run (empty when not tracked)."""

    folder: Path
    curve: LearningCurve
    run_id: str = ""


def run_learning_curve(experiment: Experiment, out: Path, *, overwrite: bool = False) -> CurveResult:
    """Draw an experiment's learning curve and leave `learning_curve.json`, `learning_curve.csv` and `plots/` in `out`.

    The folder appears whole or not at all. Where tracking is on, the curve is one run of the MLflow experiment
    `NAME-learning-curves`, beside the one that the leaderboard shows.

    Raises:
        InputError: the data or the model section do not allow it, or `out` is occupied.
        TrackingError: MLflow refused.
    """
    silence_libraries()
    if world_size() > 1:
        raise ExperimentError("a learning curve runs in one process: start it without torchrun or accelerate.")
    refuse_occupied(out, overwrite=overwrite, reads=files_read(experiment))
    dataset = load_dataset(experiment)
    with (
        sole_writer(out),
        track_experiment(experiment, dataset, beside="learning-curves") as tracker,
        output_folder(out, overwrite=overwrite) as draft,
    ):
        curve = learning_curve(experiment, dataset)
        _write(curve, draft)
        if tracker:
            _track(tracker, curve, draft)
    return CurveResult(out, curve, tracker.run_id if tracker else "")


def _write(curve: LearningCurve, folder: Path) -> None:
    content = _content(curve)
    write_whole(folder / FILES[0], [json.dumps(content, indent=1) + "\n"])
    write_whole(folder / FILES[1], [_table(curve)])
    (folder / "plots").mkdir()
    _draw(curve, folder / "plots" / "learning_curve.png")


def _content(curve: LearningCurve) -> dict[str, Any]:
    """The curve as plain values; of each fit its figures, not its counts."""
    content = asdict(replace(curve, points=tuple(replace(point, fits=()) for point in curve.points)))
    for point, plain in zip(curve.points, content["points"], strict=True):
        plain["fits"] = [_row(curve, fit) for fit in point.fits]
    return content


def _table(curve: LearningCurve) -> str:
    """All fits as CSV, a row each."""
    text = io.StringIO()
    rows = [{"labelled": point.labelled} | _row(curve, fit) for point in curve.points for fit in point.fits]
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(curve: LearningCurve, fit: CurveFit) -> dict[str, Any]:
    per_label = fit.per_label_f1 or (None,) * len(curve.labels)
    return {
        "repeat": fit.repeat,
        "train": fit.train,
        "validation": fit.validation,
        "macro_f1": fit.macro_f1,
        **{f"f1:{label}": f1 for label, f1 in zip(curve.labels, per_label, strict=True)},
        "uncalibrated": fit.uncalibrated,
        "seconds": fit.seconds,
        "problem": fit.problem,
    }


def _track(tracker: Tracker, curve: LearningCurve, folder: Path) -> None:
    """Figures by step, which is the number of labelled sentences; the gain; the files."""
    for point in curve.points:
        figures = {"macro_f1": point.macro_f1.value}
        figures |= {"macro_f1.low": point.macro_f1.low, "macro_f1.high": point.macro_f1.high}
        figures |= {f"f1.{label}": f1.value for label, f1 in point.per_label_f1.items()}
        tracker.log_metrics(figures, step=point.labelled)
    if curve.outlook:
        gain = curve.outlook.gain
        tracker.log_metrics({"gain": gain.value, "gain.low": gain.low, "gain.high": gain.high})
    tracker.log_folder(folder / "plots", "plots")
    for name in FILES:
        tracker.log_file(folder / name)


def _draw(curve: LearningCurve, path: Path) -> None:
    """Write the curve as a PNG: means with intervals, every repeat, and the law through them drawn out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6.5, 4.5), dpi=110, layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.subplots()
    _draw_points(axes, curve)
    if curve.outlook:
        _draw_law(axes, curve.points[0].labelled, curve.outlook)
    _label_axes(axes, curve)
    drawing.savefig(path, metadata={"Software": None})


def _draw_points(axes: Any, curve: LearningCurve) -> None:
    fits = [fit for point in curve.points for fit in point.fits if fit.macro_f1 is not None]
    axes.plot(
        [fit.train + fit.validation for fit in fits],
        [fit.macro_f1 for fit in fits],
        "o",
        color=GREY,
        markersize=4,
        label="each repeat",
    )
    for point in curve.points:
        bounds = point.macro_f1
        if bounds.value is None:
            continue
        axes.plot(point.labelled, bounds.value, "o", color=BLUE, markersize=7)
        if bounds.low is not None:
            axes.plot([point.labelled] * 2, [bounds.low, bounds.high], color=BLUE, linewidth=2)


def _draw_law(axes: Any, first: int, law: Outlook) -> None:
    """The power law from the smallest size on, and beyond the data."""
    last = law.labelled
    end = max(last + law.more, _BEYOND * last)
    for start, stop, line, label in ((first, last, "-", "power law"), (last, end, "--", "beyond the data")):
        n = np.geomspace(start, stop, 50)
        axes.plot(n, law.ceiling - law.scale * n**-law.rate, line, color=INK, linewidth=1.2, label=label)


def _label_axes(axes: Any, curve: LearningCurve) -> None:
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    sizes = [point.labelled for point in curve.points]
    axes.set_xscale("log")
    axes.set_xticks(sizes)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 1)
    axes.set_xlabel("labelled sentences (train and validation)")
    interval = f"line: {curve.confidence:.0%} interval" if not curve.intervals_reason else "no intervals"
    axes.set_ylabel(f"macro-F1 on test, {interval}")
    axes.set_title(f"{curve.experiment}: mean of {len(curve.points[0].fits)} repeats", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
