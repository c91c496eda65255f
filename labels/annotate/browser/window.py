"""One labelling screen in a browser: a process of its own, and the connection between it and the page."""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from json import loads

from aiohttp.web import WebSocketResponse
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from labels.annotate.browser import browser_driver

_BEGIN = b"__GANGLION__\n"
"""The line with which Textual's driver begins; text before it is what the command prints before the screen opens."""
_DATA, _META = b"D", b"M"
_MOST_ERRORS = 64 * 1024
_PATIENCE = 10.0
"""Time in seconds in which a screen that was asked to quit must have ended."""
_CLEAR = "\x1b[?1049l\x1b[0m\x1b[2J\x1b[H\x1b[?25l"
"""Leaves the screen of the application, clears the terminal and hides the cursor."""


class Window(AppService):
    """A labelling screen in a process of its own, shown over a WebSocket.

    Args:
        arguments: the command of the process.
        socket: the connection to the browser.
        show_commands: whether the browser also shows the commands that the process suggests at its end.

    Attributes:
        leaving: whether the browser is gone, so that the process is about to end.
        ended: set when the process has ended.
        failed: whether the process has ended with an error.
        errors: what the process wrote on standard error, at most 64 KB.
    """

    def __init__(self, arguments: Sequence[str], socket: WebSocketResponse, *, show_commands: bool) -> None:
        super().__init__(
            "",
            write_bytes=self._send,
            write_str=socket.send_str,
            close=self._ignore,
            download_manager=DownloadManager(),
        )
        self._arguments, self._socket, self._show_commands = arguments, socket, show_commands
        self._width = 80
        self.leaving = False
        self.ended = asyncio.Event()
        self.failed = False
        self.errors = b""

    async def _send(self, data: bytes) -> None:
        """Send output to the browser; without a browser, it is dropped, so that the process can go on to its end."""
        if not self.leaving:
            with suppress(ConnectionError):
                await self._socket.send_bytes(data)

    async def _ignore(self) -> None:
        """Do nothing: the connection is closed when the last output of the process has been shown."""

    async def set_terminal_size(self, width: int, height: int) -> None:
        """Tell the process the size of the terminal in columns and rows."""
        self._width = width
        await super().set_terminal_size(width, height)

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        self._width = width
        environment = self._build_environment(width, height) | {"TEXTUAL_DRIVER": browser_driver.NAME}
        # -P in the command ignores modules in the working folder; the process finds the same modules as this one.
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        environment.pop("NO_COLOR", None)  # meant for the terminal of the server
        process = await asyncio.create_subprocess_exec(
            *self._arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C in the terminal of the server is not meant for the screen
        )
        assert process.stdin is not None
        self._process, self._stdin = process, process.stdin
        return process

    async def run(self) -> None:
        """Pass the output of the process on to the browser; at its end, show what it printed and close the connection.

        The process prints around the packets of Textual's driver: before the screen opens, and after it has closed.
        """
        process = self._process
        assert process is not None
        assert process.stdout is not None
        assert process.stderr is not None
        errors = asyncio.create_task(self._read_errors(process.stderr))
        try:
            printed = await self._read_text(process.stdout)
            await self._pass_on(process.stdout)
            printed += await process.stdout.read()
            self.failed = await process.wait() != 0
            await errors
            await self._send(self._last_words(printed.decode("utf-8", "replace")).encode())
        finally:
            self.ended.set()
            await self._socket.close()

    async def _read_text(self, stdout: asyncio.StreamReader) -> bytes:
        """Everything up to the beginning of the screen, or up to the end."""
        text = b""
        while (line := await stdout.readline()) and line != _BEGIN:
            text += line
        return text

    async def _pass_on(self, stdout: asyncio.StreamReader) -> None:
        """Send the output of the screen to the browser until the screen closes."""
        with suppress(asyncio.IncompleteReadError):
            while True:
                head = await stdout.readexactly(5)
                payload = await stdout.readexactly(int.from_bytes(head[1:], "big"))
                if head[:1] == _DATA:
                    await self._send(payload)
                elif head[:1] == _META and loads(payload)["type"] == "exit":
                    return

    async def _read_errors(self, stderr: asyncio.StreamReader) -> None:
        while part := await stderr.read(4096):
            self.errors = (self.errors + part)[-_MOST_ERRORS:]

    def _last_words(self, printed: str) -> str:
        """What the terminal shows when the process has ended."""
        if not self._show_commands:
            printed = printed.partition("\nNext: ")[0]
        said = self.errors.decode("utf-8", "replace")
        if self.failed and "Error: " in said:
            printed += said[said.index("Error: ") :]
        elif self.failed:
            printed += "Labelling ended with an error. The server's output shows the error."
        lines = [textwrap.fill(line, max(self._width - 2, 20)) for line in printed.splitlines()]
        return _CLEAR + "\r\n".join("\r\n".join(lines).splitlines())

    async def stop(self) -> None:
        """Let the process quit, which keeps the draft, and wait for its end; a process that does not end is killed."""
        self.leaving = True
        for ask in (self._quit, self._terminate, self._kill):
            if self._task is None or self._task.done():
                return
            await ask()
            await asyncio.wait([self._task], timeout=_PATIENCE)

    async def _quit(self) -> None:
        with suppress(TimeoutError, OSError, RuntimeError):
            async with asyncio.timeout(_PATIENCE):  # a process that reads nothing has a full pipe
                await self.send_meta({"type": "quit"})
            self.stdin.close()

    async def _terminate(self) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.terminate()

    async def _kill(self) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.kill()
