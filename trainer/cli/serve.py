"""`communique serve`: serve a saved model over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from labels.cli.terminal import console
from trainer.cli.evaluate import ArtefactArgument, load_model


def serve(
    artefact: ArtefactArgument,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serve a saved model over HTTP, with a web page at /, predictions at POST /predict and documentation at /docs."""
    from trainer.serving.app import run_server

    model = load_model(artefact)
    run_server(model, host, port, lambda url: console.print(f"Serving {model.id} on {url}  (page: /, docs: /docs)"))
