"""`communique annotations`: import and export annotations, and list the formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from labels.cli.terminal import (
    BlankOption,
    CodebookOption,
    LabelColumnOption,
    SpreadsheetOption,
    StoreOption,
    TextColumnOption,
    TextsOption,
    codebook_in_use,
    console,
    local_time,
    opened_store,
    table,
)
from labels.environment.settings import command, load_settings
from labels.errors import InputError, counted
from labels.unicode import clean

app = typer.Typer(no_args_is_help=True, help="Import and export annotations, also in formats of other tools.")
_NAMES = (
    "jsonl (the native format), csv, standoff (without texts), prodigy, label-studio, label-studio-min, doccano, "
    "argilla, activetigger, huggingface, or a plug-in format (see `communique annotations formats`)"
)
_CARRIED = {"events": "all events", "decisions": "standing decisions", "gold": "gold labels"}
FormatOption = Annotated[str, typer.Option("--format", help=f"Format of the file: {_NAMES}.", metavar="FORMAT")]


@app.command("import", epilog="Example: communique annotations import ana.jsonl --format prodigy")
def annotations_import(
    file: Annotated[
        Path | None, typer.Argument(help="The file to import; for huggingface, it can be a folder.", metavar="FILE")
    ] = None,
    format: FormatOption = "jsonl",
    undo: Annotated[
        str, typer.Option("--undo", help="Withdraw the decisions of an earlier import instead.", metavar="BATCH")
    ] = "",
    annotator: Annotated[
        str, typer.Option("--annotator", help="Annotator to record if the file does not name one.", metavar="NAME")
    ] = "",
    text_column: TextColumnOption = "",
    label_column: LabelColumnOption = "",
    blank: BlankOption = None,
    control: Annotated[
        str,
        typer.Option(
            "--control",
            help="Name of the control, question or key that contains the labels, if the file has several. "
            "Separate several names with commas.",
            metavar="NAME",
        ),
    ] = "",
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Add all annotations from a file, or none if there is an error. Importing a file again adds nothing.

    Every import is a batch with an id, and --undo BATCH withdraws its decisions by new events. Nothing is deleted: the
    undoing is a batch too, and undoing that one brings the decisions back.

    A .jsonl file with `text` and `label` is read like a table. The texts of records without a decision are added as
    unseen sentences.
    """
    from labels.exchange.batches import read_file
    from labels.exchange.driver import add_batch
    from labels.store import filled_store

    settings = load_settings(store=store, codebook=codebook)
    if undo or file is None:
        _undo_import(file, undo, settings.store)
        return
    book = codebook_in_use(settings)
    given = {"control": control, "text_column": text_column, "label_column": label_column, "blank": blank or ""}
    options = {name: value for name, value in given.items() if value.strip()}
    # The file is read before the store is opened, so an invalid file does not create a new store.
    batch = read_file(file, book, format, annotator, **options)
    unit = batch.format.unit if batch.format else "decisions"
    with filled_store(settings.store) as opened:
        done = add_batch(opened, batch, book)
    console.print(f"{unit.capitalize()} added to {opened.name}: {done.new} (already there: {done.known}).")
    if done.texts:
        console.print(f"Sentences in the file: {done.texts}, of which {done.known_texts} were already in the store.")
    _print_counts("Without a decision, kept as unseen sentences", done.unseen)
    _print_counts("Left out", done.left_out)
    for note in done.notes:
        console.print(f"Note: {note}.")
    if done.batch:
        again = command("annotations", "import", "--undo", done.batch, store=settings.store)
        console.print(f"This import is batch {done.batch}. To withdraw it: {again}", soft_wrap=True)


def _undo_import(file: Path | None, batch: str, store: str) -> None:
    """Withdraw an import.

    Raises:
        InputError: there is neither a file nor a batch, or both.
    """
    from labels.store import Store

    if not batch:
        raise InputError("There is nothing to import. Name a file, or a batch to withdraw: --undo BATCH.")
    if file is not None:
        raise InputError(f"--undo withdraws an earlier import and reads no file. Remove {file}, or remove --undo.")
    with Store(store, create=False) as opened:
        done = opened.imports.undo(batch)
        console.print(f"{counted(done.events, 'event')} of import {batch} withdrawn from {opened.name}.")
    back = command("annotations", "import", "--undo", done.id, store=store)
    console.print(f"This undoing is batch {done.id}. To bring the decisions back: {back}", soft_wrap=True)


@app.command("batches", epilog="Example: communique annotations batches --store team.db")
def annotations_batches(store: StoreOption = None) -> None:
    """List the imports into a store, oldest first, with the ids for `annotations import --undo`."""
    from labels.store import Store

    with Store(load_settings(store=store).store, create=False) as opened:
        found = opened.imports.all()
        if not found:
            console.print(f"{opened.name} has no imports with a batch id.")
            return
    rows = (
        (one.id, local_time(one.created_at), one.source, f"undoes {one.undoes}" if one.undoes else one.format)
        for one in found
    )
    numbers = (str(one.events) for one in found)
    headings = ("batch", "time", "file", "format", "events")
    console.print(table(headings, ((*row, n) for row, n in zip(rows, numbers, strict=True)), align="lltlr"))


@app.command("export", epilog="Example: communique annotations export labels.jsonl")
def annotations_export(
    file: Annotated[Path, typer.Argument(help="The file to write; for huggingface, it can be a folder.")],
    format: FormatOption = "jsonl",
    annotator: Annotated[
        str,
        typer.Option("--annotator", help="Export only this annotator's decisions (default: all).", metavar="NAME"),
    ] = "",
    for_spreadsheet: SpreadsheetOption = False,
    texts: TextsOption = None,
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Write the annotations in the store to a file, and list the data that the format does not include."""
    from labels.exchange.driver import export_file
    from labels.exchange.formats import find_format

    found = find_format(format)
    with opened_store(store, codebook) as (opened, book, _):
        written, left_out = export_file(
            opened, file, book, format, clean(annotator), for_spreadsheet=for_spreadsheet, texts=texts
        )
    console.print(f"{found.unit.capitalize()} written to {file}: {written}.")
    if texts is not None:
        console.print(f"Texts of the documents written to {texts}.")
    _print_counts("Left out", left_out)
    _print_phrases("Not included in this format:", found.lost)


@app.command("formats", epilog="Example: communique annotations formats prodigy")
def annotations_formats(
    name: Annotated[
        str, typer.Argument(help="Format to describe (default: list all formats).", metavar="[FORMAT]")
    ] = "",
) -> None:
    """List the formats for import and export, including plug-ins, or describe one format."""
    from labels.exchange.formats import PLUGINS, find_format, format_names

    if name:
        found = find_format(name)
        ending = f"files with the extension {' or '.join(found.endings)}" if found.endings else "a file or folder"
        console.print(f"{name}: {_CARRIED[found.carries]}, in {ending}.")
        _print_phrases("Not exported:", found.lost)
        _print_phrases("Not imported:", found.not_read)
        return
    for known in format_names():
        console.print(_line_of(known))
    for ignored in PLUGINS.shadowed():
        console.print(ignored)


def _line_of(name: str) -> str:
    """The line for a format in the list: its name, contents and extensions, or the error from its plug-in."""
    from labels.exchange.formats import find_format

    try:
        found = find_format(name)
    except InputError as error:
        return str(error)
    return f"{name:<16}  {_CARRIED[found.carries]:<18}  {' '.join(found.endings) or 'a file or folder'}"


def _print_phrases(title: str, phrases: Sequence[str]) -> None:
    if phrases:
        console.print("\n".join([title, *(f"  - {phrase}" for phrase in phrases)]))


def _print_counts(title: str, counts: Mapping[str, int]) -> None:
    if counts:
        console.print(f"{title}: " + ", ".join(f"{reason} ({number})" for reason, number in counts.items()) + ".")
