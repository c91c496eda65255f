"""The labelling screen in a real terminal: time to the first screen, and time and output of each key press.

    python experiments/benchmarks/labelling_screen.py [--articles FOLDER] [--columns 140] [--rows 40] [--starts 5]

The command runs in a pseudo-terminal. A key press is complete when nothing has been written for 0.15 seconds; its time
ends with the last byte. Without a folder, the texts are documents of the starter corpus. The targets are those of a
quiet machine: under 0.9 s to the first screen, under 100 ms and at most 6 KB a key press.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMUNIQUE = (sys.executable, "-c", "from trainer.cli import app; app()")
QUIET, PATIENCE = 0.15, 20.0
FIRST, TIME, OUTPUT = 0.9, 0.1, 6 * 1024
KEYS = {
    "tick a label": "a",
    "save": "\r",
    "none": "n",
    "skip": "s",
    "undo": "u",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "next undecided": "\x1b[F",
    "codebook, next depth": "\t",
    "list, open": "\x1bOS",
    "list, down": "\x1b[B",
    "list, close": "\x1b",
    "article, open": "\x1b[15~",
    "article, close": " ",
}
"""The keys of one round, in order."""


class Terminal:
    """A command in a pseudo-terminal."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], columns: int, rows: int) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process = subprocess.Popen(
            [*COMMUNIQUE, *arguments],
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=os.environ | {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        os.close(slave)

    def press(self, keys: str) -> tuple[float, int]:
        """Send keys; returns the seconds to the last byte of the answer, and the number of bytes."""
        start = time.perf_counter()
        os.write(self._master, keys.encode())
        return self.answer(start)

    def answer(self, start: float, needle: bytes = b"") -> tuple[float, int]:
        """Read until `needle` has come and the command is quiet."""
        written, last = b"", start
        while time.perf_counter() < start + PATIENCE:
            if not select.select([self._master], [], [], QUIET)[0]:
                if written and needle in written:
                    break
                if not needle and time.perf_counter() > start + 4 * QUIET:
                    break
                continue
            written += os.read(self._master, 65536)
            last = time.perf_counter()
        return last - start, len(written)

    def close(self) -> None:
        """Quit, and end what still runs."""
        os.write(self._master, b"q")
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
        os.close(self._master)


def main() -> None:
    """Measure starts and rounds of keys, and print the figures with their targets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--articles", type=Path)
    parser.add_argument("--columns", type=int, default=140)
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        articles = options.articles.resolve() if options.articles else ROOT / "seeds" / "documents"
        done = subprocess.run(
            [*COMMUNIQUE, "ingest", str(articles)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        starts: list[float] = []
        answers: dict[str, list[tuple[float, int]]] = {key: [] for key in KEYS}
        for _ in range(options.starts + 1):
            begun = time.perf_counter()
            terminal = Terminal(folder, ("label", "--annotator", "ana"), options.columns, options.rows)
            starts.append(terminal.answer(begun, b"quit")[0])
            if len(starts) <= options.starts:
                terminal.close()
        for _ in range(options.rounds):
            for key, sent in KEYS.items():
                answers[key].append(terminal.press(sent))
        terminal.close()
    report(starts[1:], answers)  # the first start warms the file cache


def report(starts: list[float], answers: dict[str, list[tuple[float, int]]]) -> None:
    """Print a table: median and longest time, median and largest output."""
    print(f"first screen: median {statistics.median(starts):.2f} s (target {FIRST} s)\n")
    print(f"{'key':<22}{'ms, median':>11}{'longest':>9}{'bytes, median':>15}{'largest':>9}")
    for key, found in answers.items():
        times, sizes = zip(*found, strict=True)
        row = f"{1000 * statistics.median(times):>11.0f}{1000 * max(times):>9.0f}"
        print(f"{key:<22}{row}{statistics.median(sizes):>15.0f}{max(sizes):>9}")
    times, sizes = zip(*(one for found in answers.values() for one in found), strict=True)
    slow, large = sum(one > TIME for one in times), sum(one > OUTPUT for one in sizes)
    print(f"\nkey presses over {1000 * TIME:.0f} ms: {slow} of {len(times)}; over {OUTPUT} bytes: {large}")


if __name__ == "__main__":
    main()
