"""What the command modules share: one console, progress bars on standard error, and errors turned into exit codes.

Options that several commands share.
"""

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


_WIDTH_IN_FILES = 110
"""Columns of a table where standard output is no terminal."""


class _Lazy:
    """A rich console on standard output, made when it is first used: importing rich takes a tenth of a second."""

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        found = Console(highlight=False)
        if not found.is_terminal:
            found = Console(highlight=False, soft_wrap=True, width=max(found.width, _WIDTH_IN_FILES))
        return found

    def print(self, *values: Any, **options: Any) -> None:
        """As `rich.console.Console.print`, but text is never read as markup, and half a character is shown escaped."""
        self._console.print(*map(_printable, values), **({"markup": False} | options))


def _printable(value: Any) -> Any:
    """A string without lone surrogates, as file names that are not UTF-8 have them; any other value as it is."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


console = _Lazy()


@contextmanager
def reporting_errors() -> Iterator[None]:
    """Turn what library code raises on purpose into one message on standard error and the exit code of its class."""
    try:
        yield
    except CommuniqueError as error:
        typer.secho("Error: ", fg="red", bold=True, err=True, nl=False)
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from error
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise typer.Exit(0) from None


@contextmanager
def progress_bars() -> Iterator[None]:
    """Show the progress of the work inside the block on standard error: one bar, that of the latest stage.

    The bar goes when the work ends. Where standard error is not a terminal nothing is drawn.
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


StoreOption = Annotated[
    str | None, typer.Option("--store", help="SQLite file or database URL \\[default: communique.db].", metavar="STORE")
]
_CODEBOOK_HELP = "A shipped name, a TOML file, or NAME@VERSION of the store \\[default: diplomatic]."
CodebookOption = Annotated[str | None, typer.Option("--codebook", help=_CODEBOOK_HELP, metavar="BOOK")]
