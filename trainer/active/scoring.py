"""Score the sentences of a label store: a model's probabilities, uncertainties and embeddings, stored under its id.

Active learning needs nothing else from a model: queues and suggestions read the scores from the store, and
`labels.sampling.strategies` chooses the next sentences to label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from labels.environment.progress import report_progress
from labels.errors import ArtefactError
from labels.store import Scorable, ScoringModel, Store, now
from trainer.calibration.calibration import Floats, with_none
from trainer.classifiers.base import EncodingClassifier
from trainer.encoders.embeddings import Embedder, Vectors, normalised
from trainer.encoders.encoder import BUNDLED
from trainer.model.model import Model, read_manifest


@dataclass(frozen=True)
class SentenceUncertainty:
    """Uncertainty of n sentences: `entropy`, `margin` and `top`, each of shape (n,) and in [0, 1].

    `entropy` is 0 if the model is certain, and 1 if all outcomes are equally likely. `margin` is the smallest change
    in probability that would change a decision. `top` is the largest probability of a label ("none" is not a label).
    """

    entropy: Floats
    margin: Floats
    top: Floats


def uncertainty(
    probabilities: NDArray[np.floating[Any]], *, thresholds: Sequence[float] = (), exclusive: bool, allow_none: bool
) -> SentenceUncertainty:
    """The uncertainty of calibrated probabilities of shape (n, labels).

    For multi-label codebooks, entropy is the mean binary entropy of the labels in bits, and margin is the smallest
    distance of a probability from its threshold. For exclusive codebooks, entropy is the entropy of the classes divided
    by the logarithm of their number, and margin is the difference between the probabilities of the two most likely
    classes. If "none" is allowed, it is a class.

    Args:
        thresholds: one threshold per label; ignored for exclusive codebooks.

    Source: Settles (2009), "Active Learning Literature Survey", section 3.1.
    """
    scores = np.clip(np.asarray(probabilities, dtype=np.float64), 0, 1)
    top = scores.max(axis=1, initial=0.0)
    if not exclusive:
        entropy = (entr(scores) + entr(1 - scores)).mean(axis=1) / np.log(2)
        margin = np.abs(scores - np.asarray(thresholds, dtype=np.float64)).min(axis=1, initial=1.0)
        return SentenceUncertainty(np.clip(entropy, 0, 1), margin, top)
    classes = with_none(scores, allow_none)
    entropy = entr(classes).sum(axis=1) / np.log(max(classes.shape[1], 2))
    # A class with probability 0 is added because the margin needs at least two classes.
    second, first = np.sort(np.pad(classes, ((0, 0), (0, 1))), axis=1)[:, -2:].T
    return SentenceUncertainty(np.clip(entropy, 0, 1), first - second, top)


_CHUNK = 2048


@dataclass(frozen=True)
class ScoreReport:
    """The result of `score_store`: the numbers of sentences scored and embedded, and the encoder ("" if none)."""

    model_id: str
    scored: int
    embedded: int
    encoder: str


def score_artefact(folder: Path, store: Store, *, embed: bool | None = None) -> ScoreReport:
    """Run `score_store` with the model in a folder. The model is loaded only if there are sentences to score.

    Raises:
        ArtefactError: the folder contains no artefact, or the artefact was altered.
        EncoderError, StoreError: see `score_store`.
    """
    manifest = read_manifest(folder)
    model_id, own = manifest.digest, str(manifest.details.get("encoder", ""))
    encoder = (own or BUNDLED) if (bool(own) if embed is None else embed) else ""
    known = any(model.id == model_id for model in store.scores.models())
    waiting = store.scores.unscored(model_id, 1) or (encoder and store.scores.unscored(model_id, 1, embeddings=True))
    if known and not waiting:
        return ScoreReport(model_id, 0, 0, encoder)
    return score_store(Model.load(folder), store, embed=embed)


def score_store(model: Model, store: Store, *, embed: bool | None = None) -> ScoreReport:
    """Score every sentence of a store that this model has not scored yet, except boilerplate.

    Every finished chunk is written immediately, so that an interrupted call can be continued.

    Args:
        embed: also store embeddings, from the model's own encoder or, if it has none, from the bundled encoder. None
            stores embeddings only if the model has its own encoder.

    Raises:
        ArtefactError: the model was never saved, so it has no id.
        EncoderError: the encoder cannot be opened.
        StoreError: the store cannot be written. Chunks written earlier remain in the store.
    """
    if not model.id:
        raise ArtefactError("this model was never saved, so it has no id. Save the model first, or load an artefact.")
    reader = _Reader(model, isinstance(model.classifier, EncodingClassifier) if embed is None else embed)
    store.scores.add_model(_scoring_model(model, reader.encoder))
    scored, embedded = _score(model, store, reader)
    if reader.encoder:
        embedded += _embed(model, store, reader)
    return ScoreReport(model.id, scored, embedded, reader.encoder)


def _score(model: Model, store: Store, reader: _Reader) -> tuple[int, int]:
    """Score unscored sentences and, if requested, embed them; returns the numbers of scores and vectors written."""
    scored = embedded = 0
    total = store.scores.count_unscored(model.id)
    while chunk := store.scores.unscored(model.id, _CHUNK):
        probabilities, vectors = reader.read([sentence.text for sentence in chunk])
        if vectors is not None:
            # Vectors come before scores: after an interruption, only unscored sentences are processed again.
            embedded += _write_embeddings(store, model.id, chunk, vectors)
        _write_scores(store, model, chunk, probabilities)
        scored += len(chunk)
        report_progress("Scoring", scored, max(total, scored))
    return scored, embedded


def _embed(model: Model, store: Store, reader: _Reader) -> int:
    """Write vectors for sentences that were scored without vectors by an earlier call; returns their number."""
    embedded = 0
    counts = store.counts.texts()
    while chunk := store.scores.unscored(model.id, _CHUNK, embeddings=True):
        embedded += _write_embeddings(store, model.id, chunk, reader.embed([sentence.text for sentence in chunk]))
        report_progress("Embedding", embedded, max(counts.sentences - counts.boilerplate, embedded))
    return embedded


class _Reader:
    """Texts -> probabilities and, if requested, vectors in the same pass."""

    def __init__(self, model: Model, embed: bool) -> None:
        self._model = model
        self._own = model.classifier if isinstance(model.classifier, EncodingClassifier) else None
        self._bundled = Embedder() if embed and self._own is None else None
        self.encoder = "" if not embed else str(model.classifier.describe()["encoder"]) if self._own else BUNDLED
        self._embed = embed

    def read(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], Vectors | None]:
        """Return calibrated probabilities of shape (n, labels), and unit-length vectors of shape (n, dimensions) or
        None."""
        if self._own is None:
            vectors = None if self._bundled is None else self._bundled.encode(texts)
            return self._model.predict_proba(texts), vectors
        # The encoder runs only once for both, because it takes nearly all of the time.
        states = self._own.embed(texts)
        raw = self._own.predict_embedded(states)
        return self._model.calibrated(raw), normalised(states) if self._embed else None

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return unit-length vectors of shape (n, dimensions)."""
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
    store.scores.add(model.id, list(rows))


def _write_embeddings(store: Store, model_id: str, chunk: Sequence[Scorable], vectors: Vectors) -> int:
    # Half precision is enough for clustering, and halves the space that vectors take in the store.
    halves = vectors.astype("<f2")
    numbered = zip(chunk, halves, strict=True)
    return store.scores.add_embeddings(model_id, [(sentence.number, half.tobytes()) for sentence, half in numbered])
