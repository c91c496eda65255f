"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

StoreOption = Annotated[
    str | None, typer.Option("--store", help="SQLite file or database URL \\[default: communique.db].", metavar="STORE")
]
_CODEBOOK_HELP = "A shipped name, a TOML file, or NAME@VERSION of the store \\[default: diplomatic]."
CodebookOption = Annotated[str | None, typer.Option("--codebook", help=_CODEBOOK_HELP, metavar="BOOK")]
