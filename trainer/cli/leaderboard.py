"""`communique leaderboard`: the tracked runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from labels.cli.terminal import console, reporting_errors
from trainer.cli.report import Bounded, bounds, number
from trainer.evaluation.curve_figures import Figure

if TYPE_CHECKING:
    from trainer.runs.leaderboard import Board
    from trainer.runs.run import RunResult


def leaderboard(
    experiment: Annotated[str, typer.Option("--experiment", help="Name of the MLflow experiment.")] = "communique",
) -> None:
    """List the tracked runs, best on validation first; only runs on the same split are ranked together."""
    from trainer.runs.leaderboard import leaderboards

    with reporting_errors():
        for board in leaderboards(experiment):
            print_board(board)


_LABEL_COLUMNS_WIDTH = 36


def print_results(results: Sequence[RunResult]) -> None:
    """A leaderboard of runs just made, best on validation first."""
    ordered = sorted(results, key=lambda result: -_or_last(result.report.validation_macro_f1))
    labels = ordered[0].report.labels
    intervals = ordered[0].report.intervals
    table = _board_table(labels, intervals.confidence if intervals else None)
    for result in ordered:
        report = result.report
        table.add_row(
            *_board_cells(
                name=report.kind,
                validation=report.validation_macro_f1,
                test=report.macro_f1,
                interval=report.intervals.macro_f1 if report.intervals else None,
                per_label={label: report.per_label[label].f1 for label in labels},
                seconds=report.train_seconds,
                speed=report.sentences_per_second,
                size=report.artefact_bytes,
            )
        )
    console.print(table)


def print_board(board: Board) -> None:
    """The runs of one split."""
    title = f"{board.data}, split {board.split_hash or 'unknown'}"
    title += f", evaluated on {board.evaluation_hash}" if board.evaluation_hash else ""
    table = _board_table(board.labels, board.confidence, title + (", synthetic" if board.synthetic else ""))
    for row in board.rows:
        metrics = row.metrics
        interval = Figure(row.metric("macro_f1"), metrics.get("macro_f1.low"), metrics.get("macro_f1.high"))
        name = (
            row.name + (" *" if row.champion else "") + ("" if row.status == "FINISHED" else f" ({row.status.lower()})")
        )
        table.add_row(
            *_board_cells(
                name=name,
                validation=row.metric("validation_macro_f1"),
                test=row.metric("macro_f1"),
                interval=interval,
                per_label={label: row.metric(f"f1.{label}") for label in board.labels},
                seconds=row.metric("train_seconds"),
                speed=row.metric("sentences_per_second"),
                size=row.metric("artefact_bytes"),
            )
        )
    console.print(table)
    if any(row.champion for row in board.rows):
        console.print("* champion")


def _board_table(labels: Sequence[str], confidence: float | None, title: str | None = None) -> Table:
    shown = Text(title) if title else None  # a path in brackets is no markup
    table = Table(title=shown, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model", vertical="bottom", overflow="fold")
    interval = "interval" if confidence is None else f"{confidence:.0%}\ninterval"
    for heading in ("val.\nF1", "test\nF1", interval, *_label_headings(labels), "train\ns", "sent.\n/s", "MB"):
        table.add_column(heading, justify="right", vertical="bottom", no_wrap=True)
    return table


def _label_headings(labels: Sequence[str]) -> list[str]:
    return [label.replace("_", "\n") for label in labels] if _have_columns(labels) else []


def _have_columns(labels: Sequence[str]) -> bool:
    """Whether a column for each label leaves room for the other figures on 80 columns."""
    width = sum(1 + max(map(len, label.split("_"))) for label in labels)
    return width <= _LABEL_COLUMNS_WIDTH


def _board_cells(
    *,
    name: str,
    validation: float | None,
    test: float | None,
    interval: Bounded | None,
    per_label: Mapping[str, float | None],
    seconds: float | None,
    speed: float | None,
    size: float | None,
) -> list[str | Text]:
    return [
        Text(name),
        number(validation, 2),
        number(test, 2),
        bounds(interval, 2),
        *(number(value, 2) for value in per_label.values() if _have_columns(list(per_label))),
        number(seconds, 1),
        number(speed, 0),
        number(None if size is None else size / 1e6, 1),
    ]


def _or_last(figure: float | None) -> float:
    """A figure to rank by; undefined ones come after 0."""
    return -1.0 if figure is None else figure
