"""Choose the sentences to label next, by strategy, with inclusion probabilities if they are known.

The store records draws and reservations, so that two annotators do not receive the same sentence by accident.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

from labels.errors import InputError, StoreError, did_you_mean
from labels.records import PLANTED, RANDOM_STRATEGIES, RETESTS
from labels.sampling.drawing import PLANS, DrawRequest, Plan
from labels.sampling.planting import PLANTABLE, check_plantable, planted, to_plant, with_planted
from labels.store import SHARED, Draw, Store, now

STRATEGIES = (
    *("random", "document", "uncertainty", "diverse", "uncertain-diverse", "likely", "search", "overlap", "also-by"),
    *("skipped", "audit", "retest", "relabel", "disputed-by"),
)
SCORED = frozenset({"uncertainty", "diverse", "uncertain-diverse", "likely", "audit"})
"""Strategies that need a model's scores or embeddings."""
QUERIED = frozenset({"search", "also-by", "likely", "disputed-by"})
"""Strategies with words after their name: search words, an annotator, a label, or a model coder."""
BLIND = frozenset({"overlap", "also-by", "audit", "disputed-by", PLANTED, *RETESTS})
"""Strategies whose sentences are labelled without seeing suggestions."""
LEASE = timedelta(hours=12)
"""Time for which a drawn sentence is reserved for its annotator."""

_ATTEMPTS = 10
_SIZE = 100
_LOOK_BACK = 3
"""Number of an annotator's last draws of a kind among which an unfinished draw is looked for."""


@dataclass(frozen=True)
class Assignment:
    """Draws made together for one annotator, and the ids of their sentences without a decision.

    `continues` is true if the draws were made before and are unfinished.
    """

    draws: tuple[Draw, ...]
    pending: frozenset[str]
    continues: bool = False


def next_assignment(store: Store, annotator: str, request: DrawRequest) -> Assignment | None:
    """The annotator's unfinished draw of this kind, or a new draw; None if no sentence is left to draw.

    Other annotators do not receive these sentences until the reservation ends after `LEASE`. The sentences of overlap,
    also-by, skipped, audit, retest, relabel and disputed-by draws are shared and can be drawn again.

    Raises:
        InputError: the strategy is unknown, its scores, embeddings or query are missing, an option does not apply, or
            sentences must be planted and no answer is known.
        StoreError: other annotators reserved the sentences first at every attempt.
    """
    _check(request)
    unfinished = _unfinished(store, annotator, request)
    if unfinished is not None:
        return unfinished
    if not request.size:
        request = replace(request, size=default_size(store, annotator, request))
    if request.must_plant:
        check_plantable(store, annotator, request)
    for attempt in range(_ATTEMPTS):
        frame_hash = store.unseen.frame_hash()
        # The attempt is part of the seed: with the same seed, the draw would collide with the same other draw again.
        generator = Random(f"{request.seed}\n{annotator}\n{frame_hash}\n{attempt}")
        known = planted(store, annotator, request, generator)
        asked = replace(request, size=request.size - to_plant(request, known))
        plan = PLANS[request.strategy](store, annotator, asked, generator)
        draws = _draws(with_planted(plan, known, request, store, generator), annotator, request)
        # If nothing was drawn from an unchanged frame, no sentence is left. If the frame has changed, try again.
        if not draws and store.unseen.frame_hash() == frame_hash:
            return None
        if draws and store.draws.add(
            draws, expires_at=lease_end(), second_readings=plan.second_readings, coders=request.coders
        ):
            return Assignment(draws, frozenset(item.sentence_id for draw in draws for item in draw.items))
    raise StoreError(
        f"{store.name}: other annotators reserved the sentences first, {_ATTEMPTS} times in a row. Try again."
    )


def default_size(store: Store, annotator: str, request: DrawRequest) -> int:
    """The size of a draw without a given size: 100, and at most a quarter of what is free, so that others find some.

    Shared strategies (`SHARED`) take nothing from others and draw 100.
    """
    if request.strategy in SHARED:
        return _SIZE
    free = store.unseen.frame().size
    size = min(_SIZE, max(1, free // 4))
    if not request.overlap:
        return size
    # Second readings are not taken from what is free.
    waiting = len(store.draws.overlap_candidates(annotator, coders=request.coders))
    return min(_SIZE, size + min(waiting, round(request.overlap * _SIZE)))


def _check(request: DrawRequest) -> None:
    if request.strategy not in PLANS:
        hint = did_you_mean(request.strategy, STRATEGIES)
        raise InputError(f"unknown strategy '{request.strategy}'{hint}. Use one of {', '.join(STRATEGIES)}.")
    if request.query and request.strategy not in QUERIED:
        raise InputError(
            f"strategy '{request.strategy}' does not use search words ('{request.query}'). Remove the words, or use "
            "--strategy 'search WORDS'."
        )
    if request.overlap and request.strategy != "random":
        raise InputError(
            f"strategy '{request.strategy}' cannot be combined with --overlap. "
            "Remove --overlap, or use --strategy random."
        )
    if request.planted and request.strategy not in PLANTABLE:
        raise InputError(
            f"no sentences can be planted in a draw by strategy '{request.strategy}'. Remove --planted, or use another "
            f"strategy: {', '.join(sorted(PLANTABLE))}."
        )


def lease_end(lease: timedelta = LEASE) -> str:
    """The end of a reservation that starts now, ISO 8601 in UTC."""
    return (datetime.now(UTC) + lease).isoformat(timespec="microseconds")


def _unfinished(store: Store, annotator: str, request: DrawRequest) -> Assignment | None:
    families = {"random": RANDOM_STRATEGIES, "retest": RETESTS}
    family = families.get(request.strategy, (request.strategy,))
    before = None
    # Strategy "overlap" continues the overlap part of a random draw: the last draw may be finished, and one before not.
    for _ in range(_LOOK_BACK):
        model = request.model_id or None
        draws = tuple(store.draws.last(annotator, family, query=request.query, model_id=model, before=before))
        if not draws:
            break
        if pending := store.draws.hold_pending(draws, expires_at=lease_end()):
            return Assignment(draws, frozenset(pending), continues=True)
        before = draws[0].created_at
    return None


def _draws(plan: Plan, annotator: str, request: DrawRequest) -> tuple[Draw, ...]:
    created_at, frame = now(), plan.frame
    return tuple(
        Draw(
            id=uuid.uuid4().hex[:16],
            strategy=strategy,
            annotator=annotator,
            frame_hash=frame.hash if frame else "",
            frame_size=frame.size if frame else None,
            frame_last=frame.last if frame else None,
            frame_seq=frame.seq if frame else None,
            frame_held=frame.held if frame else None,
            seed=request.seed,
            created_at=created_at,
            items=tuple(items),
            model_id=request.model_id,
            query=request.query,
        )
        for strategy, items in plan.items.items()
        if items
    )
