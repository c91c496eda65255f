"""The web application of `communique label --web`: the page with the terminal, and a process for each open window."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path

import textual_serve
from aiohttp import WSMsgType, web

from labels.annotate.browser.visitors import RefusedError, Visitor, Visitors
from labels.annotate.browser.window import Window
from labels.errors import InputError

logger = logging.getLogger("communique.browser")

PAGES = Path(__file__).parent / "page"
STATIC = Path(textual_serve.__file__).parent / "static"
_MOST_WINDOWS = 4
"""Maximum number of open windows of an annotator: each is a process."""
_MOST_BYTES = 64 * 1024
"""Maximum size of a form and of a message of the terminal, such as a pasted text."""
_COLUMNS, _ROWS = (20, 500), (5, 300)
"""The smallest and the largest size of a terminal."""
_HEADERS = {
    # xterm.js adds style elements for its font and colours.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without any, browsers would hide the origin of a form
    "Cross-Origin-Opener-Policy": "same-origin",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Labelling:
    """What the server needs to know.

    - `visitors`: who may label
    - `command`: the command of a window, for an annotator
    - `port`: the port, which is part of the cookie's name: browsers send cookies to all ports of a host
    """

    visitors: Visitors
    command: Callable[[str], Sequence[str]]
    port: int


class BrowserServer:
    """The routes, and the windows that are open."""

    def __init__(self, labelling: Labelling) -> None:
        self._labelling, self._visitors = labelling, labelling.visitors
        self._cookie = f"communique_{labelling.port}"
        self._open: dict[str, set[Window]] = {}

    def application(self) -> web.Application:
        """The web application."""
        app = web.Application(middlewares=[self._guard], client_max_size=_MOST_BYTES)
        app.add_routes(
            [
                web.get("/", self._page),
                web.post("/enter", self._enter),
                web.post("/leave", self._leave),
                web.get("/ws", self._window),
                web.static("/page", PAGES),
                web.static("/static", STATIC),
            ]
        )
        app.on_shutdown.append(self._close_windows)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse requests of other sites; errors that the browser did not cause are logged."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            self._visitors.check(headers, acts=request.method != "GET" or request.path == "/ws")
            response = await handler(request)
        except RefusedError as refused:
            response = web.Response(status=refused.status, text=refused.reason)
        except InputError as error:
            logger.error("%s", error)
            response = web.Response(status=503, text="The server cannot read its keys. Tell whoever runs it.")
        if not isinstance(response, web.WebSocketResponse):
            response.headers.update(_HEADERS)
            if not request.path.startswith(("/static/", "/page/")):
                response.headers["Cache-Control"] = "no-store"
        return response

    def _visitor(self, request: web.Request) -> Visitor | None:
        return self._visitors.find(request.cookies.get(self._cookie, ""))

    # -- pages

    async def _page(self, request: web.Request) -> web.StreamResponse:
        """The terminal, or the form for the key."""
        visitor = self._visitor(request)
        if visitor is None:
            return _html("key.html", reason="")
        return _html("terminal.html", annotator=visitor.annotator, keys="keys" if self._visitors.need_keys else "")

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        """Take the key from the form."""
        token = (await request.post()).get("key", "")
        address = request.remote or ""
        try:
            value = self._visitors.enter(token if isinstance(token, str) else "", address)
        except RefusedError as refused:
            logger.warning("%s: a key was refused", address)
            return _html("key.html", refused.status, reason=refused.reason)
        response = web.Response(status=303, headers={"Location": "/"})
        secure = request.headers.get("x-forwarded-proto", request.scheme) == "https"
        response.set_cookie(self._cookie, value, httponly=True, samesite="Strict", secure=secure, path="/")
        return response

    async def _leave(self, request: web.Request) -> web.StreamResponse:
        """Forget the cookie."""
        if visitor := self._visitor(request):
            self._visitors.leave(visitor)
        response = web.Response(status=303, headers={"Location": "/"})
        response.del_cookie(self._cookie, path="/")
        return response

    # -- windows

    async def _window(self, request: web.Request) -> web.StreamResponse:
        """The connection of a page: a window is open as long as the connection is."""
        visitor = self._visitor(request)
        if visitor is None:
            raise RefusedError(403, "This browser has no key, or its key was revoked. Load the page again.")
        windows = self._open.setdefault(visitor.annotator, set())
        connection = web.WebSocketResponse(heartbeat=15, max_msg_size=_MOST_BYTES)
        await connection.prepare(request)
        if sum(not window.leaving for window in windows) >= _MOST_WINDOWS:
            await connection.send_bytes(f"{visitor.annotator} has {_MOST_WINDOWS} open windows. Close one.".encode())
            await connection.close()
            return connection
        arguments = self._labelling.command(visitor.annotator)
        window = Window(arguments, connection, show_commands=not self._visitors.need_keys)
        # A page that is loaded again must not find the window of the former page, nor warn of it.
        leaving = [other.ended.wait() for other in windows if other.leaving]
        windows.add(window)
        try:
            await asyncio.gather(*leaving)
            await window.start(
                _within(request.query.get("width"), _COLUMNS), _within(request.query.get("height"), _ROWS)
            )
            await self._read(connection, window, request)
        finally:
            await asyncio.shield(self._end(window, windows))
        return connection

    async def _read(self, connection: web.WebSocketResponse, window: Window, request: web.Request) -> None:
        """Pass on what the browser sends, as long as its key is valid."""
        async for message in connection:
            try:
                if message.type is not WSMsgType.TEXT or self._visitor(request) is None:
                    break
                await _pass_on(json.loads(message.data), window, connection)
            except (ValueError, InputError):  # not sent by the page, or the keys cannot be read
                break

    async def _end(self, window: Window, windows: set[Window]) -> None:
        window.leaving = True
        try:
            await window.stop()
        finally:
            window.ended.set()
            windows.discard(window)
        if window.failed:
            logger.error("%s", window.errors.decode("utf-8", "replace").rstrip())

    async def _close_windows(self, _app: web.Application) -> None:
        windows = [window for opened in self._open.values() for window in opened]
        await asyncio.gather(*(window.stop() for window in windows))


async def _pass_on(message: list[object], window: Window, connection: web.WebSocketResponse) -> None:
    """Act on a message of the terminal: what was typed, its size, or a keep-alive signal."""
    match message:
        case ["stdin", str(typed)]:
            await window.send_bytes(typed.encode("utf-8", "replace"))
        case ["resize", {"width": int(width), "height": int(height)}]:
            await window.set_terminal_size(_within(width, _COLUMNS), _within(height, _ROWS))
        case ["ping", str(sent)]:
            await connection.send_json(["pong", sent])
        case ["focus" | "blur"]:
            pass
        case _:
            raise ValueError


def _within(number: str | int | None, bounds: tuple[int, int]) -> int:
    """A number within bounds; the lower bound if the value is not a number."""
    with suppress(ValueError, TypeError):
        return min(max(int(number or 0), bounds[0]), bounds[1])
    return bounds[0]


def _html(name: str, status: int = 200, **values: str) -> web.Response:
    """A page whose placeholders {{ NAME }} are replaced by values."""
    text = (PAGES / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"{{{{ {key} }}}}", escape(value))
    return web.Response(status=status, text=text, content_type="text/html", charset="utf-8")


def run_browser_server(labelling: Labelling, listener: socket.socket) -> None:
    """Serve until interrupted; at the end, all windows are closed and their processes have ended."""
    asyncio.run(_run(BrowserServer(labelling).application(), listener))


async def _run(app: web.Application, listener: socket.socket) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=20)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    stopped = asyncio.Event()
    with suppress(NotImplementedError):  # on Windows
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        await stopped.wait()
    finally:
        await runner.cleanup()
