"""`communique serve`: serve a saved model over HTTP."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from labels.cli.terminal import StoreOption, console
from labels.environment.settings import load_settings
from labels.errors import InputError
from trainer.cli.evaluate import ArtefactArgument

if TYPE_CHECKING:
    from trainer.model.model import Model

KEYS_FILE = Path("communique-keys.json")
Engine = Literal["uvicorn", "ray"]
HostOption = Annotated[
    str,
    typer.Option(
        "--host", help="Address to listen on. With 0.0.0.0, other machines can reach the server if they have a key."
    ),
]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on.")]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="Number of processes, each with the model.")]
KeysOption = Annotated[Path, typer.Option("--keys", help="File of API keys; see `communique keys`.")]
ProxyOption = Annotated[
    list[str] | None,
    typer.Option("--trusted-proxy", help="Address of a reverse proxy whose X-Forwarded-For names the client."),
]
RootPathOption = Annotated[
    str, typer.Option("--root-path", help="Path under which a reverse proxy publishes the server, e.g. /labels.")
]
OriginOption = Annotated[
    list[str] | None,
    typer.Option("--allow-origin", help="Site whose pages may call the API with a key, e.g. https://example.org."),
]
CorrectionsOption = Annotated[
    bool, typer.Option("--corrections", help="Accept corrections from the page; they need a key with scope `correct`.")
]
WatchOption = Annotated[
    bool,
    typer.Option("--watch", help="Compare the received sentences with the model's profile; /drift shows an alarm."),
]
BatchOption = Annotated[int, typer.Option("--max-batch", min=1, help="Maximum number of texts per call to the model.")]
EngineOption = Annotated[
    Engine, typer.Option("--engine", help="Server: uvicorn, or ray for a Ray Serve deployment (extra `ray`).")
]
ReplicasOption = Annotated[
    str | None,
    typer.Option(
        "--replicas", help="With --engine ray: number of replicas, or MIN-MAX to scale by load. \\[default: 1]"
    ),
]


def serve(
    artefact: ArtefactArgument,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    workers: WorkersOption = 1,
    keys: KeysOption = KEYS_FILE,
    trusted_proxy: ProxyOption = None,
    root_path: RootPathOption = "",
    allow_origin: OriginOption = None,
    corrections: CorrectionsOption = False,
    store: StoreOption = None,
    watch: WatchOption = False,
    max_batch: BatchOption = 64,
    engine: EngineOption = "uvicorn",
    replicas: ReplicasOption = None,
) -> None:
    """Serve a saved model over HTTP: a web page at /, predictions at POST /predict, documentation at /docs.

    Requests need an API key (`communique keys add`), except on this machine itself. After SIGHUP, or when the alias of
    an MLflow URI is moved, the server loads the new model without interruption.
    """
    _refuse_other_engine(engine, workers, replicas)
    from trainer.runs.tracking.registry import copy_artefact, current_version
    from trainer.serving.served import Source
    from trainer.serving.server import Options, run_server

    source = Source(artefact, partial(copy_artefact, artefact), partial(current_version, artefact))
    options = Options(
        host=host,
        port=port,
        workers=workers,
        keys=keys,
        trusted_proxies=tuple(trusted_proxy or ()),
        root_path=root_path,
        origins=tuple(allow_origin or ()),
        max_batch=max_batch,
        store=load_settings(store=store).store if corrections else "",
        watch=watch,
    )
    if engine == "uvicorn":
        run_server(source, options, partial(_announce, artefact))
    else:
        from trainer.serving.replicas import Replicas, run_on_ray

        run_on_ray(source, options, Replicas.parse(replicas or "1"), partial(_announce, artefact))


def _refuse_other_engine(engine: Engine, workers: int, replicas: str | None) -> None:
    if engine == "ray" and workers > 1:
        raise InputError("--workers is for --engine uvicorn. With --engine ray, use --replicas.")
    if engine == "uvicorn" and replicas is not None:
        raise InputError("--replicas needs --engine ray. Otherwise, use --workers.")


def _announce(artefact: str, url: str, model: Model) -> None:
    from trainer.model.starter import STARTER_NOTE, is_starter

    if is_starter(artefact):
        console.print(STARTER_NOTE)
    console.print(f"Serving {model.id} on {url}  (page: /, docs: /docs)")
