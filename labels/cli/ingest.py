"""`communique ingest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import (
    KeepQuotesOption,
    StoreOption,
    TextColumnOption,
    console,
    print_next,
    progress_bars,
    warn_of_place,
)
from labels.environment.settings import command, load_settings
from labels.errors import counted

if TYPE_CHECKING:
    from labels.store.ingestion import IngestReport
    from labels.store.texts.resplit import Resplit


def ingest_command(
    paths: Annotated[
        list[Path], typer.Argument(help="Files and folders to read: txt, md, html, docx, pdf, jsonl, csv, parquet.")
    ],
    text_column: TextColumnOption = "",
    keep_quotes: KeepQuotesOption = False,
    resplit: Annotated[
        bool,
        typer.Option(
            "--resplit", help="Also split documents that are already in the store; sentences with decisions stay."
        ),
    ] = False,
    even_purged: Annotated[
        bool, typer.Option("--even-purged", help="Also add other versions of documents that were purged.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """Read documents into the store and split them into sentences; boilerplate is set aside and counted."""
    from labels.store import filled_store
    from labels.store.ingestion import ingest
    from labels.text.documents import find_files

    settings = load_settings(store=store)
    find_files(paths)  # check the paths before the store is created
    with filled_store(settings.store) as opened, progress_bars():
        report = ingest(opened, paths, text_column, keep_quotes=keep_quotes, resplit=resplit, even_purged=even_purged)
        counts = opened.counts.texts()
    warn_of_place(settings.store)
    for message in report.rejected:
        console.print(f"Left out: {message}", style="yellow")
    for note in report.notes:
        console.print(f"Note: {note}.")
    if not report.documents_read:
        console.print("No documents were read, and nothing was stored.")
        raise typer.Exit(2)
    _print_documents(report, settings.store)
    if resplit:
        _print_resplit(report.resplit)
    if report.boilerplate:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(report.boilerplate.items()))
        console.print(f"Set aside as boilerplate: {report.boilerplate.total()} ({reasons}).")
    console.print(
        f"{opened.name} now contains {counted(counts.documents, 'document')} and "
        f"{counted(counts.sentences - counts.boilerplate, 'sentence')} to label."
    )
    if report.documents_added:
        print_next(command("label", "--annotator", "YOUR_NAME", store=settings.store))


def _print_documents(report: IngestReport, store: str | Path) -> None:
    """Print what happened to the documents that were read."""
    console.print(
        f"Read {counted(report.documents_read, 'document')}: {report.documents_added} new, "
        f"with {counted(report.sentences_added, 'sentence')}."
    )
    if report.documents_present:
        console.print(f"Already in the store: {counted(report.documents_present, 'document')}.")
    if report.documents_removed:
        listing = command("documents", "list", "--state", "removed", store=store)
        console.print(f"Not added again, because they were removed: {report.documents_removed} (see `{listing}`).")
    for day, number in sorted(report.purged.items()):
        console.print(f"Not added again: {counted(number, 'document')}, purged on {day}.")
    for day, number in sorted(report.purged_versions.items()):
        console.print(
            f"Not added: {counted(number, 'document')}, because another version was purged on {day}. "
            "To add other versions of purged documents, use --even-purged."
        )
    for version in report.versions:
        title = f" ({version.title})" if version.title else ""
        changes = f"{counted(version.unchanged, 'sentence')} unchanged, {version.new} new"
        console.print(f"New version of {version.document_id}{title}: {changes}.")


def _print_resplit(resplit: Resplit) -> None:
    console.print(
        f"Split again: {counted(resplit.documents, 'stored document')} changed, with "
        f"{counted(resplit.added, 'new sentence')}; {resplit.replaced} no longer offered, and "
        f"{counted(resplit.kept, 'sentence')} with decisions kept."
    )
