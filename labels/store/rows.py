"""Records <-> rows of the store's tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from labels.records import Annotation


@dataclass(frozen=True)
class Draw:
    """A sample of sentences handed to one annotator, with how it was drawn.

    `items` are (sentence id, inclusion probability) in the order to be shown; the probability is in (0, 1], or None
    where it is unknown.
    """

    id: str
    strategy: str
    annotator: str
    frame_hash: str
    frame_size: int | None
    seed: int | None
    created_at: str
    items: tuple[tuple[str, float | None], ...] = ()
    model_id: str = ""


def implied_draws(events: Iterable[Annotation], created_at: str) -> Iterator[Draw]:
    """Draws of imported events, which carry a strategy or a probability but no draw id of this store."""
    items: dict[str, dict[str, float | None]] = {}
    strategies: dict[str, str] = {}
    for event in events:
        identifier = _implied_draw_id(event)
        if identifier and not event.draw_id:
            items.setdefault(identifier, {})[event.sentence_id] = event.inclusion_probability
            strategies[identifier] = event.strategy
    for identifier, drawn in items.items():
        yield Draw(identifier, strategies[identifier], "", "", None, None, created_at, tuple(drawn.items()))


def event_row(event: Annotation) -> dict[str, Any]:
    """The row of table `events` for an event."""
    row = asdict(event)
    row["labels"] = list(event.labels)
    row["suggestion"] = None if event.suggestion is None else list(event.suggestion)
    row["draw_id"] = event.draw_id or _implied_draw_id(event)
    del row["strategy"], row["inclusion_probability"]
    return row


def event_of(row: sa.RowMapping) -> Annotation:
    """The event of a row that is joined with its draw's strategy and probability."""
    values = {key: value for key, value in row.items() if key != "seq"}
    values["labels"] = tuple(values["labels"])
    values["suggestion"] = None if values["suggestion"] is None else tuple(values["suggestion"])
    values["strategy"] = values["strategy"] or ""
    return Annotation(**values)


def _implied_draw_id(event: Annotation) -> str:
    if not event.strategy and event.inclusion_probability is None:
        return ""
    content = f"import\n{event.annotator}\n{event.strategy}\n{event.inclusion_probability}"
    return hashlib.sha256(content.encode()).hexdigest()[:16]
