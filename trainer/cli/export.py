"""`communique export`: export a model to a faster artefact and compare it with the original."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.label_values import label_value_table
from labels.cli.terminal import OverwriteOption, console, number, print_next, progress_bars, table
from labels.environment.settings import command
from labels.errors import InputError
from trainer.cli.evaluate import ArtefactArgument

if TYPE_CHECKING:
    from trainer.model.export import ExportReport


def export(
    artefact: ArtefactArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for the exported artefact.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="Export to ONNX, the only supported format.")] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Use 8-bit weights: smaller and faster. Not for cascades.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Labelled file for the comparison \\[default: the run's validation rows]."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Export a transformer or cascade to a faster artefact, if it agrees with the original on labelled rows."""
    from trainer.model.export import export_artefact
    from trainer.runs.tracking.registry import fetch_artefact

    if not onnx:
        raise InputError("export: no format was given. Add --onnx; ONNX is the only supported format.")
    folder = fetch_artefact(artefact)
    with progress_bars():
        report = export_artefact(folder, out, int8=int8, data=data, overwrite=overwrite)
    print_exported(report)


def print_exported(report: ExportReport) -> None:
    """Print the comparison of the exported model with the original, and a command to try next."""
    check = report.agreement
    console.print(table(("", "before", "after", "rows"), _export_rows(report)))
    console.print(
        f"{check.agreeing:.2%} of the label sets agree on {check.rows:,} rows ({check.origin}); "
        f"the largest difference between probabilities is {check.largest_difference:.2g}."
    )
    if report.label_values:
        console.print(label_value_table(report.label_values))
    for note in report.notes:
        console.print(f"Note: {note}.")
    if check.unjudged:
        console.print(f"Recall was not compared for labels that no row has: {', '.join(check.unjudged)}.")
    console.print(f"Saved in {report.folder}: model {report.model_id}, {report.precision}, for onnxruntime.")
    print_next(command("serve", report.folder))


def _export_rows(report: ExportReport) -> Iterator[tuple[str, str, str, str]]:
    for label, recall in report.agreement.recalls.items():
        yield f"recall {label}", number(recall.before), number(recall.after), f"{recall.positives:,}"
    yield "sentences/s", number(report.speed_before, 0), number(report.speed_after, 0), ""
    yield "MB", number(report.bytes_before / 1e6, 1), number(report.bytes_after / 1e6, 1), ""
