"""`communique archive`: the replication package of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labels.cli.terminal import OverwriteOption, console, progress_bars
from labels.errors import DataError
from trainer.cli.choice.report import run_name


def archive(
    run: Annotated[
        str,
        typer.Argument(
            help="Folder of a run, evaluation or estimate, an MLflow run id, or an MLflow URI.", metavar="RUN"
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder or .zip file \\[default: archives/NAME].", show_default=False),
    ] = None,
    without_texts: Annotated[
        bool, typer.Option("--without-texts", help="Leave the sentences out; hashes identify them.")
    ] = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a replication package: codebook, ids, decisions, split, predictions, versions, and a script."""
    from trainer.estimate.published.packaging import archive_estimate, is_estimate
    from trainer.runs.publication.archiving import archive_run

    place = out or Path("archives") / run_name(run)
    if is_estimate(Path(run)):
        written = archive_estimate(Path(run), place, overwrite=overwrite)
        console.print(f"{written}: a replication package of an estimate. It never has texts.")
        if written.is_dir():
            console.print(f"Check it with: python {written / 'recompute.py'}")
        return
    _refuse_other_folder(Path(run))
    with progress_bars():
        written = archive_run(run, place, texts=not without_texts, overwrite=overwrite)
    console.print(f"{written}: a replication package{' without texts' if without_texts else ''}.")
    if written.is_dir():
        console.print(f"Check it with: python {written / 'reproduce.py'}")


def _refuse_other_folder(folder: Path) -> None:
    """Refuse a folder that is neither a run, an evaluation or an estimate, nor in a run."""
    from trainer.estimate.published.saving import ESTIMATE
    from trainer.runs.choice.sides import REPORT

    if folder.is_dir() and not any((one / REPORT).is_file() for one in (folder, folder.absolute().parent)):
        raise DataError(
            f"{folder}: there is neither {REPORT} nor {ESTIMATE}. Name a folder that `communique train`, `communique "
            "evaluate --out` or `communique estimate --out` has written."
        )
