"""How an exported model looks beside the one it was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from labels.cli.terminal import console
from labels.settings import command
from trainer.display.figures import figure_table, number

if TYPE_CHECKING:
    from trainer.model.export import ExportReport


def print_exported(report: ExportReport) -> None:
    """How an exported model compares with the one it was made from, and what to type next."""
    check = report.agreement
    console.print(_export_table(report))
    console.print(
        f"{check.agreeing:.2%} of the label sets agree on {check.rows:,} rows ({check.origin}); "
        f"largest difference of a probability {check.largest_difference:.2g}."
    )
    if check.unjudged:
        console.print(f"Recall not judged, no such label in these rows: {', '.join(check.unjudged)}.")
    console.print(f"Saved in {report.folder}: model {report.model_id}, {report.precision}, on onnxruntime.")
    console.print(f"Next: {command('serve', report.folder)}", soft_wrap=True)


def _export_table(report: ExportReport) -> Table:
    table = figure_table("", ["before", "after", "rows"])
    for label, recall in report.agreement.recalls.items():
        table.add_row(f"recall {label}", number(recall.before), number(recall.after), f"{recall.positives:,}")
    table.add_row("sentences/s", number(report.speed_before, 0), number(report.speed_after, 0), "")
    table.add_row("MB", number(report.bytes_before / 1e6, 1), number(report.bytes_after / 1e6, 1), "")
    return table
