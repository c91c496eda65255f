"""`communique train`: train one model, or measure its learning curve."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.label_values import label_value_table
from labels.cli.terminal import (
    BlankOption,
    LabelColumnOption,
    OverwriteOption,
    TextColumnOption,
    bounds,
    console,
    number,
    print_next,
    progress_bars,
    table,
)
from labels.environment.settings import command
from trainer.cli.choice.track import report_untracked
from trainer.cli.evaluate import print_report

if TYPE_CHECKING:
    from rich.table import Table

    from trainer.config.experiment import Experiment
    from trainer.evaluation.curve_figures import LearningCurve, Outlook
    from trainer.runs.learning_curve import CurveResult
    from trainer.runs.run import RunResult

_FEW_LABELS = 1000
"""Number of labels of one's own from which the starter corpus is no longer suggested."""
ExperimentArgument = Annotated[
    str, typer.Argument(help="TOML file, or the name of a shipped experiment: finetune, tfidf, ...")
]
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder for the outputs \\[default: runs/NAME].")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="key=value, e.g. data.train=mine.jsonl")]


def train(
    experiment: ExperimentArgument,
    out: OutOption = None,
    set_: SetOption = None,
    learning_curve: Annotated[
        bool,
        typer.Option(
            "--learning-curve",
            help="Fit models to growing subsets of the training data, and plot macro-F1 against the number of labelled "
            "sentences \\[default folder: runs/NAME-learning-curve].",
        ),
    ] = False,
    init: Annotated[
        str,
        typer.Option(
            "--init",
            metavar="ARTEFACT",
            help="Folder or MLflow URI of a fine-tuned model to start `finetune` from; its codebook may differ.",
        ),
    ] = "",
    text_column: TextColumnOption = "",
    label_column: LabelColumnOption = "",
    blank: BlankOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Train the model of an experiment: fit, calibrate, evaluate, save and track in MLflow."""
    from trainer.config.experiment import load_experiment
    from trainer.environment import is_follower
    from trainer.runs.choice.cross_validation import cross_validate
    from trainer.runs.run import help_train, run_experiment

    given = [f"model.init={json.dumps(init, ensure_ascii=False)}"] if init else []
    columns = {"text_column": text_column, "label_column": label_column, "blank": blank}
    given += [f"data.{key}={json.dumps(value, ensure_ascii=False)}" for key, value in columns.items() if value]
    loaded = load_experiment(experiment, [*(set_ or []), *given])
    if learning_curve:
        _draw_learning_curve(loaded, out, overwrite=overwrite)
        return
    folder = out or Path("runs") / loaded.name
    # Under torchrun, one process leads and prints; the others only help with the training.
    if is_follower():
        help_train(loaded, folder)
        return
    with progress_bars(), _saying_what_is_kept(folder):
        run = cross_validate if loaded.split.cross_validates else run_experiment
        result = run(loaded, folder, overwrite=overwrite)
    print_report(result.report)
    print_saved(result)
    _suggest_starter(loaded, result)
    report_untracked((result.folder, result.tracked))


@contextmanager
def _saying_what_is_kept(folder: Path) -> Iterator[None]:
    """Add to an interrupt what is left of the run whose output folder is `folder`."""
    from trainer.runs.run import checkpoint_folder

    try:
        yield
    except KeyboardInterrupt as interrupt:
        kept = f"Nothing was written to {folder}. {interrupt}".strip()
        if checkpoint_folder(folder).exists():
            kept += " The same command continues from the last checkpoint."
        raise KeyboardInterrupt(kept) from None


def print_saved(result: RunResult) -> None:
    """Print the speed, the locations of the run's outputs, and commands to try next."""
    report = result.report
    size = None if report.artefact_bytes is None else report.artefact_bytes / 1e6
    console.print(
        f"Trained in {number(report.train_seconds, 1)} s, predicts {number(report.sentences_per_second, 0)} "
        f"sentences/s, {number(size, 1)} MB."
    )
    files = "artefact/, report.html, report.json, predictions.parquet, split.json, plots/"
    console.print(f"Saved in {result.folder}: {files}")
    if result.run_id:
        console.print(f"MLflow run {result.run_id}, model {result.model_uri}")
    print_next(predict_command(result.folder), command("serve", result.folder))


def _suggest_starter(experiment: Experiment, result: RunResult) -> None:
    """Suggest the starter corpus if the model was trained on few labels of one's own that have the same codebook."""
    from labels.codebook.schema import load_codebook
    from trainer.environment import STARTER_CODEBOOK

    data, report = experiment.data, result.report
    own = int(sum(size or 0 for size in (report.n_train, report.n_validation, report.n_test)))
    labels = load_codebook(STARTER_CODEBOOK).label_names
    if (
        data.source == "store"
        and not data.train
        and not data.extra
        and own < _FEW_LABELS
        and result.model.labels == labels
    ):
        console.print(f"Only {own:,} labels of your own: the starter corpus may help. Add --set data.extra=seeds.")


def predict_command(artefact: Path) -> str:
    """The command that labels articles with a saved model."""
    return command("predict", artefact, "ARTICLES", "--out", "tagged.csv")


# -- learning curve


def _draw_learning_curve(loaded: Experiment, out: Path | None, *, overwrite: bool) -> None:
    from trainer.runs.learning_curve import run_learning_curve

    folder = out or Path("runs") / f"{loaded.name}-learning-curve"
    with progress_bars():
        result = run_learning_curve(loaded, folder, overwrite=overwrite)
    print_learning_curve(result)
    report_untracked((result.folder, result.tracked))


def print_learning_curve(result: CurveResult) -> None:
    """Print one row per size, the expected gain from more sentences, and the locations of the files."""
    curve = result.curve
    console.print(_size_table(curve))
    if curve.label_values:
        console.print(label_value_table(curve.label_values, "learning_curve.json"))
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
    headings = ("labelled", "train", "validation", "macro-F1", f"{curve.confidence:.0%} interval", "repeats")
    return table(headings, _size_rows(curve), align="rrrrrr")


def _size_rows(curve: LearningCurve) -> Iterator[tuple[str, ...]]:
    for point in curve.points:
        sizes = (f"{size:,}" for size in (point.labelled, point.train, point.validation))
        fitted = sum(not fit.problem for fit in point.fits)
        yield *sizes, number(point.macro_f1.value), bounds(point.macro_f1), str(fitted)


def _remarks(curve: LearningCurve) -> list[str]:
    """Remarks on the table."""
    repeats = len(curve.points[0].fits)
    lines = [
        f"Each row is the mean of up to {repeats} repeats with different documents, tested on the same "
        f"{curve.n_test:,} sentences. The validation set shrinks with the training set."
    ]
    for point in curve.points:
        problems = sorted({fit.problem for fit in point.fits if fit.problem})
        lines += [f"Not fitted with {point.labelled:,} sentences: {problem}." for problem in problems]
    uncalibrated = [point.labelled for point in curve.points if any(fit.uncalibrated for fit in point.fits)]
    if uncalibrated:
        lines.append(
            f"With up to {max(uncalibrated):,} sentences, some labels were not calibrated. With fewer validation "
            "sentences, the thresholds are coarser."
        )
    if curve.intervals_reason:
        lines.append(f"No intervals: {curve.intervals_reason}.")
    return lines + [f"Note: {note}." for note in curve.notes]


def _promise(outlook: Outlook, confidence: float) -> str:
    gain = outlook.gain
    interval = "" if gain.low is None else f" ({confidence:.0%} interval +{gain.low:.3f} to +{gain.high:.3f})"
    return (
        f"{outlook.more} more labelled sentences in addition to these {outlook.labelled:,} would probably raise "
        f"macro-F1 by {gain.value:.3f}{interval}, if the trend of the curve continues."
    )
