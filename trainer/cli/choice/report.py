"""`communique report`: the pages of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labels.cli.terminal import BlankOption, LabelColumnOption, TextColumnOption, console, progress_bars

_ABOUT = {
    "report.html": "the whole report, one file that needs no network",
    "MODEL_CARD.md": "a model card with the metadata block of the Hugging Face hub",
    "methods.md": "a methods paragraph, with the source of each figure",
    "table.tex": "a LaTeX table (booktabs)",
}


def report(
    run: Annotated[
        str,
        typer.Argument(
            help="Folder of a run, evaluation or artefact, an MLflow run id, or an MLflow URI.", metavar="RUN"
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the pages \\[default: reports/NAME].", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Labelled file to evaluate the model on \\[default: the test part of its run]."),
    ] = None,
    text_column: TextColumnOption = "",
    label_column: LabelColumnOption = "",
    blank: BlankOption = None,
) -> None:
    """Write a report for readers: an HTML page, a model card, a methods paragraph and a LaTeX table."""
    from labels.text.examples import ReadingOptions
    from trainer.runs.publication.material import read_contents
    from trainer.runs.publication.publishing import publish, refuse_artefact

    folder = out or Path("reports") / run_name(run)
    refuse_artefact(folder)
    with progress_bars():
        contents = read_contents(run, data, ReadingOptions(text_column, label_column, blank or ""))
        written = publish(contents, folder)
    width = max(len(str(path)) for path in written)
    for path in written:
        console.print(f"{path!s:<{width}}  {_ABOUT[path.name]}")


def run_name(run: str) -> str:
    """The name of a run, as a valid name of a folder."""
    path = Path(run)
    name = path.absolute().parent.name if path.name == "artefact" else path.absolute().name if path.is_dir() else run
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name).strip("-.") or "report"
