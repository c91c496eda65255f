"""`communique annotations`: import and export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labels.cli.options import CodebookOption, StoreOption
from labels.terminal import console, reporting_errors

app = typer.Typer(no_args_is_help=True, help="Import and export annotations.")
FormatOption = Annotated[str, typer.Option("--format", help="Form of the file: jsonl (the native form).")]


@app.command("import", epilog="Example: communique annotations import ana.jsonl")
def annotations_import(
    file: Annotated[Path, typer.Argument(help="The file.")],
    format: FormatOption = "jsonl",
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Add annotations from a file: all of it or none; importing twice adds nothing."""
    from labels.codebook import load_codebook
    from labels.exchange.jsonl import add_annotations, read_annotations
    from labels.settings import load_settings
    from labels.store import Store

    with reporting_errors():
        _check_format(format)
        settings = load_settings(store=store, codebook=codebook)
        book = load_codebook(settings.codebook)
        lines = list(read_annotations(file, book))
        with Store(settings.store) as opened:
            new, known = add_annotations(opened, lines, book, str(file))
        console.print(f"{new} events added to {settings.store}, {known} were there already.")


@app.command("export", epilog="Example: communique annotations export labels.jsonl")
def annotations_export(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    format: FormatOption = "jsonl",
    store: StoreOption = None,
) -> None:
    """Write every annotation event of the store to a file."""
    from labels.exchange.jsonl import export_annotations
    from labels.settings import load_settings
    from labels.store import Store

    with reporting_errors():
        _check_format(format)
        settings = load_settings(store=store)
        with Store(settings.store, create=False) as opened:
            written = export_annotations(opened, file)
        console.print(f"{written} events written to {file}.")


def _check_format(format: str) -> None:
    if format != "jsonl":
        raise typer.BadParameter(f"'{format}' is not known; use jsonl", param_hint="--format")
