"""`communique doubts`: list labels that are likely wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from labels.cli.terminal import (
    CodebookOption,
    SpreadsheetOption,
    StoreOption,
    bounds,
    console,
    number,
    opened_store,
    print_next,
    progress_bars,
    table,
)
from labels.environment.settings import relabel_command
from labels.errors import InputError, counted

if TYPE_CHECKING:
    from labels.environment.settings import Settings
    from trainer.active.label_errors import LabelErrorReport


def doubts(
    store: StoreOption = None,
    codebook: CodebookOption = None,
    kind: Annotated[
        Literal["tfidf", "embedding"],
        typer.Option("--kind", help="Kind of model to cross-validate: tfidf or embedding."),
    ] = "tfidf",
    folds: Annotated[int, typer.Option("--folds", min=2, max=20, help="Number of cross-validation folds.")] = 5,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Maximum number of sentences to list.")] = 100,
    queue: Annotated[bool, typer.Option("--queue", help="Queue the listed sentences for labelling again.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Write the list to a .jsonl or .csv file.")] = None,
    for_spreadsheet: SpreadsheetOption = False,
) -> None:
    """List labels that are likely wrong: cross-validated models contradict them."""
    from trainer.active import label_errors

    # Checked first, because cross-validation can take minutes.
    if for_spreadsheet and out is None:
        raise InputError("--for-spreadsheet needs a file. Add --out FILE.csv.")
    if out is not None:
        label_errors.check_output(out, for_spreadsheet=for_spreadsheet)
    with opened_store(store, codebook) as (opened, book, settings):
        with progress_bars():
            report = label_errors.store_label_errors(
                opened, book, kind=kind, folds=folds, limit=limit, reference=settings.codebook
            )
        queued = label_errors.queue_relabelling(opened, report.errors) if queue else None
    if out is not None:
        label_errors.write_label_errors(out, report.errors, for_spreadsheet=for_spreadsheet)
    print_doubts(report, out, queued, settings)


def print_doubts(report: LabelErrorReport, out: Path | None, queued: int | None, settings: Settings) -> None:
    """Print the doubtful sentences, worst first, the counts, and a command to try next.

    Args:
        out: the file that the list was written to, if any.
        queued: the number of sentences newly queued; None if queueing was not requested.
        settings: the store and the codebook for the next command.
    """
    for note in report.notes:
        console.print(f"Note: {note}.")
    if report.errors:
        console.print(table(("labels", "in doubt", "p", "sentence"), _rows(report), align="ttrt"))
        console.print("p: probability of the label in doubt, from a model fitted without the sentence's document.")
    shown = len(report.errors)
    console.print(
        f"{report.found} of {report.sentences} labelled sentences are in doubt"
        + (f"; the {shown} most doubtful are listed." if shown < report.found else ".")
    )
    if report.unchecked:
        console.print(
            f"{counted(report.unchecked, 'label')} could not be checked: the other folds had no example or no "
            "counterexample."
        )
    _print_weak(report)
    if out is not None:
        console.print(f"Written to {out}.")
    if queued is not None:
        console.print(
            f"{counted(queued, 'sentence was', 'sentences were')} queued for labelling again; "
            f"{counted(shown - queued, 'other was', 'others were')} already queued."
        )
        print_next(relabel_command(store=settings.store, codebook=settings.codebook))
    elif report.errors:
        console.print("Add --queue to queue the listed sentences for labelling again.")


def _print_weak(report: LabelErrorReport) -> None:
    """Name the labels for which the models are not shown to be better than chance."""
    weak = [one for one in report.aucs if one.is_weak]
    if not weak:
        return
    figures = "; ".join(
        f"{one.label} {number(one.auc, 2)}" + ("" if one.low is None else f" ({bounds(one, 2, joint=' to ')})")
        for one in weak
    )
    all_weak = len(weak) == len(report.aucs)
    every = "Do not rely on this list" if all_weak else "Do not rely on the doubts about some labels"
    console.print(
        f"{every}: the cross-validated models are not shown to be better than chance. Area under the ROC curve, with "
        f"95% interval (chance: 0.5): {figures}. More labelled sentences would improve the models.",
        style="yellow",
    )


def _rows(report: LabelErrorReport) -> Iterator[tuple[str, str, str, str]]:
    for doubt in report.errors:
        problem = "wrong" if doubt.label in doubt.labels else "missing"
        yield "\n".join(doubt.labels) or "none", f"{doubt.label} {problem}?", number(doubt.probability, 2), doubt.text
