"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ArtefactArgument = Annotated[
    str,
    typer.Argument(
        help="Folder of a run or an artefact, or an MLflow URI such as models:/diplomatic-statements@champion."
    ),
]
ExperimentArgument = Annotated[
    str, typer.Argument(help="TOML file, or the name of a shipped one: finetune, tfidf, ...")
]
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder for the outputs \\[default: runs/NAME].")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="key=value, e.g. data.train=mine.jsonl")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace the output of an earlier call.")]
