"""Decide which requests may reach the application: API keys, guards for a server without keys, limits on bodies.

Without a key, a server answers only `OPEN_ROUTES`, unless it listens on a loopback address. There, requests without a
key are answered only if they come from the same machine: a web page of another site (cross-site requests, DNS
rebinding) or a reverse proxy in front of the server must not forward the request of a stranger.

The size, duration, media type and compression of a body are checked before the application reads it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labels.environment.addresses import FailedAttempts, forwarding_header, is_loopback_host, is_own_site
from labels.environment.keys import Key, KeyFile
from labels.errors import InputError
from trainer.serving.schemas import refusal

OPEN_ROUTES = ("/health/live", "/ping")
"""Routes that anybody may call: they reveal only that a server is running."""

_ADMIN_ROUTES = ("/metrics", "/drift")
_CORRECTION_ROUTES = ("/corrections",)
_REALM = {"WWW-Authenticate": 'Basic realm="communique: any user name, the key as password", charset="UTF-8"'}


@dataclass(frozen=True)
class Access:
    """The callers that a server accepts.

    - `keys`: the file of keys
    - `keyless`: whether requests without a key are answered; only for a loopback address without a proxy
    - `trusted_proxies`: addresses of proxies whose `X-Forwarded-For` names the client
    - `origins`: origins of other sites whose pages may call the API with a key
    - `attempts`: the file in which several workers count requests with wrong keys; None for one process
    """

    keys: KeyFile
    keyless: bool
    trusted_proxies: Sequence[str] = ()
    origins: Sequence[str] = ()
    attempts: Path | None = None


@dataclass
class _RefusedError(Exception):
    status: int
    kind: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)


class Gate:
    """ASGI middleware that refuses requests before their body is read. `scope["key"]` is the key of a request."""

    def __init__(self, app: ASGIApp, *, access: Access) -> None:
        self._app = app
        self._access = access
        self._failures = FailedAttempts(access.attempts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection of an ASGI server."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        cross_site = _allowed_origin(headers, self._access.origins)
        if scope["type"] == "http" and scope["method"] == "OPTIONS" and cross_site:
            await _preflight(cross_site)(scope, receive, send)
            return
        try:
            scope["key"] = self._admit(scope, headers)
        except _RefusedError as refused:
            content = refusal(refused.kind, refused.message, ("header",))
            answer = JSONResponse(content, refused.status, {"Connection": "close", **refused.headers})
            await answer(scope, receive, _with_cors(send, cross_site))
            return
        await self._app(scope, receive, _with_cors(send, cross_site))

    def _admit(self, scope: Scope, headers: Headers) -> Key | None:
        """Return the key of a request, or None if it needs no key.

        Raises:
            _RefusedError: the request must not reach the application.
        """
        path, token = scope["path"], _token(headers)
        if path in OPEN_ROUTES:
            return None
        if token is None:
            self._check_keyless(path, headers)
            return None
        address = client_address(scope, headers, self._access.trusted_proxies)
        if wait := self._failures.seconds_left(address):
            message = "too many requests with a wrong key. Wait a minute, then use a valid key"
            raise _RefusedError(429, "too_many_failures", message, {"Retry-After": str(int(wait) + 1)})
        try:
            key = self._access.keys.find(token)
        except InputError as error:
            raise _RefusedError(
                503, "keys_unavailable", "the server cannot read its keys. Ask its administrator"
            ) from error
        if key is None:
            self._failures.add(address)
            raise _RefusedError(
                401, "wrong_key", "this key is not valid: it was mistyped, or it has been revoked", _REALM
            )
        if (needed := _needed_scope(path)) not in key.scopes:
            raise _RefusedError(403, "scope", f"this key does not have the scope `{needed}`. Use a key with this scope")
        _check_site(headers, self._access.origins)
        return key

    def _check_keyless(self, path: str, headers: Headers) -> None:
        needs = "this server needs an API key. Send it in the header `Authorization: Bearer KEY`"
        if not self._access.keyless or path in _CORRECTION_ROUTES:
            raise _RefusedError(401, "no_key", needs, _REALM)
        if forwarded := forwarding_header(headers):
            message = f"this request was forwarded by a proxy (header `{forwarded[:40]}`), so it needs an API key"
            raise _RefusedError(403, "forwarded", f"{message}. Start the server with --trusted-proxy and create a key")
        if not is_loopback_host(headers.get("host", "")):
            message = "the Host of a request without an API key must be localhost, 127.0.0.1 or [::1]"
            raise _RefusedError(403, "host", f"{message}. Open the server at one of these addresses, or send a key")
        _check_site(headers, ())


def client_address(scope: Scope, headers: Headers, trusted_proxies: Sequence[str]) -> str:
    """The address of the client: the last address in `X-Forwarded-For` that is not a trusted proxy.

    Only a trusted proxy may name another address than its own.
    """
    client = scope.get("client")
    address = client[0] if client else ""
    forwarded = [part.strip() for part in headers.get("x-forwarded-for", "").split(",") if part.strip()]
    while address in trusted_proxies and forwarded:
        address = forwarded.pop()
    return address


def _needed_scope(path: str) -> str:
    if path in _ADMIN_ROUTES:
        return "admin"
    return "correct" if path in _CORRECTION_ROUTES else "predict"


def _token(headers: Headers) -> str | None:
    """The key in the header `Authorization`: a bearer token, or the password of basic authentication (browsers)."""
    given = headers.get("authorization")
    if given is None:
        return None
    kind, _, value = given.strip().partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _check_site(headers: Headers, origins: Sequence[str]) -> None:
    """Refuse requests that a page of another site makes: a browser may add a stored key to such requests."""
    origin = headers.get("origin")
    if not is_own_site(headers) and origin not in origins:
        message = f"pages of {origin[:100] if origin else ''} may not call this server"
        raise _RefusedError(
            403, "origin", f"{message}. Allow this site with --allow-origin, or call the server directly"
        )
    # Following a link from another site is harmless: the page of that site cannot read the answer.
    embedded = headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate"
    if origin is None and embedded:
        raise _RefusedError(403, "origin", "pages of another site may not call this server")


def _allowed_origin(headers: Headers, origins: Sequence[str]) -> str:
    origin = headers.get("origin", "")
    return origin if origin in origins else ""


def _preflight(origin: str) -> Response:
    """The response to a preflight request, in which a browser asks whether a page of `origin` may send a key."""
    allowed = {"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Max-Age": "600"}
    allowed["Access-Control-Allow-Headers"] = "authorization, content-type, x-request-id"
    return Response(status_code=204, headers={"Access-Control-Allow-Origin": origin, "Vary": "Origin", **allowed})


def _with_cors(send: Send, origin: str) -> Send:
    if not origin:
        return send

    async def wrapped(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            own = [(b"access-control-allow-origin", origin.encode()), (b"vary", b"Origin")]
            message = message | {"headers": [*message.get("headers", []), *own]}  # type: ignore[misc]
        await send(message)

    return wrapped  # type: ignore[return-value]


# -- request bodies

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
