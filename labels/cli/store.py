"""`communique store`: back up a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from labels.cli.terminal import OverwriteOption, StoreOption, console
from labels.environment.settings import load_settings
from labels.errors import InputError

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

    if file.exists() and not overwrite:
        raise InputError(f"{file}: this file exists. Choose another file, or add --overwrite.")
    settings = load_settings(store=store)
    back_up(settings.store, file)
    console.print(f"Copied to {file}. To use the copy, add --store {file}.", soft_wrap=True)
