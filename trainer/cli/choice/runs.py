"""`communique runs`: the tracked runs, filtered and sorted, on the terminal or as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import console, table
from labels.errors import counted
from trainer.cli.choice.leaderboard import short_id, start_time

if TYPE_CHECKING:
    from rich.table import Table

    from trainer.runs.tracking.leaderboard import RunRow

_LONGEST = 28
_COLUMNS = "validation_macro_f1,macro_f1,macro_f1.low,macro_f1.high"


def runs(
    experiment: Annotated[
        str, typer.Option("--experiment", help="MLflow experiment \\[default: all].", show_default=False)
    ] = "",
    where: Annotated[
        str,
        typer.Option(
            "--filter",
            help="MLflow's filter, e.g. \"metrics.macro_f1 > 0.8 and params.`model.kind` = 'tfidf'\".",
            metavar="FILTER",
        ),
    ] = "",
    sort: Annotated[
        str, typer.Option("--sort", help="Metric, param or tag to sort by, or started; -NAME: largest first.")
    ] = "-started",
    columns: Annotated[
        str, typer.Option("--columns", help="Metrics, params and tags to show.", metavar="NAMES")
    ] = _COLUMNS,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Number of runs to print.")] = 50,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write all runs with all their values.", metavar="FILE")
    ] = None,
) -> None:
    """List tracked runs of all kinds: trainings, evaluations, sweeps, folds, loops."""
    from labels.output.drafts import check_file
    from trainer.runs.tracking.leaderboard import find_runs, sorted_runs

    if csv:
        check_file(csv)
    found = sorted_runs(find_runs(experiment, where), sort)
    if not found:
        console.print("No run matches. Leave out --filter or --experiment to list all runs.")
    else:
        print_runs(found[:limit], [name.strip() for name in columns.split(",") if name.strip()])
    if len(found) > limit:
        console.print(f"{counted(len(found) - limit, 'more run')}: raise --limit, or write all with --csv.")
    if csv:
        _write(csv, found)
        console.print(f"{csv}: {counted(len(found), 'run')}.")


def print_runs(rows: list[RunRow], columns: list[str]) -> None:
    """Print one line for each run, in several tables where the console is too narrow for all columns."""
    lead = [(_short(row.name), short_id(row.run_id), start_time(row.started), row.status.lower()) for row in rows]
    headings, cells = ["name", "run", "started", "status"], [list(own) for own in lead]
    for column in columns:
        values = [_short(row.shown(column)) for row in rows]
        wider = _table([*headings, column], [[*own, value] for own, value in zip(cells, values, strict=True)])
        if not console.fits(wider):
            console.print(_table(headings, cells))
            headings, cells = headings[:2], [list(own[:2]) for own in lead]
        headings.append(column)
        cells = [[*own, value] for own, value in zip(cells, values, strict=True)]
    console.print(_table(headings, cells))
    if "validation_macro_f1" in columns and any(row.cross_validated for row in rows):
        console.print("A cross-validation has one macro-F1, of its out-of-fold predictions: both columns show it.")


def _table(headings: list[str], cells: list[list[str]]) -> Table:
    known = sum(heading in ("name", "run", "started", "status") for heading in headings)
    return table(headings, cells, align="l" * known + "r" * (len(headings) - known))


def _short(text: str) -> str:
    """The beginning of a long value: the CSV file has all of it."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _write(path: Path, rows: list[RunRow]) -> None:
    """Write a table with a column for each param, metric and tag of any run."""
    from labels.output.table_files import write_csv_table

    write_csv_table(path, [_cells(row) for row in rows])


def _cells(row: RunRow) -> dict[str, object]:
    known = {"run_id": row.run_id, "name": row.name, "experiment": row.experiment, "status": row.status}
    values = {f"{kind}.{key}": own for kind in ("params", "metrics", "tags") for key, own in getattr(row, kind).items()}
    return {**known, "started": start_time(row.started), **dict(sorted(values.items()))}
