"""`communique score`: a model's probabilities for the sentences of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import StoreOption, console, progress_bars, reporting_errors
from labels.settings import command
from trainer.cli.options import ArtefactArgument

if TYPE_CHECKING:
    from trainer.active.scoring import ScoreReport


def score(
    artefact: ArtefactArgument,
    store: StoreOption = None,
    embed: Annotated[
        bool | None,
        typer.Option(help="Store sentence vectors too \\[default: if the model has an encoder]."),
    ] = None,
) -> None:
    """Write a saved model's probabilities for the store's sentences to the store; scored ones are skipped."""
    from labels.settings import load_settings
    from labels.store import Store
    from trainer.active.scoring import score_artefact
    from trainer.environment import silence_libraries
    from trainer.runs.registry import fetch_artefact

    with reporting_errors():
        silence_libraries()
        settings = load_settings(store=store)
        with Store(settings.store, create=False) as opened:
            folder = fetch_artefact(artefact)
            with progress_bars():
                report = score_artefact(folder, opened, embed=embed)
        print_scored(report, opened.name)


def print_scored(report: ScoreReport, store: str) -> None:
    """What was scored, and a command to try next."""
    console.print(f"Model {report.model_id}: {report.scored} sentences of {store} scored.")
    if report.encoder:
        console.print(f"{report.embedded} sentence vectors kept, by encoder {report.encoder}.", soft_wrap=True)
    if not report.scored and not report.embedded:
        console.print("All sentences were already scored.")
    following = command("label", "--annotator", "YOUR_NAME", "--strategy", "uncertainty", store=store)
    console.print(f"Next: {following}", soft_wrap=True)
