"""What only a store holds, as values: draws, the models whose scores it keeps, and codebook migrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
