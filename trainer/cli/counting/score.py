"""`communique score`: write a model's probabilities for the sentences of a store to the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import StoreOption, console, print_next, progress_bars
from labels.environment.settings import command, load_settings
from labels.errors import counted
from trainer.cli.evaluate import ArtefactArgument

if TYPE_CHECKING:
    from trainer.active.scoring import ScoreReport


def score(
    artefact: ArtefactArgument,
    store: StoreOption = None,
    embed: Annotated[
        bool | None, typer.Option(help="Also store sentence vectors \\[default: only if the model has an encoder].")
    ] = None,
) -> None:
    """Score the sentences of a store with a saved model; sentences that it has scored already are skipped."""
    from labels.store import Store
    from trainer.active.scoring import score_artefact
    from trainer.runs.tracking.registry import fetch_artefact

    # Open the store first: a wrong path must not cost the download of a model.
    with Store(load_settings(store=store).store, create=False) as opened:
        folder = fetch_artefact(artefact)
        with progress_bars():
            report = score_artefact(folder, opened, embed=embed)
    print_scored(report, opened.name)


def print_scored(report: ScoreReport, store: str) -> None:
    """Print the number of scored sentences, and a command to try next."""
    console.print(f"Model {report.model_id}: {counted(report.scored, 'sentence')} of {store} scored.")
    if report.encoder:
        console.print(f"{report.embedded} sentence vectors stored, from encoder {report.encoder}.", soft_wrap=True)
    if not report.scored and not report.embedded:
        console.print("All sentences were already scored.")
    print_next(command("label", "--annotator", "YOUR_NAME", "--strategy", "uncertainty", store=store))
