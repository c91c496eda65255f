"""`communique distill`: train a small student on the probabilities of a model, and compare the two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import OverwriteOption, bounds, console, number, print_next, progress_bars, table
from labels.environment.settings import command
from labels.errors import InputError
from trainer.cli.evaluate import ArtefactArgument

if TYPE_CHECKING:
    from trainer.evaluation.comparison import Difference
    from trainer.model.distill import DistillReport


_LAYERS = 2
"""Default number of a student's layers."""


def distill(
    artefact: ArtefactArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for the student's artefact.")],
    texts: Annotated[
        Path | None, typer.Option("--texts", help="File or folder with unlabelled texts to learn from.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option("--store", help="Label store with texts to learn from: SQLite file or database URL."),
    ] = None,
    layers: Annotated[
        int | None, typer.Option("--layers", min=1, help="Number of layers of the student's encoder \\[default: 2].")
    ] = None,
    static: Annotated[
        bool, typer.Option("--static", help="Use static token vectors instead of layers: faster, less accurate.")
    ] = False,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Passes over the texts \\[default: 4, or 20 with --static].")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Labelled file for the comparison \\[default: the run's validation rows]."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the training.")] = 13,
    overwrite: OverwriteOption = False,
) -> None:
    """Train a small, fast student on a model's probabilities for texts without labels, and compare it on labelled rows.

    The texts come from --texts, or from the label store that --store names.
    """
    from trainer.data.unlabelled import STORE
    from trainer.model import distill as distilling
    from trainer.runs.tracking.registry import fetch_artefact

    if (texts is None) == (store is None):
        raise InputError("distill: name the texts to learn from, either with --texts or with --store.")
    if static and layers is not None:
        raise InputError("--static and --layers: a static student has no layers. Leave out one of the two.")
    folder = fetch_artefact(artefact)
    with progress_bars():
        report = distilling.distill(
            folder,
            texts or STORE,
            out,
            layers=layers or _LAYERS,
            static=static,
            epochs=epochs or 0,
            data=data,
            store=store or "",
            seed=seed,
            overwrite=overwrite,
        )
    print_distilled(report)


def print_distilled(report: DistillReport) -> None:
    """Print the comparison of a student with its teacher, and a command to try next."""
    comparison = report.comparison
    rows = [_row(own) for own in (comparison.macro_f1, *comparison.decided, *comparison.rare)]
    rows.append(("sentences/s", number(report.speed_before, 0), number(report.speed_after, 0), "", "", ""))
    rows.append(("MB", number(report.bytes_before / 1e6, 1), number(report.bytes_after / 1e6, 1), "", "", ""))
    headings = ("F1", "model", "student", "difference", f"{comparison.confidence:.0%} interval", "positives")
    console.print(table(headings, rows))
    console.print(
        f"{report.agreeing:.2%} of the label sets agree on {comparison.n:,} rows ({report.origin}). "
        f"The student learned from {report.texts:,} texts."
    )
    for note in report.notes:
        console.print(f"Note: {note}.")
    if comparison.macro_f1.reason:
        console.print(f"There is no interval: {comparison.macro_f1.reason}.")
    console.print(f"Saved in {report.folder}: model {report.model_id}, of kind {report.kind}.")
    print_next(command("predict", report.folder, "ARTICLES", "--out", "tagged.csv"), command("serve", report.folder))


def _row(own: Difference) -> tuple[str, ...]:
    name = {"macro_f1": "macro", "rare labels": "rare labels together"}.get(own.name, own.name)
    effect = "" if own.effect is None else f"{own.effect:+.3f}"
    return name, number(own.first), number(own.second), effect, bounds(own, joint=" to "), f"{own.positives:,}"
