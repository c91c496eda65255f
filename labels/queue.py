"""What to label next, from the store alone: samples of unseen sentences with their inclusion probabilities."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from labels.errors import StoreError
from labels.store import Draw, Store, now

LEASE = timedelta(hours=12)
"""How long a drawn sentence is kept for its annotator before others may draw it."""
_ATTEMPTS = 5


def next_draw(store: Store, annotator: str, *, size: int, seed: int) -> Draw | None:
    """The annotator's unfinished draw, or a new simple random sample of `size` unseen sentences.

    Nobody else is handed the same sentences until the reservation runs out after `LEASE`. Each sentence of the
    frame (unseen, not boilerplate, not reserved) has the same inclusion probability, size / frame size.

    Returns:
        The draw with the sentences still to be decided, or None when nothing is left.

    Raises:
        StoreError: others were faster each time.
    """
    unfinished = store.open_draw(annotator, "random", expires_at=lease_end())
    if unfinished is not None:
        return unfinished
    for attempt in range(_ATTEMPTS):
        frame = store.unseen()
        if not frame:
            return None
        draw = _sample(frame, annotator, size, seed + attempt)
        if store.add_draw(draw, expires_at=lease_end()):
            return draw
    raise StoreError(f"{store.url}: others drew the same sentences {_ATTEMPTS} times in a row. Try again.")


def lease_end() -> str:
    """When a reservation made now runs out, ISO 8601 in UTC."""
    return (datetime.now(UTC) + LEASE).isoformat(timespec="microseconds")


def frame_hash(ids: Sequence[str]) -> str:
    """16 hex digits that identify the frame a sample was drawn from."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:16]


def _sample(frame: Sequence[str], annotator: str, size: int, seed: int) -> Draw:
    size = min(size, len(frame))
    generator = random.Random(f"{seed}\n{annotator}\n{frame_hash(frame)}")
    probability = size / len(frame)
    return Draw(
        id=uuid.uuid4().hex[:16],
        strategy="random",
        annotator=annotator,
        frame_hash=frame_hash(frame),
        frame_size=len(frame),
        seed=seed,
        created_at=now(),
        items=tuple((identifier, probability) for identifier in generator.sample(list(frame), size)),
    )
