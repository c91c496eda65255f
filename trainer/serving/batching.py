"""Micro-batching: requests that arrive together are predicted together, on one worker thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from trainer.model import Model

Probabilities = NDArray[np.float32]


class Batcher:
    """Collects texts from concurrent requests and asks the model once for all of them.

    While a batch is predicted the next one gathers, so that batches grow with load and a lone request waits for nobody.

    Args:
        max_texts: most texts in one batch.
    """

    def __init__(self, model: Model, *, max_texts: int = 256) -> None:
        self._model = model
        self._max_texts = max_texts
        self._waiting: asyncio.Queue[tuple[list[str], asyncio.Future[Probabilities]]] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work off requests; call inside a running event loop."""
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """End the work; requests under way are cancelled."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._thread.shutdown()

    async def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        """(n, labels) calibrated probabilities, in the order of `texts`."""
        answer: asyncio.Future[Probabilities] = asyncio.get_running_loop().create_future()
        await self._waiting.put((list(texts), answer))
        return await answer

    async def _work(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while not self._waiting.empty() and sum(len(texts) for texts, _ in batch) < self._max_texts:
                batch.append(self._waiting.get_nowait())
            await self._answer(batch)

    async def _answer(self, batch: list[tuple[list[str], asyncio.Future[Probabilities]]]) -> None:
        texts = [text for own, _ in batch for text in own]
        loop = asyncio.get_running_loop()
        try:
            probabilities = await loop.run_in_executor(self._thread, self._model.predict_proba, texts)
        except Exception as error:  # whatever fails belongs to these requests, not to the worker
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            return
        start = 0
        for own, answer in batch:
            if not answer.done():
                answer.set_result(probabilities[start : start + len(own)])
            start += len(own)
