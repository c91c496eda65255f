"""Compare each coder with adjudicated gold, label by label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from labels.codebook.reading import CodebookHistory, Reading, VersionReader
from labels.codebook.schema import Codebook
from labels.errors import CodebookError
from labels.gold import standing
from labels.records import Annotation


@dataclass(frozen=True)
class CoderScore:
    """A coder's decisions on one label, on `sentences` that were adjudicated.

    `gold` and `given` are the numbers of sentences to which the adjudicator and the coder assigned the label, and
    `both` the number to which both did.
    """

    annotator: str
    label: str
    sentences: int
    gold: int
    given: int
    both: int

    @property
    def precision(self) -> float | None:
        """The share of the coder's assignments that the adjudicator confirmed; None without assignments."""
        return self.both / self.given if self.given else None

    @property
    def recall(self) -> float | None:
        """The share of the adjudicator's assignments that the coder made; None without assignments."""
        return self.both / self.gold if self.gold else None

    @property
    def f1(self) -> float | None:
        """2 * both / (gold + given); None if neither assigned the label."""
        total = self.gold + self.given
        return 2 * self.both / total if total else None


def against_gold(
    events: Iterable[Annotation], codebook: Codebook, history: CodebookHistory | None = None
) -> tuple[CoderScore, ...]:
    """Compare every coder's standing reviews with the adjudications of the same sentences, by coder and label.

    Sentences are left out if the adjudication or the review cannot be read under `codebook` or leaves labels undecided,
    or if the adjudicator coded the sentence as well: nobody is compared with themselves.
    """
    stands = standing(events)
    reader = VersionReader(codebook, history or CodebookHistory())
    sentences: Counter[str] = Counter()
    counts: Counter[tuple[str, str, str]] = Counter()
    for (sentence, annotator), annotation in sorted(stands.annotations.items()):
        verdict = stands.adjudications.get(sentence)
        if verdict is None or verdict.annotator == annotator:
            continue
        gold, given = _read(verdict, reader), _read(annotation, reader)
        if gold is None or given is None:
            continue
        sentences[annotator] += 1
        for label in codebook.label_names:
            counts[annotator, label, "gold"] += label in gold.labels
            counts[annotator, label, "given"] += label in given.labels
            counts[annotator, label, "both"] += label in gold.labels and label in given.labels
    return tuple(
        CoderScore(name, label, sentences[name], *(counts[name, label, kind] for kind in ("gold", "given", "both")))
        for name in sorted(sentences)
        for label in codebook.label_names
    )


def _read(decision: Annotation, reader: VersionReader) -> Reading | None:
    """The labels of a review; None for other states, and for labels that cannot be read or are undecided."""
    if decision.state != "reviewed":
        return None
    try:
        reading = reader.read(decision)
    except CodebookError:
        return None
    return None if reading.undecided else reading
