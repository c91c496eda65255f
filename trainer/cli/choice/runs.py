"""`communique runs`: the tracked runs, filtered and sorted, on the terminal or as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import console, table
from labels.errors import counted
from trainer.cli.choice.leaderboard import short_id, start_time

if TYPE_CHECKING:
    from trainer.runs.tracking.leaderboard import RunRow

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
    """Print one line for each run."""
    known = ((row.name, short_id(row.run_id), start_time(row.started), row.status.lower()) for row in rows)
    cells = [(*own, *(row.shown(name) for name in columns)) for own, row in zip(known, rows, strict=True)]
    console.print(table(("name", "run", "started", "status", *columns), cells, align="tlll" + "r" * len(columns)))


def _write(path: Path, rows: list[RunRow]) -> None:
    """Write a table with a column for each param, metric and tag of any run."""
    from labels.output.table_files import write_csv_table

    write_csv_table(path, [_cells(row) for row in rows])


def _cells(row: RunRow) -> dict[str, object]:
    known = {"run_id": row.run_id, "name": row.name, "experiment": row.experiment, "status": row.status}
    values = {f"{kind}.{key}": own for kind in ("params", "metrics", "tags") for key, own in getattr(row, kind).items()}
    return {**known, "started": start_time(row.started), **dict(sorted(values.items()))}
