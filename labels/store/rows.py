"""Records <-> rows of the store's tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from labels.records import Annotation


@dataclass(frozen=True)
class DrawItem:
    """A sentence of a draw.

    `inclusion_probability` is in (0, 1], or None where it is unknown. `stratum` says from which part of the frame it
    came, or why it is to be labelled again; `previous` are the labels that it bore before, None where there were none.
    `position` is its place among all that is drawn at one moment.
    """

    sentence_id: str
    inclusion_probability: float | None = None
    stratum: str = ""
    previous: tuple[str, ...] | None = None
    position: int | None = None


@dataclass(frozen=True)
class Draw:
    """A sample of sentences handed to one annotator, with how it was drawn.

    `items` are in the order to be shown. `query` is what a search looked for, `model_id` whose scores were used.
    """

    id: str
    strategy: str
    annotator: str
    frame_hash: str
    frame_size: int | None
    seed: int | None
    created_at: str
    items: tuple[DrawItem, ...] = ()
    model_id: str = ""
    query: str = ""


@dataclass(frozen=True)
class ScoringModel:
    """A model whose scores are in the store: what the columns of its probabilities mean.

    `thresholds` has one number in [0, 1] for each of `labels` (empty for exclusive codebooks).
    """

    id: str
    kind: str
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    exclusive: bool
    codebook_hash: str
    created_at: str
    encoder: str = ""


@dataclass(frozen=True)
class CodebookMigration:
    """The recorded steps from one version of a codebook to another; `steps` are plain JSON values."""

    old_hash: str
    new_hash: str
    steps: tuple[Mapping[str, Any], ...]
    created_at: str


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
