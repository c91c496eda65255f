"""Runs the web application under uvicorn until it is told to stop."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from labels.errors import InputError
from trainer.model import Model
from trainer.serving.app import create_app

_BACKLOG = 2048
"""Connections that wait to be accepted; as uvicorn's own."""


def run_server(model: Model, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve `model` until interrupted; `announce` is called with the URL once the address is bound (port 0: a free
    one).

    Raises:
        InputError: the address cannot be listened on.
    """
    listener = _bind(host, port)
    bound = listener.getsockname()[1]
    announce(f"http://{f'[{host}]' if ':' in host else host}:{bound}")
    server = uvicorn.Server(uvicorn.Config(create_app(model), log_level="warning", lifespan="on"))
    server.run(sockets=[listener])


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)  # whoever reads the announced URL may connect at once
    except (OSError, UnicodeError) as error:  # UnicodeError: no host's name can look so
        raise InputError(
            f"cannot listen on {host} port {port} ({getattr(error, 'strerror', None) or error}). "
            "Name another with --host or --port; --port 0 takes a free one."
        ) from error
    return listener
