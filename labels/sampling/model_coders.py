"""Language models as coders: their answers in the store, which are never decisions of people.

`communique llm code` records the answers (`trainer.active.llm`). This module only reads the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labels.codebook.reading import CodebookHistory, VersionReader
from labels.codebook.schema import Codebook
from labels.errors import CodebookError, InputError, did_you_mean
from labels.gold import MODEL_CODER, coder_name, not_undone, standing
from labels.records import Annotation
from labels.store import Store

FACTS = "llm"
"""The key of an answer's `extra` under which the model, the prompt's hash and the parameters are recorded."""


def facts_of_answer(event: Annotation) -> dict[str, Any]:
    """Return what is recorded about the model and the cost of an answer; empty if it was erased."""
    found = (event.extra or {}).get(FACTS, {})
    return dict(found) if isinstance(found, Mapping) else {}


@dataclass(frozen=True)
class ModelCoder:
    """A model coder and its answers: the last answer to each sentence.

    Attributes:
        name: with the prefix `MODEL_CODER`.
        answers: sentence id -> the event of a readable answer, which may assign no label.
        unanswered: sentence id -> the event of a request without a readable answer.
    """

    name: str
    answers: Mapping[str, Annotation]
    unanswered: Mapping[str, Annotation]

    @property
    def facts(self) -> Mapping[str, Any]:
        """The model, the hash of its prompt and its parameters, from the last event."""
        events = [*self.answers.values(), *self.unanswered.values()]
        # Purging a document erases what its events quote.
        last = max(events, key=lambda event: (bool(event.extra), event.created_at))
        return facts_of_answer(last)

    @property
    def identities(self) -> list[str]:
        """The models and the hashes of their prompts; more than one only if stores with one name were merged."""
        found = (facts_of_answer(event) for event in (*self.answers.values(), *self.unanswered.values()))
        return sorted({f"{one.get('model')} with prompt {one.get('prompt')}" for one in found if one})

    @property
    def without_score(self) -> set[str]:
        """The ids of sentences that never get a score: those without a readable answer, and those in the prompt."""
        return {*self.unanswered, *self.facts.get("parameters", {}).get("shots", [])}

    def labels_under(self, codebook: Codebook, history: CodebookHistory | None = None) -> dict[str, tuple[str, ...]]:
        """Map sentence ids to the labels of the answers under a codebook; undecided answers are left out.

        Raises:
            CodebookError: an answer was given under a codebook from which no recorded path leads to this one.
        """
        reader = VersionReader(codebook, history or CodebookHistory())
        reader.check_readable(self.answers.values())
        readings = {sentence: reader.read(event) for sentence, event in self.answers.items()}
        return {sentence: one.labels for sentence, one in readings.items() if not one.undecided}


def model_coder(store: Store, name: str) -> ModelCoder | None:
    """Return a model coder with its answers; None if it has none in the store."""
    if not name.startswith(MODEL_CODER):
        return None
    events = [event for event in not_undone(store.events.all(annotator=name)) if event.event == "model"]
    last = {event.sentence_id: event for event in events}
    if not last:
        return None
    return ModelCoder(
        name,
        {sentence: event for sentence, event in last.items() if event.state == "reviewed"},
        {sentence: event for sentence, event in last.items() if event.state != "reviewed"},
    )


def known_coder(store: Store, name: str) -> ModelCoder:
    """Return a model coder with its answers, by its name with or without `MODEL_CODER`.

    Raises:
        InputError: the store has no answers by this coder, or they come from several models or prompts.
    """
    found = model_coder(store, coder_name(name))
    if found is None:
        known = store.events.model_coders()
        raise InputError(
            f"{store.name} has no answers by '{coder_name(name)}'{did_you_mean(coder_name(name), known)}. Model coders "
            f"in the store: {', '.join(known) or 'none'}. To let a model code, run `communique llm code`."
        )
    if len(mixed := found.identities) > 1:
        raise InputError(
            f"{store.name}: the answers by {found.name} come from several models or prompts ({', '.join(mixed)}), "
            "perhaps after a merge or an import, so figures about them would be meaningless. Undo the import (see "
            "`communique annotations batches`), or let one of the models code again under another name."
        )
    return found


def disputed_sentences(store: Store, name: str, annotator: str) -> list[str]:
    """Return the sentences to which a person gave other labels than a model coder, for `annotator` to decide on.

    Sentences that the annotator has already decided on in a draw of this kind are left out. The ids are sorted.

    Raises:
        InputError: no coder is named, or the store has no answers by it.
    """
    if not name:
        raise InputError("strategy 'disputed-by' needs a model coder. Add its name: --strategy 'disputed-by llm:NAME'.")
    coder, history = known_coder(store, name), store.codebooks.history()
    events = store.events.all(sentence_ids=coder.answers)
    again = {one.sentence_id for one in not_undone(events) if _settled(one, annotator)}
    readers: dict[str, VersionReader] = {}
    found: set[str] = set()
    for (sentence, _), decision in standing(events).annotations.items():
        answer = coder.answers[sentence]
        if decision.state != "reviewed" or sentence in again:
            continue
        used = history.versions.get(answer.codebook_hash)
        reader = readers.setdefault(answer.codebook_hash, VersionReader(used, history)) if used else None
        if _labels(decision, reader) != answer.labels:
            found.add(sentence)
    return sorted(found)


def _settled(event: Annotation, annotator: str) -> bool:
    return event.annotator == annotator and event.event == "annotate" and event.strategy == "disputed-by"


def _labels(decision: Annotation, reader: VersionReader | None) -> tuple[str, ...]:
    """The labels of a decision under the codebook of an answer; unchanged if they cannot be read under it."""
    if reader is None:
        return decision.labels
    try:
        return reader.read(decision).labels
    except CodebookError:
        return decision.labels
