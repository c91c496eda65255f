"""What the commands share: console, tables, progress bars, error reporting, opening the store, common options."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labels.errors import CommuniqueError
from labels.progress import progress_to

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID
    from rich.table import Table

    from labels.codebook.schema import Codebook
    from labels.settings import Settings
    from labels.store import Store

_WIDTH_IN_FILES = 110
"""Columns of a table if standard output is not a terminal."""


class _Lazy:
    """A rich console on standard output, made when it is first used: importing rich takes time."""

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        found = Console(highlight=False)
        if not found.is_terminal:
            found = Console(highlight=False, soft_wrap=True, width=max(found.width, _WIDTH_IN_FILES))
        return found

    def print(self, *values: Any, **options: Any) -> None:
        """As `rich.console.Console.print`, but text is never markup, and unpaired surrogates are shown escaped."""
        self._console.print(*map(_printable, values), **({"markup": False} | options))


def _printable(value: Any) -> Any:
    """A string without unpaired surrogates, which file names that are not UTF-8 contain; other values as they are."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


console = _Lazy()


def table(*headings: str) -> Table:
    """A table without lines: the first column is left-aligned, the others are right-aligned."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for position, heading in enumerate(headings):
        made.add_column(heading, justify="right" if position else "left", no_wrap=bool(position))
    return made


def counted(number: int, noun: str) -> str:
    """The number with its noun, which takes an s unless the number is 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@contextmanager
def reporting_errors() -> Iterator[None]:
    """Print a `CommuniqueError` as one message on standard error and exit with the code of its class."""
    try:
        yield
    except CommuniqueError as error:
        typer.secho("Error: ", fg="red", bold=True, err=True, nl=False)
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error
    except BrokenPipeError:
        # The reader (such as `head`) has closed; what Python flushes at exit must go nowhere, or it complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise typer.Exit(0) from None


@contextmanager
def progress_bars() -> Iterator[None]:
    """Show the progress of the work inside the block on standard error: one bar, that of the latest stage.

    The bar disappears when the work ends. If standard error is not a terminal nothing is drawn.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            for name, task in tasks.items():
                progress.update(task, visible=name == stage)
            progress.update(tasks[stage], completed=done, total=total)

        with progress_to(show):
            yield


def find_codebook(reference: str, store: str) -> Codebook:
    """As `labels.store.codebooks.find_codebook`, but without importing the database for a codebook in a file."""
    from labels.codebook.schema import load_codebook, names_stored

    if not names_stored(reference):
        return load_codebook(reference)
    from labels.store.codebooks import find_codebook

    return find_codebook(reference, store)


@contextmanager
def opened_store(store: str | None, codebook: str | None) -> Iterator[tuple[Store, Codebook, Settings]]:
    """Open the existing store of the settings, with its codebook; `store` and `codebook` are the options given.

    Raises:
        InputError: as `load_settings`, `find_codebook` and `Store`.
    """
    from labels.settings import load_settings
    from labels.store import Store
    from labels.store.codebooks import find_codebook

    settings = load_settings(store=store, codebook=codebook)
    book = find_codebook(settings.codebook, settings.store)
    with Store(settings.store, create=False) as found:
        yield found, book, settings


StoreOption = Annotated[
    str | None, typer.Option("--store", help="SQLite file or database URL \\[default: communique.db].", metavar="STORE")
]
_CODEBOOK_HELP = "A shipped codebook, a TOML file, or NAME@VERSION in the store \\[default: diplomatic]."
CodebookOption = Annotated[str | None, typer.Option("--codebook", help=_CODEBOOK_HELP, metavar="BOOK")]
