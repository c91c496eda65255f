"""`communique leaderboard`: compare the tracked runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import bounds, console, number, table
from trainer.evaluation.curve_figures import Figure

if TYPE_CHECKING:
    from rich.table import Table

    from trainer.runs.run import RunResult
    from trainer.runs.tracking.leaderboard import Board, RunRow

_LABEL_COLUMNS_WIDTH = 70
_SCORES = ("val. F1", "test F1")


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
    from trainer.evaluation.report_tables import headline_metrics

    reports = sorted((result.report for result in results), key=lambda report: -_or_last(report.validation_macro_f1))
    labels, intervals = reports[0].labels, reports[0].intervals
    rows = [((report.kind,), headline_metrics(report)) for report in reports]
    _print_tables(("model",), rows, labels, intervals.confidence if intervals else None)


def print_board(board: Board) -> None:
    """Print the runs on one split."""
    title = f"{board.data}, split {board.split_hash or 'unknown'}"
    title += f", evaluated on {board.evaluation_hash}" if board.evaluation_hash else ""
    title += ", synthetic" if board.synthetic else ""
    rows = [((_run_name(row), short_id(row.run_id), start_time(row.started)), row.metrics) for row in board.rows]
    title += ", cross-validated" if board.cross_validated else ""
    scores = ("out-of-fold F1",) if board.cross_validated else _SCORES
    _print_tables(("name", "run", "started"), rows, board.labels, board.confidence, title, scores)
    if any(row.champion for row in board.rows):
        console.print("* champion")


def _run_name(row: RunRow) -> str:
    status = "" if row.status == "FINISHED" else f" ({row.status.lower()})"
    return f"{row.name}{' *' if row.champion else ''}{status}"


def short_id(run_id: str) -> str:
    """The start of a run's id, by which rows with the same name are told apart."""
    return run_id[:8]


def start_time(started: int | None) -> str:
    """A time in milliseconds since 1970 as local date and time; empty if unknown."""
    return "" if started is None else f"{datetime.fromtimestamp(started / 1000):%Y-%m-%d %H:%M}"


Row = tuple[tuple[str, ...], Mapping[str, float | None]]
"""The cells that identify a run, and its metrics."""


def _print_tables(
    lead: tuple[str, ...],
    rows: Sequence[Row],
    labels: Sequence[str],
    confidence: float | None,
    title: str = "",
    scores: tuple[str, ...] = _SCORES,
) -> None:
    """Print the figures of runs in one table, or in several where the console is too narrow for one.

    Headings stay on one line: further figures stand in a table below, whose rows begin with the first two of `lead`.
    """
    interval = "interval" if confidence is None else f"{confidence:.0%} interval"
    groups: list[tuple[tuple[str, ...], Callable[[Mapping[str, float | None]], list[str]]]] = [
        ((*scores, interval), lambda own: _score_cells(own)[len(_SCORES) - len(scores) :]),
        (tuple(_shown(labels)), lambda own: [number(own.get(f"f1.{label}"), 2) for label in _shown(labels)]),
        (("train s", "sent./s", "MB"), _cost_cells),
    ]
    headings, cells = list(lead), [list(names) for names, _ in rows]
    for more, figures in ((more, figures) for more, figures in groups if more):
        wider = [*headings, *more]
        if not console.fits(_table(wider, [[*own, *figures(row[1])] for own, row in zip(cells, rows, strict=True)])):
            console.print(_table(headings, cells, title or None))
            title, wider = "", [*lead[:2], *more]
            cells = [list(names[:2]) for names, _ in rows]
        headings = wider
        cells = [[*own, *figures(row[1])] for own, row in zip(cells, rows, strict=True)]
    console.print(_table(headings, cells, title or None))


def _table(headings: Sequence[str], cells: Sequence[Sequence[str]], title: str | None = None) -> Table:
    names = [heading for heading in headings if heading in ("name", "run", "started")] or headings[:1]
    align = "".join("t" if heading == "name" else "l" if heading in names else "r" for heading in headings)
    return table(headings, cells, align=align, title=title)


def _shown(labels: Sequence[str]) -> Sequence[str]:
    """The labels to show in columns: all labels, or none if a table of them would be wider than most terminals."""
    return labels if sum(2 + len(label) for label in labels) <= _LABEL_COLUMNS_WIDTH else ()


def _score_cells(metrics: Mapping[str, float | None]) -> list[str]:
    macro_f1 = Figure(metrics.get("macro_f1"), metrics.get("macro_f1.low"), metrics.get("macro_f1.high"))
    return [number(metrics.get("validation_macro_f1"), 2), number(macro_f1.value, 2), bounds(macro_f1, 2)]


def _cost_cells(metrics: Mapping[str, float | None]) -> list[str]:
    size = metrics.get("artefact_bytes")
    return [
        number(metrics.get("train_seconds"), 1),
        number(metrics.get("sentences_per_second"), 0),
        number(None if size is None else size / 1e6, 1),
    ]


def _or_last(figure: float | None) -> float:
    """The value to rank by; an undefined figure ranks below 0."""
    return -1.0 if figure is None else figure
