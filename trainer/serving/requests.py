"""The outermost layer of the application: request ids, one log line and the metrics of every request, security headers.

Logs are JSON lines. They contain no texts, no keys and no query strings.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trainer.serving.monitoring import Metrics
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
