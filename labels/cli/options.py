"""Options that several commands share, and how a command opens the store it is told to use."""

from __future__ import annotations

from typing import Annotated

import typer

StoreOption = Annotated[
    str | None, typer.Option("--store", help="SQLite file or database URL [default: communique.db].", metavar="STORE")
]
CodebookOption = Annotated[
    str | None, typer.Option("--codebook", help="A shipped name or a TOML file [default: diplomatic].", metavar="BOOK")
]
