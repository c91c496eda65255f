"""`communique documents`: list the documents in a store, and remove, restore or purge documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from labels.cli.terminal import StoreOption, console, print_next, table
from labels.environment.settings import command, load_settings
from labels.errors import InputError, counted

if TYPE_CHECKING:
    from labels.store import DocumentSummary, Store

_STATES = ("stored", "removed", "purged")

app = typer.Typer(invoke_without_command=True, help="List, remove, restore or purge the documents in a store.")
IdsArgument = Annotated[list[str], typer.Argument(help="Ids of documents, or the first characters of ids.")]


@app.callback()
def documents(context: typer.Context) -> None:
    """List, remove, restore or purge the documents in a store."""
    if context.invoked_subcommand is None:
        documents_list()


@app.command("list", epilog="Example: communique documents list --source Reuters")
def documents_list(
    source: Annotated[
        str, typer.Option("--source", help="Only documents whose source contains this text.", metavar="TEXT")
    ] = "",
    state: Annotated[
        str, typer.Option("--state", help=f"Only documents in this state: {', '.join(_STATES)}.", metavar="STATE")
    ] = "",
    store: StoreOption = None,
) -> None:
    """List documents with their numbers of sentences to label and of decisions."""
    from labels.store import Store

    if state and state not in _STATES:
        raise InputError(f"--state: '{state}' is not a state. Use {', '.join(_STATES)}.")
    with Store(load_settings(store=store).store, create=False) as opened:
        found = opened.removals.summaries(source=source, state=state)
    headings = ("id", "source", "title", "date", "to label", "decisions", "state")
    if found:
        console.print(table(headings, map(_cells, found), align="lttlrrl"))
    states = Counter(one.state for one in found if one.state)
    withdrawn = ", ".join(f"{number} {state}" for state, number in states.items())
    console.print(f"{opened.name}: {counted(len(found), 'document')}{f' ({withdrawn})' if withdrawn else ''}.")


@app.command("remove", epilog="Example: communique documents remove 3f2a9c01")
def documents_remove(ids: IdsArgument, store: StoreOption = None) -> None:
    """Take documents out of queues, exports, training and counts. Their decisions are kept: see `restore`."""
    from labels.store import Store

    with Store(load_settings(store=store).store, create=False) as opened:
        found = _found(opened, ids)
        new = [one for one in found if not one.state]
        opened.removals.remove([one.id for one in new])
    _print_extent("Removed", new, len(found) - len(new))
    if new:
        print_next(command("documents", "restore", *ids, store=opened.name))


@app.command("restore", epilog="Example: communique documents restore 3f2a9c01")
def documents_restore(ids: IdsArgument, store: StoreOption = None) -> None:
    """Bring removed documents back with all their decisions."""
    from labels.store import Store

    with Store(load_settings(store=store).store, create=False) as opened:
        found = _found(opened, ids)
        purged = [one.id for one in found if one.state == "purged"]
        if purged:
            raise InputError(
                f"{opened.name}: the text of document {purged[0]} was erased and cannot be restored. Omit this id."
            )
        removed = [one.id for one in found if one.state]
        opened.removals.restore(removed)
        restored = [one for one in _found(opened, ids) if one.id in removed] if removed else []
    _print_extent("Restored", restored, len(found) - len(removed))


@app.command("purge", epilog="Example: communique documents purge 3f2a9c01")
def documents_purge(
    ids: IdsArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    store: StoreOption = None,
) -> None:
    """Erase the text of documents for legal reasons. Decisions are kept; the text cannot be restored.

    Notes on the sentences are erased too. Hashes of the title, the URL and the sentences are kept, by which `ingest`
    recognizes later versions.
    """
    from labels.store import Store

    with Store(load_settings(store=store).store, create=False) as opened:
        found = _found(opened, ids)
        for one in found:
            console.print(f"{one.id}  {one.source}  {one.title}")
        if not yes:
            typer.confirm(f"Erase the text of {counted(len(found), 'document')} permanently?", abort=True)
        notes = opened.removals.purge([one.id for one in found])
    _print_extent("Purged", found, 0)
    if notes:
        console.print(f"Erased: {counted(notes, 'note')} on the sentences, because notes may quote the text.")
    console.print("Files outside the store (articles, exports, runs, predictions, backups) still contain the text.")


def _found(store: Store, ids: Sequence[str]) -> list[DocumentSummary]:
    """The documents with these ids and their other versions, each once."""
    return list({one.id: one for identifier in ids for one in store.removals.find(identifier)}.values())


def _cells(one: DocumentSummary) -> tuple[str, ...]:
    from labels.store.documents import document_name

    version = f"version of {one.version_of}" if one.version_of else ""
    state = ", ".join(word for word in (one.state, version) if word)
    return (
        one.id,
        one.source,
        # As on the labelling screen.
        one.title or document_name(one.source, one.beginning),
        one.date,
        str(one.to_label),
        str(one.decisions),
        state,
    )


def _print_extent(what: str, documents: Sequence[DocumentSummary], unchanged: int) -> None:
    """Print the number of documents, with their versions, and of the decisions on them."""
    decisions = sum(one.decisions for one in documents)
    versions = sum(bool(one.version_of) for one in documents)
    later = f" ({versions} of them later versions)" if versions else ""
    console.print(f"{what}: {counted(len(documents), 'document')}{later}, with {counted(decisions, 'decision')}.")
    if unchanged:
        console.print(f"Unchanged: {counted(unchanged, 'document')} already in this state.")
