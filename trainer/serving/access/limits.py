"""Limits on request bodies, enforced before the application reads them: size, duration, media type and compression."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trainer.serving.schemas import refusal

MAX_BYTES = 8 * 2**20
BODY_SECONDS = 10.0

FILE_TYPES = ("application/pdf", "application/vnd.openxmlformats-officedocument.wordprocessingml.document")
MEDIA_TYPES: Mapping[str, tuple[str, ...]] = {
    "/invocations": ("application/json", "text/csv"),
    "/predict/file": FILE_TYPES,
}
"""Accepted media types of request bodies by path; all other paths accept only JSON."""


@dataclass
class _RefusedBodyError(Exception):
    status: int
    kind: str
    message: str


class BodyLimits:
    """ASGI middleware that reads the whole body, within limits, before it calls the application.

    Args:
        max_bytes: maximum size of a body.
        seconds: maximum time from the end of the headers to the end of the body.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int = MAX_BYTES, seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection of an ASGI server."""
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH", "DELETE"):
            await self._app(scope, receive, send)
            return
        try:
            self._check_headers(scope["path"], Headers(scope=scope))
            async with asyncio.timeout(self._seconds):
                body = await self._read(receive)
        except TimeoutError:
            message = f"the body did not arrive within {self._seconds:g} seconds. Send a smaller body"
            response = JSONResponse(refusal("body_timeout", message), 408, {"Connection": "close"})
        except _RefusedBodyError as error:
            response = JSONResponse(refusal(error.kind, error.message), error.status, {"Connection": "close"})
        else:
            if body is not None:  # otherwise the client has disconnected
                await self._app(scope, _replayed(body, receive), send)
            return
        await response(scope, receive, send)

    def _check_headers(self, path: str, headers: Headers) -> None:
        accepted = MEDIA_TYPES.get(path, ("application/json",))
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise _RefusedBodyError(415, "compressed", "compressed bodies are not accepted. Send the body uncompressed")
        if headers.get("content-type", "").partition(";")[0].strip().lower() not in accepted:
            raise _RefusedBodyError(
                415, "media_type", f"the Content-Type must be {' or '.join(accepted)}. Set the header of the request"
            )
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._max_bytes:
            raise self._too_large()

    def _too_large(self) -> _RefusedBodyError:
        return _RefusedBodyError(
            413,
            "too_large",
            f"the body is larger than {self._max_bytes:,} bytes. Send fewer texts per request, or a smaller file",
        )

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body; None if the client disconnects first."""
        pieces, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            piece = message.get("body", b"")
            size += len(piece)
            if size > self._max_bytes:
                raise self._too_large()
            pieces.append(piece)
            if not message.get("more_body", False):
                return b"".join(pieces)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` function that returns the body once, then the messages that follow, such as a disconnect."""
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
