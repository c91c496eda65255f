"""`communique track`: log finished runs to MLflow later, and report runs that are not tracked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import console, print_error, say
from labels.environment.settings import command
from labels.errors import CommuniqueError, InputError, counted

if TYPE_CHECKING:
    from trainer.runs.tracking.record import Tracked


def track(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders written by train, sweep or evaluate --out.", metavar="RUN"),
    ] = None,
    experiment: Annotated[
        str, typer.Option("--experiment", help="MLflow experiment \\[default: the run's own].", show_default=False)
    ] = "",
    register_as: Annotated[
        str,
        typer.Option("--register-as", help="Register the model under this name \\[default: the run's own, if any]."),
    ] = "",
    moved: Annotated[
        bool, typer.Option("--moved", help="Correct MLflow's paths after the folder of mlflow.db was moved or copied.")
    ] = False,
) -> None:
    """Log finished runs to MLflow, for example after MLflow failed; runs that are already logged are recognised."""
    if moved:
        _correct_paths()
    elif not runs:
        raise InputError("name at least one folder of a run, e.g. `communique track runs/finetune`.")
    codes = [_track(folder, experiment, register_as) for run in runs or () for folder in _folders(run)]
    if any(codes):
        raise typer.Exit(max(codes))


def _correct_paths() -> None:
    from trainer.runs.tracking.locations import correct_locations

    database, changed = correct_locations()
    console.print(f"{database}: {counted(changed, 'path')} corrected.")


def _folders(run: Path) -> Sequence[Path]:
    """The folder of a run; for a sweep also the folder of its best trial."""
    best = run / "best"
    return (run, best) if (run / "trials.csv").is_file() and best.is_dir() else (run,)


def _track(folder: Path, experiment: str, register_as: str) -> int:
    """Log one run and print the result; returns the exit code."""
    from trainer.runs.tracking.track import track_later

    try:
        tracked, known = track_later(folder, experiment=experiment, register_as=register_as)
    except CommuniqueError as error:  # the other runs are still logged
        print_error(str(error) if str(folder) in str(error) else f"{folder}: {error}")
        return error.exit_code
    what = "is already logged as" if known else "logged as"
    console.print(f"{folder}: {what} MLflow run {tracked.run_id}{_of_model(tracked)}.")
    if tracked.problem:
        print_error(f"{folder}: {tracked.problem}")
    return 1 if tracked.problem else 0


def _of_model(tracked: Tracked) -> str:
    version = f", registered as version {tracked.registered_version}" if tracked.registered_version else ""
    return f", model {tracked.model_uri}{version}" if tracked.model_uri else ""


def report_untracked(*runs: tuple[Path | None, Tracked]) -> None:
    """Print why finished runs are not in MLflow and how to log them later, and exit with code 1.

    Each run is given with its folder, or None if it has no folder. Nothing happens if there are no problems.
    """
    failed = [(folder, tracked) for folder, tracked in runs if tracked.problem]
    if not failed:
        return
    what = "is not registered" if all(tracked.run_id for _, tracked in failed) else "is not tracked in MLflow"
    problems = dict.fromkeys(tracked.problem for _, tracked in failed)
    print_error(f"the run {what}: {' '.join(problems)}")
    if folders := [folder for folder, _ in failed if folder]:
        say(f"The folder of the run is complete. Log the run later with `{command('track', *folders)}`.", err=True)
    else:
        say("The report was not saved. To keep the report, repeat the command with --out.", err=True)
    raise typer.Exit(1)
