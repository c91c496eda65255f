"""Events and draws <-> rows of the store's tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from labels.records import Annotation
from labels.store.records import Draw, DrawItem


def implied_draws(events: Iterable[Annotation], created_at: str) -> Iterator[Draw]:
    """Draws of imported events, which carry a strategy or a probability but no draw id of this store."""
    items: dict[str, dict[str, DrawItem]] = {}
    strategies: dict[str, str] = {}
    for event in events:
        identifier = _implied_draw_id(event)
        if identifier and not event.draw_id:
            item = DrawItem(event.sentence_id, event.inclusion_probability)
            items.setdefault(identifier, {})[event.sentence_id] = item
            strategies[identifier] = event.strategy
    for identifier, drawn in items.items():
        yield Draw(identifier, strategies[identifier], "", "", None, None, created_at, tuple(drawn.values()))


def draw_rows(draw: Draw) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The row of table `draws` and those of `draw_items`."""
    row = {key: value for key, value in asdict(draw).items() if key != "items"}
    items = [
        asdict(item)
        | {
            "draw_id": draw.id,
            "position": position if item.position is None else item.position,
            "previous": None if item.previous is None else list(item.previous),
        }
        for position, item in enumerate(draw.items)
    ]
    return row, items


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
