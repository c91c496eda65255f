"""The web application of a saved model: routes for predictions, health, the codebook, metrics and documentation.

`create_app` puts the application together. Its layers, from the outside to the inside: `monitoring` (ids, log,
metrics), `gate` (keys, limits on bodies), the routes below, `answers`, `scheduling`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import fastapi_offline
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from labels.errors import StoreError
from trainer.serving.answers import ContentError, answer, assigned
from trainer.serving.bodies import FILE_BODY, FileReader, read_invocation
from trainer.serving.corrections import Corrections, CorrectionsRequest, CorrectionsResponse
from trainer.serving.drift_watch import Drift, Watch
from trainer.serving.gate import Access, BodyLimits, Gate
from trainer.serving.monitoring import Metrics, Requests
from trainer.serving.scheduling import DeadlineError, QueueFullError
from trainer.serving.schemas import (
    DocumentInput,
    Health,
    PredictRequest,
    PredictResponse,
    Refusal,
    problems_of,
    refusal,
)
from trainer.serving.served import Served

T = TypeVar("T")
logger = logging.getLogger("communique.serving")

PROCESSING_SECONDS = 30.0
_PAGE = Path(__file__).with_name("page")
_SWAGGER_UI = Path(fastapi_offline.__file__).parent / "static"
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": what}
    for status, what in (
        (401, "No key, or a key that is not valid"),
        (403, "A key without the required scope, or a request from another site"),
        (408, "The body did not arrive in time"),
        (413, "The body is too large, or takes too long to process"),
        (415, "Wrong media type, or a compressed body"),
        (422, "The content is not valid"),
        (429, "Too many requests with a wrong key"),
        (503, "The server is busy: try again after the number of seconds in Retry-After"),
    )
}


def create_app(
    served: Served, access: Access, metrics: Metrics, *, root_path: str = "", corrections: Corrections | None = None
) -> ASGIApp:
    """Create the web application that serves the current model of `served`. Its pages work without network access.

    Corrections are accepted only if `corrections` is given.
    """
    app = FastAPI(
        title="communique",
        version=version("communique"),
        description="Labels sentences and documents with a trained model.",
        lifespan=_lifespan(served),
        docs_url=None,
        redoc_url=None,
        root_path=root_path,
    )
    _add_predictions(app, served, metrics)
    _add_state(app, served, metrics, corrections is not None)
    if served.watch is not None:
        _add_drift(app, served, served.watch)
    if corrections is not None:
        _add_corrections(app, served, corrections)
    _add_refusals(app)
    _add_pages(app)
    routes = [path for route in app.routes if (path := getattr(route, "path", ""))]
    # From the inside to the outside: a request without a valid key is refused before its body is read.
    inner = Gate(BodyLimits(app), access=access)
    return Requests(inner, metrics=metrics, routes=routes)


def _lifespan(served: Served) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        served.start()
        yield
        await served.stop()

    return lifespan


def _add_predictions(app: FastAPI, served: Served, metrics: Metrics) -> None:
    def count(request: Request, response: PredictResponse) -> PredictResponse:
        found = assigned(response)
        metrics.sentences.inc(len(found))
        for label in (label for labels in found for label in labels):
            metrics.labels.labels(label).inc()
        request.scope["log"] = {"sentences": len(found), "model": response.model_id}
        return response

    @app.post("/predict", responses=_REFUSALS, response_model=PredictResponse)
    async def predict(content: PredictRequest, request: Request) -> Response:
        """Label sentences, or split documents into sentences and label the sentences."""
        work = answer(content, served.current, seconds=PROCESSING_SECONDS)
        response = count(request, await _unless_disconnected(request, work))
        return Response(response.model_dump_json(exclude_none=True), media_type="application/json")

    reader = FileReader()

    @app.post("/predict/file", responses=_REFUSALS, response_model=PredictResponse, openapi_extra=FILE_BODY)
    async def predict_file(request: Request) -> Response:
        """Read a Word or PDF file, split its text into sentences and label the sentences."""
        found = await reader.read(await request.body())
        content = PredictRequest(documents=[DocumentInput(text=found.text)])
        work = answer(content, served.current, seconds=PROCESSING_SECONDS)
        response = count(request, await _unless_disconnected(request, work))
        for document in response.documents or ():
            document.notes = list(found.notes)
        return Response(response.model_dump_json(exclude_none=True), media_type="application/json")

    @app.post("/invocations", responses=_REFUSALS, openapi_extra=_INVOCATION_BODY)
    async def invocations(request: Request) -> JSONResponse:
        """Label texts with MLflow's scoring protocol."""
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        texts = read_invocation(await request.body(), media_type)
        work = answer(PredictRequest.model_construct(texts=texts), served.current, seconds=PROCESSING_SECONDS)
        response = count(request, await _unless_disconnected(request, work))
        predictions = [one.model_dump(exclude_none=True) for one in response.predictions or ()]
        return JSONResponse({"predictions": predictions})


_INVOCATION_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "example": {"dataframe_split": {"columns": ["text"], "data": [["The envoy urged a truce."]]}},
            },
            "text/csv": {"schema": {"type": "string"}, "example": "text\nThe envoy urged a truce.\n"},
        },
    }
}


def _add_corrections(app: FastAPI, served: Served, corrections: Corrections) -> None:
    @app.post("/corrections", responses=_REFUSALS)
    async def correct(content: CorrectionsRequest, request: Request) -> CorrectionsResponse:
        """Record the right labels of sentences in the label store, under the annotator of the key."""
        codebook, key = served.current.model.codebook, request.scope["key"]
        return await asyncio.to_thread(corrections.record, content, codebook, key)


def _add_state(app: FastAPI, served: Served, metrics: Metrics, accepts_corrections: bool) -> None:
    @app.get("/health/live", response_class=PlainTextResponse)
    async def live() -> str:
        """Report that the server is running."""
        return "ok\n"

    @app.get("/ping", response_class=PlainTextResponse)
    async def ping() -> str:
        """Report that the server is running, as `mlflow models serve` does."""
        return "\n"

    @app.get("/version", response_class=PlainTextResponse)
    async def mlflow_version() -> str:
        """Report the version of MLflow whose scoring protocol this server follows."""
        return version("mlflow")

    @app.get("/health/ready")
    @app.get("/health", include_in_schema=False)
    async def ready() -> Health:
        """Report that the server can answer, and the model that it serves.

        The status is `loading` while a new model is loaded and tested. Until then, the current model answers.
        """
        model = served.current.model
        manifest = model.manifest
        assert manifest is not None
        return Health(
            status="loading" if served.loading else "ok",
            kind=manifest.kind,
            model_id=model.id,
            codebook=f"{manifest.codebook_name} {manifest.codebook_version}",
            labels=list(manifest.labels),
            exclusive=manifest.exclusive,
            thresholds={} if manifest.exclusive else manifest.thresholds,  # not used where labels exclude each other
            synthetic=manifest.synthetic,
            corrections=accepts_corrections,
            explains=not model.why_not_explained(),
        )

    @app.get("/codebook")
    async def codebook() -> dict[str, Any]:
        """Return the codebook and its hash."""
        current = served.current.model.codebook
        return {"hash": current.hash, **current.model_dump(mode="json")}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics_text() -> Response:
        """Return the metrics for Prometheus."""
        metrics.queue.set(served.current.batcher.waiting)
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_drift(app: FastAPI, served: Served, watch: Watch) -> None:
    @app.get("/drift", responses=_REFUSALS)
    async def drift() -> Drift:
        """Compare the sentences received so far with the reference of the model."""
        model = served.current.model
        if found := await watch.report(model):
            return found
        raise HTTPException(409, f"model {model.id} has no profile to compare sentences with. Train it again")


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def not_valid(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(problems_of(error.errors()), 422)

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> JSONResponse:
        what = "has no such route" if error.status_code == 404 else f"does not accept {request.method} on this route"
        message = f"the server {what}. See /docs for the routes" if error.status_code in (404, 405) else error.detail
        return JSONResponse(refusal("route", message, ()), error.status_code, error.headers)

    @app.exception_handler(ContentError)
    async def not_answerable(_: Request, error: ContentError) -> JSONResponse:
        return JSONResponse(refusal("content", str(error), error.location), 422)

    @app.exception_handler(StoreError)
    async def store_failed(_: Request, error: StoreError) -> JSONResponse:
        logger.error("store", extra={"fields": {"event": "store failed", "reason": str(error)}})
        message = "the label store cannot be written, so nothing was recorded. Try again later"
        return JSONResponse(refusal("store", message, ()), 503, {"Retry-After": "10"})

    @app.exception_handler(QueueFullError)
    async def full(_: Request, error: QueueFullError) -> JSONResponse:
        wait = str(max(1, math.ceil(error.retry_after)))
        message = f"the server is busy: {error}. Try again in {wait} seconds"
        return JSONResponse(refusal("queue_full", message, ()), 503, {"Retry-After": wait})

    @app.exception_handler(DeadlineError)
    async def late(_: Request, error: DeadlineError) -> JSONResponse:
        if not error.started:
            message = "the server is busy: the request waited too long. Try again in 10 seconds"
            return JSONResponse(refusal("queue_full", message, ()), 503, {"Retry-After": "10"})
        message = f"the request takes longer than {PROCESSING_SECONDS:g} seconds. Send fewer texts per request"
        return JSONResponse(refusal("processing_time", message), 413)

    @app.exception_handler(_DisconnectedError)
    async def gone(_: Request, __: _DisconnectedError) -> Response:
        return Response(status_code=499)  # the client has gone: nobody receives this


def _add_pages(app: FastAPI) -> None:
    """Add the routes of the pages. Links in the pages are relative, so they work below any root path."""

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    # FastAPI's own documentation page contains an inline script, which the content security policy forbids.
    @app.get("/docs", include_in_schema=False)
    async def documentation() -> FileResponse:
        return FileResponse(_PAGE / "docs.html")

    app.mount("/assets/swagger-ui", StaticFiles(directory=_SWAGGER_UI))
    app.mount("/assets", StaticFiles(directory=_PAGE))


class _DisconnectedError(Exception):
    """The client closed the connection before the answer."""


async def _unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled if the client disconnects: nobody would read the answer."""
    asking = asyncio.current_task()
    assert asking is not None
    gone = False

    async def listen() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        asking.cancel()

    listening = asyncio.create_task(listen())
    try:
        return await work
    except asyncio.CancelledError:
        if not gone or asking.uncancel():  # the server is stopping
            raise
        raise _DisconnectedError from None
    finally:
        listening.cancel()
