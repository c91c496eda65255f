"""`communique checks`: behavioural checks of a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import console, progress_bars, table
from labels.errors import counted
from trainer.cli.evaluate import ArtefactArgument, load_model

if TYPE_CHECKING:
    from trainer.evaluation.failures.behaviour import Failure
    from trainer.evaluation.figures import ChecksFigures


def checks(
    artefact: ArtefactArgument,
    file: Annotated[
        Path | None,
        typer.Argument(help="TOML file of checks \\[default: those shipped for the codebook].", show_default=False),
    ] = None,
    show: Annotated[int, typer.Option("--show", min=0, help="Number of failures to print.")] = 10,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write failure rates and failures as JSON.", metavar="FILE")
    ] = None,
) -> None:
    """Run behavioural checks on a model: negation, other names, tense, quotation marks, headlines..."""
    from labels.output.drafts import check_file, write_whole
    from trainer.runs.evaluate import check_model

    if json_file:
        check_file(json_file)
    with progress_bars():
        results = check_model(load_model(artefact), file)
    print_checks(results.figures)
    print_failures(results.failures, show)
    if json_file:
        content = {**results.figures.to_dict(), "failures": [failure.to_dict() for failure in results.failures]}
        write_whole(json_file, [json.dumps(content, indent=1, ensure_ascii=False) + "\n"])


def print_checks(figures: ChecksFigures) -> None:
    """Print the failure rate of each capability and kind."""
    rows = []
    for own in figures.rates:
        low, high = own.interval.low or 0.0, own.interval.high or 0.0
        counts = str(own.n), str(own.failed), f"{own.rate:.1%}", f"{low:.1%}–{high:.1%}"
        rows.append((own.capability, own.kind, *counts))
    title = f"Behavioural checks: {figures.source}"
    caption = "Exact binomial intervals, as if the sentences were a random sample of their kind."
    headings = ("capability", "kind", "cases", "failed", "rate", "95% interval")
    console.print(table(headings, rows, align="tlrrrr", title=title, caption=caption))


def print_failures(failures: Sequence[Failure], most: int) -> None:
    """Print the first failures, with what was expected and found."""
    if not failures or not most:
        return
    console.print(f"{counted(min(most, len(failures)), 'failure')} of {len(failures)}:")
    for own in failures[:most]:
        console.print(f"  {own.check.capability}, {own.check.kind}: {own.check.name}".rstrip(": "))
        console.print(f"    {own.text}" + (f"\n    {own.changed}" if own.changed else ""))
        console.print(f"    expected {own.expected}; found {own.found}")
