"""A model over the label store: probabilities and embeddings of its sentences, kept there under the model's id.

This is all that active learning needs of a model: queues and suggestions read the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labels.progress import Progress
from labels.store import Scorable, ScoringModel, Store, now
from trainer.classifiers.base import EncodingClassifier
from trainer.embeddings import Embedder, Vectors, normalised
from trainer.encoders import BUNDLED
from trainer.errors import ArtefactError
from trainer.model import Model
from trainer.uncertainty import uncertainty

_CHUNK = 2048


@dataclass(frozen=True)
class ScoreReport:
    """What `score_store` wrote: how many sentences got scores and how many embeddings, by which encoder ("": none)."""

    model_id: str
    scored: int
    embedded: int
    encoder: str


def score_store(
    model: Model,
    store: Store,
    *,
    embed: bool | None = None,
    progress: Progress | None = None,
) -> ScoreReport:
    """Ask a model of every sentence that it has not scored in this store yet, boilerplate aside.

    Chunks are written as they are done, so that an interrupted run goes on where it stopped.

    Args:
        embed: keep embeddings too, of the model's own encoder or else of the bundled one. None: if it has its own.
        progress: called with (sentences done, sentences to do).

    Raises:
        ArtefactError: the model was never saved, so that it has no id.
        EncoderError: the encoder cannot be opened.
        StoreError: the store cannot be written; what was written before stays.
    """
    if not model.id:
        raise ArtefactError("this model was not saved, so its scores would have no name. Load it from its artefact.")
    reader = _Reader(model, isinstance(model.classifier, EncodingClassifier) if embed is None else embed)
    store.add_model(_scoring_model(model, reader.encoder))
    scored, embedded = _score(model, store, reader, progress or _silent)
    if reader.encoder:
        embedded += _embed(model, store, reader, progress or _silent)
    return ScoreReport(model.id, scored, embedded, reader.encoder)


def _score(model: Model, store: Store, reader: _Reader, progress: Progress) -> tuple[int, int]:
    """Score what has no score, with vectors where they are wanted; how many of both were written."""
    scored = embedded = 0
    total = store.count_unscored(model.id)
    while chunk := store.unscored(model.id, _CHUNK):
        probabilities, vectors = reader.read([sentence.text for sentence in chunk])
        if vectors is not None:
            # Before the scores: a sentence without a score is looked at again after an interruption.
            embedded += _write_embeddings(store, model.id, chunk, vectors)
        _write_scores(store, model, chunk, probabilities)
        scored += len(chunk)
        progress(scored, max(total, scored))
    return scored, embedded


def _embed(model: Model, store: Store, reader: _Reader, progress: Progress) -> int:
    """Write the vectors of what an earlier run scored without them; how many there were."""
    embedded = 0
    counts = store.counts()
    while chunk := store.unscored(model.id, _CHUNK, embeddings=True):
        embedded += _write_embeddings(store, model.id, chunk, reader.embed([sentence.text for sentence in chunk]))
        progress(embedded, max(counts.sentences - counts.boilerplate, embedded))
    return embedded


def _silent(_done: int, _total: int) -> None:
    """Nobody wants to know."""


class _Reader:
    """Texts -> probabilities, and vectors in the same pass where they are wanted."""

    def __init__(self, model: Model, embed: bool) -> None:
        self._model = model
        self._own = model.classifier if isinstance(model.classifier, EncodingClassifier) else None
        self._bundled = Embedder() if embed and self._own is None else None
        self.encoder = "" if not embed else str(model.classifier.describe()["encoder"]) if self._own else BUNDLED
        self._embed = embed

    def read(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], Vectors | None]:
        """Calibrated probabilities (n, labels), and vectors (n, dimensions) of length 1, or None."""
        if self._own is None:
            vectors = None if self._bundled is None else self._bundled.encode(texts)
            return self._model.predict_proba(texts), vectors
        states = self._own.embed(texts)
        raw = self._own.predict_embedded(states)
        return self._model.calibrated(raw), normalised(states) if self._embed else None

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors (n, dimensions) of length 1 alone."""
        if self._own is not None:
            return normalised(self._own.embed(texts))
        assert self._bundled is not None
        return self._bundled.encode(texts)


def _scoring_model(model: Model, encoder: str) -> ScoringModel:
    exclusive = model.codebook.exclusive
    return ScoringModel(
        id=model.id,
        kind=model.manifest.kind if model.manifest else "",
        labels=model.labels,
        thresholds=() if exclusive else tuple(map(float, model.calibration.thresholds)),
        exclusive=exclusive,
        codebook_hash=model.codebook.hash,
        created_at=now(),
        encoder=encoder,
    )


def _write_scores(store: Store, model: Model, chunk: Sequence[Scorable], probabilities: NDArray[np.float32]) -> None:
    sure = uncertainty(
        probabilities,
        thresholds=model.calibration.thresholds.tolist(),
        exclusive=model.codebook.exclusive,
        allow_none=model.codebook.allow_none,
    )
    columns = (probabilities.tolist(), sure.entropy.tolist(), sure.margin.tolist(), sure.top.tolist())
    rows = zip((sentence.number for sentence in chunk), *columns, strict=True)
    store.add_scores(model.id, list(rows))


def _write_embeddings(store: Store, model_id: str, chunk: Sequence[Scorable], vectors: Vectors) -> int:
    halves = vectors.astype("<f2")
    numbered = zip(chunk, halves, strict=True)
    return store.add_embeddings(model_id, [(sentence.number, half.tobytes()) for sentence, half in numbered])
