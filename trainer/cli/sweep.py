"""`communique sweep`: search settings on validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from labels.cli.terminal import console, progress_bars, reporting_errors
from labels.settings import command
from trainer.cli.options import ExperimentArgument, OutOption, OverwriteOption, SetOption
from trainer.cli.report import print_report

if TYPE_CHECKING:
    from trainer.runs.sweep import SweepResult
    from trainer.runs.sweep_trials import Trial


def sweep(
    experiment: ExperimentArgument,
    out: OutOption = None,
    set_: SetOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Search the settings of an experiment's [sweep] section on validation, then train and test the best."""
    from trainer.config.load import load_experiment
    from trainer.runs.sweep import run_sweep

    with reporting_errors():
        loaded = load_experiment(experiment, set_ or [])
        folder = out or Path("runs") / loaded.name
        try:
            with progress_bars():
                result = run_sweep(loaded, folder, overwrite=overwrite)
        except KeyboardInterrupt:
            print_interrupted(folder)
            raise typer.Exit(130) from None
        print_sweep(result)


_SHOWN = 10


def print_sweep(result: SweepResult) -> None:
    """The best ten trials, what mattered, then the report of the best one on test."""
    ranked = sorted(result.trials, key=lambda trial: -trial.score)
    failed = [trial for trial in ranked if trial.outcome.score is None]
    console.print(_trial_table(ranked[: min(_SHOWN, len(ranked) - len(failed))]))
    again = f", {result.resumed} of them from an earlier call" if result.resumed else ""
    console.print(f"{len(ranked)} trials{again}; {len(failed)} failed.")
    for problem, times in Counter(trial.outcome.problem for trial in failed).most_common(_SHOWN):
        console.print(f"Failed {times} times: {problem}")
    if result.importances:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in result.importances.items())
        console.print(f"Settings that explain the differences (approximate): {shares}.")
    console.print(
        f"The best of {len(ranked)} trials looks better on validation ({result.best.score:.3f}) than it is, because "
        "it was chosen by that figure. The figures on test, which no other trial has seen, are:"
    )
    print_report(result.report)
    if result.tested > 1:
        console.print(
            f"Note: {result.tested} settings of this sweep have now been tried on test. Do not "
            "choose between them by that."
        )
    _print_saved(result)


def print_interrupted(out: Path) -> None:
    """How to continue an interrupted sweep."""
    console.print(f"Interrupted. Finished trials are kept in {out}; the same command continues from there.")


def _trial_table(trials: Sequence[Trial]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("trial", justify="right")
    for key in trials[0].values:
        table.add_column(key.split(".", 1)[1], justify="right")
    for heading in ("validation\nmacro-F1", "seconds"):
        table.add_column(heading, justify="right", vertical="bottom")
    for trial in trials:
        values = (_short(value) for value in trial.values.values())
        table.add_row(str(trial.number), *values, f"{trial.score:.3f}", f"{trial.outcome.seconds:.1f}")
    return table


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _print_saved(result: SweepResult) -> None:
    console.print(f"Saved in {result.folder}: best/ (artefact and report), best.toml, trials.csv, study.journal")
    if result.run_id:
        console.print(f"MLflow run {result.run_id}, with a run under it for each trial")
    console.print(f"Next: {command('train', result.folder / 'best.toml')}", soft_wrap=True)
    predict = command("predict", result.folder / "best", "ARTICLES", "--out", "tagged.csv")
    console.print(f"      {predict}", soft_wrap=True)
