"""`communique train`: one model, or with `--learning-curve` how good it is with how many labelled sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from labels.cli.terminal import console, progress_bars, reporting_errors
from labels.settings import command
from trainer.cli.options import ExperimentArgument, OutOption, OverwriteOption, SetOption
from trainer.cli.report import bounds, number, print_report

if TYPE_CHECKING:
    from trainer.evaluation.curve_figures import Outlook
    from trainer.runs.learning_curve import CurveResult, LearningCurve
    from trainer.runs.run import RunResult


def train(
    experiment: ExperimentArgument,
    out: OutOption = None,
    set_: SetOption = None,
    learning_curve: Annotated[
        bool,
        typer.Option(
            "--learning-curve",
            help="Fit growing subsets instead of one model, and plot macro-F1 against the number of labelled sentences "
            "\\[default folder: runs/NAME-learning-curve].",
        ),
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Train the model of an experiment: fit, calibrate, evaluate, save, track in MLflow."""
    if learning_curve:
        _draw_learning_curve(experiment, out, set_ or [], overwrite=overwrite)
        return
    from trainer.config.load import load_experiment
    from trainer.environment import is_follower
    from trainer.runs.fit import help_train
    from trainer.runs.run import run_experiment

    with reporting_errors():
        loaded = load_experiment(experiment, set_ or [])
        folder = out or Path("runs") / loaded.name
        if is_follower():
            help_train(loaded, folder)
            return
        with progress_bars():
            result = run_experiment(loaded, folder, overwrite=overwrite)
        print_report(result.report)
        print_saved(result)


def _draw_learning_curve(experiment: str, out: Path | None, overrides: list[str], *, overwrite: bool) -> None:
    from trainer.config.load import load_experiment
    from trainer.runs.learning_curve import run_learning_curve

    with reporting_errors():
        loaded = load_experiment(experiment, overrides)
        folder = out or Path("runs") / f"{loaded.name}-learning-curve"
        with progress_bars():
            result = run_learning_curve(loaded, folder, overwrite=overwrite)
        print_learning_curve(result)


def print_learning_curve(result: CurveResult) -> None:
    """A row for each size, the expected gain from more sentences, and where the files are."""
    curve = result.curve
    console.print(_size_table(curve))
    for line in _remarks(curve):
        console.print(line)
    if curve.outlook:
        console.print(_promise(curve.outlook, curve.confidence))
    else:
        console.print(f"The gain from more labelled sentences cannot be estimated: {curve.reason}.")
    console.print(f"Saved in {result.folder}: learning_curve.json, learning_curve.csv, plots/learning_curve.png")
    if result.run_id:
        console.print(f"MLflow run {result.run_id}")


def _size_table(curve: LearningCurve) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("labelled", "train", "validation", "macro-F1", f"{curve.confidence:.0%} interval", "repeats"):
        table.add_column(heading, justify="right")
    for point in curve.points:
        sizes = (f"{size:,}" for size in (point.labelled, point.train, point.validation))
        fitted = sum(1 for fit in point.fits if not fit.problem)
        macro_f1 = point.macro_f1
        table.add_row(*sizes, number(macro_f1.value), bounds(macro_f1), str(fitted))
    return table


def _remarks(curve: LearningCurve) -> list[str]:
    """Notes that the table needs."""
    repeats = len(curve.points[0].fits)
    lines = [
        f"Each row: mean of up to {repeats} repeats with other documents, tested on the same {curve.n_test:,} "
        "sentences. Validation shrinks with train."
    ]
    for point in curve.points:
        problems = sorted({fit.problem for fit in point.fits if fit.problem})
        lines += [f"Not fitted with {point.labelled:,} sentences: {problem}." for problem in problems]
    uncalibrated = [point.labelled for point in curve.points if any(fit.uncalibrated for fit in point.fits)]
    if uncalibrated:
        lines.append(
            f"With up to {max(uncalibrated):,} sentences some labels were not calibrated: the fewer validation "
            "sentences, the coarser the thresholds."
        )
    if curve.intervals_reason:
        lines.append(f"No intervals: {curve.intervals_reason}.")
    return lines + [f"Note: {note}." for note in curve.notes]


def _promise(outlook: Outlook, confidence: float) -> str:
    gain = outlook.gain
    interval = "" if gain.low is None else f" ({confidence:.0%} interval +{gain.low:.3f} to +{gain.high:.3f})"
    return (
        f"{outlook.more} more labelled sentences than these {outlook.labelled:,} would probably add +{gain.value:.3f} "
        f"macro-F1{interval}, if the curve continues as it has so far."
    )


def print_saved(result: RunResult) -> None:
    """Where the run's outputs are, and commands to try next."""
    report = result.report
    size = None if report.artefact_bytes is None else report.artefact_bytes / 1e6
    console.print(
        f"Trained in {number(report.train_seconds, 1)} s, predicts {number(report.sentences_per_second, 0)} "
        f"sentences/s, {number(size, 1)} MB."
    )
    console.print(f"Saved in {result.folder}: artefact/, report.json, predictions.parquet, split.json, plots/")
    if result.run_id:
        console.print(f"MLflow run {result.run_id}, model {result.model_uri}")
    predict = command("predict", result.folder, "ARTICLES", "--out", "tagged.csv")
    console.print(f"Next: {predict}", soft_wrap=True)
    console.print(f"      {command('serve', result.folder)}", soft_wrap=True)
