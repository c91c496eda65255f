"""What a model would say of a sentence, and whether the annotator may see it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from labels.codebook.schema import Codebook
from labels.errors import InputError
from labels.settings import command
from labels.store import ScoringModel, Store, Uncertainty


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
        found = self.store.scores.probabilities(self.model.id, sentence_id)
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


def choose_model(store: Store, codebook: Codebook, wanted: str = "") -> ScoringModel:
    """The model whose scores are to be used: the one whose id starts with `wanted`, else the one added last.

    Raises:
        InputError: there is none, or its labels are not those of the codebook.
    """
    models = store.scores.models()
    found = [model for model in models if model.id.startswith(wanted)]
    if not found:
        known = ", ".join(model.id for model in models) or "none"
        whose = f"a model '{wanted}'" if wanted else "any model"
        raise InputError(
            f"{store.name}: no scores of {whose} here (models: {known}). "
            f"Write some with `{command('score', 'ARTEFACT', store=store.name)}`."
        )
    if found[0].labels != codebook.label_names:
        raise InputError(
            f"model {found[0].id} knows the labels {', '.join(found[0].labels)}, the codebook "
            f"'{codebook.name}' {', '.join(codebook.label_names)}. "
            "Score with a model of this codebook, or name another with --model."
        )
    return found[0]


def check_measure(name: str) -> Uncertainty:
    """The measure of uncertainty of that name.

    Raises:
        InputError: there is no such measure.
    """
    if name == "entropy":
        return "entropy"
    if name == "margin":
        return "margin"
    raise InputError(f"'{name}' is no measure of uncertainty. Use entropy or margin.")
