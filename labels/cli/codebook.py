"""`communique codebook`: show, check, infer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.terminal import console, reporting_errors

if TYPE_CHECKING:
    from labels.codebook import Codebook

app = typer.Typer(no_args_is_help=True, help="Show, check or infer a codebook.")


@app.command("show", epilog="Example: communique codebook show --brief")
def codebook_show(
    name: Annotated[str, typer.Argument(help="A shipped codebook or a TOML file.")] = "diplomatic",
    brief: Annotated[bool, typer.Option("--brief", help="Definitions only, as a table.")] = False,
) -> None:
    """Print a codebook as TOML, or its definitions as a table."""
    from labels.codebook import dump_codebook, load_codebook

    with reporting_errors():
        codebook = load_codebook(name)
        if brief:
            _print_definitions(codebook)
        else:
            typer.echo(dump_codebook(codebook), nl=False)


@app.command("check", epilog="Example: communique codebook check mine.toml")
def codebook_check(file: Annotated[str, typer.Argument(help="The TOML file.")]) -> None:
    """Validate a codebook; say what is wrong, or what it holds."""
    from labels.codebook import load_codebook

    with reporting_errors():
        codebook = load_codebook(file)
        kind = "exclusive" if codebook.exclusive else "multi-label"
        console.print(f"{codebook.name} {codebook.version} ({codebook.hash}): {len(codebook.labels)} labels, {kind}.")
        for label in codebook.labels:
            if not label.definition:
                console.print(f"  {label.name}: no definition yet. Annotators will each make up their own.")


@app.command("infer", epilog="Example: communique codebook infer train.jsonl --out mine.toml")
def codebook_infer(
    file: Annotated[Path, typer.Argument(help="Labelled JSONL, CSV or Parquet with `label` or `labels`.")],
    out: Annotated[Path | None, typer.Option("--out", help="Write to this file instead of the screen.")] = None,
) -> None:
    """Make a codebook from the label values of a labelled file."""
    from labels.codebook import dump_codebook
    from labels.examples import infer_codebook_of
    from labels.files import write_whole

    with reporting_errors():
        text = dump_codebook(infer_codebook_of([file]))
        if out is None:
            typer.echo(text, nl=False)
        else:
            write_whole(out, [text])
            console.print(f"Wrote {out}. Next: write the definitions, then `communique codebook check {out}`.")


def _print_definitions(codebook: Codebook) -> None:
    from rich.table import Table

    table = Table(title=f"{codebook.name} {codebook.version} ({codebook.hash})", title_justify="left")
    for heading in ("key", "label", "definition"):
        table.add_column(heading)
    for key, name in codebook.keys.items():
        label = next(label for label in codebook.labels if label.name == name)
        table.add_row(key, name, label.definition)
    console.print(table)
