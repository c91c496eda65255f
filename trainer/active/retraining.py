"""Retraining beside the coder: a process that fits the next round of a loop and scores the store with its model.

The process is independent: it goes on if the window is closed, and its failure never stops the labelling. It writes a
round completely or not at all, and only one process at a time fits a loop.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

from labels.environment.settings import load_settings
from labels.errors import CommuniqueError
from labels.output.drafts import sole_writer
from labels.store import Store
from trainer.runs.loop_folder import LOG, LoopFolder

logger = logging.getLogger(__name__)

_POLL = 0.2
_BUSY = 75
"""Exit status of a process that found another process at work (EX_TEMPFAIL of sysexits.h)."""


_CHILD = f"import sys; from {__name__} import main; sys.exit(main(sys.argv[1], int(sys.argv[2])))"


class Retraining:
    """The process that fits the next round of a loop, if one was started here.

    Args:
        loop: the loop's folder.
        store: the store's path or URL; it is passed on by the environment, because it may contain a password.
    """

    def __init__(self, loop: LoopFolder, store: str) -> None:
        self._loop = loop
        self._store = store
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = 0.0

    @property
    def running(self) -> bool:
        """Whether the process is at work."""
        return self._process is not None and self._process.poll() is None

    @property
    def seconds(self) -> float:
        """Time since the process was started."""
        return time.monotonic() - self._begun

    def start(self, with_gold: int) -> None:
        """Start the process, unless it is running.

        Args:
            with_gold: the number of sentences with gold now.
        """
        if self.running:
            return
        self._begun = time.monotonic()
        words = [sys.executable, "-c", _CHILD, str(self._loop.path.resolve()), str(with_gold)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own module
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"COMMUNIQUE_STORE": self._store},
                # A session of its own: Ctrl-C in this terminal is meant for the labelling.
                start_new_session=True,
            )

    def wait(self, seconds: float) -> bool:
        """Wait at most this long for the process; returns whether it has ended."""
        end = time.monotonic() + seconds
        while self.running and time.monotonic() < end:
            time.sleep(_POLL)
        return not self.running

    def failure(self) -> str:
        """Why the process that has ended failed, in one line, told once; empty if it succeeded or is running."""
        if self._process is None or self.running:
            return ""
        code, self._process = self._process.returncode, None
        if code in (0, _BUSY):
            return ""
        if code < 0:
            return f"the process was ended by signal {-code}"
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1] if said else f"exit status {code}"

    @property
    def _log(self) -> Path:
        return self._loop.path / LOG


def main(folder: str, with_gold: int) -> int:
    """Fit the next round of the loop in a folder and score the store of the settings; returns the exit status.

    If the last round has this gold already, only the scoring is continued.
    """
    loop, begun = LoopFolder.read(Path(folder)), False
    try:
        with sole_writer(loop.path):
            begun = True
            _fit_and_score(loop, with_gold)
    except CommuniqueError as error:
        if not begun:
            return _BUSY
        # In one line, by which the coder is told; logged to standard error, which is the log file.
        logger.error("%s", " ".join(str(error).split()))
        return error.exit_code
    return 0


def _fit_and_score(loop: LoopFolder, with_gold: int) -> None:
    from trainer.active.scoring import score_artefact
    from trainer.runs.rounds import fit_round

    rounds = loop.rounds()
    last = rounds[-1] if rounds and rounds[-1].with_gold == with_gold else fit_round(loop, with_gold)
    with Store(load_settings().store, create=False) as store:
        score_artefact(loop.round_folder(last.number) / "artefact", store)
