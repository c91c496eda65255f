"""`communique predict`: label every sentence of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import (
    KeepQuotesOption,
    SpreadsheetOption,
    TextColumnOption,
    TextsOption,
    console,
    progress_bars,
)
from trainer.cli.evaluate import ArtefactArgument, load_model

if TYPE_CHECKING:
    from trainer.model.model import Model
    from trainer.predict import PredictReport


def predict(
    artefact: ArtefactArgument,
    inputs: Annotated[
        list[Path], typer.Argument(help="Files and folders to read: txt, md, html, docx, pdf, jsonl, csv, parquet.")
    ],
    output: Annotated[Path, typer.Option("--out", "--output", "-o", help="File to write: .jsonl, .csv or .parquet.")],
    split: Annotated[
        bool, typer.Option(help="Split texts into sentences; with --no-split, every text is one sentence.")
    ] = True,
    keep_boilerplate: Annotated[bool, typer.Option("--keep-boilerplate", help="Label boilerplate as well.")] = False,
    keep_quotes: KeepQuotesOption = False,
    text_column: TextColumnOption = "",
    for_spreadsheet: SpreadsheetOption = False,
    texts: TextsOption = None,
) -> None:
    """Label every sentence of a corpus of any size; writes one row per sentence, with labels and probabilities."""
    from trainer.predict import predict_files

    model = load_model(artefact)
    with progress_bars():
        report = predict_files(
            model,
            inputs,
            output,
            split=split,
            keep_boilerplate=keep_boilerplate,
            keep_quotes=keep_quotes,
            for_spreadsheet=for_spreadsheet,
            texts=texts,
            text_column=text_column,
        )
    print_predicted(report, model, output, texts)


def print_predicted(report: PredictReport, model: Model, output: Path, texts: Path | None = None) -> None:
    """Print the counts of documents, sentences, boilerplate and labels, and the inputs left out."""
    for message in report.rejected:
        console.print(f"Left out: {message}", style="yellow")
    if more := report.left_out - len(report.rejected):
        console.print(f"Left out: {more:,} more files or rows, for similar reasons.", style="yellow")
    for note in report.notes:
        console.print(f"Note: {note}.")
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(report.boilerplate.items()))
    console.print(
        f"{report.documents} documents, {report.sentences} sentences labelled; "
        f"{report.boilerplate.total()} set aside as boilerplate" + (f" ({reasons})." if reasons else ".")
    )
    for label in model.labels:
        if assigned := report.assigned[label]:
            console.print(f"  {label:<24} {assigned:>6}  {assigned / report.sentences:6.1%}")
    console.print(f"Written to {output}{f', the texts of the documents to {texts}' if texts else ''}.")
