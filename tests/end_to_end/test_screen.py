"""The labelling screen as an annotator has it: the real command in a terminal, killed half-way and taken up again."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make_examples
from tests.end_to_end.conftest import COMMUNIQUE, Command

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

import fcntl
import pty
import termios

BOOK = """
name = "small"
[[labels]]
name = "aid"
key = "a"
[[labels]]
name = "truce"
key = "t"
"""
_ESCAPES = re.compile(r"\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b[\[(][0-?]*[ -/]*[@-~]|\x1b.")
_PATIENCE = 120


class Terminal:
    """A command in a pseudo-terminal of 140 columns and 40 rows."""

    def __init__(self, *arguments: str, term: str = "xterm-256color") -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [*COMMUNIQUE, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment | {"TERM": term},
            start_new_session=True,
        )
        os.close(slave)
        self.written = b""

    def press(self, keys: str) -> None:
        """Send keys as one piece, as a fast typist's arrive over a slow line."""
        os.write(self._master, keys.encode())

    def wait_for(self, happened: Callable[[], bool], what: str) -> None:
        """Read what the command writes until something has happened."""
        end = time.monotonic() + _PATIENCE
        while not happened():
            if time.monotonic() > end:
                pytest.fail(f"waited in vain for {what}; the terminal shows:\n{self.text[-4000:]}")
            self._read()

    def wait_for_text(self, text: str) -> None:
        """Wait until a text was written."""
        self.wait_for(lambda: text in self.text, f"'{text}'")

    def wait_for_end(self) -> int:
        """Wait until the command has ended; its exit status."""
        self.wait_for(lambda: self.process.poll() is not None, "its end")
        while self._read():
            pass
        return self.process.wait()

    @property
    def text(self) -> str:
        """All that was written so far, without what moves the cursor and colours."""
        return _ESCAPES.sub("", self.written.decode(errors="replace"))

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 0.05)
        if not ready:
            return False
        try:
            piece = os.read(self._master, 65536)
        except OSError:  # nobody is at the other end any more
            return False
        self.written += piece
        return bool(piece)

    def close(self) -> None:
        """End what still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


def rows(query: str) -> list[tuple[Any, ...]]:
    """What another connection finds in the store."""
    with closing(sqlite3.connect("communique.db")) as connection:
        return connection.execute(query).fetchall()


def decided(count: int) -> bool:
    """Whether that many events are in the store."""
    return rows("SELECT count(*) FROM events") == [(count,)]


@pytest.fixture
def ingested(isolated: Path, communique: Command) -> None:
    """A store of ten articles, and a codebook."""
    (isolated / "book.toml").write_text(BOOK, encoding="utf-8")
    (isolated / "articles").mkdir()
    by_document: dict[str, list[str]] = {}
    for example in make_examples(30):
        by_document.setdefault(example.document_id, []).append(example.text)
    for name, sentences in by_document.items():
        (isolated / "articles" / f"{name}.txt").write_text(" ".join(sentences), encoding="utf-8")
    finished = communique("ingest", "articles")
    assert finished.returncode == 0, finished.stderr


LABEL = ("label", "--annotator", "ana", "--size", "20", "--codebook", "book.toml")


def test_kill_9_loses_no_decision_and_no_choice_that_was_not_confirmed(
    isolated: Path, communique: Command, ingested: None
) -> None:
    terminal = Terminal(*LABEL)
    try:
        terminal.wait_for_text("0/20")
        for number, keys in enumerate(("a\r", "n", "t\r", "at\r", "s", "n", "n", "a\r", "n"), start=1):
            terminal.press(keys)
            terminal.wait_for(partial(decided, number), f"decision {number}")
        terminal.press("t")
        terminal.wait_for(lambda: rows("SELECT labels FROM drafts") == [('["truce"]',)], "the choice in the store")
    finally:
        terminal.close()
    assert terminal.process.returncode == -9

    again = Terminal(*LABEL)
    try:
        again.wait_for_text("9/20")
        again.wait_for_text("[x] truce")
        again.press("\r")
        again.wait_for(partial(decided, 10), "the choice to be confirmed")
        again.press("n" * 10)
        again.wait_for_text("You skipped this sentence.")  # the one skipped before comes back at the end
        again.press("q")
        assert again.wait_for_end() == 0
    finally:
        again.close()

    assert "20 decided, 0 left in this draw. All decisions are saved in communique.db." in again.text
    exported = communique("annotations", "export", "labels.jsonl")
    assert exported.returncode == 0, exported.stderr
    found = [json.loads(line) for line in (isolated / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    decisions = [record for record in found if "event_id" in record]
    assert (
        len({record["event_id"] for record in decisions}) == len({record["sentence_id"] for record in decisions}) == 20
    )
    assert [record["labels"] for record in decisions[:4]] == [["aid"], [], ["truce"], ["aid", "truce"]]
    assert [record["state"] for record in decisions].count("skipped") == 1
    assert decisions[9]["labels"] == ["truce"]
    assert rows("SELECT count(*) FROM drafts") == [(0,)]


def test_the_terminal_is_given_back_as_it_was(ingested: None) -> None:
    terminal = Terminal(*LABEL)
    try:
        terminal.wait_for_text("0/20")
        terminal.press("q")
        assert terminal.wait_for_end() == 0
    finally:
        terminal.close()

    assert "0 decided, 20 left in this draw." in terminal.text
    assert terminal.written.count(b"\x1b[?1049h") == terminal.written.count(b"\x1b[?1049l") == 1


def test_a_terminal_that_can_show_no_screen_is_asked_line_by_line_and_control_c_ends_it(ingested: None) -> None:
    terminal = Terminal(*LABEL, term="dumb")
    try:
        terminal.wait_for_text("[a] aid  [t] truce")
        terminal.press("a\n")
        terminal.wait_for(lambda: terminal.text.count("[q] quit") == 2, "the next sentence")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait_for_end() == 0
    finally:
        terminal.close()
    assert decided(1)
    assert b"\x1b[?1049h" not in terminal.written
    assert "1 decided, 19 left in this draw" in terminal.text
