"""A small store of made-up text, and screens that tests press keys on."""

from __future__ import annotations

import asyncio
import html
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.widgets import Input, Static

from labels.annotate.screen.coding_app import CodingApp
from labels.annotate.session import Session
from labels.codebook.schema import Codebook
from labels.records import Document, Sentence
from labels.store import Store
from tests.labels.store.builders import decision, model

WIDE, NARROW = (140, 40), (80, 24)
PARAGRAPHS = (
    ("Talks began in Lindholm on Monday.", "Norland pledged 40 trucks and two clinics to the coast."),
    ("The envoy of Sudmark called on both sides for a truce.", "Rain kept the ferries in port."),
    ("Norland will send winter fuel, and it called for a lasting truce.", "A second round is to follow in May."),
)
TEXT = "\n\n".join(" ".join(paragraph) for paragraph in PARAGRAPHS)
SENTENCES = tuple(sentence for paragraph in PARAGRAPHS for sentence in paragraph)
_PATIENCE = 30
"""Seconds in which an app that still runs has acted on a key."""
_CELL = 12.2
"""Width of a character in the SVG that rich draws."""
_CHARACTERS = {"enter": "\r", "tab": "\t", "escape": "\x1b"}


class Screen:
    """An app that runs without a terminal. All methods return when the screen has come to rest."""

    def __init__(self, app: CodingApp, size: tuple[int, int]) -> None:
        self.app = app
        self._runner = asyncio.Runner()
        self._context = app.run_test(size=size)
        self._pilot = self._runner.run(self._context.__aenter__())
        self._open = True

    def close(self) -> None:
        """End the app; what it raised is raised here."""
        if self._open:
            self._open = False
            with self._runner:
                self._runner.run(self._context.__aexit__(None, None, None))

    def press(self, *keys: str) -> None:
        """Press keys, names of keys or characters, each when the app has acted on the one before."""

        async def press() -> None:
            for key in keys:
                self.app.post_message(events.Key(key, _CHARACTERS.get(key, key if len(key) == 1 else None)))
                done = asyncio.Event()
                self.app.call_later(done.set)
                await asyncio.wait_for(done.wait(), _PATIENCE)
            await self._pilot.pause()

        self._runner.run(press())

    def type_line(self, key: str, text: str) -> None:
        """Open a line of text by its key, type into it and press Enter."""
        self.press_at_once(key, *text, "enter")

    def press_at_once(self, *keys: str) -> None:
        """Press keys so fast that the app gets them all before it has acted on the first."""

        async def press() -> None:
            for key in keys:
                self.app.post_message(events.Key(key, _CHARACTERS.get(key, key if len(key) == 1 else None)))
            await self._pilot.pause()

        self._runner.run(press())

    def resize(self, width: int, height: int) -> None:
        """Give the terminal another size."""

        async def resize() -> None:
            await self._pilot.resize_terminal(width, height)
            await self._pilot.pause(0.05)  # the app waits a moment for a drag of the window's edge to end

        self._runner.run(resize())

    def text(self, name: str) -> str:
        """What a part of the screen holds, seen or scrolled away."""
        return str(self.app.query_one(f"#{name}", Static).content)

    @property
    def line(self) -> Input:
        """The line of text."""
        return self.app.query_one("#line", Input)

    def picture(self) -> str:
        """The whole screen as SVG."""

        async def export() -> str:
            await self._pilot.pause()
            return self.app.export_screenshot()

        return self._runner.run(export())

    def shows(self, text: str, part: str = "") -> bool:
        """Whether a text can be seen on the screen, or within a part of it; how it is broken into rows does not count.

        A text that stands beside another is to be looked for within its part.
        """
        rows = self._rows()
        if part:
            region = self.app.query_one(f"#{part}").content_region
            rows = [row[region.x : region.right] for row in rows[region.y : region.bottom]]
        return " ".join(text.split()) in " ".join(" ".join(rows).split())

    def _rows(self) -> list[str]:
        """The characters that can be seen, row by row."""
        width, height = self.app.size
        rows = [[" "] * width for _ in range(height)]
        for x, row, text in re.findall(r'<text [^>]*x="([\d.]+)"[^>]*line-(\d+)\)">(.*?)</text>', self.picture()):
            for place, character in enumerate(html.unescape(text), start=round(float(x) / _CELL)):
                rows[int(row)][place] = character.replace("\xa0", " ")
        return ["".join(row) for row in rows]


OpenScreen = Callable[..., Screen]


@pytest.fixture(scope="session")
def filled_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store to copy, with an article of six sentences in three paragraphs: making one takes longer."""
    path = tmp_path_factory.mktemp("template") / "filled.db"
    with Store(path) as opened:
        opened.documents.add([article()])
    return path


@pytest.fixture
def store(filled_store: Path, isolated: Path) -> Iterator[Store]:
    """The file store.db with an article of six sentences in three paragraphs."""
    shutil.copy(filled_store, isolated / "store.db")
    with Store("store.db") as opened:
        yield opened


def article(text: str = TEXT, sentences: tuple[str, ...] = SENTENCES) -> tuple[Document, list[Sentence]]:
    """A document with its sentences."""
    document = Document("lindholm", text, title="Talks in Lindholm", date="2026-03-02")
    starts = [text.index(sentence) for sentence in sentences]
    spans = zip(starts, sentences, strict=True)
    return document, [Sentence(document.id, start, start + len(part), part) for start, part in spans]


@pytest.fixture
def open_screen(codebook: Codebook) -> Iterator[OpenScreen]:
    """Opens screens on sessions: of ana with the small codebook, wide, unless told otherwise."""
    opened: list[Screen] = []

    def open_(
        session: Session,
        book: Codebook = codebook,
        size: tuple[int, int] = WIDE,
        annotator: str = "ana",
        **options: Any,
    ) -> Screen:
        opened.append(Screen(CodingApp(session, book, annotator, **options), size))
        return opened[-1]

    yield open_
    for screen in opened:
        screen.close()


@pytest.fixture
def ids(store: Store) -> dict[str, str]:
    """The beginning of each sentence up to its second blank -> sentence id."""
    return {" ".join(sentence.text.split()[:2]): sentence.id for sentence in store.documents.sentences()}


def score(store: Store, probabilities: tuple[float, float] = (0.91, 0.12)) -> None:
    """Give every sentence the same probabilities of aid and truce."""
    store.scores.add_model(model())
    store.scores.add("m", [(sentence.number, probabilities, 0.3, 0.4, 0.91) for sentence in store.scores.unscored("m")])


def dispute(store: Store, ids: dict[str, str]) -> None:
    """Let ana and ben differ on two sentences and agree on one."""
    store.events.add(
        [
            decision(ids["Norland pledged"], "ana", labels=("aid",), note="a promise, with numbers"),
            decision(ids["Norland pledged"], "ben"),
            decision(ids["Norland will"], "ana", labels=("aid", "truce")),
            decision(ids["Norland will"], "ben", labels=("truce",), note="fuel is named in passing"),
            decision(ids["Norland will"], "eva", state="skipped"),
            decision(ids["Rain kept"], "ana"),
            decision(ids["Rain kept"], "ben"),
        ]
    )


def database(statement: str, path: Path = Path("store.db")) -> None:
    """Change the database behind the store's back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)
