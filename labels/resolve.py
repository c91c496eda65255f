"""Annotations -> gold: what the annotators agree on, or an adjudicator decided. No annotation is altered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from labels.codebook import Codebook
from labels.history import standing
from labels.records import Annotation


@dataclass(frozen=True)
class Resolution:
    """Gold label sets, and the sentences that have none yet.

    `gold` maps sentence id -> labels in codebook order (empty: reviewed, none). `disputed` are sentences whose
    reviewers differ with no adjudication, `skipped` those that every annotator skipped.
    """

    gold: dict[str, tuple[str, ...]]
    disputed: tuple[str, ...]
    skipped: tuple[str, ...]


def resolve(events: Iterable[Annotation], codebook: Codebook) -> Resolution:
    """Resolve each sentence to its adjudication, else to the label set that all of its reviewers gave.

    Raises:
        CodebookError: an annotation bears a label that `codebook` lacks.
    """
    stands = standing(events)
    sets: dict[str, set[tuple[str, ...]]] = {}
    for (sentence, _), annotation in stands.annotations.items():
        given = sets.setdefault(sentence, set())
        if annotation.state == "reviewed":
            given.add(_labels(annotation, codebook))
    for sentence, adjudication in stands.adjudications.items():
        sets[sentence] = {_labels(adjudication, codebook)}
    return Resolution(
        gold={sentence: next(iter(given)) for sentence, given in sets.items() if len(given) == 1},
        disputed=tuple(sentence for sentence, given in sets.items() if len(given) > 1),
        skipped=tuple(sentence for sentence, given in sets.items() if not given),
    )


def _labels(annotation: Annotation, codebook: Codebook) -> tuple[str, ...]:
    place = f"sentence {annotation.sentence_id}, annotator '{annotation.annotator}'"
    return codebook.check_labels(annotation.labels, place)
