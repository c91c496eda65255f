"""What an operator sees of the server: request ids, one log line per request, and Prometheus metrics.

`Requests` is the outermost layer of the application, and also adds the security headers. Logs are JSON lines. They
contain no texts, no keys and no query strings. With several workers, the metrics of all workers are added up.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trainer.serving.schemas import refusal

logger = logging.getLogger("communique.serving")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_REFUSALS = {401: "key", 403: "key", 404: "route", 405: "route", 408: "time", 413: "size", 415: "media type"}
_OTHER_REFUSALS = {422: "content", 429: "key", 503: "load"}


class Requests:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, routes: Sequence[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection of an ASGI server."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = perf_counter(), 0
        scope["request_id"] = identifier = _request_id(Headers(scope=scope))

        async def wrapped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = identifier
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, wrapped)
        except Exception:
            logger.exception("unexpected error", extra={"fields": {"event": "error", "id": identifier}})
            if not status:  # otherwise part of the response was sent already
                message = f"the server has failed. Report the request id {identifier} to its administrator"
                await JSONResponse(refusal("internal", message, ()), 500)(scope, receive, wrapped)
        finally:
            self._record(scope, status, perf_counter() - start)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        # Unknown paths are counted together: a client must not be able to create metrics.
        route = scope["path"] if scope["path"] in self._routes else "other"
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "OPTIONS") else "other"
        # Status 0: the client has disconnected before the answer; 499 is the customary number for this.
        self._metrics.requests.labels(method, route, str(status or 499)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if reason := (_REFUSALS | _OTHER_REFUSALS).get(status):
            self._metrics.refusals.labels(reason).inc()
        key = scope.get("key")
        fields = {"event": "request", "id": scope["request_id"], "method": method, "route": route}
        fields |= {"status": status or 499, "ms": round(1000 * seconds, 1), "key": key.name if key else ""}
        logger.info("request", extra={"fields": fields | scope.get("log", {})})


def _request_id(headers: Headers) -> str:
    """The id that the client sent, if it is valid, or a new id."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


class JsonLines(logging.Formatter):
    """Formats a log record as one line of JSON with the time, the level and the fields of the event."""

    def format(self, record: logging.LogRecord) -> str:
        """The JSON of a record; for an error, only its type and place, because its message may quote a text."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        content: dict[str, Any] = {"time": moment, "level": record.levelname.lower()}
        content |= getattr(record, "fields", {"event": record.name, "message": record.getMessage()})
        if record.exc_info and record.exc_info[1] is not None:
            content |= _described(record.exc_info[1])
        return json.dumps(content, ensure_ascii=False)


def _described(error: BaseException) -> dict[str, str]:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else ""
    return {"error": type(error).__name__, "place": where}


def log_to_stderr() -> None:
    """Write the log of the server to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


# -- metrics

LABELS = "communique_labels"

_BATCHES = (1, 2, 4, 8, 16, 32, 64)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one application. No label contains a text, a key or an address."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self._shown: dict[str, frozenset[str]] = {}
        self.requests = Counter(
            "communique_requests", "Answered requests.", ["method", "route", "status"], registry=own
        )
        self.seconds = Histogram(
            "communique_request_seconds", "Time until a request is answered.", ["route"], buckets=_SECONDS, registry=own
        )
        self.batch = Histogram("communique_batch_texts", "Texts per call of the model.", buckets=_BATCHES, registry=own)
        self.queue = Gauge(
            "communique_queue_texts", "Texts that wait for the model.", multiprocess_mode="livesum", registry=own
        )
        self.labels = Counter(LABELS, "Assigned labels.", ["label"], registry=own)
        self.sentences = Counter("communique_sentences", "Labelled sentences.", registry=own)
        self.refusals = Counter("communique_refusals", "Refused requests.", ["reason"], registry=own)
        self.reloads = Counter("communique_reloads", "Reloads of the model.", ["outcome"], registry=own)

    def watch_queue(self, waiting: Callable[[], int]) -> None:
        """Report the length of the queue when metrics are read; in multiprocess mode, call `queue.set` instead."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            self.queue.set_function(waiting)

    def show_labels(self, labels: Iterable[str], metric: str = LABELS) -> None:
        """Report a metric only for these values of its only label: other values belong to an earlier model."""
        self._shown[metric] = frozenset(labels)

    def text(self) -> bytes:
        """The metrics in Prometheus' text format, of all workers if there are several."""
        together = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            together = CollectorRegistry()
            MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        current = CollectorRegistry()
        current.register(_Current(together, self._shown))
        return generate_latest(current)


class _Current(Collector):
    """The metrics of a registry without the values of earlier models, which Prometheus' counters keep for ever."""

    def __init__(self, registry: CollectorRegistry, shown: dict[str, frozenset[str]]) -> None:
        self._registry, self._shown = registry, shown

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names of the metrics were checked when they were created."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The metrics with their current values."""
        for metric in self._registry.collect():
            if (shown := self._shown.get(metric.name)) is not None:
                metric.samples = [one for one in metric.samples if shown.issuperset(one.labels.values())]
            yield metric


def shared_folder() -> Path | None:
    """The folder in which several workers keep their metrics; None if there is one process."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(folder) if folder else None
