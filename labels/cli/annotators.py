"""`communique annotators`: rename and merge annotators."""

from __future__ import annotations

from typing import Annotated

import typer

from labels.cli.terminal import StoreOption, console
from labels.environment.settings import load_settings
from labels.errors import counted
from labels.unicode import person_name

app = typer.Typer(no_args_is_help=True, help="Rename and merge annotators.")

OldArgument = Annotated[str, typer.Argument(metavar="OLD", help="The name in the store.")]


@app.command("rename")
def rename_command(
    old: OldArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="A name that no annotator in the store has.")],
    store: StoreOption = None,
) -> None:
    """Record everything by an annotator under another name. Decisions do not change."""
    from labels.store import Store

    name = person_name(new, "NEW")
    with Store(load_settings(store=store).store, create=False) as opened:
        moved = opened.names.rename(old, name)
        console.print(f"{counted(moved, 'event')} by {old} in {opened.name} {_are(moved)} now recorded under {name}.")


@app.command("merge")
def merge_command(
    old: OldArgument,
    into: Annotated[str, typer.Argument(metavar="INTO", help="The other name of the same person in the store.")],
    store: StoreOption = None,
) -> None:
    """Record two names of one person under one name. If both decided on a sentence, the later decision stands."""
    from labels.store import Store

    with Store(load_settings(store=store).store, create=False) as opened:
        moved, both = opened.names.merge(old, into)
        console.print(f"{counted(moved, 'event')} by {old} in {opened.name} {_are(moved)} now recorded under {into}.")
        if both:
            console.print(f"Both had decided on {counted(both, 'sentence')}: the later decision stands.")


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
