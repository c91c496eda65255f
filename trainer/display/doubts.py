"""How doubtful labels look."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from labels.cli.terminal import console
from labels.settings import relabel_command
from trainer.display.figures import number

if TYPE_CHECKING:
    from labels.settings import Settings
    from trainer.active.label_errors import DoubtReport


def print_doubts(report: DoubtReport, out: Path | None, queued: int | None, settings: Settings) -> None:
    """The doubtful sentences, worst first, and what became of them; `settings` say in which store and codebook."""
    for note in report.notes:
        console.print(f"Note: {note}.")
    if report.doubts:
        console.print(_doubt_table(report))
        console.print("p: what a model that had not seen the document gives the label in doubt.")
    shown = len(report.doubts)
    console.print(
        f"{report.found} of {report.sentences} labelled sentences are in doubt"
        + (f"; the {shown} most doubtful are listed." if shown < report.found else ".")
    )
    if report.unjudged:
        console.print(f"{report.unjudged} labels could not be judged: the other folds had no example to learn from.")
    if out is not None:
        console.print(f"Written to {out}.")
    if queued is not None:
        console.print(f"{queued} sentences were put up for labelling again, {shown - queued} waited for it already.")
        following = relabel_command(store=settings.store, codebook=settings.codebook)
        console.print(f"Next: {following}", soft_wrap=True)
    elif report.doubts:
        console.print("Add --queue to have them labelled again.")


def _doubt_table(report: DoubtReport) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("labels", "in doubt", "p", "sentence"):
        table.add_column(heading, justify="right" if heading == "p" else "left", overflow="fold")
    for doubt in report.doubts:
        table.add_row(
            "\n".join(doubt.labels) or "none",
            f"{doubt.label} {'wrong' if doubt.label in doubt.labels else 'missing'}?",
            number(doubt.probability, 2),
            Text(doubt.text),
        )
    return table
