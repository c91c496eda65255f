"""How a learning curve looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from labels.cli.terminal import console
from trainer.display.figures import bounds, number

if TYPE_CHECKING:
    from trainer.evaluation.learning_curve import Outlook
    from trainer.runs.learning_curve import CurveResult, LearningCurve


def print_learning_curve(result: CurveResult) -> None:
    """A row for each size, what more sentences would bring, and where the files are."""
    curve = result.curve
    console.print(_size_table(curve))
    for line in _remarks(curve):
        console.print(line)
    if curve.outlook:
        console.print(_promise(curve.outlook, curve.confidence))
    else:
        console.print(f"What more labelled sentences would bring cannot be said: {curve.reason}.")
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
        table.add_row(*sizes, number(macro_f1.value), bounds({"low": macro_f1.low, "high": macro_f1.high}), str(fitted))
    return table


def _remarks(curve: LearningCurve) -> list[str]:
    """What a reader of the table must know."""
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
            f"Up to {max(uncalibrated):,} sentences not every label was calibrated: the fewer validation sentences, "
            "the cruder the thresholds."
        )
    if curve.intervals_reason:
        lines.append(f"No intervals: {curve.intervals_reason}.")
    return lines + [f"Note: {note}." for note in curve.notes]


def _promise(outlook: Outlook, confidence: float) -> str:
    gain = outlook.gain
    interval = "" if gain.low is None else f" ({confidence:.0%} interval +{gain.low:.3f} to +{gain.high:.3f})"
    return (
        f"{outlook.more} more labelled sentences than these {outlook.labelled:,} would likely bring +{gain.value:.3f} "
        f"macro-F1{interval}, if the curve goes on as it has so far."
    )
