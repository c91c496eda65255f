"""The commands of this package: codebook, ingest, label, annotations. Thin shells over library functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.terminal import console, progress_bar, reporting_errors

if TYPE_CHECKING:
    from labels.codebook import Codebook

app = typer.Typer(no_args_is_help=True)
codebook_app = typer.Typer(no_args_is_help=True, help="Show, check or infer a codebook.")
annotations_app = typer.Typer(no_args_is_help=True, help="Import and export annotations.")

StoreOption = Annotated[
    str | None, typer.Option("--store", help="SQLite file or database URL [default: communique.db].", metavar="STORE")
]
CodebookOption = Annotated[
    str | None, typer.Option("--codebook", help="A shipped name or a TOML file [default: diplomatic].", metavar="BOOK")
]
FormatOption = Annotated[str, typer.Option("--format", help="Form of the file: jsonl (the native form).")]


@codebook_app.command("show", epilog="Example: communique codebook show --brief")
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


@codebook_app.command("check", epilog="Example: communique codebook check mine.toml")
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


@codebook_app.command("infer", epilog="Example: communique codebook infer train.jsonl --out mine.toml")
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


@app.command("ingest", epilog="Example: communique ingest articles/ more.jsonl")
def ingest_command(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders: txt, md, html, jsonl, csv, parquet.")],
    store: StoreOption = None,
) -> None:
    """Read documents into the store, cut into sentences; page furniture is set aside and counted."""
    from labels.documents import find_files
    from labels.ingest import ingest
    from labels.settings import load_settings
    from labels.store import Store

    with reporting_errors():
        settings = load_settings(store=store)
        find_files(paths)  # what cannot be read should not leave an empty store behind
        with Store(settings.store) as opened, progress_bar("Reading") as advance:
            report = ingest(opened, paths, advance)
            counts = opened.counts()
        for message in report.rejected:
            console.print(f"Left out: {message}", style="yellow")
        console.print(
            f"Read {report.documents_read} documents; {report.documents_added} were new, "
            f"with {report.sentences_added} sentences."
        )
        _print_boilerplate(report.boilerplate)
        console.print(
            f"{settings.store} now holds {counts.documents} documents and "
            f"{counts.sentences - counts.boilerplate} sentences to label."
        )
        if report.documents_added:
            console.print("Next: communique label --annotator YOUR_NAME")
        if not report.documents_read:
            raise typer.Exit(2)


@app.command("label", epilog="Example: communique label --annotator ana --size 50")
def label_command(
    annotator: Annotated[str, typer.Option("--annotator", help="Your name, recorded with each decision.")],
    size: Annotated[int, typer.Option("--size", min=1, help="Sentences to draw when nothing is unfinished.")] = 100,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the random draw.")] = 13,
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Label sentence by sentence, one key a label; every decision is kept at once."""
    from labels.codebook import load_codebook
    from labels.prompt import run_prompt
    from labels.session import LabellingSession
    from labels.settings import load_settings
    from labels.store import Store

    with reporting_errors():
        settings = load_settings(store=store, codebook=codebook)
        book = load_codebook(settings.codebook)
        if not annotator.strip():
            raise typer.BadParameter("a name is needed", param_hint="--annotator")
        with Store(settings.store, create=False) as opened:
            session = LabellingSession(opened, book, annotator.strip(), size=size, seed=seed)
            if not session.remaining:
                console.print(f"Nothing to label in {settings.store}. Add text with `communique ingest PATH`.")
                return
            decided = run_prompt(session, book, _ask, _say)
            console.print(f"{decided} decided, {session.remaining} left in this draw. All saved in {settings.store}.")
            console.print(f"Next: communique label --annotator {annotator}", soft_wrap=True)
            console.print("      communique annotations export labels.jsonl", soft_wrap=True)


@annotations_app.command("import", epilog="Example: communique annotations import ana.jsonl")
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


@annotations_app.command("export", epilog="Example: communique annotations export labels.jsonl")
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


def _ask(prompt: str) -> str:
    typer.echo(prompt, nl=False)
    return input()


def _say(line: str) -> None:
    typer.echo(line)


def _print_boilerplate(boilerplate: dict[str, int]) -> None:
    total = sum(boilerplate.values())
    if total:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(boilerplate.items()))
        console.print(f"Set aside as page furniture: {total} ({reasons}).")


def _print_definitions(codebook: Codebook) -> None:
    from rich.table import Table

    table = Table(title=f"{codebook.name} {codebook.version} ({codebook.hash})", title_justify="left")
    for heading in ("key", "label", "definition"):
        table.add_column(heading)
    for key, name in codebook.keys.items():
        label = next(label for label in codebook.labels if label.name == name)
        table.add_row(key, name, label.definition)
    console.print(table)
