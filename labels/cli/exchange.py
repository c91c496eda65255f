"""`communique annotations`: import and export annotations, and list the formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

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
    print_next,
    table,
)
from labels.environment.settings import command, load_settings
from labels.errors import InputError, counted
from labels.output.folders import refuse_existing
from labels.unicode import clean

if TYPE_CHECKING:
    from labels.codebook.schema import Codebook
    from labels.environment.settings import Settings
    from labels.exchange.driver import Imported
    from labels.sampling.drawing import DrawRequest
    from labels.store import Store

app = typer.Typer(no_args_is_help=True, help="Import and export annotations, also in formats of other tools.")
_NAMES = (
    "jsonl (the native format), csv, standoff (without texts), prodigy, label-studio, label-studio-min, doccano, "
    "argilla, activetigger, huggingface, or a plug-in format (see `communique annotations formats`)"
)
_CARRIED = {"events": "all events", "decisions": "standing decisions", "gold": "gold labels"}
FormatOption = Annotated[str, typer.Option("--format", help=f"Format of the file: {_NAMES}.", metavar="FORMAT")]

UndoOption = Annotated[
    str, typer.Option("--undo", help="Withdraw the decisions of an earlier import instead.", metavar="BATCH")
]
UnnamedOption = Annotated[
    str, typer.Option("--annotator", help="Annotator to record if the file does not name one.", metavar="NAME")
]
ControlOption = Annotated[
    str,
    typer.Option(
        "--control",
        help="Name of the control, question or key that contains the labels, if the file has several. "
        "Separate several names with commas.",
        metavar="NAME",
    ),
]


@app.command("import", epilog="Example: communique annotations import ana.jsonl --format prodigy")
def annotations_import(
    file: Annotated[
        Path | None, typer.Argument(help="The file to import; for huggingface, it can be a folder.", metavar="FILE")
    ] = None,
    format: FormatOption = "jsonl",
    undo: UndoOption = "",
    annotator: UnnamedOption = "",
    text_column: TextColumnOption = "",
    label_column: LabelColumnOption = "",
    blank: BlankOption = None,
    control: ControlOption = "",
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
    with filled_store(settings.store) as opened:
        done = add_batch(opened, batch, book)
    _print_import(done, batch.format.unit if batch.format else "decisions", opened.name, settings.store)


def _print_import(done: Imported, unit: str, name: str, store: str) -> None:
    """Print what an import added and left out, and how to withdraw it."""
    console.print(f"{unit.capitalize()} added to {name}: {done.new} (already there: {done.known}).")
    if done.texts:
        console.print(f"Sentences in the file: {done.texts}, of which {done.known_texts} were already in the store.")
    _print_counts("Without a decision, kept as unseen sentences", done.unseen)
    _print_counts("Left out", done.left_out)
    for note in done.notes:
        console.print(f"Note: {note}.")
    if done.batch:
        again = command("annotations", "import", "--undo", done.batch, store=store)
        console.print(f"To undo this import (batch {done.batch}), type: {again}", soft_wrap=True)


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
    console.print(f"To bring these decisions back (batch {done.id}), type: {back}", soft_wrap=True)


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
        typer.Option(
            "--annotator",
            help="Export only this annotator's decisions (default: all); with --tasks, draw the sentences for this "
            "annotator.",
            metavar="NAME",
        ),
    ] = "",
    tasks: Annotated[
        bool,
        typer.Option(
            "--tasks",
            help="Write sentences to label as tasks for label-studio, prodigy or doccano, instead of decisions. "
            "`annotations import` brings the answers back.",
        ),
    ] = False,
    strategy: Annotated[
        str,
        typer.Option(
            "--strategy",
            help="With --tasks: how to choose sentences, as for `label` \\[default: random].",
            metavar="TEXT",
        ),
    ] = "",
    size: Annotated[
        int | None,
        typer.Option(
            "--size", min=1, help="With --tasks: number of sentences to draw, as for `label`.", show_default=False
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="With --tasks: write all sentences without a decision, without a draw for an annotator."
        ),
    ] = False,
    days: Annotated[
        float, typer.Option("--days", min=0, max=3650, help="With --tasks: days for which the draw is reserved.")
    ] = 7,
    for_spreadsheet: SpreadsheetOption = False,
    texts: TextsOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", "--force", help="Replace the file if it exists.")] = False,
    store: StoreOption = None,
    codebook: CodebookOption = None,
) -> None:
    """Write the annotations in the store to a file, and list the data that the format does not include."""
    from labels.exchange.driver import export_file
    from labels.exchange.formats import find_format

    found = find_format(format)
    refuse_existing(file, overwrite=overwrite)
    if tasks:
        if texts is not None or for_spreadsheet:
            raise InputError("--texts and --for-spreadsheet are for decisions. Remove them, or remove --tasks.")
        asked = _Asked(clean(annotator), strategy, size or 0, everything, days)
        _export_tasks(file, format, asked, store, codebook, overwrite=overwrite)
        return
    if strategy or size or everything:
        raise InputError("--strategy, --size and --all choose sentences to label. Add --tasks, or remove them.")
    with opened_store(store, codebook) as (opened, book, _):
        written, left_out = export_file(
            opened, file, book, format, clean(annotator), for_spreadsheet=for_spreadsheet, texts=texts
        )
    console.print(f"{found.unit.capitalize()} written to {file}: {written}.")
    if texts is not None:
        console.print(f"Texts of the documents written to {texts}.")
    _print_counts("Left out", left_out)
    _print_phrases("Not included in this format:", found.lost)


class _Asked(NamedTuple):
    """The options that choose sentences to label."""

    annotator: str
    strategy: str
    size: int
    everything: bool
    days: float


def _export_tasks(
    file: Path, format: str, asked: _Asked, store: str | None, codebook: str | None, *, overwrite: bool
) -> None:
    """Write sentences to label as tasks.

    Raises:
        InputError: neither an annotator nor --all is given, or both; the file of the project exists.
    """
    from datetime import timedelta

    from labels.exchange.driver import export_tasks, project_file
    from labels.exchange.formats import find_format

    annotator = asked.annotator or ("" if asked.everything else load_settings().annotator)
    if asked.everything and (asked.annotator or asked.strategy or asked.size):
        raise InputError("--all takes every sentence. Remove --annotator, --strategy and --size, or remove --all.")
    if not asked.everything and not annotator:
        raise InputError("--tasks needs the annotator for whom sentences are drawn: add --annotator NAME, or --all.")
    with opened_store(store, codebook) as (opened, book, settings):
        found = find_format(format)
        if found.takes_tasks:
            refuse_existing(project_file(file, found, book)[0], overwrite=overwrite)
        request = _draw_request(opened, book, settings, asked) if annotator else None
        done = export_tasks(opened, file, book, format, annotator, request, held=timedelta(days=asked.days))
    what = counted(done.tasks, "task")
    console.print(f"{what} written to {file}, and what {format} needs beside {_them(done.tasks)} to {done.project}.")
    if done.continues:
        unused = " --size applies only to a new draw." if asked.size else ""
        words = ("label", "--annotator", annotator, "--release")
        release = command(*words, store=settings.store, codebook=settings.codebook)
        console.print(
            f"This continues {annotator}'s open draw.{unused} To end the draw, type: {release}", soft_wrap=True
        )
    if done.until:
        console.print(f"The sentences are reserved for {annotator} until {local_time(done.until)}.")
    print_next(
        command(
            *("annotations", "import", "ANSWERS", "--format", format),
            *(("--annotator", annotator) if annotator else ()),
            store=settings.store,
            codebook=settings.codebook,
        )
    )


def _draw_request(store: Store, codebook: Codebook, settings: Settings, asked: _Asked) -> DrawRequest:
    """The draw that `label` would make, without planted sentences: their answers in a file would be decisions."""
    from labels.sampling.drawing import DrawRequest
    from labels.sampling.strategies import SCORED
    from labels.sampling.suggestions import choose_model

    kind, _, query = (asked.strategy or "random").strip().partition(" ")
    scored = kind in SCORED and (kind != "audit" or bool(store.scores.models()))
    return DrawRequest(
        strategy=kind,
        size=asked.size,
        query=query.strip(),
        model_id=choose_model(store, codebook).id if scored else "",
        coders=settings.team.coders_per_sentence,
        overlap=settings.team.overlap if kind == "random" else 0.0,
    )


def _them(count: int) -> str:
    return "it" if count == 1 else "them"


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
        if found.takes_tasks:
            console.print("Sentences to label: `annotations export --tasks` writes them as tasks of this tool.")
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
