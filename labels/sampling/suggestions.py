"""What a model would say of a sentence, and whether the annotator may see it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from labels.store import ScoringModel, Store


@dataclass(frozen=True)
class Suggestion:
    """Labels that a model suggests, with the probability of every label by name; `blind`: they are to be withheld."""

    labels: tuple[str, ...]
    probabilities: dict[str, float]
    model_id: str
    blind: bool


@dataclass(frozen=True)
class Suggester:
    """Suggests from the scores in the store.

    `blind_share` (0 to 1) of the sentences are shown without what is suggested, so that its influence can be measured;
    which ones depends on the sentence and the annotator alone.
    """

    store: Store
    model: ScoringModel
    annotator: str
    blind_share: float

    def suggest(self, sentence_id: str, *, blind: bool = False) -> Suggestion | None:
        """What the model suggests; None if it was not asked about this sentence."""
        found = self.store.probabilities(self.model.id, sentence_id)
        if found is None:
            return None
        probabilities = dict(zip(self.model.labels, found, strict=True))
        return Suggestion(self._labels(probabilities), probabilities, self.model.id, blind or self._blind(sentence_id))

    def _labels(self, probabilities: dict[str, float]) -> tuple[str, ...]:
        if not self.model.exclusive:
            limits = dict(zip(self.model.labels, self.model.thresholds, strict=True))
            return tuple(label for label, probability in probabilities.items() if probability >= limits[label])
        likeliest = max(probabilities, key=probabilities.__getitem__)
        none = 1 - sum(probabilities.values())
        return (likeliest,) if probabilities[likeliest] >= none else ()

    def _blind(self, sentence_id: str) -> bool:
        digest = hashlib.sha256(f"blind\n{self.annotator}\n{sentence_id}".encode()).hexdigest()
        return int(digest[:8], 16) / 16**8 < self.blind_share
