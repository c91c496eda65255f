"""A learning curve as a run: its files, whole or not at all, and its place in MLflow."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from labels.files import write_whole
from labels.progress import Progress
from trainer.config.experiment import Experiment
from trainer.data import files_read, load_dataset
from trainer.distributed import world_size
from trainer.errors import ExperimentError
from trainer.evaluation.curve_plot import draw_learning_curve
from trainer.experiment_tracking import track_experiment
from trainer.learning_curve.curve import LearningCurve, learning_curve
from trainer.learning_curve.fits import CurveFit
from trainer.locks import sole_writer
from trainer.outputs import output_folder, refuse_occupied
from trainer.quiet import quiet_libraries
from trainer.tracking import Tracker

FILES = ("learning_curve.json", "learning_curve.csv")


@dataclass(frozen=True)
class CurveResult:
    """A curve, the folder that holds it, and the MLflow run that keeps it (empty when not tracked)."""

    folder: Path
    curve: LearningCurve
    run_id: str = ""


def run_learning_curve(
    experiment: Experiment, out: Path, *, progress: Progress | None = None, overwrite: bool = False
) -> CurveResult:
    """Draw an experiment's learning curve and leave `learning_curve.json`, `learning_curve.csv` and `plots/` in `out`.

    The folder appears whole or not at all. Where tracking is on, the curve is one run of the MLflow experiment
    `NAME-learning-curves`, beside the one whose runs the leaderboard compares.

    Raises:
        InputError: the data or the model section do not allow it, or `out` is occupied.
        TrackingError: MLflow refused.
    """
    quiet_libraries()
    if world_size() > 1:
        raise ExperimentError("a learning curve runs in one process: start it without torchrun or accelerate.")
    refuse_occupied(out, overwrite=overwrite, reads=files_read(experiment))
    dataset = load_dataset(experiment)
    with (
        sole_writer(out),
        track_experiment(experiment, dataset, beside="learning-curves") as tracker,
        output_folder(out, overwrite=overwrite) as draft,
    ):
        curve = learning_curve(experiment, dataset, progress=progress)
        _write(curve, draft)
        if tracker:
            _track(tracker, curve, draft)
    return CurveResult(out, curve, tracker.run_id if tracker else "")


def _write(curve: LearningCurve, folder: Path) -> None:
    content = _content(curve)
    write_whole(folder / FILES[0], [json.dumps(content, indent=1) + "\n"])
    write_whole(folder / FILES[1], [_table(curve)])
    (folder / "plots").mkdir()
    draw_learning_curve(content, folder / "plots" / "learning_curve.png")


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
