"""Explanations for requests: computed one after another on a thread of their own, while no prediction is waiting.

An explanation of a model with an encoder takes as long as dozens of predictions, so it is computed in slices. Before
each slice it waits until the server has been idle for a moment. On a server that is never idle, explanations take at
most a tenth of the time, so that they slow predictions little and still come to an end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from trainer.classifiers.explanations import Explanation, Pause
from trainer.serving.batching import DeadlineError, QueueFullError

MAX_EXPLAINED = 16
"""Maximum number of texts per request."""
MAX_LABELS = 3
"""Maximum number of labels that are explained per text: the most probable ones."""
MAX_WAITING = 64
"""Maximum number of texts that are explained or wait; further requests are refused."""
_IDLE, _LONGEST_WAIT, _POLL = 0.05, 0.5, 0.002
"""Seconds without a prediction that count as idle; longest wait for them after a short slice; time between looks."""
_SHARE = 9
"""After a longer slice, the longest wait is this multiple of the slice's duration."""
_SECONDS_A_TEXT = 1.0

Explain = Callable[[str, Sequence[str], Pause], list[Explanation]]


class _EndedError(Exception):
    """Nobody waits for the explanations any more."""


@dataclass
class _Turn:
    """The work for one request. `pause` is called on the thread before each slice, `ended` is set by the event loop."""

    busy: Callable[[], bool]
    deadline: float
    ended: bool = False
    resumed: float | None = None

    def pause(self) -> None:
        """Wait for predictions.

        Raises:
            DeadlineError: the time is up.
            _EndedError: the client has gone.
        """
        begin = idle_since = time.monotonic()
        longest = max(_LONGEST_WAIT, 0.0 if self.resumed is None else _SHARE * (begin - self.resumed))
        while True:
            now = time.monotonic()
            if self.ended:
                raise _EndedError
            if now > self.deadline:
                raise DeadlineError(started=self.resumed is not None)
            if self.busy():
                idle_since = now
            if now - idle_since >= _IDLE or now - begin >= longest:
                self.resumed = now
                return
            time.sleep(_POLL)


class Explainer:
    """Explains the predictions of one model.

    Args:
        explain: returns one explanation per label for a text and labels; calls its third argument before each slice.
        busy: returns whether a prediction is waiting or being computed.
    """

    def __init__(self, explain: Explain, busy: Callable[[], bool]) -> None:
        self._explain = explain
        self._busy = busy
        self._waiting = 0
        self._turns = asyncio.Lock()

    async def explain(
        self, texts: Sequence[str], labels: Sequence[Sequence[str]], *, seconds: float
    ) -> list[list[Explanation]]:
        """One explanation for each label of each text. If the caller is cancelled, the rest is not computed.

        Raises:
            QueueFullError: too many texts are waiting already.
            DeadlineError: the texts were not explained within `seconds`.
            InputError: the model cannot be explained.
        """
        if self._waiting and self._waiting + len(texts) > MAX_WAITING:
            raise QueueFullError(_SECONDS_A_TEXT * self._waiting, "explanations")
        turn = _Turn(self._busy, time.monotonic() + seconds)
        self._waiting += len(texts)
        # A thread that ends: otherwise, its OpenMP threads would slow down all later predictions (see `Source.load`).
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="explain")
        try:
            async with self._turns:
                return await asyncio.get_running_loop().run_in_executor(thread, self._work, texts, labels, turn)
        finally:
            turn.ended = True
            thread.shutdown(wait=False)
            self._waiting -= len(texts)

    def _work(self, texts: Sequence[str], labels: Sequence[Sequence[str]], turn: _Turn) -> list[list[Explanation]]:
        return [self._explain(text, own, turn.pause) for text, own in zip(texts, labels, strict=True)]
