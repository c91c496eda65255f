"""`communique compare`: two models on the same sentences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import (
    BlankOption,
    LabelColumnOption,
    TextColumnOption,
    console,
    progress_bars,
    table,
)
from labels.errors import InputError, counted

if TYPE_CHECKING:
    from trainer.runs.choice.comparing import Change, Compared

_SHOWN = 10
_REFERENCE = "Folder of a run or evaluation, an MLflow run id, or an MLflow URI."


def compare(
    first: Annotated[str, typer.Argument(help=_REFERENCE, metavar="A")],
    second: Annotated[str, typer.Argument(help=f"The model to compare with A. {_REFERENCE}", metavar="B")],
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Labelled file to run both models on \\[default: the predictions of the runs]."),
    ] = None,
    part: Annotated[
        str,
        typer.Option(
            "--part",
            help="validation, test or out-of-fold \\[default: out-of-fold or validation, if both runs have it].",
            show_default=False,
        ),
    ] = "",
    html: Annotated[
        Path | None, typer.Option("--html", help="Write a page with all sentences that changed.", metavar="FILE")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures as JSON, without texts.", metavar="FILE")
    ] = None,
    show: Annotated[int, typer.Option("--show", min=0, help="Number of changed sentences to print.")] = _SHOWN,
    text_column: TextColumnOption = "",
    label_column: LabelColumnOption = "",
    blank: BlankOption = None,
) -> None:
    """Compare two models on the same sentences: F1 by label with intervals, and the sentences that changed."""
    from labels.output.drafts import check_file, write_whole

    if data and part:
        raise InputError("--part names predictions of runs and cannot be combined with --data. Remove one of them.")
    for path in filter(None, (html, json_file)):
        check_file(path)
    compared = _compare(first, second, data, part, (text_column, label_column, blank or ""))
    print_compared(compared, show)
    if html:
        from trainer.runs.publication.changes_page import write_changes

        write_changes(compared, html)
        console.print(f"All changed sentences are in {html}.")
    if json_file:
        write_whole(json_file, [json.dumps(compared.to_dict(), indent=1) + "\n"])


def _compare(first: str, second: str, data: Path | None, part: str, columns: Sequence[str]) -> Compared:
    from trainer.runs.choice import comparing
    from trainer.runs.choice.sides import read_side

    if data is None:
        return comparing.compare_sides(read_side(first), read_side(second), part, shown_by="compare")
    from labels.text.examples import ReadingOptions

    with progress_bars():
        return comparing.compare_models(first, second, data, ReadingOptions(*columns))  # type: ignore[arg-type]


def print_compared(compared: Compared, show: int) -> None:
    """Print the differences, then the first changed sentences."""
    found = compared.comparison
    console.print(f"A: {compared.first}\nB: {compared.second}")
    console.print(
        f"On {compared.place}: {counted(found.n, 'sentence')} in "
        f"{counted(found.n_groups, 'group')} of documents. Effect: B minus A."
    )
    print_differences(compared)
    for note in compared.notes:
        console.print(f"Note: {note}.")
    fixed, broken = (sum(getattr(change, name) for change in compared.changes) for name in ("fixed", "broken"))
    console.print(
        f"\n{len(compared.changes)} of {found.n} sentences are labelled differently: only B is right on {fixed}, only "
        f"A on {broken}."
    )
    if compared.changes and show:
        # Where one is right and the other wrong comes first: those decide.
        ordered = sorted(compared.changes, key=lambda change: not (change.fixed or change.broken))
        console.print(table(("sentence", "gold", "A", "B"), map(_cells, ordered[:show]), align="tttt"))
        if len(compared.changes) > show:
            console.print(f"{len(compared.changes) - show} more: --show {len(compared.changes)}, or --html FILE.")


def print_differences(compared: Compared) -> None:
    """Print the table of differences."""
    from trainer.runs.publication.changes_page import figure_rows

    found = compared.comparison
    headings = ("F1", "positives", "A", "B", "effect", f"{found.confidence:.0%} interval", "p (Holm)", "")
    words = (("second", "B"), ("first", "A"))
    rows = []
    for *cells, says in figure_rows(compared):
        for word, letter in words:
            says = says.replace(f"{word} is", f"{letter} is")
        rows.append((*cells, says))
    console.print(table(headings, rows, align="trrrrrrl"))
    if sum(own.positives > 0 for own in found.rare) > 1:
        console.print(f"Labels with fewer than {found.min_positives} positives are tested only as one group.")
    if absent := [own.name for own in found.rare if not own.positives]:
        console.print(f"Macro-F1 is the mean over the labels that occur in gold; it leaves out {', '.join(absent)}.")


def _cells(change: Change) -> tuple[str, ...]:
    return (
        change.example.text,
        *(", ".join(own) or "none" for own in (change.example.labels, change.first, change.second)),
    )
