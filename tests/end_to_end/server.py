"""A real `communique serve` process to talk to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.conftest import COMMUNIQUE, heed_interrupts


@dataclass(frozen=True)
class Server:
    """A running server: its address and its process."""

    url: str
    process: subprocess.Popen[str]


@contextmanager
def serving(folder: Path, artefact: str, *options: str) -> Iterator[Server]:
    """`communique serve` on a free port."""
    with started(folder, "serve", artefact, "--port", "0", *options) as server:
        yield server


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[Server]:
    """A server by its command; it is interrupted, and must then end by itself. Its log is `folder`/server.log."""
    log = (folder / "server.log").open("w")
    process = subprocess.Popen(
        [*COMMUNIQUE, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        preexec_fn=heed_interrupts,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        match = re.search(r"http://[\d.:]+", line)
        assert match, line + (folder / "server.log").read_text()
        yield Server(match.group(), process)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        process.stdout.close()
        log.close()
