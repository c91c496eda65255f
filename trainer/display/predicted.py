"""How labelling with a saved model looks: into a file, or as scores into the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from labels.cli.terminal import console
from labels.settings import command

if TYPE_CHECKING:
    from trainer.active.scoring import ScoreReport
    from trainer.model.model import Model
    from trainer.predict.bulk import PredictReport


def print_predicted(report: PredictReport, model: Model, output: Path) -> None:
    """What bulk prediction did."""
    for message in report.rejected:
        console.print(f"Left out: {message}", style="yellow")
    if more := report.left_out - len(report.rejected):
        console.print(f"Left out: {more:,} more, for such reasons.", style="yellow")
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


def print_scored(report: ScoreReport, store: str) -> None:
    """What a model left in the store, and what to type next."""
    console.print(f"Model {report.model_id}: {report.scored} sentences of {store} scored.")
    if report.encoder:
        console.print(f"{report.embedded} sentence vectors kept, by encoder {report.encoder}.", soft_wrap=True)
    if not report.scored and not report.embedded:
        console.print("Everything was scored already.")
    following = command("label", "--annotator", "YOUR_NAME", "--strategy", "uncertainty", store=store)
    console.print(f"Next: {following}", soft_wrap=True)
