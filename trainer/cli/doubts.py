"""`communique doubts`: labels that are likely wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from labels.cli.terminal import CodebookOption, StoreOption, console, progress_bars, reporting_errors
from labels.settings import relabel_command
from trainer.cli.report import number

if TYPE_CHECKING:
    from labels.settings import Settings
    from trainer.active.label_errors import LabelErrorReport


def doubts(
    store: StoreOption = None,
    codebook: CodebookOption = None,
    kind: Annotated[
        str, typer.Option("--kind", help="Kind of model for the cross-validation: tfidf or embedding.")
    ] = "tfidf",
    folds: Annotated[int, typer.Option("--folds", min=2, max=20, help="Cross-validation folds.")] = 5,
    limit: Annotated[int, typer.Option("--limit", min=1, help="List at most this many.")] = 100,
    queue: Annotated[bool, typer.Option("--queue", help="Queue the listed sentences to be labelled again.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the list to a .jsonl or .csv file.")] = None,
) -> None:
    """List labels that are likely wrong: cross-validated models contradict them."""
    from labels.settings import load_settings
    from labels.store import Store
    from labels.store.codebooks import find_codebook
    from trainer.active.label_errors import (
        check_kind,
        check_output,
        queue_relabelling,
        store_label_errors,
        write_label_errors,
    )
    from trainer.environment import silence_libraries

    with reporting_errors():
        silence_libraries()
        settings = load_settings(store=store, codebook=codebook)
        judges = check_kind(kind)
        if out is not None:
            check_output(out)
        book = find_codebook(settings.codebook, settings.store)
        with Store(settings.store, create=False) as opened:
            with progress_bars():
                report = store_label_errors(
                    opened,
                    book,
                    kind=judges,
                    folds=folds,
                    limit=limit,
                    reference=settings.codebook,
                )
            queued = queue_relabelling(opened, report.errors) if queue else None
        if out is not None:
            write_label_errors(out, report.errors)
        print_doubts(report, out, queued, settings)


def print_doubts(report: LabelErrorReport, out: Path | None, queued: int | None, settings: Settings) -> None:
    """The doubtful sentences, worst first, and what was done with them; `settings` name store and codebook."""
    for note in report.notes:
        console.print(f"Note: {note}.")
    if report.errors:
        console.print(_doubt_table(report))
        console.print("p: probability of the doubtful label by a model that was fitted without the document.")
    shown = len(report.errors)
    console.print(
        f"{report.found} of {report.sentences} labelled sentences are in doubt"
        + (f"; the {shown} most doubtful are listed." if shown < report.found else ".")
    )
    if report.unchecked:
        console.print(f"{report.unchecked} labels could not be checked: the other folds had no example of them.")
    if out is not None:
        console.print(f"Written to {out}.")
    if queued is not None:
        console.print(f"{queued} sentences were queued to be labelled again; {shown - queued} were queued already.")
        following = relabel_command(store=settings.store, codebook=settings.codebook)
        console.print(f"Next: {following}", soft_wrap=True)
    elif report.errors:
        console.print("Add --queue to queue them for labelling again.")


def _doubt_table(report: LabelErrorReport) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("labels", "in doubt", "p", "sentence"):
        table.add_column(heading, justify="right" if heading == "p" else "left", overflow="fold")
    for doubt in report.errors:
        table.add_row(
            "\n".join(doubt.labels) or "none",
            f"{doubt.label} {'wrong' if doubt.label in doubt.labels else 'missing'}?",
            number(doubt.probability, 2),
            Text(doubt.text),
        )
    return table
