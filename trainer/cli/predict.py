"""`communique predict`: label every sentence of a corpus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from labels.cli.terminal import (
    KeepQuotesOption,
    SpreadsheetOption,
    TextColumnOption,
    TextsOption,
    console,
    error_console,
    share_bar,
)
from labels.errors import InputError, counted
from trainer.cli.evaluate import ArtefactArgument

if TYPE_CHECKING:
    from trainer.model.model import Manifest, Model
    from trainer.predict import PredictReport, Progress

_STOPPED = 130
"""The exit code of a command that Ctrl-C ended, as shells give it."""

OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "--output",
        "-o",
        help="File to write: .jsonl, .csv or .parquet; with --engine ray, a folder of Parquet files "
        "\\[default: predictions.jsonl].",
    ),
]
InputsArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Files, folders and patterns to read: txt, md, html, docx, pdf, jsonl, csv, parquet."),
]
SplitOption = Annotated[
    bool, typer.Option(help="Split texts into sentences; with --no-split, every text is one sentence.")
]
BoilerplateOption = Annotated[bool, typer.Option("--keep-boilerplate", help="Label boilerplate as well.")]
ColumnsOption = Annotated[
    str,
    typer.Option(
        "--columns",
        help="Columns of tables to keep, separated by commas; also date, title and url of articles that state them.",
        metavar="NAMES",
    ),
]
ByOption = Annotated[
    Literal["sentence", "document"],
    typer.Option("--by", help="With document, also write one row per document to STEM.documents.SUFFIX."),
]
SentencesOption = Annotated[
    str, typer.Option("--store", help="Label the sentences of this label store instead of files.", metavar="STORE")
]
WorkersOption = Annotated[int, typer.Option("--workers", help="Number of processes, each with the model.")]
EngineOption = Annotated[
    Literal["local", "ray"],
    typer.Option("--engine", help="Where to predict: on this machine, or on a Ray cluster."),
]
AddressOption = Annotated[
    str, typer.Option("--address", help="Address of a running Ray cluster \\[default: RAY_ADDRESS, or this machine].")
]
RestartOption = Annotated[bool, typer.Option("--restart", help="Begin again instead of continuing an interrupted run.")]


def predict(
    artefact: ArtefactArgument,
    inputs: InputsArgument = None,
    output: OutputOption = None,
    split: SplitOption = True,
    keep_boilerplate: BoilerplateOption = False,
    keep_quotes: KeepQuotesOption = False,
    text_column: TextColumnOption = "",
    for_spreadsheet: SpreadsheetOption = False,
    texts: TextsOption = None,
    columns: ColumnsOption = "",
    by: ByOption = "sentence",
    store: SentencesOption = "",
    workers: WorkersOption = 1,
    engine: EngineOption = "local",
    address: AddressOption = "",
    restart: RestartOption = False,
) -> None:
    """Label every sentence of a corpus of any size; writes one row per sentence, with labels and probabilities.

    After an interruption, even a kill or a full disk, the same command continues where it stopped.
    """
    from trainer.model.model import read_manifest
    from trainer.model.starter import STARTER_NOTE, is_starter
    from trainer.predict.bulk import Options, predict_corpus
    from trainer.predict.writing import documents_output
    from trainer.runs.tracking.registry import fetch_artefact

    if not inputs and not store:
        raise InputError("There is nothing to label. Name files or folders, or a label store with --store.")
    output = output or _default_output()
    folder, names = fetch_artefact(artefact), tuple(name.strip() for name in columns.split(",") if name.strip())
    options = Options(split, keep_boilerplate, keep_quotes, text_column, for_spreadsheet, texts, names, by)
    with _telling_what_is_kept(), share_bar("Predicting") as show:
        report = predict_corpus(
            folder,
            inputs or [],
            output,
            options,
            store=store or None,
            workers=workers,
            engine=engine,
            address=address or None,
            restart=restart,
            watch=lambda progress: show(progress.share, _pace(progress)),
        )
    print_predicted(report, read_manifest(folder), output, texts)
    if is_starter(artefact):
        console.print(STARTER_NOTE)
    if by == "document":
        console.print(f"One row per document is in {documents_output(output)}.")


def _default_output() -> Path:
    path = Path("predictions.jsonl")
    if path.exists():
        raise InputError(f"{path} already exists. Choose another file with --out, or replace it with `--out {path}`.")
    return path


@contextmanager
def _telling_what_is_kept() -> Iterator[None]:
    """After Ctrl-C, print how many sentences are kept, and end the command."""
    from trainer.predict import Interrupted

    try:
        yield
    except Interrupted as stopped:
        error_console.print(
            f"Interrupted. {stopped.sentences:,} sentences are kept: the same command continues after them."
        )
        raise typer.Exit(_STOPPED) from None


def _pace(progress: Progress) -> str:
    left = timedelta(seconds=round(progress.seconds_left))
    return f"{progress.sentences:,} sentences, {progress.rate:,.0f}/s, {left} left"


def print_predicted(report: PredictReport, model: Model | Manifest, output: Path, texts: Path | None = None) -> None:
    """Print the counts of documents, sentences, boilerplate and labels, and the inputs left out."""
    from trainer.predict.writing import rejects_output

    for message in report.rejected:
        console.print(f"Left out: {message}", style="yellow")
    if more := report.left_out - len(report.rejected):
        console.print(f"Left out: {more:,} more files or rows, for similar reasons.", style="yellow")
    for note in report.notes:
        console.print(f"Note: {note}.")
    if report.continued:
        console.print(f"Continued an interrupted run, which had labelled {counted(report.continued, 'sentence')}.")
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(report.boilerplate.items()))
    console.print(
        f"{counted(report.documents, 'document')}, {counted(report.sentences, 'sentence')} labelled; "
        f"{report.boilerplate.total()} set aside as boilerplate" + (f" ({reasons})." if reasons else ".")
    )
    for label in model.labels:
        if assigned := report.assigned[label]:
            console.print(f"  {label:<24} {assigned:>6}  {assigned / report.sentences:6.1%}")
    for what, counts in (("The model abstains", report.abstained), ("To read", report.screened)):
        _print_marks(what, counts, report.sentences)
    if report.repeated:
        console.print(f"Repeated sentences, predicted once: {report.repeated:,} ({_share(report)}).")
    console.print(f"Written to {output}{f', the texts of the documents to {texts}' if texts else ''}{_speed(report)}.")
    if report.left_out:
        console.print(f"All files and rows that were left out are listed in {rejects_output(output)}.")


def _print_marks(what: str, counts: Mapping[str, int], sentences: int) -> None:
    if shown := [f"{label} {n:,} ({n / sentences:.1%})" for label, n in counts.items() if n]:
        console.print(f"{what}: {', '.join(shown)}.")


def _share(report: PredictReport) -> str:
    return f"{report.repeated / report.sentences:.1%}"


def _speed(report: PredictReport) -> str:
    """The duration and the rate of this call; nothing for a call too short to have a rate."""
    if report.seconds < 1:
        return ""
    rate = (report.sentences - report.continued) / report.seconds
    speed = f" ({rate:,.0f} sentences/s)" if rate >= 1 else ""
    return f" in {timedelta(seconds=round(report.seconds))}{speed}"
