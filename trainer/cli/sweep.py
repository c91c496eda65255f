"""`communique sweep`: search for the settings with the best validation score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from labels.cli.terminal import OverwriteOption, console, number, print_next, progress_bars, table
from labels.environment.settings import command
from labels.errors import counted
from trainer.cli.choice.track import report_untracked
from trainer.cli.evaluate import print_report
from trainer.cli.train import ExperimentArgument, OutOption, SetOption, predict_command

if TYPE_CHECKING:
    from rich.table import Table

    from trainer.runs.choice.sweep import SweepResult
    from trainer.runs.choice.sweep_trials import Trial

_SHOWN_TRIALS = 10


def sweep(
    experiment: ExperimentArgument,
    out: OutOption = None,
    set_: SetOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Search the settings in an experiment's \\[sweep] section on validation, then train and test the best settings."""
    from trainer.config.experiment import load_experiment
    from trainer.runs.choice.sweep import run_sweep

    loaded = load_experiment(experiment, set_ or [])
    folder = out or Path("runs") / loaded.name
    try:
        with progress_bars():
            result = run_sweep(loaded, folder, overwrite=overwrite)
    except KeyboardInterrupt:
        console.print(f"Interrupted. Finished trials are kept in {folder}; the same command continues from there.")
        raise typer.Exit(130) from None  # 128 + SIGINT, as shells report it
    print_sweep(result)
    report_untracked((result.folder, result.tracked), (result.folder / "best", result.best_tracked))


def print_sweep(result: SweepResult) -> None:
    """Print the best ten trials, the most important settings, and the report of the best trial on test."""
    ranked = sorted(result.trials, key=lambda trial: -trial.score)
    failed = [trial for trial in ranked if trial.outcome.score is None]
    console.print(_trial_table(ranked[: min(_SHOWN_TRIALS, len(ranked) - len(failed))]))
    again = f" ({result.resumed} from an earlier call)" if result.resumed else ""
    console.print(f"{counted(len(ranked), 'trial')}{again}; {len(failed)} failed.")
    for problem, times in Counter(trial.outcome.problem for trial in failed).most_common(_SHOWN_TRIALS):
        console.print(f"Failed {counted(times, 'time')}: {problem}")
    if result.importances:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in result.importances.items())
        console.print(f"Share of the differences explained by each setting (approximate): {shares}.")
    console.print(
        f"The validation score of the best of {counted(len(ranked), 'trial')} ({result.best.score:.3f}) is "
        "too optimistic, "
        "because the trial was chosen by this score. The test scores, which played no part in the choice, are:"
    )
    print_report(result.report)
    if result.tested > 1:
        console.print(
            f"Note: {counted(result.tested, 'setting')} from this sweep "
            f"{'has' if result.tested == 1 else 'have'} now been evaluated on test. Do not use the test "
            "scores to choose between them."
        )
    console.print(f"Saved in {result.folder}: best/ (artefact and report), best.toml, trials.csv, study.journal")
    if result.run_id:
        console.print(f"MLflow run {result.run_id}, with a child run for each trial")
    print_next(command("train", result.folder / "best.toml"), predict_command(result.folder / "best"))


def _trial_table(trials: Sequence[Trial]) -> Table:
    settings = [key.split(".", 1)[1] for key in trials[0].values]
    headings = ("trial", *settings, "validation\nmacro-F1", "seconds")
    return table(headings, map(_trial_cells, trials), align="r" * len(headings))


def _trial_cells(trial: Trial) -> tuple[str, ...]:
    return (
        str(trial.number),
        *map(_short, trial.values.values()),
        number(trial.score),
        number(trial.outcome.seconds, 1),
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
