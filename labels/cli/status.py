"""`communique status`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from labels.cli.terminal import StoreOption, console, reporting_errors

if TYPE_CHECKING:
    from labels.store import Store


def status_command(store: StoreOption = None) -> None:
    """Who did what, how fast, how far; and what waits."""
    from labels.settings import load_settings
    from labels.store import Store, last_midnight

    with reporting_errors():
        settings = load_settings(store=store)
        with Store(settings.store, create=False) as opened:
            _print_extent(opened)
            _print_annotators(opened, last_midnight())
            _print_labels(opened)
            _print_strategies(opened)
            _print_waiting(opened)


def _print_extent(store: Store) -> None:
    counts = store.counts.texts()
    once, twice = store.counts.reviewed()
    labellable = counts.sentences - counts.boilerplate
    share = f" ({once / labellable:.1%})" if labellable else ""
    console.print(f"{store.name}: {counts.documents} documents, {labellable} sentences to label.")
    console.print(f"Reviewed by at least one person: {once}{share}; by two or more: {twice}.")


def _print_annotators(store: Store, today: str) -> None:
    from rich.table import Table

    from labels.settings import command

    found = store.counts.annotators(today=today)
    if not found:
        following = command("label", "--annotator", "YOUR_NAME", store=store.name)
        console.print(f"Nobody has labelled yet: {following}", soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("annotator")
    for heading in ("reviewed", "of which none", "skipped", "with note", "today", "held", "s each", "last"):
        table.add_column(heading, justify="right")
    for one in found:
        numbers = (one.reviewed, one.none, one.skipped, one.noted, one.today, one.reserved)
        seconds = "–" if one.seconds is None else f"{one.seconds:.1f}"
        table.add_row(one.annotator, *map(str, numbers), seconds, _local(one.last))
    console.print(table)


def _print_labels(store: Store) -> None:
    from rich.table import Table

    sets = store.counts.label_sets()
    total = sum(sets.values())
    if not total:
        return
    counts: dict[str, int] = {}
    for labels, n in sets.items():
        for label in labels or ("none",):
            counts[label] = counts.get(label, 0) + n
    table = Table(box=None, pad_edge=False)
    for heading in ("label", "annotations", "share"):
        table.add_column(heading, justify="left" if heading == "label" else "right")
    for label, n in sorted(counts.items(), key=lambda count: (count[0] == "none", -count[1])):
        table.add_row(label, str(n), f"{n / total:.1%}")
    console.print(table)


def _print_strategies(store: Store) -> None:
    from rich.table import Table

    found = store.counts.strategies()
    if not found:
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("drawn by", "sentences", "reviewed", "skipped"):
        table.add_column(heading, justify="left" if heading == "drawn by" else "right")
    for one in found:
        table.add_row(one.strategy or "(not said)", str(one.drawn), str(one.reviewed), str(one.skipped))
    console.print(table)


def _print_waiting(store: Store) -> None:
    waiting = {entry.sentence_id for entry in store.relabelling.waiting()}
    if waiting:
        from labels.sampling.relabelling import awaited_codebooks
        from labels.settings import relabel_command

        awaited = next(iter(awaited_codebooks(store, waiting)), "")
        following = relabel_command(store=store.name, codebook=awaited)
        console.print(f"{len(waiting)} sentences wait to be labelled again: {following}", soft_wrap=True)
    for model in store.scores.models():
        missing = store.scores.count_unscored(model.id)
        console.print(
            f"Scores by {model.kind} {model.id}" + (f"; {missing} sentences have none yet." if missing else ".")
        )


def _local(moment: str) -> str:
    """A moment in UTC as date and time where the reader sits."""
    try:
        return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:
        return moment
