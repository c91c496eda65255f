"""The commands of this package, one module a group. Thin shells: one call into a library function, value printed."""

from __future__ import annotations

import typer

from labels.cli import codebook, exchange
from labels.cli.agreement import agreement_command
from labels.cli.ingest import ingest_command
from labels.cli.label import adjudicate_command, label_command
from labels.cli.status import status_command

app = typer.Typer(no_args_is_help=True)
app.add_typer(codebook.app, name="codebook")
app.add_typer(exchange.app, name="annotations")
app.command("ingest", epilog="Example: communique ingest articles/ more.jsonl")(ingest_command)
app.command("label", epilog="Example: communique label --annotator ana --size 50")(label_command)
app.command("adjudicate", epilog="Example: communique adjudicate --annotator eva")(adjudicate_command)
app.command("status", epilog="Example: communique status --store team.db")(status_command)
app.command("agreement", epilog="Example: communique agreement --suggestions --json agreement.json")(agreement_command)
