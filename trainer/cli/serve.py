"""`communique serve`: a saved model over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from labels.cli.terminal import console, reporting_errors
from trainer.cli.options import ArtefactArgument


def serve(
    artefact: ArtefactArgument,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serve a saved model over HTTP: a page at /, POST /predict, documentation at /docs."""
    from trainer.environment import silence_libraries
    from trainer.model.model import Model
    from trainer.runs.registry import fetch_artefact
    from trainer.serving.app import run_server

    with reporting_errors():
        silence_libraries()
        model = Model.load(fetch_artefact(artefact))
        run_server(model, host, port, lambda url: console.print(f"Serving {model.id} on {url}  (page: /, docs: /docs)"))
