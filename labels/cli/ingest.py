"""`communique ingest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labels.cli.terminal import StoreOption, TextColumnOption, console, counted, print_next, progress_bars
from labels.settings import command, load_settings


def ingest_command(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders to read: txt, md, html, jsonl, csv, parquet.")],
    text_column: TextColumnOption = "",
    store: StoreOption = None,
) -> None:
    """Read documents into the store and split them into sentences; boilerplate is set aside and counted."""
    from labels.store import Store
    from labels.store.documents import ingest
    from labels.text.documents import find_files

    settings = load_settings(store=store)
    find_files(paths)  # check the paths before the store is created
    with Store(settings.store) as opened, progress_bars():
        report = ingest(opened, paths, text_column)
        counts = opened.counts.texts()
    for message in report.rejected:
        console.print(f"Left out: {message}", style="yellow")
    for note in report.notes:
        console.print(f"Note: {note}.")
    console.print(
        f"Read {counted(report.documents_read, 'document')}: {report.documents_added} new, "
        f"with {counted(report.sentences_added, 'sentence')}."
    )
    if report.documents_present:
        console.print(f"Already in the store: {counted(report.documents_present, 'document')}.")
    for version in report.versions:
        title = f" ({version.title})" if version.title else ""
        changes = f"{counted(version.unchanged, 'sentence')} unchanged, {version.new} new"
        console.print(f"New version of {version.document_id}{title}: {changes}.")
    if report.boilerplate:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(report.boilerplate.items()))
        console.print(f"Set aside as boilerplate: {report.boilerplate.total()} ({reasons}).")
    console.print(
        f"{opened.name} now contains {counted(counts.documents, 'document')} and "
        f"{counted(counts.sentences - counts.boilerplate, 'sentence')} to label."
    )
    if report.documents_added:
        print_next(command("label", "--annotator", "YOUR_NAME", store=settings.store))
    if not report.documents_read:
        raise typer.Exit(2)
