"""How a learning curve looks on a terminal. No work is done here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from labels.terminal import console

if TYPE_CHECKING:
    from trainer.evaluation.curve import Figure, Outlook
    from trainer.learning_curve import CurveResult, LearningCurve


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
        value = "–" if point.macro_f1.value is None else f"{point.macro_f1.value:.3f}"
        table.add_row(*sizes, value, _bounds(point.macro_f1), str(fitted))
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


def _bounds(figure: Figure) -> str:
    return "–" if figure.low is None else f"{figure.low:.3f}–{figure.high:.3f}"
