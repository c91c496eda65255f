"""`communique leaderboard`: compare the tracked runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import bounds, console, number, table
from trainer.evaluation.curve_figures import Figure

if TYPE_CHECKING:
    from rich.table import Table

    from trainer.runs.run import RunResult
    from trainer.runs.tracking.leaderboard import Board, RunRow

_LABEL_COLUMNS_WIDTH = 36


def leaderboard(
    experiment: Annotated[str, typer.Option("--experiment", help="Name of the MLflow experiment.")] = "communique",
) -> None:
    """List the tracked runs, best on validation first; only runs on the same split are ranked together."""
    from trainer.runs.tracking.leaderboard import count_deleted_runs, leaderboards

    boards = leaderboards(experiment)
    for board in boards:
        print_board(board)
    statuses = {row.status for board in boards for row in board.rows}
    if not boards:
        print_no_runs(experiment, count_deleted_runs(experiment))
    elif "FINISHED" not in statuses:
        console.print(
            "No run has finished, so there are no figures. Repeat the command of a failed run. If the folder of "
            "a run is complete, log the run with `communique track RUN`."
        )


def print_no_runs(experiment: str, deleted: int) -> None:
    """Print that an experiment has no runs, and how to add runs."""
    console.print(
        f"The MLflow experiment '{experiment}' has no runs yet. Train a model with `communique train`, log a finished "
        "run with `communique track RUN`, or choose another experiment with --experiment."
    )
    if deleted:
        were = "run was" if deleted == 1 else "runs were"
        console.print(f"{deleted} {were} deleted; `mlflow runs restore --run-id ID` restores a run.")


def print_results(results: Sequence[RunResult]) -> None:
    """Print a leaderboard of new runs, sorted by validation score, best first."""
    from trainer.evaluation.report import headline_metrics

    reports = sorted((result.report for result in results), key=lambda report: -_or_last(report.validation_macro_f1))
    labels, intervals = reports[0].labels, reports[0].intervals
    rows = (_cells(report.kind, headline_metrics(report), labels) for report in reports)
    console.print(_board_table(labels, intervals.confidence if intervals else None, rows))


def print_board(board: Board) -> None:
    """Print the runs on one split."""
    title = f"{board.data}, split {board.split_hash or 'unknown'}"
    title += f", evaluated on {board.evaluation_hash}" if board.evaluation_hash else ""
    title += ", synthetic" if board.synthetic else ""
    rows = (_cells(_run_name(row), row.metrics, board.labels) for row in board.rows)
    console.print(_board_table(board.labels, board.confidence, rows, title))
    if any(row.champion for row in board.rows):
        console.print("* champion")


def _run_name(row: RunRow) -> str:
    status = "" if row.status == "FINISHED" else f" ({row.status.lower()})"
    return f"{row.name}{' *' if row.champion else ''}{status}"


def _board_table(
    labels: Sequence[str], confidence: float | None, rows: Iterable[Sequence[str]], title: str = ""
) -> Table:
    interval = "interval" if confidence is None else f"{confidence:.0%} interval"
    figures = ("val. F1", "test F1", interval, *_shown(labels), "train s", "sent./s", "MB")
    cells = list(rows)
    wide = table(("model", *figures), cells, title=title or None)
    if console.fits(wide):
        return wide
    narrow = (heading.replace(" ", "\n").replace("_", "\n").replace("./s", ".\n/s") for heading in figures)
    return table(("model", *narrow), cells, title=title or None, padding=(0, 1, 0, 0))


def _shown(labels: Sequence[str]) -> Sequence[str]:
    """The labels to show in columns: all labels, or none if the table would be wider than about 80 characters."""
    width = sum(1 + max(map(len, label.split("_"))) for label in labels)
    return labels if width <= _LABEL_COLUMNS_WIDTH else ()


def _cells(name: str, metrics: Mapping[str, float | None], labels: Sequence[str]) -> list[str]:
    """The table row for a run, made from its MLflow metrics."""
    size = metrics.get("artefact_bytes")
    macro_f1 = Figure(metrics.get("macro_f1"), metrics.get("macro_f1.low"), metrics.get("macro_f1.high"))
    return [
        name,
        number(metrics.get("validation_macro_f1"), 2),
        number(macro_f1.value, 2),
        bounds(macro_f1, 2),
        *(number(metrics.get(f"f1.{label}"), 2) for label in _shown(labels)),
        number(metrics.get("train_seconds"), 1),
        number(metrics.get("sentences_per_second"), 0),
        number(None if size is None else size / 1e6, 1),
    ]


def _or_last(figure: float | None) -> float:
    """The value to rank by; an undefined figure ranks below 0."""
    return -1.0 if figure is None else figure
