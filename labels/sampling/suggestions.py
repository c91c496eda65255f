"""Label suggestions from a model, and the decision to show or withhold them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from labels.codebook.schema import Codebook
from labels.environment.settings import command
from labels.errors import InputError
from labels.gold import MODEL_CODER
from labels.store import ScoringModel, Store


@dataclass(frozen=True)
class Suggestion:
    """The suggested labels and the probability of every label by name; `blind` suggestions are withheld."""

    labels: tuple[str, ...]
    probabilities: dict[str, float]
    model_id: str
    blind: bool


@dataclass(frozen=True)
class Suggester:
    """Derives suggestions from the scores in the store.

    The share `blind_share` (0 to 1) of the suggestions is withheld to measure their effect. Whether a suggestion is
    withheld depends only on the sentence and the annotator.
    """

    store: Store
    model: ScoringModel
    annotator: str
    blind_share: float

    def suggest(self, sentence_id: str, *, blind: bool = False) -> Suggestion | None:
        """The suggestion for a sentence; None if the sentence has no score."""
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
        # If the codebook does not allow "none", this is 0 except for rounding.
        none = 1 - sum(probabilities.values())
        return (likeliest,) if probabilities[likeliest] >= none else ()

    def _blind(self, sentence_id: str) -> bool:
        # A hash instead of a random number: showing the sentence again must not reveal the suggestion.
        digest = hashlib.sha256(f"blind\n{self.annotator}\n{sentence_id}".encode()).hexdigest()
        return int(digest[:8], 16) / 16**8 < self.blind_share


def is_model_coder(model: ScoringModel) -> bool:
    """Whether the scores are those of a language model that codes (`labels.sampling.model_coders`)."""
    return model.id.startswith(MODEL_CODER)


def choose_model(store: Store, codebook: Codebook, wanted: str = "") -> ScoringModel:
    """The scoring model to use: the most recently added model with an id that starts with `wanted`.

    The scores of a model coder (`llm:NAME`) are used only if its whole name is given.

    Raises:
        InputError: no model matches, or the labels of the model differ from the labels of the codebook.
    """
    models = store.scores.models()
    found = [one for one in models if one.id == wanted or (one.id.startswith(wanted) and not is_model_coder(one))]
    if not found:
        known = ", ".join(model.id for model in models) or "none"
        which = f"model '{wanted}'" if wanted else "any model"
        raise InputError(
            f"{store.name}: there are no scores by {which} (models with scores: {known}). "
            f"Write scores with `{command('score', 'ARTEFACT', store=store.name)}`, or name a language model that has "
            f"coded ({MODEL_CODER}NAME)."
        )
    if found[0].labels != codebook.label_names:
        raise InputError(
            f"model {found[0].id} has the labels {', '.join(found[0].labels)}, but codebook "
            f"'{codebook.name}' has {', '.join(codebook.label_names)}. "
            "Score with a model of this codebook, or choose another model with --model."
        )
    return found[0]
