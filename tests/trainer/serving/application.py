"""An application of a model in this process, and requests to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.lazy import Lazy
from trainer.model.model import Model

create_app = Lazy("trainer.serving.app:create_app")
Served = Lazy("trainer.serving.served:Served")
Source = Lazy("trainer.serving.served:Source")
Metrics = Lazy("trainer.serving.monitoring:Metrics")
Watch = Lazy("trainer.serving.drift_watch:Watch")
Access = Lazy("trainer.serving.gate:Access")
KeyFile = Lazy("labels.environment.keys:KeyFile")

T = TypeVar("T")
Client = httpx.AsyncClient
JSON = {"content-type": "application/json"}


def with_client(
    model: Model,
    work: Callable[[Client], Awaitable[T]],
    *,
    keys: Path = Path("no-keys.json"),
    keyless: bool = True,
    source: Any = None,
    client: str = "127.0.0.1",
    corrections: Any = None,
    watch: bool = False,
    **access: Any,
) -> T:
    """What `work` returns, given a client of a running application at http://localhost."""

    async def run() -> T:
        metrics = Metrics()
        served = Served(
            source or Source("a model", Path),
            model,
            metrics,
            poll_seconds=0.02 if source else 0,
            watch=Watch(metrics) if watch else None,
        )
        app = create_app(served, Access(KeyFile(keys), keyless, **access), metrics, corrections=corrections)
        served.start()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(client, 40000))
        try:
            async with Client(transport=transport, base_url="http://localhost", timeout=60) as asker:
                return await work(asker)
        finally:
            await served.stop()

    return asyncio.run(asyncio.wait_for(run(), 60))


def post(
    model: Model, body: Any, path: str = "/predict", headers: dict[str, str] = JSON, **options: Any
) -> httpx.Response:
    """The answer to one POST; bytes are sent as they are."""
    content: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
    return with_client(model, lambda client: client.post(path, headers=headers, **content), **options)


def get(model: Model, path: str, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
    """The answer to one GET."""
    return with_client(model, lambda client: client.get(path, headers=headers or {}), **options)
