"""When the model works for whom: batches of predictions, explanations while it is idle, background tasks.

**Predictions.** The texts of concurrent requests are predicted together, on one worker thread. While the model predicts
a batch, new requests form the next batch, so batches grow with the load, and a request that finds the model idle is
predicted at once. Long requests are predicted in pieces that alternate with other requests, so that a request with one
text never waits for a request with a thousand. Within a batch, the model orders the texts by length.

**Explanations** are computed one after another on a thread of their own, while no prediction is waiting. An explanation
of a model with an encoder takes as long as dozens of predictions, so it is computed in slices. Before each slice it
waits until the server has been idle for a moment. On a server that is never idle, explanations take at most a tenth of
the time, so that they slow predictions little and are still finished.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainer.calibration.calibration import Probabilities
from trainer.classifiers.explanations import Explanation, Pause

# -- background tasks


class Background:
    """The background tasks of one owner; asyncio itself keeps only weak references to tasks."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run `work` in the background. Call this inside a running event loop."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def cancel(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        await self.finish()

    async def finish(self) -> None:
        """Wait until all tasks have ended, whatever their outcome."""
        await asyncio.gather(*self._tasks, return_exceptions=True)


# -- predictions

Predict = Callable[[list[str]], Probabilities]

MAX_BATCH = 64
"""Maximum number of texts in one call of the model."""
MAX_WAITING = 4000
"""Maximum number of texts that wait for the model; further requests are refused."""


class QueueFullError(Exception):
    """Too many texts or files are waiting. `retry_after` is the estimated time in seconds until the queue has room."""

    def __init__(self, retry_after: float, what: str = "texts") -> None:
        super().__init__(f"too many {what} are waiting")
        self.retry_after = retry_after


class DeadlineError(Exception):
    """A request was not finished in time; `started` is true if some of its texts were predicted."""

    def __init__(self, *, started: bool) -> None:
        super().__init__("the request was not finished in time")
        self.started = started


@dataclass(eq=False)
class _Job:
    """The texts of one request; texts before `taken` were given to the model, and `rows` are the answers so far."""

    texts: Sequence[str]
    deadline: float
    answer: asyncio.Future[Probabilities]
    taken: int = 0
    rows: list[Probabilities] = field(default_factory=list)

    @property
    def left(self) -> int:
        return len(self.texts) - self.taken


_Piece = tuple[_Job, Sequence[str]]


class Batcher:
    """Collects the texts of concurrent requests and calls the model for many of them at once.

    Args:
        predict: returns probabilities of shape (n, labels) for n texts.
        max_batch: maximum number of texts per call of the model.
        max_waiting: maximum number of waiting texts; a request that exceeds this number is refused.
        observe: called after each batch with the number of texts.
    """

    def __init__(
        self,
        predict: Predict,
        *,
        max_batch: int = MAX_BATCH,
        max_waiting: int = MAX_WAITING,
        observe: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._predict = predict
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._observe = observe
        self._jobs: list[_Job] = []
        self._rate = 0.0
        # One thread: the model predicts one batch at a time while the event loop keeps accepting requests.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        self._started = False
        self._work: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """The number of texts waiting for the model."""
        return sum(job.left for job in self._jobs)

    @property
    def busy(self) -> bool:
        """Whether texts are waiting or being predicted; may be read from any thread."""
        return any(not job.answer.done() for job in list(self._jobs))

    def start(self) -> None:
        """Start answering requests. Call this inside a running event loop."""
        self._started = True
        self._wake()

    async def stop(self) -> None:
        """Stop answering and cancel unanswered requests; call `drain` first to answer them."""
        self._started = False
        if self._work is not None:
            self._work.cancel()
        for job in self._jobs:
            job.answer.cancel()
        self._jobs.clear()
        await asyncio.to_thread(self._thread.shutdown)

    async def drain(self) -> None:
        """Wait until all accepted requests are answered."""
        while waiting := [job.answer for job in self._jobs]:
            await asyncio.wait(waiting)

    async def predict_proba(self, texts: Sequence[str], *, seconds: float = 30.0) -> Probabilities:
        """Return probabilities of shape (n, labels) for n texts. If the caller is cancelled, the rest is not computed.

        Raises:
            QueueFullError: too many texts are waiting already.
            DeadlineError: the texts were not predicted within `seconds`.
            Exception: any error that the model raises for these texts.
        """
        waiting = self.waiting
        # An empty queue accepts any request: the limits of the API bound its size.
        if waiting and waiting + len(texts) > self._max_waiting:
            raise QueueFullError(waiting / self._rate if self._rate else 1.0)
        loop = asyncio.get_running_loop()
        job = _Job(texts, loop.time() + seconds, loop.create_future())
        self._jobs.append(job)
        self._wake()
        try:
            return await job.answer
        finally:
            job.answer.cancel()  # has no effect on an answer; otherwise the job is skipped

    def _wake(self) -> None:
        """Answer the waiting requests, unless this is under way.

        The first batch is taken at the next turn of the event loop, together with requests that arrive until then.
        """
        if self._started and self._jobs and self._work is None:
            self._work = asyncio.create_task(self._answer_all())

    async def _answer_all(self) -> None:
        try:
            while pieces := self._take():
                await self._answer(pieces)
        finally:
            self._work = None

    def _take(self) -> list[_Piece]:
        """Take the texts of the next batch from the oldest requests; drop requests that have ended."""
        self._drop_late()
        # Short requests come first: the unused part of their equal share goes to longer requests.
        oldest = sorted(self._jobs[: self._max_batch], key=lambda job: job.left)
        room, pieces = self._max_batch, list[_Piece]()
        for position, job in enumerate(oldest):
            size = min(job.left, room // (len(oldest) - position))
            pieces.append((job, job.texts[job.taken : job.taken + size]))
            job.taken += size
            room -= size
        return pieces

    def _drop_late(self) -> None:
        now = asyncio.get_running_loop().time()
        for job in self._jobs:
            if not job.answer.done() and now > job.deadline:
                job.answer.set_exception(DeadlineError(started=job.taken > 0))
        self._jobs = [job for job in self._jobs if not job.answer.done()]

    async def _answer(self, pieces: Sequence[_Piece]) -> None:
        """Answer a batch. If the batch fails, predict each piece alone, so that only the faulty request fails."""
        loop = asyncio.get_running_loop()
        texts = [text for _, piece in pieces for text in piece]
        start = time.perf_counter()
        try:
            rows = await loop.run_in_executor(self._thread, self._predict, texts)
        except Exception as error:  # the error affects only these requests; the worker must continue
            if len(pieces) == 1:
                _finish(pieces[0][0], error)
            else:
                for alone in pieces:
                    await self._answer([alone])
            return
        self._observe(len(texts))
        self._rate = len(texts) / max(time.perf_counter() - start, 1e-6)
        position = 0
        for job, piece in pieces:
            job.rows.append(rows[position : position + len(piece)])
            position += len(piece)
            if not job.left:
                _finish(job, None)


def _finish(job: _Job, error: Exception | None) -> None:
    job.taken = len(job.texts)
    if job.answer.done():  # the client has gone, or the deadline has passed
        return
    if error is None:
        job.answer.set_result(np.concatenate(job.rows))
    else:
        job.answer.set_exception(error)


# -- explanations

MAX_EXPLAINED = 16
"""Maximum number of texts per request."""
MAX_LABELS = 3
"""Maximum number of labels that are explained per text: the most probable ones."""
MAX_EXPLAINED_WAITING = 64
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
        if self._waiting and self._waiting + len(texts) > MAX_EXPLAINED_WAITING:
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
