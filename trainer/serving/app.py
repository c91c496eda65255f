"""The web application of a saved model (POST /predict, GET /health, /codebook, /docs, a page at /), run by uvicorn.

Requests that arrive together are predicted together, on one worker thread (micro-batching).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi_offline import FastAPIOffline
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from labels.errors import InputError
from labels.text.rows import is_unicode
from trainer.calibration.calibration import Probabilities
from trainer.model.model import Model


@dataclass(frozen=True)
class _Request:
    texts: list[str]
    answer: asyncio.Future[Probabilities]


class Batcher:
    """Collects the texts of concurrent requests and calls the model once for all of them.

    While the model predicts a batch, new requests form the next batch. Batches therefore grow with the load, and a
    single request is predicted without delay.

    Args:
        max_texts: maximum number of texts in a batch of several requests. A single request is never split.
    """

    def __init__(self, model: Model, *, max_texts: int = 256) -> None:
        self._model = model
        self._max_texts = max_texts
        self._waiting: asyncio.Queue[_Request] = asyncio.Queue()
        self._under_way: list[_Request] = []
        self._following: _Request | None = None  # taken from the queue, but too large for the current batch
        # One thread: the model predicts one batch at a time while the event loop keeps accepting requests.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start answering requests. Call this inside a running event loop."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Stop the worker and cancel unanswered requests."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        while not self._waiting.empty():
            self._under_way.append(self._waiting.get_nowait())
        for request in [*self._under_way, *filter(None, [self._following])]:
            request.answer.cancel()
        self._thread.shutdown()

    async def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """Return calibrated probabilities of shape (n, labels) for n texts.

        Raises:
            Exception: any error that the model raises for these texts.
        """
        answer: asyncio.Future[Probabilities] = asyncio.get_running_loop().create_future()
        await self._waiting.put(_Request(list(texts), answer))
        return await answer

    async def _work(self) -> None:
        while True:
            self._under_way = [self._following or await self._waiting.get()]
            self._following = self._gather()
            await self._answer(self._under_way)

    def _gather(self) -> _Request | None:
        """Add waiting requests to the batch up to the maximum size; return the first request that does not fit."""
        size = len(self._under_way[0].texts)
        while not self._waiting.empty():
            request = self._waiting.get_nowait()
            size += len(request.texts)
            if size > self._max_texts:
                return request
            self._under_way.append(request)
        return None

    async def _answer(self, batch: Sequence[_Request]) -> None:
        """Answer a batch. If the batch fails, predict each request alone, so that only the faulty request fails."""
        try:
            probabilities = await self._predict([text for request in batch for text in request.texts])
        except Exception as error:  # the error affects only these requests; the worker must continue
            if len(batch) == 1:
                if not batch[0].answer.done():
                    batch[0].answer.set_exception(error)
                return
            for request in batch:
                await self._answer([request])
            return
        start = 0
        for request in batch:
            # The future is already done (cancelled) if the client has disconnected.
            if not request.answer.done():
                request.answer.set_result(probabilities[start : start + len(request.texts)])
            start += len(request.texts)

    async def _predict(self, texts: list[str]) -> Probabilities:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._model.predict_proba, texts)


MAX_TEXTS, MAX_CHARACTERS = 1000, 20_000


def _whole_characters(text: str) -> str:
    if not is_unicode(text):
        raise ValueError("contains an unpaired surrogate")
    return text


Text = Annotated[
    str, AfterValidator(_whole_characters), StringConstraints(min_length=1, max_length=MAX_CHARACTERS, pattern=r"\S")
]


class PredictRequest(BaseModel):
    """The sentences to label: 1 to 1,000 sentences of 1 to 20,000 characters."""

    texts: Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)]
    model_config = {
        "extra": "forbid",
        "json_schema_extra": {"examples": [{"texts": ["Norway will provide $40 million for power repairs."]}]},
    }


class Prediction(BaseModel):
    """The labels assigned to one sentence, and the calibrated probability of each label."""

    labels: list[str]
    probabilities: dict[str, float]


class PredictResponse(BaseModel):
    """Predictions in the order of the request, with the id of the model and the hash of the codebook."""

    predictions: list[Prediction]
    model_id: str
    codebook_hash: str


class Health(BaseModel):
    """The state of the server and the model that it serves."""

    status: str
    kind: str
    model_id: str
    codebook: str
    labels: list[str]
    synthetic: bool


def _response(model: Model, probabilities: Probabilities) -> PredictResponse:
    return PredictResponse(
        predictions=[
            Prediction(labels=list(labels), probabilities=dict(zip(model.labels, map(float, row), strict=True)))
            for labels, row in zip(model.label_sets(probabilities), probabilities, strict=True)
        ],
        model_id=model.id,
        codebook_hash=model.codebook.hash,
    )


def create_app(model: Model) -> FastAPI:
    """Create the web application that serves `model`. Its documentation pages work without network access."""
    manifest = model.manifest
    assert manifest is not None
    batcher = Batcher(model)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        yield
        await batcher.stop()

    app: FastAPI = FastAPIOffline(
        title=f"communique: {manifest.codebook_name}",
        version=manifest.codebook_version,
        description=f"A {manifest.kind} model for the labels {', '.join(manifest.labels)}.",
        lifespan=lifespan,
    )

    @app.exception_handler(RequestValidationError)
    async def refuse(_: Request, error: RequestValidationError) -> JSONResponse:
        """Report each problem and its location without the input, which may be long or not valid in JSON."""
        problems = [{key: problem[key] for key in ("type", "loc", "msg")} for problem in error.errors()]
        return JSONResponse({"detail": problems}, status_code=422)

    @app.post("/predict")
    async def predict(request: PredictRequest) -> PredictResponse:
        """Label each text."""
        probabilities = await batcher.predict_proba(request.texts)
        return _response(model, probabilities)

    @app.get("/health")
    async def health() -> Health:
        """Report that the server is running, and the model that it serves."""
        return Health(
            status="ok",
            kind=manifest.kind,
            model_id=model.id,
            codebook=f"{manifest.codebook_name} {manifest.codebook_version}",
            labels=list(manifest.labels),
            synthetic=manifest.synthetic,
        )

    @app.get("/codebook")
    async def codebook() -> dict[str, Any]:
        """Return the codebook and its hash."""
        return {"hash": model.codebook.hash, **model.codebook.model_dump(mode="json")}

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> str:
        return Path(__file__).with_name("page.html").read_text(encoding="utf-8")

    return app


_BACKLOG = 2048
"""Maximum number of connections waiting to be accepted: uvicorn's default."""


def run_server(model: Model, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve `model` until interrupted. Port 0 chooses a free port.

    `announce` is called with the URL as soon as clients can connect.

    Raises:
        InputError: the address is in use, or is not an address of this machine.
    """
    listener = _bind(host, port)
    bound = listener.getsockname()[1]
    announce(f"http://{f'[{host}]' if ':' in host else host}:{bound}")
    # uvicorn gets a bound socket, so that the port is known before uvicorn starts, even if the port was 0.
    server = uvicorn.Server(uvicorn.Config(create_app(model), log_level="warning", lifespan="on"))
    server.run(sockets=[listener])


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        # A server that was just stopped leaves its port in TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)  # clients may connect as soon as the URL is announced
    except (OSError, UnicodeError) as error:  # UnicodeError: not a valid host name
        raise InputError(
            f"cannot listen on {host} port {port} ({getattr(error, 'strerror', None) or error}). "
            "Choose another address with --host or --port; --port 0 chooses a free port."
        ) from error
    return listener
