"""The records that flow through the kit, and the content hashes that identify them.

Pure values: nothing here reads a file or a database. First what is labelled (documents, sentences), then who decided
what (annotations), what a classifier sees (examples), and what only a store holds: draws, the models that it has scores
of, and the recorded changes of a codebook.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["reviewed", "skipped"]
"""What an annotator decided. `unseen` is the absence of a decision, so it is never stored."""

EventKind = Literal["annotate", "undo", "adjudicate"]
"""An adjudication is an event like any other: it decides the gold, and leaves the annotations as they were."""

RANDOM_STRATEGIES = ("random", "overlap")
"""Strategies whose draws are simple random samples: estimates and agreement may rest on them."""

DATE_LENGTH, LANGUAGE_LENGTH = 40, 16
"""The longest `date` and `language` of a document, in characters: the widths of the store's columns."""


def document_id(source: str, text: str) -> str:
    """16 hex digits that identify a document by where it came from and what it says."""
    return _digest(f"{source}\n{text}")


def sentence_id(document: str, start: int, end: int) -> str:
    """16 hex digits that identify a span of a document: if a new splitter leaves it unchanged, it keeps its labels."""
    return _digest(f"{document}\n{start}\n{end}")


def _digest(content: str) -> str:
    # Articles from the web can contain unpaired surrogates, which plain UTF-8 refuses.
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class Document:
    """One article or transcript with its provenance.

    All offsets of its sentences refer to `text`. `synthetic` marks text that was written for a corpus and does not
    report real events.
    """

    source: str
    text: str
    url: str = ""
    title: str = ""
    date: str = ""
    language: str = "en"
    synthetic: bool = False

    @property
    def id(self) -> str:
        """Content hash of `source` and `text`."""
        return document_id(self.source, self.text)


@dataclass(frozen=True)
class Sentence:
    """A span `[start, end)` of a document's text, in Python str indices.

    `boilerplate` is why the span is not to be labelled ("share line", "caption"...), or empty for a sentence that is.
    `splitter` is the name and version of the code that cut it.
    """

    document_id: str
    start: int
    end: int
    text: str
    splitter: str = ""
    boilerplate: str = ""
    synthetic: bool = False

    @property
    def id(self) -> str:
        """Content hash of the document and the span."""
        return sentence_id(self.document_id, self.start, self.end)


@dataclass(frozen=True)
class Annotation:
    """One append-only event: an annotator's decision on a sentence, the undoing of their last one, or an adjudication.

    - `labels`: may be empty in state "reviewed", which means "reviewed, none"
    - `seconds`: how long the decision took; None if it was not measured
    - `suggestion`: the labels that a model suggested; None if no model was asked
    - `blind`: whether the suggestion was withheld on purpose
    - `strategy`, `inclusion_probability` (0 to 1, None if unknown), `draw_id`: how the sentence was drawn
    - `extra`: JSON values from other tools' records by the name of their format, kept for the way back
    """

    event_id: str
    sentence_id: str
    annotator: str
    event: EventKind
    state: State | None
    labels: tuple[str, ...]
    codebook_hash: str
    created_at: str
    note: str = ""
    seconds: float | None = None
    suggestion: tuple[str, ...] | None = None
    blind: bool = False
    strategy: str = ""
    inclusion_probability: float | None = None
    draw_id: str = ""
    extra: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Example:
    """What a classifier sees: a text and its gold labels, with the ids by which splits keep related texts together.

    `drawn` says how the sentence came to be labelled: "random", by another strategy of `labels.sampling.strategies`,
    or "" (unknown).
    """

    id: str
    document_id: str
    text: str
    labels: tuple[str, ...] = ()
    date: str = ""
    synthetic: bool = False
    drawn: str = ""


@dataclass(frozen=True)
class DrawItem:
    """A sentence of a draw.

    - `inclusion_probability`: in (0, 1], or None if unknown
    - `stratum`: the part of the frame it was drawn from, or why it is to be labelled again
    - `previous`: the labels that it had before; None if it had not been labelled
    - `position`: its place among all sentences drawn at that moment; None: its place in the draw's `items`
    """

    sentence_id: str
    inclusion_probability: float | None = None
    stratum: str = ""
    previous: tuple[str, ...] | None = None
    position: int | None = None


@dataclass(frozen=True)
class Draw:
    """A sample of sentences handed to one annotator, with how it was drawn.

    `items` are in the order in which they are shown. `frame_hash` and `frame_size` describe the sentences that they
    were drawn from (`labels.store.Frame`), `query` is what a search looked for, `model_id` whose scores were used.
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

    `thresholds` has one number in [0, 1] for each of `labels`; it is empty for an exclusive codebook.
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
    """The recorded steps from one version of a codebook to another.

    `steps` are plain JSON values; `labels.codebook.changes.step_from_json` reads one.
    """

    old_hash: str
    new_hash: str
    steps: tuple[Mapping[str, Any], ...]
    created_at: str
