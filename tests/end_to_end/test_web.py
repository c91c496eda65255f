"""`communique label --web`: the real server with its processes, over HTTP and WebSocket, and in a real browser."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from labels.environment.keys import KeyFile
from tests.conftest import make_examples
from tests.end_to_end.conftest import run_here
from tests.end_to_end.server import Server, started
from tests.lazy import needed

BOOK = '[[labels]]\nname = "aid"\nkey = "a"\n[[labels]]\nname = "truce"\nkey = "t"\n'
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_ESCAPES = re.compile(r"\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b[\[(][0-?]*[ -/]*[@-~]|\x1b.")
_PATIENCE = 60.0
DRAFTS = "SELECT labels FROM drafts"
WARNING = "ana has another window open"


@pytest.fixture
def folder(isolated: Path) -> Path:
    """A folder with a store of one article of nine sentences, a codebook, and a key for each of two annotators."""
    (isolated / "book.toml").write_text(f'name = "small"\n{BOOK}', encoding="utf-8")
    (isolated / "article.txt").write_text(" ".join(one.text for one in make_examples(9)), encoding="utf-8")
    assert run_here("ingest", "article.txt").returncode == 0
    return isolated


@pytest.fixture
def keys(folder: Path) -> dict[str, str]:
    """Name of an annotator -> key."""
    file = KeyFile(folder / "communique-keys.json")
    return {name: file.add(f"key-{name}", ["label"], annotator=name) for name in ("ana", "ben")}


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """`communique label --web` on a free port."""
    arguments = ["--web", "--port", "0", "--size", "4", "--codebook", "book.toml", *options]
    with started(folder, "label", *arguments) as server:
        yield server


class Tab:
    """A tab of a browser: an open connection to a window, and what its terminal was sent."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self.connection = connection
        self._written = b""

    @property
    def text(self) -> str:
        """All that the terminal was sent, without what moves the cursor and colours."""
        return _ESCAPES.sub("", self._written.decode(errors="replace"))

    async def press(self, keys: str) -> None:
        """Send keys."""
        await self.connection.send_json(["stdin", keys])

    async def wait_for(self, text: str) -> None:
        """Read until the terminal was sent a text."""
        async with asyncio.timeout(_PATIENCE):
            while text not in self.text:
                assert await self._read(), f"closed before '{text}': {self.text[-2000:]}"

    async def wait_for_end(self) -> None:
        """Read until the server closes the connection."""
        async with asyncio.timeout(_PATIENCE):
            while await self._read():
                pass

    async def _read(self) -> bool:
        message = await self.connection.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            self._written += message.data
        return message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT)


class Browser:
    """A browser that keeps cookies, as an annotator has one."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url, self.session = url, session

    async def enter(self, key: str) -> aiohttp.ClientResponse:
        """Send the form with a key; the answer."""
        data, headers = {"key": key}, {"Origin": self.url}
        async with self.session.post(f"{self.url}/enter", data=data, headers=headers, allow_redirects=False) as found:
            await found.read()
        return found

    @asynccontextmanager
    async def tab(self, query: str = "", origin: str = "") -> AsyncIterator[Tab]:
        """An open tab."""
        address = f"{self.url}/ws?width=140&height=40{query}"
        async with self.session.ws_connect(address, headers={"Origin": origin or self.url}) as connection:
            yield Tab(connection)


def browse(server: Server, work: Callable[[Browser], Coroutine[Any, Any, None]]) -> None:
    """Do something in a new browser."""

    async def run() -> None:
        # Cookies of a host without a name are refused by default.
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            await work(Browser(server.url, session))

    asyncio.run(run())


def rows(query: str) -> list[tuple[Any, ...]]:
    """What another connection finds in the store."""
    with closing(sqlite3.connect("communique.db")) as connection:
        return connection.execute(query).fetchall()


async def stored(query: str, found: list[tuple[Any, ...]]) -> None:
    """Wait until the store has certain rows: of what was on the screen before, a key press writes only the changes."""
    await asyncio.to_thread(wait_until, lambda: rows(query) == found, query)


def wait_until(happened: Callable[[], bool], what: str) -> None:
    """Wait until something has happened."""
    end = time.monotonic() + _PATIENCE
    while not happened():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


def test_decisions_are_recorded_under_the_annotator_of_the_key(folder: Path, keys: dict[str, str]) -> None:
    async def work(browser: Browser) -> None:
        async with browser.session.get(browser.url) as page:
            assert 'name="key"' in await page.text()
        refused = await browser.enter("communique_wrong")
        assert refused.status == 403
        entered = await browser.enter(keys["ben"])
        assert (entered.status, entered.headers["Location"]) == (303, "/")
        cookie = entered.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert keys["ben"] not in cookie
        async with browser.session.get(f"{browser.url}/?annotator=eva") as page:
            assert "ben" in await page.text()
            assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        async with browser.tab("&annotator=eva") as tab:
            await tab.wait_for("0/4")
            await tab.press("a\rnq")
            await tab.wait_for("2 decided, 2 left in this draw")
            await tab.wait_for_end()
            assert "Next: " not in tab.text

    with serving(folder, "--annotator", "ana") as server:
        browse(server, work)
    assert rows("SELECT annotator, state, labels FROM events ORDER BY created_at") == [
        ("ben", "reviewed", '["aid"]'),
        ("ben", "reviewed", "[]"),
    ]
    log = (folder / "server.log").read_text()
    assert not any(key in log for key in keys.values())


def test_strangers_and_other_sites_see_nothing(folder: Path, keys: dict[str, str]) -> None:
    async def refused(browser: Browser, **options: str) -> int:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            async with browser.tab(**options):
                pass
        return error.value.status

    async def work(browser: Browser) -> None:
        assert await refused(browser) == 403
        await browser.enter(keys["ana"])
        assert await refused(browser, origin="http://evil.example") == 403
        for method, path in (("GET", "/download/x"), ("GET", "/static/"), ("GET", "/page/../server.py"), ("PUT", "/")):
            async with browser.session.request(method, browser.url + path, headers={"Origin": browser.url}) as answer:
                assert answer.status in (403, 404, 405)
        async with browser.tab() as tab:
            await tab.wait_for("0/4")
            KeyFile(folder / "communique-keys.json").revoke("key-ana")
            await tab.press("n")
            await tab.wait_for_end()
        async with browser.session.get(browser.url) as page:
            assert 'name="key"' in await page.text()

    with serving(folder) as server:
        browse(server, work)
    assert rows("SELECT count(*) FROM events") == [(0,)]


def test_closed_tab_keeps_the_draft_and_a_reload_continues_without_a_warning(folder: Path) -> None:
    async def work(browser: Browser) -> None:
        async with browser.tab() as tab:
            await tab.wait_for("0/4")
            await tab.press("nt")
            await stored(DRAFTS, [('["truce"]',)])
        async with browser.tab() as tab:
            await tab.wait_for("1/4")
            await tab.wait_for("[x] truce")
            assert WARNING not in tab.text
            async with browser.tab() as second:
                await second.wait_for(WARNING)
            await tab.press("\r")
            await stored("SELECT count(*) FROM events", [(2,)])

    with serving(folder, "--annotator", "ana") as server:
        browse(server, work)
        wait_until(lambda: rows("SELECT count(*) FROM windows") == [(0,)], "the windows to be closed")
        wait_until(lambda: psutil.Process(server.process.pid).children() == [], "their processes to end")
    assert rows("SELECT annotator, labels FROM events ORDER BY created_at") == [("ana", "[]"), ("ana", '["truce"]')]


def test_the_end_of_the_draws_is_explained_on_the_page(folder: Path) -> None:
    async def work(browser: Browser) -> None:
        async with browser.tab() as tab:
            await tab.wait_for("0/9")
            await tab.press("n" * 9 + "q")
            await tab.wait_for_end()
        async with browser.tab() as tab:
            await tab.wait_for_end()
            assert "Nothing to label in communique.db." in tab.text
            assert "Next: communique" in tab.text

    with serving(folder, "--annotator", "ana", "--size", "9") as server:
        browse(server, work)


def test_error_of_a_window_is_shown_on_its_page_and_in_the_log(folder: Path) -> None:
    async def work(browser: Browser) -> None:
        async with browser.tab() as tab:
            await tab.wait_for_end()
            assert "Error: " in tab.text
            assert "zoe" in tab.text

    with serving(folder, "--annotator", "ana", "--also-by", "zoe") as server:
        browse(server, work)
    log = (folder / "server.log").read_text()
    assert "zoe" in log
    assert "Traceback" not in log


def test_a_page_opens_few_windows_and_odd_messages_close_one(folder: Path) -> None:
    async def work(browser: Browser) -> None:
        async with browser.tab() as one, browser.tab() as two, browser.tab(), browser.tab(), browser.tab() as fifth:
            await fifth.wait_for_end()
            assert "ana has 4 open windows" in fifth.text
            for tab, message in ((one, "no json"), (two, '["resize", {"width": "x"}]')):
                await tab.connection.send_str(message)
                await tab.wait_for_end()

    with serving(folder, "--annotator", "ana") as server:
        browse(server, work)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_server(folder: Path, ending: signal.Signals) -> None:
    async def work(browser: Browser) -> None:
        async with browser.tab() as tab:
            await tab.wait_for("0/4")
            await tab.press("a")
            await stored(DRAFTS, [('["aid"]',)])
            children.extend(psutil.Process(server.process.pid).children())
            server.process.send_signal(ending)
            await asyncio.to_thread(server.process.wait, _PATIENCE)

    children: list[psutil.Process] = []
    with serving(folder, "--annotator", "ana") as server:
        browse(server, work)
    assert len(children) == 1
    wait_until(lambda: not children[0].is_running(), "the window's process to end")
    assert server.process.returncode == (-9 if ending == signal.SIGKILL else 0)
    assert rows(DRAFTS) == [('["aid"]',)]
    assert rows("SELECT count(*) FROM windows") == [(0,)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--annotator", "ana", "--host", "0.0.0.0"], "there are no keys for labelling"),
        ([], "No annotator is named"),
        (["--annotator", "ana", "--plain"], "--plain needs no screen"),
        (["--annotator", "ana", "--release"], "--release needs no screen"),
        (["--annotator", "ana", "--store", "missing.db"], "missing.db"),
    ],
)
def test_what_cannot_be_served_is_refused(folder: Path, options: list[str], message: str) -> None:
    done = run_here("label", "--web", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_address_in_use_is_refused(folder: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        done = run_here("label", "--web", "--annotator", "ana", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "cannot listen on 127.0.0.1" in done.stderr


def test_missing_extra_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textual_serve", None)
    done = run_here("label", "--web", "--annotator", "ana")
    assert done.stderr == 'Error: --web needs textual-serve. Install it: pip install "communique[web]".\n'
    assert done.returncode == 2


@pytest.mark.skipif("COMMUNIQUE_NO_BROWSER" in os.environ, reason="COMMUNIQUE_NO_BROWSER is set")
@pytest.mark.slow
def test_two_sentences_are_labelled_in_a_real_browser(folder: Path, keys: dict[str, str]) -> None:
    sync_playwright = needed("playwright.sync_api").sync_playwright

    def decided(count: int) -> Callable[[], bool]:
        return lambda: rows("SELECT count(*) FROM events") == [(count,)]

    complaints: list[str] = []
    with serving(folder) as server, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: request.url.startswith(server.url) or complaints.append(request.url))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(server.url)
        page.fill("#key", keys["ana"])
        page.keyboard.press("Enter")
        page.wait_for_selector("body.-first-byte")
        assert keys["ana"] not in page.url
        page.keyboard.press("a")
        page.keyboard.press("Enter")
        wait_until(decided(1), "the first decision")
        page.reload()
        page.wait_for_selector("body.-first-byte")
        page.keyboard.press("F9")
        wait_until(decided(2), "the second decision")
        page.keyboard.press("q")
        page.wait_for_selector("#again:focus")
        assert page.is_visible("#ended form button")
        page.click("#ended form button")
        page.wait_for_selector("#key")
        chromium.close()
    assert rows("SELECT annotator, state, labels FROM events ORDER BY created_at") == [
        ("ana", "reviewed", '["aid"]'),
        ("ana", "not_a_sentence", "[]"),
    ]
    # textual.js tells the closed connection that the terminal lost the focus.
    assert [one for one in complaints if "already in CLOSING or CLOSED state" not in one] == []
