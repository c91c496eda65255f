"""A real `communique serve` process to talk to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.conftest import COMMUNIQUE, heed_interrupts


@contextmanager
def serving(folder: Path, artefact: str) -> Iterator[str]:
    """The URL of a server on a free port; it is interrupted, and must then end by itself."""
    process = subprocess.Popen(
        [*COMMUNIQUE, "serve", artefact, "--port", "0"],
        cwd=folder,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_interrupts,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        match = re.search(r"http://[\d.:]+", line)
        assert match, line + process.stdout.read()
        yield match.group()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        process.stdout.close()
