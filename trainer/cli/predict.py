"""`communique predict`: label every sentence of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import console, progress_bars, reporting_errors
from trainer.cli.options import ArtefactArgument

if TYPE_CHECKING:
    from trainer.model.model import Model
    from trainer.predict.bulk import PredictReport


def predict(
    artefact: ArtefactArgument,
    inputs: Annotated[list[Path], typer.Argument(help="Files and folders: txt, md, html, jsonl, csv, parquet.")],
    output: Annotated[Path, typer.Option("--out", "--output", "-o", help="A .jsonl, .csv or .parquet file to write.")],
    split: Annotated[
        bool, typer.Option(help="Cut texts into sentences; with --no-split each row is one sentence.")
    ] = True,
    keep_boilerplate: Annotated[bool, typer.Option("--keep-boilerplate", help="Label boilerplate as well.")] = False,
) -> None:
    """Label every sentence of a corpus of any size; writes a row for each sentence, with labels and probabilities."""
    from trainer.environment import silence_libraries
    from trainer.model.model import Model
    from trainer.predict.bulk import predict_files
    from trainer.runs.registry import fetch_artefact

    with reporting_errors():
        silence_libraries()
        model = Model.load(fetch_artefact(artefact))
        with progress_bars():
            report = predict_files(model, inputs, output, split=split, keep_boilerplate=keep_boilerplate)
        print_predicted(report, model, output)


def print_predicted(report: PredictReport, model: Model, output: Path) -> None:
    """The counts of a bulk prediction."""
    for message in report.rejected:
        console.print(f"Left out: {message}", style="yellow")
    if more := report.left_out - len(report.rejected):
        console.print(f"Left out: {more:,} more, for similar reasons.", style="yellow")
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(report.boilerplate.items()))
    console.print(
        f"{report.documents} documents, {report.sentences} sentences labelled; "
        f"{sum(report.boilerplate.values())} set aside as boilerplate" + (f" ({reasons})." if reasons else ".")
    )
    for label in model.labels:
        if report.assigned[label]:
            console.print(
                f"  {label:<24} {report.assigned[label]:>6}  {report.assigned[label] / report.sentences:6.1%}"
            )
    console.print(f"Written to {output}.")
