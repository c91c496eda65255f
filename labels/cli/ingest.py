"""`communique ingest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labels.cli.terminal import StoreOption, console, progress_bars, reporting_errors


def ingest_command(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders: txt, md, html, jsonl, csv, parquet.")],
    store: StoreOption = None,
) -> None:
    """Read documents into the store, cut into sentences; boilerplate is set aside and counted."""
    from labels.settings import command, load_settings
    from labels.store import Store
    from labels.store.ingest import ingest
    from labels.text.documents import find_files

    with reporting_errors():
        settings = load_settings(store=store)
        find_files(paths)  # what cannot be read should not leave an empty store behind
        with Store(settings.store) as opened, progress_bars():
            report = ingest(opened, paths)
            counts = opened.counts.texts()
        for message in report.rejected:
            console.print(f"Left out: {message}", style="yellow")
        console.print(
            f"Read {report.documents_read} documents; {report.documents_added} were new, "
            f"with {report.sentences_added} sentences."
        )
        _print_boilerplate(report.boilerplate)
        console.print(
            f"{opened.name} now holds {counts.documents} documents and "
            f"{counts.sentences - counts.boilerplate} sentences to label."
        )
        if report.documents_added:
            following = command("label", "--annotator", "YOUR_NAME", store=settings.store)
            console.print(f"Next: {following}", soft_wrap=True)
        if not report.documents_read:
            raise typer.Exit(2)


def _print_boilerplate(boilerplate: dict[str, int]) -> None:
    total = sum(boilerplate.values())
    if total:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(boilerplate.items()))
        console.print(f"Set aside as boilerplate: {total} ({reasons}).")
