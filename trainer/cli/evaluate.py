"""`communique evaluate`: evaluate a saved model on a labelled file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labels.cli.terminal import OverwriteOption, console
from trainer.cli.report import ArtefactArgument, print_report


def evaluate(
    artefact: ArtefactArgument,
    data: Annotated[
        Path, typer.Argument(help="Labelled JSONL, CSV or Parquet file with `text` and `label` or `labels`.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the report, predictions and plots.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Evaluate a saved model on a labelled file, with the default \\[evaluation] settings."""
    from trainer.model.model import Model
    from trainer.runs.evaluate import evaluate_file
    from trainer.runs.registry import fetch_artefact

    folder = fetch_artefact(artefact)
    evaluation = evaluate_file(Model.load(folder), folder, data, out, overwrite=overwrite)
    print_report(evaluation.report)
    if evaluation.folder is not None:
        console.print(f"Saved in {evaluation.folder}: report.json, predictions.parquet, plots/")
