"""Tools shared by the commands: console, tables, progress bars, error reports, opening the store, common options."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import typer

from labels.environment.progress import progress_to
from labels.environment.settings import SETTINGS_FILE, load_settings
from labels.errors import CommuniqueError, InputError
from labels.gold import MODEL_CODER
from labels.unicode import person_name, visible

if TYPE_CHECKING:
    from rich.align import VerticalAlignMethod
    from rich.console import Console, JustifyMethod
    from rich.progress import TaskID
    from rich.table import Table
    from rich.text import Text

    from labels.codebook.schema import Codebook
    from labels.environment.settings import Settings
    from labels.store import Store

_WIDTH_IN_FILES = 110
"""Columns of a table if standard output is not a terminal."""


class _Lazy:
    """A rich console, created on first use because importing rich is slow."""

    def __init__(self, *, stderr: bool = False) -> None:
        self._stderr = stderr

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        plain: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False, "stderr": self._stderr}
        found = Console(**plain)
        # In a file or a pipe a line is as long as it is, and a table needs a width that does not depend on a window.
        if not found.is_terminal:
            found = Console(**plain, soft_wrap=True, width=max(found.width, _WIDTH_IN_FILES))
        return found

    def print(self, *values: Any, **options: Any) -> None:
        """Like `rich.console.Console.print`, but text is never markup, and control characters are visible."""
        self._console.print(*map(_shown, values), **options)

    def fits(self, table: Table) -> bool:
        """Whether a table fits the width of the console without wrapping."""
        # By default, `measure` returns at most the width of the console.
        unlimited = self._console.options.update_width(10_000)
        return self._console.measure(table, options=unlimited).maximum <= self._console.width


def _shown(value: Any) -> Any:
    """A string with visible control characters; any other value unchanged."""
    return visible(value) if isinstance(value, str) else value


console = _Lazy()
"""The console for standard output."""
error_console = _Lazy(stderr=True)
"""The console for standard error, for remarks beside output that can be redirected into a file."""


def say(line: str, *, newline: bool = True, err: bool = False) -> None:
    """Print a line without layout, as the plain labelling prompt does; control characters are visible."""
    typer.echo(visible(line), nl=newline, err=err)


def write_out(content: str) -> None:
    """Write the content of a file to standard output: unchanged, except that a terminal shows control characters."""
    # With colour, because Typer removes escape sequences from uncoloured output.
    typer.echo(visible(content) if sys.stdout.isatty() else content, nl=False, color=True)


def table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]], *, align: str = "", **options: Any) -> Table:
    """A table without lines.

    Args:
        rows: the cells of each row; their control characters are made visible, except in a `Text`.
        align: a letter for each column: `t` is text that may be wrapped, `l` and `r` are aligned left and right and
            kept whole. By default text, then figures: `trrr`.
        options: further arguments of `rich.table.Table`.
    """
    from rich.table import Table

    options = {name: _shown(value) for name, value in options.items()}
    made = Table(**({"box": None, "pad_edge": False, "padding": (0, 2, 0, 0), "title_justify": "left"} | options))
    # A heading of several lines ends just above its figures.
    vertical: VerticalAlignMethod = "bottom" if any("\n" in heading for heading in headings) else "top"
    for heading, letter in zip(headings, align or "t" + "r" * (len(headings) - 1), strict=True):
        justify: JustifyMethod = "right" if letter == "r" else "left"
        made.add_column(_shown(heading), justify=justify, vertical=vertical, no_wrap=letter != "t", overflow="fold")
    for row in rows:
        made.add_row(*map(_shown, row))
    return made


def number(value: float | None, digits: int = 3) -> str:
    """A figure with this many decimals; a dash if it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


class Bounded(Protocol):
    """An interval whose bounds may be None."""

    @property
    def low(self) -> float | None:
        """The lower bound."""

    @property
    def high(self) -> float | None:
        """The upper bound."""


def bounds(interval: Bounded | None, digits: int = 3, *, joint: str = "–") -> str:
    """The two bounds of an interval as text; a dash if there is no interval."""
    if interval is None or interval.low is None:
        return "–"
    return f"{interval.low:.{digits}f}{joint}{interval.high:.{digits}f}"


def local_time(moment: str) -> str:
    """A time in ISO 8601 as date and time in the local time zone; unchanged if it is not a time."""
    try:
        return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:
        return moment


def print_next(*commands: str) -> None:
    """Print suggested commands, one per line and without line breaks, so that they can be copied."""
    console.print("Next: " + "\n      ".join(commands), soft_wrap=True)


def print_error(message: str) -> None:
    """Print a message on standard error, after the red word "Error"."""
    typer.secho("Error: ", fg="red", bold=True, err=True, nl=False)
    say(message, err=True)


class _VisibleRecords(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def show_warnings() -> None:
    """Print logged warnings with visible control characters: their messages name files and stores."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_VisibleRecords())


@contextmanager
def reporting_errors() -> Iterator[None]:
    """Print a `CommuniqueError` as one message on standard error and exit with the code of its class.

    Other errors of the file system are also printed as one message; the exit code is 1. After Ctrl-C, it is 130.
    """
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()  # a full disk is reported here, and not by Python at exit
    except CommuniqueError as error:
        print_error(str(error))
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as interrupt:
        # A command that knows what is kept says so in the interrupt.
        error_console.print(f"Interrupted. {interrupt}".rstrip(), markup=False)
        raise typer.Exit(130) from None  # 128 + SIGINT, as shells report it
    except BrokenPipeError:
        # The reader (such as `head`) has closed the pipe.
        _discard_output()
        raise typer.Exit(0) from None
    except OSError as error:
        place = error.filename if isinstance(error.filename, str) else "A file or the standard output"
        print_error(f"{place}: cannot be read or written ({error.strerror or error}). Check the path and the disk.")
        _discard_output()
        raise typer.Exit(1) from error


def _discard_output() -> None:
    """Discard output that cannot be written, or Python reports a second error at exit."""
    try:
        sys.stdout.flush()
    except (OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@contextmanager
def progress_bars() -> Iterator[None]:
    """Show the progress of the block on standard error, with one bar for the current stage.

    The bar disappears at the end. Nothing is shown if standard error is not a terminal.
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
            # One bar at a time: stages follow each other, and a nested one replaces its outer one.
            for name, task in tasks.items():
                progress.update(task, visible=name == stage)
            progress.update(tasks[stage], completed=done, total=total)

        with progress_to(show):
            yield


@contextmanager
def share_bar(stage: str) -> Iterator[Callable[[float, str], None]]:
    """Show a bar on standard error for work of which only the finished share is known.

    Yields a function that takes the share, from 0 to 1, and a text to show behind the bar. The bar disappears at the
    end. Nothing is shown if standard error is not a terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda share, text: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(stage, total=1.0, text="")
        yield lambda share, text: progress.update(task, completed=share, text=text)


def codebook_in_use(settings: Settings) -> Codebook:
    """Return the codebook of the settings; say so if the store keeps an older version of a shipped codebook."""
    from labels.store import codebooks

    used, note = codebooks.codebook_in_use(settings.codebook, settings.store)
    if note:
        error_console.print(f"Note: {note}", soft_wrap=True)
    return used


@contextmanager
def opened_store(store: str | None, codebook: str | None) -> Iterator[tuple[Store, Codebook, Settings]]:
    """Open the existing store of the settings, with its codebook; `store` and `codebook` are the options given.

    Raises:
        InputError: see `load_settings`, `codebook_in_use` and `Store`.
    """
    from labels.store import Store

    settings = load_settings(store=store, codebook=codebook)
    book = codebook_in_use(settings)
    with Store(settings.store, create=False) as found:
        warn_of_place(settings.store)
        yield found, book, settings


def warn_of_place(store: str) -> None:
    """Warn on standard error if a SQLite store lies in a folder in which it can be damaged."""
    from labels.environment.settings import sqlite_file, store_name, store_url
    from labels.store.upkeep.places import risky_place

    file = sqlite_file(store_url(store))
    if file is not None and (place := risky_place(file)):
        text = (
            f"Warning: {store_name(store)} is in {place}. If two machines write at the same time, a SQLite file can "
            "be damaged there. Move it to a local folder, or use PostgreSQL. `communique store backup` makes a copy."
        )
        error_console.print(text, soft_wrap=True)


def checked_annotator(name: str) -> str:
    """Return the name in the option --annotator, or the name in the settings; see `person_name`.

    Raises:
        InputError: neither gives a name, or the name is that of a model coder.
    """
    if not name:
        name = load_settings().annotator
        if not name:
            raise InputError(
                "No annotator is named. Add --annotator YOUR_NAME, or write "
                f'annotator = "YOUR_NAME" into {SETTINGS_FILE}.'
            )
    found = person_name(name, "--annotator")
    if found.startswith(MODEL_CODER):
        raise InputError(f"Names that begin with '{MODEL_CODER}' belong to language models. Choose another name.")
    return found


AnnotatorOption = Annotated[
    str,
    typer.Option(
        "--annotator",
        callback=checked_annotator,
        help="Your name, recorded with each decision \\[default: `annotator` in communique.toml].",
    ),
]
StoreOption = Annotated[
    str | None, typer.Option("--store", help="SQLite file or database URL \\[default: communique.db].", metavar="STORE")
]
_CODEBOOK_HELP = "A shipped codebook, a TOML file, or NAME@VERSION in the store \\[default: diplomatic]."
CodebookOption = Annotated[str | None, typer.Option("--codebook", help=_CODEBOOK_HELP, metavar="BOOK")]
TextColumnOption = Annotated[
    str, typer.Option("--text-column", help="Column with the texts \\[default: text].", metavar="COLUMN")
]
KeepQuotesOption = Annotated[
    bool, typer.Option("--keep-quotes", help="Keep a quotation of several sentences as one sentence.")
]
LabelColumnOption = Annotated[
    str, typer.Option("--label-column", help="Column with the labels \\[default: label or labels].", metavar="COLUMN")
]
BlankOption = Annotated[
    Literal["none", "undecided"] | None,
    typer.Option(
        "--blank",
        help="Meaning of blank label cells: no label applies (none), or nobody decided, so the rows are left out "
        "(undecided).",
    ),
]
SpreadsheetOption = Annotated[
    bool,
    typer.Option(
        "--for-spreadsheet",
        help="In a .csv file, put an apostrophe before cells that a spreadsheet would execute, such as =1+1.",
    ),
]
TextsOption = Annotated[
    Path | None,
    typer.Option("--texts", help="Also write the text of each document to DOCUMENT_ID.txt in this folder."),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace the output of an earlier call.")]
