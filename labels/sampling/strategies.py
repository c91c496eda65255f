"""Choose the sentences to label next, by strategy, with inclusion probabilities if they are known.

The store records draws and reservations, so that two annotators do not receive the same sentence by accident.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

from labels.errors import InputError, StoreError, did_you_mean
from labels.records import RANDOM_STRATEGIES
from labels.settings import command
from labels.store import Draw, DrawItem, Store, Uncertainty, now
from labels.unicode.typography import fold

STRATEGIES = ("random", "uncertainty", "diverse", "uncertain-diverse", "search", "audit", "retest", "relabel")
SCORED = frozenset({"uncertainty", "diverse", "uncertain-diverse", "audit"})
"""Strategies that need a model's scores or embeddings."""
BLIND = frozenset({"overlap", "audit", "retest"})
"""Strategies whose sentences are labelled without seeing suggestions."""
LEASE = timedelta(hours=12)
"""Time for which a drawn sentence is reserved for its annotator."""
AUDIT_EDGES = (0.0, 0.02, 0.1, 0.3, 0.6, 0.9, 1.0)
"""Bounds of the audit strata: a sentence belongs to a stratum by its highest label probability."""

_ATTEMPTS = 10
_POOL = 4000
"""Number of randomly chosen sentences that `diverse` clusters; limits the time needed for large stores."""
_UNCERTAIN_POOL = 10
"""`uncertain-diverse` clusters this many sentences per sentence to draw."""
_TERM = re.compile(r'"([^"]+)"|(\S+)')


@dataclass(frozen=True)
class DrawRequest:
    """The options of a draw.

    Args:
        strategy: one of `STRATEGIES`.
        size: the number of sentences to draw if no draw is unfinished.
        seed: the seed for all random choices.
        overlap: the share (0 to 1) of a random draw that two annotators label without suggestions.
        model_id: the model whose scores are used (`uncertainty`, `diverse`, `uncertain-diverse`, `audit`).
        by: the measure of uncertainty.
        query: words or quoted phrases for `search`.
        retest_after: the minimum age of decisions that `retest` draws.
    """

    strategy: str = "random"
    size: int = 100
    seed: int = 13
    overlap: float = 0.0
    model_id: str = ""
    by: Uncertainty = "entropy"
    query: str = ""
    retest_after: timedelta = timedelta(hours=24)


@dataclass(frozen=True)
class Assignment:
    """Draws made together for one annotator, and the ids of their sentences without a decision."""

    draws: tuple[Draw, ...]
    pending: frozenset[str]


@dataclass
class _Plan:
    """A planned draw: items by strategy, and the overlap sentences already drawn for another annotator."""

    items: dict[str, list[DrawItem]]
    frame_size: int | None = None
    frame_hash: str = ""
    second_readings: list[str] = field(default_factory=list)


def next_assignment(store: Store, annotator: str, request: DrawRequest) -> Assignment | None:
    """The annotator's unfinished draw of this kind, or a new draw; None if no sentence is left to draw.

    Other annotators do not receive these sentences until the reservation ends after `LEASE`. The sentences of overlap,
    audit, retest and relabel draws are shared and can be drawn again.

    Raises:
        InputError: the strategy is unknown, its scores, embeddings or query are missing, or an option does not apply.
        StoreError: other annotators reserved the sentences first at every attempt.
    """
    if request.strategy not in _PLANS:
        hint = did_you_mean(request.strategy, STRATEGIES)
        raise InputError(f"unknown strategy '{request.strategy}'{hint}. Use one of {', '.join(STRATEGIES)}.")
    if request.query and request.strategy != "search":
        raise InputError(
            f"strategy '{request.strategy}' does not use search words ('{request.query}'). Remove the words, or use "
            "--strategy 'search WORDS'."
        )
    if request.overlap and request.strategy != "random":
        raise InputError(
            f"strategy '{request.strategy}' cannot be combined with --overlap. "
            "Remove --overlap, or use --strategy random."
        )
    unfinished = _unfinished(store, annotator, request)
    if unfinished is not None:
        return unfinished
    for attempt in range(_ATTEMPTS):
        frame_hash = store.unseen.frame_hash()
        # The attempt is part of the seed: with the same seed, the draw would collide with the same other draw again.
        generator = Random(f"{request.seed}\n{annotator}\n{frame_hash}\n{attempt}")
        plan = _PLANS[request.strategy](store, annotator, request, generator)
        draws = _draws(plan, annotator, request)
        # If nothing was drawn from an unchanged frame, no sentence is left. If the frame has changed, try again.
        if not draws and store.unseen.frame_hash() == frame_hash:
            return None
        if draws and store.draws.add(draws, expires_at=lease_end(), second_readings=plan.second_readings):
            return Assignment(draws, frozenset(item.sentence_id for draw in draws for item in draw.items))
    raise StoreError(
        f"{store.name}: other annotators reserved the sentences first, {_ATTEMPTS} times in a row. Try again."
    )


def lease_end(lease: timedelta = LEASE) -> str:
    """The end of a reservation that starts now, ISO 8601 in UTC."""
    return (datetime.now(UTC) + lease).isoformat(timespec="microseconds")


def _unfinished(store: Store, annotator: str, request: DrawRequest) -> Assignment | None:
    family = RANDOM_STRATEGIES if request.strategy == "random" else (request.strategy,)
    draws = tuple(store.draws.last(annotator, family, query=request.query, model_id=request.model_id or None))
    pending = store.draws.hold_pending(draws, expires_at=lease_end()) if draws else set()
    return Assignment(draws, frozenset(pending)) if pending else None


def _draws(plan: _Plan, annotator: str, request: DrawRequest) -> tuple[Draw, ...]:
    created_at = now()
    return tuple(
        Draw(
            id=uuid.uuid4().hex[:16],
            strategy=strategy,
            annotator=annotator,
            frame_hash=plan.frame_hash,
            frame_size=plan.frame_size,
            seed=request.seed,
            created_at=created_at,
            items=tuple(items),
            model_id=request.model_id,
            query=request.query,
        )
        for strategy, items in plan.items.items()
        if items
    )


# -- strategies: each makes a plan of what to draw


def _random(store: Store, annotator: str, request: DrawRequest, generator: Random) -> _Plan:
    """A simple random sample of the frame, of which a random share is labelled by two annotators.

    The share consists of overlap sentences that another annotator already has. If there are too few, some of the new
    sentences become overlap sentences, which other annotators can draw as well.
    """
    shared = round(request.overlap * request.size)
    candidates = store.draws.overlap_candidates(annotator) if shared else []
    second_readings = generator.sample(candidates, min(shared, len(candidates)))
    frame = store.unseen.frame()
    ids = store.unseen.random(request.size - len(second_readings), generator)
    # The frame may have grown since its size was read, and a probability must not exceed 1.
    probability = len(ids) / max(frame.size, len(ids)) if ids else None
    fresh = [DrawItem(identifier, probability) for identifier in ids]
    # A share of the drawn sentences, not of `size`: otherwise the last few sentences of a store would all be overlap.
    opened = max(0, round(request.overlap * (len(second_readings) + len(fresh))) - len(second_readings))
    kinds = {item.sentence_id: "overlap" for item in [*second_readings, *fresh[:opened]]}
    mixed = [*second_readings, *fresh]
    generator.shuffle(mixed)
    items: dict[str, list[DrawItem]] = {"random": [], "overlap": []}
    for position, item in enumerate(mixed):
        items[kinds.get(item.sentence_id, "random")].append(replace(item, position=position))
    return _Plan(items, frame.size, frame.hash, [item.sentence_id for item in second_readings])


def _uncertainty(store: Store, _: str, request: DrawRequest, __: Random) -> _Plan:
    """The sentences with the highest model uncertainty."""
    found = store.unseen.uncertain(request.model_id, request.by, request.size)
    return _Plan({"uncertainty": [DrawItem(identifier, stratum=request.by) for identifier, _ in found]})


def _diverse(store: Store, _: str, request: DrawRequest, generator: Random) -> _Plan:
    """Cluster representatives of a random subset of the unseen sentences."""
    vectors = store.scores.embeddings(request.model_id, store.unseen.random(_POOL, generator))
    return _clusters(store, request, vectors, None)


def _uncertain_diverse(store: Store, _: str, request: DrawRequest, __: Random) -> _Plan:
    """Cluster representatives of the most uncertain sentences, weighted by uncertainty."""
    found = dict(store.unseen.uncertain(request.model_id, request.by, _UNCERTAIN_POOL * request.size))
    vectors = store.scores.embeddings(request.model_id, found)
    # A small margin means high uncertainty, but a small entropy means low uncertainty.
    uncertainty = [1 - found[key] if request.by == "margin" else found[key] for key in vectors]
    return _clusters(store, request, vectors, uncertainty)


def _clusters(store: Store, request: DrawRequest, vectors: dict[str, bytes], weights: Sequence[float] | None) -> _Plan:
    if not vectors and store.unseen.frame().size:
        raise InputError(
            f"{store.name}: strategy '{request.strategy}' needs embeddings by model {request.model_id}, but no unseen "
            f"sentence has one. Write embeddings with `{command('score', 'ARTEFACT', '--embed', store=store.name)}`."
        )
    ids = list(vectors)
    chosen = representatives(list(vectors.values()), request.size, weights=weights, seed=request.seed)
    return _Plan({request.strategy: [DrawItem(ids[position]) for position in chosen]})


def representatives(
    vectors: Sequence[bytes], count: int, *, weights: Sequence[float] | None = None, seed: int
) -> list[int]:
    """The positions of `count` diverse vectors: the vector nearest to the centre of each k-means cluster.

    Returns all positions if there are at most `count` vectors.

    Args:
        vectors: n little-endian float16 vectors of the same length.
        weights: a weight >= 0 per vector; the centres move towards vectors with large weights.
        seed: the seed of k-means.

    Source: Zhdanov (2019), "Diverse mini-batch Active Learning".
    """
    if count >= len(vectors):
        return list(range(len(vectors)))
    import warnings

    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    matrix = np.stack([np.frombuffer(vector, dtype="<f2") for vector in vectors]).astype(np.float32)
    mass = None if weights is None else np.maximum(np.asarray(weights, dtype=np.float64), 1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct vectors than clusters
        clusters = KMeans(n_clusters=count, n_init=1, random_state=seed % 2**32).fit(matrix, sample_weight=mass)
    distances = np.linalg.norm(matrix - clusters.cluster_centers_[clusters.labels_], axis=1)
    order = np.argsort(distances, kind="stable").tolist()
    # From the farthest to the nearest: a nearer vector of the same cluster overwrites a farther one.
    chosen = set({int(clusters.labels_[position]): position for position in reversed(order)}.values())
    # Equal vectors leave clusters empty: add the vectors that are next nearest to their centres.
    chosen.update([position for position in order if position not in chosen][: count - len(chosen)])
    return [position for position in order if position in chosen]


def _search(store: Store, _: str, request: DrawRequest, __: Random) -> _Plan:
    """Sentences that contain all words of the query."""
    # Folded: typographic quotes enclose a phrase too.
    words = [phrase or word for phrase, word in _TERM.findall(fold(request.query))]
    if not words:
        raise InputError("strategy 'search' needs search words. Add words, e.g. --strategy 'search air defence'.")
    return _Plan({"search": [DrawItem(found) for found in store.unseen.matching(words, request.size)]})


def _audit(store: Store, _: str, request: DrawRequest, generator: Random) -> _Plan:
    """A stratified probability sample of all sentences with a score, labelled or not.

    Strata are bands of the largest probability of any label. Each stratum gets an equal share of the draw, or all its
    sentences if it has fewer, so that rare labels are drawn too. The inclusion probability of an item is the number
    drawn from its stratum divided by the stratum's size.
    """
    missing = store.scores.count_unscored(request.model_id)
    if missing:
        raise InputError(
            f"{store.name}: sentences without a score by model {request.model_id}: {missing}. An audit must be able to "
            f"draw every sentence. Run `{command('score', 'ARTEFACT', store=store.name)}` first."
        )
    bands = list(pairwise(AUDIT_EDGES))
    strata = [store.scores.numbers_by_top(request.model_id, low, high) for low, high in bands]
    items: list[DrawItem] = []
    for (low, high), numbers, share in zip(bands, strata, _shares([len(s) for s in strata], request.size), strict=True):
        ids = store.documents.ids_of_numbers(generator.sample(list(numbers), share))
        probability = share / len(numbers) if share else None
        items += [DrawItem(identifier, probability, f"{low:g}-{high:g}") for identifier in ids]
    generator.shuffle(items)
    return _Plan({"audit": items}, sum(map(len, strata)), store.unseen.frame_hash())


def _shares(sizes: Sequence[int], total: int) -> list[int]:
    """Divide `total` equally among strata of these sizes.

    If a stratum is smaller than its share, the larger strata get the rest of the share.
    """
    shares = [0] * len(sizes)
    left = min(total, sum(sizes))
    open_ = sorted((i for i, size in enumerate(sizes) if size), key=sizes.__getitem__)
    # Start with the smallest stratum: the rest of its share is divided among the larger strata.
    for turn, stratum in enumerate(open_):
        shares[stratum] = min(sizes[stratum], left // (len(open_) - turn))
        left -= shares[stratum]
    return shares


def _retest(store: Store, annotator: str, request: DrawRequest, generator: Random) -> _Plan:
    """A random sample of the annotator's own earlier decisions."""
    before = (datetime.now(UTC) - request.retest_after).isoformat(timespec="microseconds")
    own = store.draws.own_decisions(annotator, before=before)
    ids = generator.sample(own, min(request.size, len(own)))
    return _Plan({"retest": [DrawItem(identifier, len(ids) / len(own)) for identifier in ids]}, len(own))


def _relabel(store: Store, annotator: str, request: DrawRequest, _: Random) -> _Plan:
    """The queued sentences for relabelling, oldest first."""
    found = {entry.sentence_id: entry for entry in store.relabelling.waiting(annotator, request.size)}
    return _Plan({"relabel": [DrawItem(key, None, entry.reason, entry.previous) for key, entry in found.items()]})


_PLANS: dict[str, Callable[[Store, str, DrawRequest, Random], _Plan]] = {
    "random": _random,
    "uncertainty": _uncertainty,
    "diverse": _diverse,
    "uncertain-diverse": _uncertain_diverse,
    "search": _search,
    "audit": _audit,
    "retest": _retest,
    "relabel": _relabel,
}
