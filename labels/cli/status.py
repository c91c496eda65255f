"""`communique status`: print the progress of labelling."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from labels.cli.terminal import StoreOption, console, counted, number, table
from labels.settings import command, load_settings, relabel_command

if TYPE_CHECKING:
    from labels.store import Store


def status_command(store: StoreOption = None) -> None:
    """Show the progress of each annotator, the numbers of labels, and the queue for relabelling."""
    from labels.store import Store, last_midnight

    with Store(load_settings(store=store).store, create=False) as opened:
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
    documents, sentences = counted(counts.documents, "document"), counted(labellable, "sentence")
    console.print(f"{store.name}: {documents}, {sentences} to label.")
    console.print(f"Reviewed by at least one annotator: {once}{share}; by two or more: {twice}.")


def _print_annotators(store: Store, today: str) -> None:
    found = store.counts.annotators(today=today)
    if not found:
        following = command("label", "--annotator", "YOUR_NAME", store=store.name)
        console.print(f"No annotations yet. Next: {following}", soft_wrap=True)
        return
    headings = ("annotator", "reviewed", "none", "skipped", "with note", "today", "reserved", "median s", "last")
    rows = []
    for one in found:
        counts = (one.reviewed, one.none, one.skipped, one.noted, one.today, one.reserved)
        rows.append((one.annotator, *map(str, counts), number(one.seconds, 1), _local(one.last)))
    console.print(table(headings, rows))


def _print_labels(store: Store) -> None:
    sets = store.counts.label_sets()
    total = sum(sets.values())
    if not total:
        return
    counts: Counter[str] = Counter()
    for labels, n in sets.items():
        # An annotation counts for each of its labels, so the shares can add up to more than 1.
        counts.update(dict.fromkeys(labels or ("none",), n))
    ordered = sorted(counts.items(), key=lambda count: (count[0] == "none", -count[1]))
    rows = ((label, str(n), f"{n / total:.1%}") for label, n in ordered)
    console.print(table(("label", "annotations", "share"), rows))


def _print_strategies(store: Store) -> None:
    rows = [
        (one.strategy or "(unknown)", str(one.drawn), str(one.reviewed), str(one.skipped))
        for one in store.counts.strategies()
    ]
    if rows:
        console.print(table(("drawn by", "sentences", "reviewed", "skipped"), rows))


def _print_waiting(store: Store) -> None:
    waiting = {entry.sentence_id for entry in store.relabelling.waiting()}
    if waiting:
        from labels.store.codebook_migration import awaited_codebooks

        awaited = next(iter(awaited_codebooks(store, waiting)), "")
        following = relabel_command(store=store.name, codebook=awaited)
        console.print(f"To be labelled again: {counted(len(waiting), 'sentence')}. Next: {following}", soft_wrap=True)
    for model in store.scores.models():
        missing = store.scores.count_unscored(model.id)
        unscored = f"; {counted(missing, 'sentence')} without a score." if missing else "."
        console.print(f"Scores by {model.kind} {model.id}{unscored}")


def _local(moment: str) -> str:
    """Convert a UTC time to date and time in the local time zone."""
    try:
        return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:
        return moment
