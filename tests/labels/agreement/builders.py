"""Events to compare."""

from __future__ import annotations

from itertools import count
from typing import Any

from labels.records import Annotation, Sentence

_ids = count()


def review(annotator: str, sentence: Sentence, labels: tuple[str, ...], **fields: Any) -> Annotation:
    """A review of a sentence; `fields` replace what it says."""
    values: dict[str, Any] = {"event": "annotate", "state": "reviewed", "codebook_hash": "hash"}
    return Annotation(
        event_id=f"e{next(_ids)}",
        sentence_id=sentence.id,
        annotator=annotator,
        labels=labels,
        created_at="2026-01-01",
        **(values | fields),
    )
