"""The current model of a server, and its replacement without interruption.

A new model answers only after it has passed a self-test; until then, and if anything fails, the old model keeps
answering. Requests that the old model has accepted are still answered by it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from labels.errors import ArtefactError, CommuniqueError
from trainer.model.model import Model
from trainer.serving.drift_watch import Observe, Watch
from trainer.serving.monitoring import Metrics
from trainer.serving.scheduling import MAX_BATCH, Background, Batcher, Explainer

logger = logging.getLogger("communique.serving")

_SELF_TEST = (
    "Norway will provide another $40 million to repair the grid, its prime minister said.",
    "No.",
    "Прем’єр-міністр закликав припинити вогонь. 停火 🕊 \u200b",
    "word " * 4000,
)


@dataclass(frozen=True)
class Source:
    """The origin of a model.

    - `reference`: the folder or MLflow URI, for messages
    - `fetch`: returns the folder of the artefact; called with an empty folder to which it may copy the artefact
    - `version`: identifies the model that `reference` currently refers to; polled to detect a moved alias. Constant for
      a folder, which is read again only on request
    """

    reference: str
    fetch: Callable[[Path], Path]
    version: Callable[[], str] = lambda: ""

    def load(self) -> Model:
        """Load the model and test it, on a thread of its own.

        Raises:
            ArtefactError: the artefact cannot be loaded, or the model fails its self-test.
        """
        # A thread that calls torch keeps a team of OpenMP threads until it ends. If there are more such threads than
        # processors, libgomp puts them to sleep at once, and every call of the model takes almost twice as long.
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="load") as thread:
            return thread.submit(self._load).result()

    def _load(self) -> Model:
        with TemporaryDirectory(prefix="communique-model-") as folder:
            model = Model.load(self.fetch(Path(folder)))
        check_model(model)
        return model


def check_model(model: Model) -> None:
    """Predict a few texts of different lengths and scripts, and examples from the codebook.

    Raises:
        ArtefactError: the model fails, or its probabilities are not valid.
    """
    examples = [example.text for label in model.codebook.labels for example in label.examples]
    texts = [*_SELF_TEST, *examples[:20]]
    try:
        probabilities = model.predict_proba(texts)
        sets = model.label_sets(probabilities)
    except Exception as error:
        raise ArtefactError(f"the model fails on a test sentence ({type(error).__name__}: {error}).") from error
    valid = np.isfinite(probabilities).all() and probabilities.min() >= 0 and probabilities.max() <= 1 + 1e-6
    if not valid or probabilities.shape != (len(texts), len(model.labels)) or len(sets) != len(texts):
        raise ArtefactError("the model returned values that are not probabilities for the test sentences.")


@dataclass(frozen=True)
class Serving:
    """A model with its batcher, the function to call with each answer, and its explainer.

    The explainer keeps working after the batcher has stopped. The model's id and the hash of its codebook are computed
    once, because every answer contains them.
    """

    model: Model
    model_id: str
    codebook_hash: str
    batcher: Batcher
    observe: Observe
    explainer: Explainer


class Served:
    """The current model of a server.

    Args:
        model: the model to start with, loaded from `source`.
        poll_seconds: time between checks whether `source` refers to another model; 0 to check only on request.
        max_batch: maximum number of texts per call of the model.
        watch: watches the answers for a drift; None for no watch.
    """

    def __init__(
        self,
        source: Source,
        model: Model,
        metrics: Metrics,
        *,
        poll_seconds: float = 10.0,
        max_batch: int = MAX_BATCH,
        watch: Watch | None = None,
    ) -> None:
        self._source = source
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._max_batch = max_batch
        self.watch = watch
        self._version = source.version()
        self._reloading = asyncio.Lock()
        self._retiring = Background()
        self._polling = Background()
        self.current = self._serving(model)
        metrics.show_labels(model.labels)
        metrics.watch_queue(lambda: self.current.batcher.waiting)

    @property
    def loading(self) -> bool:
        """Whether a new model is being loaded and tested; until it has passed, the current model answers."""
        return self._reloading.locked()

    def start(self) -> None:
        """Start answering. Call this inside a running event loop."""
        self.current.batcher.start()
        if self.watch is not None:
            self.watch.start()
        if self._poll_seconds:
            self._polling.start(self._poll())

    async def stop(self) -> None:
        """Answer all accepted requests, then stop."""
        await self._polling.cancel()
        self._retiring.start(self._retire(self.current))
        await self._retiring.finish()
        if self.watch is not None:
            await self.watch.stop()

    async def reload(self) -> bool:
        """Load the model again and answer with it from now on; returns whether this succeeded.

        If the model cannot be loaded or fails its self-test, this is logged and the old model keeps answering.
        """
        async with self._reloading:  # a second reload waits for the first
            try:
                version = await asyncio.to_thread(self._source.version)
                model = await asyncio.to_thread(self._source.load)
            except (CommuniqueError, OSError, MemoryError) as error:
                self._metrics.reloads.labels("rejected").inc()
                fields = {"event": "reload rejected", "source": self._source.reference, "reason": str(error)}
                logger.error("reload rejected", extra={"fields": fields | {"model": self.current.model.id}})
                return False
            old, self.current = self.current, self._serving(model)
            self.current.batcher.start()
            self._metrics.show_labels(model.labels)
            self._version = version
            self._retiring.start(self._retire(old))
        self._metrics.reloads.labels("done").inc()
        fields = {"event": "reload", "source": self._source.reference, "model": model.id, "before": old.model.id}
        logger.info("reload", extra={"fields": fields})
        return True

    def _serving(self, model: Model) -> Serving:
        batcher = Batcher(model.predict_proba, max_batch=self._max_batch, observe=self._metrics.batch.observe)
        observe = self.watch.observer(model) if self.watch else lambda _, __: None
        explainer = Explainer(model.explain_text, lambda: batcher.busy)
        return Serving(model, model.id, model.codebook.hash, batcher, observe, explainer)

    @staticmethod
    async def _retire(serving: Serving) -> None:
        await serving.batcher.drain()
        await serving.batcher.stop()

    async def _poll(self) -> None:
        """Reload whenever the source refers to another model than before."""
        rejected = ""
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                version = await asyncio.to_thread(self._source.version)
            except (CommuniqueError, OSError) as error:  # the registry may be back at the next check
                fields = {"event": "registry not reached", "source": self._source.reference, "reason": str(error)}
                logger.warning("registry not reached", extra={"fields": fields})
                continue
            # A rejected version is not tried again until the alias moves.
            if version not in (self._version, rejected) and not await self.reload():
                rejected = version
