"""`communique split check`: sentences that several files, or several parts of a split, have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import (
    BlankOption,
    LabelColumnOption,
    TextColumnOption,
    bounds,
    console,
    number,
    progress_bars,
    table,
)
from labels.errors import InputError

if TYPE_CHECKING:
    from labels.text.examples import ReadingOptions
    from trainer.data.leakage import Pair
    from trainer.runs.evaluate import Figured

app = typer.Typer(no_args_is_help=True, help="Check how data are split.")


@app.callback()
def group() -> None:
    """Check how data are split."""


@app.command("check", epilog="Example: communique split check train.jsonl test.jsonl --model runs/tfidf")
def check_command(
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files of labelled or unlabelled rows, or articles; train comes first. With --split, one file, or "
            "`seeds` for the starter corpus.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option("--split", help="The split.json of a run: compare the parts of one file.", metavar="FILE"),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help="Run, artefact or MLflow URI: show its figures on the last file, or on the part `test`, with and "
            "without the leaks.",
        ),
    ] = "",
    short: Annotated[
        bool, typer.Option("--short", help="Count equal texts of fewer than 8 words as leaks, too.")
    ] = False,
    show: Annotated[int, typer.Option("--show", min=0, help="Number of examples of each kind to print.")] = 2,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the numbers as JSON, without texts.", metavar="FILE")
    ] = None,
    text_column: TextColumnOption = "",
    label_column: LabelColumnOption = "",
    blank: BlankOption = None,
) -> None:
    """Find sentences that leak from one file into another; exits with 1 if there are any."""
    from labels.output.drafts import check_file, write_whole
    from labels.text.examples import ReadingOptions
    from trainer.data.leakage import find_leaks, read_parts

    if json_file:
        check_file(json_file)
    with progress_bars():
        data = data or []
        options = ReadingOptions(text_column, label_column, blank or "")
        parts = read_parts(data, split, text_column)
        pairs = find_leaks(parts)
        figures = _figures(model, data, split, pairs, options, short=short) if model else None
    print_pairs(pairs, show, short=short)
    if figures:
        print_figures(figures)
    if json_file:
        write_whole(json_file, [json.dumps(_content(pairs, figures), indent=1) + "\n"])
    if any(pair.counted(short=short) for pair in pairs):
        raise typer.Exit(1)


def print_pairs(pairs: Sequence[Pair], show: int, *, short: bool) -> None:
    """Print the number of leaks of each kind between each pair of parts, and examples."""
    from trainer.data.leakage import KINDS

    rows = []
    for pair in pairs:
        share = f"{len(pair.counted(short=short)) / pair.n:.1%}"
        rows.append((pair.first, pair.second, *(f"{n:,}" for n in (pair.n, *pair.counts.values())), share))
    console.print(table(("from", "into", "sentences", *KINDS, "leak"), rows, align="tt" + "r" * (len(KINDS) + 2)))
    for kind, meaning in KINDS.items():
        if any(pair.counts[kind] for pair in pairs):
            console.print(f"{kind}: {meaning}.")
    for line in _examples(pairs, show):
        console.print(line)
    if not any(pair.counted(short=short) for pair in pairs):
        console.print("No sentence leaks.")


def _examples(pairs: Sequence[Pair], show: int) -> Iterator[str]:
    from trainer.data.leakage import KINDS

    for kind in KINDS:
        found = [(pair, leak) for pair in pairs for leak in pair.leaks if leak.kind == kind]
        for pair, leak in found[:show]:
            yield f"{kind}, {pair.first} → {pair.second}:\n  '{leak.known.text[:150]}'\n  '{leak.example.text[:150]}'"


def _figures(
    model: str, data: Sequence[Path], split: Path | None, pairs: Sequence[Pair], options: ReadingOptions, *, short: bool
) -> list[Figured]:
    from trainer.data.leakage import part_name
    from trainer.runs.evaluate import figures_without

    tested = "test" if split else part_name(data[-1], data)
    into = [pair for pair in pairs if pair.second == tested]
    if not into:
        raise InputError("--model: the split has no part `test` to evaluate on. Name the files of the parts instead.")
    leaked = {leak.example.id for pair in into for leak in pair.counted(short=short)}
    role = "train" if split else str(data[-1])
    return figures_without(model, data[-1], role, leaked, options, split)


def print_figures(figures: Sequence[Figured]) -> None:
    """Print the figures on all sentences, on those that do not leak, and on those that do."""
    rows = [
        (own.name, f"{own.n:,}", number(own.macro_f1), bounds(own.interval), number(own.micro_f1)) for own in figures
    ]
    console.print(table(("sentences", "n", "macro-F1", "95% interval", "micro-F1"), rows))


def _content(pairs: Sequence[Pair], figures: Sequence[Figured] | None) -> dict[str, object]:
    return {
        "pairs": [{"from": own.first, "into": own.second, "sentences": own.n, **own.counts} for own in pairs],
        "figures": [own.to_dict() for own in figures or ()],
    }
