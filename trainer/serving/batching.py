"""Micro-batching: predict the texts of concurrent requests together, on one worker thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from trainer.calibration.calibration import Probabilities
from trainer.model.model import Model


@dataclass(frozen=True)
class _Request:
    texts: list[str]
    answer: asyncio.Future[Probabilities]


class Batcher:
    """Collects the texts of concurrent requests and calls the model once for all of them.

    While the model predicts a batch, new requests form the next batch. Batches therefore grow with the load, and a
    single request is predicted without delay.

    Args:
        max_texts: maximum number of texts in a batch of several requests. A single request is never split.
    """

    def __init__(self, model: Model, *, max_texts: int = 256) -> None:
        self._model = model
        self._max_texts = max_texts
        self._waiting: asyncio.Queue[_Request] = asyncio.Queue()
        self._under_way: list[_Request] = []
        self._following: _Request | None = None  # taken from the queue, but too large for the current batch
        # One thread: the model predicts one batch at a time while the event loop keeps accepting requests.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start answering requests. Call this inside a running event loop."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Stop the worker and cancel unanswered requests."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        while not self._waiting.empty():
            self._under_way.append(self._waiting.get_nowait())
        for request in [*self._under_way, *filter(None, [self._following])]:
            request.answer.cancel()
        self._thread.shutdown()

    async def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """Return calibrated probabilities of shape (n, labels) for n texts.

        Raises:
            Exception: any error that the model raises for these texts.
        """
        answer: asyncio.Future[Probabilities] = asyncio.get_running_loop().create_future()
        await self._waiting.put(_Request(list(texts), answer))
        return await answer

    async def _work(self) -> None:
        while True:
            self._under_way = [self._following or await self._waiting.get()]
            self._following = self._gather()
            await self._answer(self._under_way)

    def _gather(self) -> _Request | None:
        """Add waiting requests to the batch up to the maximum size; return the first request that does not fit."""
        size = len(self._under_way[0].texts)
        while not self._waiting.empty():
            request = self._waiting.get_nowait()
            size += len(request.texts)
            if size > self._max_texts:
                return request
            self._under_way.append(request)
        return None

    async def _answer(self, batch: Sequence[_Request]) -> None:
        """Answer a batch. If it fails, predict each request alone, so that only the faulty one fails."""
        try:
            probabilities = await self._predict([text for request in batch for text in request.texts])
        except Exception as error:  # the error affects only these requests; the worker must continue
            if len(batch) == 1:
                if not batch[0].answer.done():
                    batch[0].answer.set_exception(error)
                return
            for request in batch:
                await self._answer([request])
            return
        start = 0
        for request in batch:
            # Done already if the client has gone.
            if not request.answer.done():
                request.answer.set_result(probabilities[start : start + len(request.texts)])
            start += len(request.texts)

    async def _predict(self, texts: list[str]) -> Probabilities:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._model.predict_proba, texts)
