"""`communique annotations`: import and export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from labels.cli.terminal import CodebookOption, StoreOption, console, reporting_errors

app = typer.Typer(no_args_is_help=True, help="Import and export annotations, also those of other tools.")
_NAMES = (
    "jsonl (the native form), csv, standoff (without texts), prodigy, label-studio, label-studio-min, doccano, "
    "argilla, activetigger, huggingface"
)
FormatOption = Annotated[str, typer.Option("--format", help=f"Form of the file: {_NAMES}.", metavar="FORMAT")]


@app.command("import", epilog="Example: communique annotations import ana.jsonl --format prodigy")
def annotations_import(
    file: Annotated[Path, typer.Argument(help="The file; for huggingface also a folder.")],
    format: FormatOption = "jsonl",
    annotator: Annotated[str, typer.Option("--annotator", help="Who decided, where the file does not say.")] = "",
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Add annotations from a file: all of it or none; importing twice adds nothing."""
    from labels.exchange.formats import exchange_module
    from labels.exchange.lines import add_batch
    from labels.settings import load_settings
    from labels.store import Store
    from labels.store.codebooks import find_codebook

    with reporting_errors():
        module = exchange_module(format)
        settings = load_settings(store=store, codebook=codebook)
        book = find_codebook(settings.codebook, settings.store)
        batch = module.read_file(file, book, annotator.strip())
        with Store(settings.store) as opened:
            new, known, left_out = add_batch(opened, batch, book)
        console.print(f"{new} {module.UNIT} added to {opened.name}, {known} were there already.")
        _print_left_out(left_out)


@app.command("export", epilog="Example: communique annotations export labels.jsonl")
def annotations_export(
    file: Annotated[Path, typer.Argument(help="The file to write; for huggingface also a folder.")],
    format: FormatOption = "jsonl",
    annotator: Annotated[
        str, typer.Option("--annotator", help="Only what this annotator decided; without it everybody's.")
    ] = "",
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Write the annotations of the store to a file, and say what its format does not carry."""
    from labels.exchange.formats import exchange_module
    from labels.settings import load_settings
    from labels.store import Store
    from labels.store.codebooks import find_codebook

    with reporting_errors():
        module = exchange_module(format)
        settings = load_settings(store=store, codebook=codebook)
        book = find_codebook(settings.codebook, settings.store)
        with Store(settings.store, create=False) as opened:
            written, left_out = module.write_file(opened, file, book, annotator.strip())
        console.print(f"{written} {module.UNIT} written to {file}.")
        _print_left_out(left_out)
        console.print("Not carried by this format:\n" + "\n".join(f"  - {lost}" for lost in module.LOST))


def _print_left_out(left_out: Mapping[str, int]) -> None:
    if left_out:
        console.print("Left out: " + ", ".join(f"{number} {kind}" for kind, number in left_out.items()) + ".")
