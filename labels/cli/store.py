"""`communique store`: back up a store, and merge stores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import OverwriteOption, StoreOption, console, print_next, table, warn_of_place
from labels.environment.settings import command, load_settings, store_name
from labels.errors import InputError, counted
from labels.output.folders import refuse_existing
from labels.unicode import person_name

if TYPE_CHECKING:
    from labels.store.upkeep.merging import Merged, Source

_SHOWN = 3
"""The number of ids that a line of the report names."""

app = typer.Typer(no_args_is_help=True, help="Care for a label store.")


@app.callback()
def group() -> None:
    """Care for a label store."""


@app.command("backup")
def backup_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, such as backup.db.")],
    overwrite: OverwriteOption = False,
    store: StoreOption = None,
) -> None:
    """Copy a SQLite store to a file, also while others label."""
    from labels.store.upkeep.backups import back_up

    refuse_existing(file, overwrite=overwrite)
    settings = load_settings(store=store)
    back_up(settings.store, file)
    console.print(f"Copied to {file}. To use the copy, add --store {file}.", soft_wrap=True)


@app.command("merge", epilog="Example: communique store merge ana.db ben.db --dry-run")
def merge_command(
    others: Annotated[
        list[str], typer.Argument(metavar="OTHER", help="SQLite files or database URLs of the stores to merge.")
    ],
    rename: Annotated[
        list[str] | None,
        typer.Option(
            "--rename",
            metavar="OLD=NEW",
            help="Record an annotator of the other stores under another name, because the same name means another "
            "person here; OTHER:OLD=NEW for one of several stores. Can be repeated.",
        ),
    ] = None,
    prefix: Annotated[
        list[str] | None,
        typer.Option(
            "--prefix",
            metavar="TEXT",
            help="Put this text before the names of all other annotators of the other stores; OTHER:TEXT for one of "
            "several stores. Can be repeated.",
        ),
    ] = None,
    same_versions: Annotated[
        bool,
        typer.Option(
            "--same-versions", help="Keep both codebooks if they have the same name and version but different content."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be added.")] = False,
    store: StoreOption = None,
) -> None:
    """Merge other stores into the store, all or nothing. The other stores do not change, and twice adds nothing.

    Documents, sentences, codebook versions, events with their ids and times, draws, scores, import batches and drafts
    are added. Annotators of the same name count as one person. An older store is upgraded as a copy.
    """
    from labels.store.upkeep.merging import merge_stores

    settings = load_settings(store=store)
    sources = _sources(others, rename or (), prefix or ())
    warn_of_place(settings.store)
    done = merge_stores(settings.store, sources, dry_run=dry_run, same_versions=same_versions)
    for merged in done:
        _print_merged(merged, store_name(settings.store), dry_run=dry_run)
        for line in _to_label_again(merged, settings.store, dry_run=dry_run):
            console.print(line, soft_wrap=True)
    if dry_run:
        console.print("Nothing was changed: this was a dry run.")
    elif any(merged.shared for merged in done):
        print_next(command("agreement", store=settings.store))


def _sources(others: Sequence[str], renames: Sequence[str], prefixes: Sequence[str]) -> list[Source]:
    """The stores to merge, with the new names of their annotators.

    Raises:
        InputError: a name is missing or invalid, or an annotator gets two names.
    """
    from labels.store.upkeep.merging import Source

    renamed: dict[str, dict[str, str]] = {one: {} for one in others}
    for given in renames:
        stores, pair = _addressed(given, others)
        old, _, new = pair.partition("=")
        if not (old and new):
            raise InputError(f"--rename '{given}': give the name in the other store and the new name, as in ana=ana2.")
        for one in stores:
            if renamed[one].setdefault(old, person_name(new, "--rename")) != new:
                raise InputError(f"--rename: '{old}' gets the names '{renamed[one][old]}' and '{new}'. Choose one.")
    put: dict[str, str] = {}
    for given in prefixes:
        stores, text = _addressed(given, others)
        put |= dict.fromkeys(stores, text)
    return [Source(one, renamed[one], put.get(one, "")) for one in others]


def _addressed(given: str, others: Sequence[str]) -> tuple[Sequence[str], str]:
    """The stores that a value of an option is for, and the value without the store before it."""
    for one in others:
        if given.startswith(f"{one}:"):
            return [one], given.removeprefix(f"{one}:")
    return others, given


def _print_merged(merged: Merged, into: str, *, dry_run: bool) -> None:
    console.print(f"{merged.store} {'would be merged' if dry_run else 'was merged'} into {into}:", soft_wrap=True)
    amounts = [one for one in merged.amounts if one.kind and one.there]
    rows = ((one.kind, str(one.there), str(one.there - one.new), str(one.new)) for one in amounts)
    console.print(table(("", "there", "already here", "new"), rows))
    people = ((one.there, one.here, str(one.events), str(one.new), _relation(one.was_here)) for one in merged.people)
    console.print(table(("annotator there", "name here", "events", "new", ""), people, align="ttrrt"))
    for line in _remarks(merged):
        console.print(line, soft_wrap=True)


def _relation(was_here: bool) -> str:
    return "the same person as here" if was_here else "new here"


def _remarks(merged: Merged) -> list[str]:
    """What the tables do not say, in one line each."""
    lines = []
    both = [one.here for one in merged.people if one.was_here and one.new]
    if both:
        lines.append(
            f"If {' or '.join(both)} in {merged.store} is a different person, keep them apart with --rename OLD=NEW."
        )
    if merged.versions:
        what = counted(merged.versions, "new document is another version", "new documents are other versions")
        lines.append(f"{what} of articles in this store; decisions on equal sentences count for one sentence.")
    if merged.shared:
        lines.append(f"Different people decided on {counted(merged.shared, 'sentence')} in the two stores.")
    for ids, whose in ((merged.changed_here, "this store"), (merged.changed_there, merged.store)):
        if ids:
            lines.append(
                f"Decisions of {whose} that no longer stand, because the same annotator decided later or withdrew them "
                f"in the other store: on {counted(len(ids), 'sentence')} ({_listed(ids)})."
            )
    if merged.hidden:
        lines.append(f"Withdrawn in this store, so their decisions do not count: {_listed(merged.hidden)}.")
    if merged.kept:
        lines.append(f"Withdrawn in {merged.store} only, and kept here: {_listed(merged.kept)}.")
    return lines


def _to_label_again(merged: Merged, store: str, *, dry_run: bool) -> list[str]:
    """The commands that queue sentences whose decisions were made under replaced versions of a codebook."""
    return [
        f"{counted(one.decisions, 'decision was', 'decisions were')} made under codebook {one.old}, before its change "
        f"to {one.new}."
        + (
            ""
            if dry_run
            else " To queue the sentences that must be labelled again and are not waiting yet: "
            f"{command(*one.migration, store=store)}"
        )
        for one in merged.replaced
    ]


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_SHOWN]) + (", ..." if len(ids) > _SHOWN else "")
