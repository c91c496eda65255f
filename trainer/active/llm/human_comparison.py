"""Compare model coders with people and with each other: agreement by label, paired differences, and drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labels.agreement.coefficients import DEFAULT_BOOTSTRAP
from labels.agreement.comparisons import Figures, Unit, figures
from labels.agreement.report import independent_readings
from labels.codebook.schema import Codebook
from labels.errors import InputError, counted
from labels.gold import resolve, standing
from labels.records import Sentence
from labels.sampling.model_coders import ModelCoder
from labels.store import Store
from trainer.active.llm.asking import Journal, Question, ask_all
from trainer.active.llm.codebook_tests import TestResult
from trainer.active.llm.coder_prompt import Prompt
from trainer.active.llm.endpoint import Endpoint
from trainer.calibration.calibration import Bools
from trainer.evaluation.comparison import Comparison, compare_predictions
from trainer.evaluation.metrics import count

PEOPLE = "people"
"""The name for gold labels in comparisons with a model."""


@dataclass(frozen=True)
class HumanLabels:
    """Gold labels of sentences on which everybody decided without seeing a suggestion.

    `influenced` is the number of sentences left out because a person saw a suggestion or the decisions of others, which
    alone can make a decision agree with a model.
    """

    gold: Mapping[str, tuple[str, ...]]
    sentences: Mapping[str, Sentence]
    people: Sequence[Unit]
    influenced: int


def human_labels(store: Store, codebook: Codebook) -> HumanLabels:
    """Read the labels of people from a store; `people` are the sentences that several reviewed independently.

    Raises:
        CodebookError: see `labels.gold.resolve`.
    """
    events, history = store.events.all(), store.codebooks.history()
    stands = standing(events)
    shown = {
        sentence
        for (sentence, _), one in stands.annotations.items()
        if sentence not in stands.adjudications and (one.informed or (one.suggestion is not None and not one.blind))
    }
    gold = resolve(events, codebook, history).gold
    kept = {sentence: labels for sentence, labels in gold.items() if sentence not in shown}
    readings = independent_readings(events, codebook, history)
    sentences = store.documents.by_first_version({*kept, *(one.sentence_id for one, _ in readings)})
    given: dict[str, dict[str, tuple[str, ...]]] = {}
    for one, labels in readings:
        given.setdefault(one.sentence_id, {})[one.annotator] = labels
    units = [Unit(sentences[sentence], own) for sentence, own in given.items() if len(own) > 1]
    return HumanLabels(kept, sentences, _ordered(units), len(gold) - len(kept))


@dataclass(frozen=True)
class Scores:
    """Precision, recall and F1 of one label against gold; None if undefined."""

    precision: float | None
    recall: float | None
    f1: float | None
    gold: int
    given: int


@dataclass(frozen=True)
class HumanAgreement:
    """The agreement of a model coder with gold, and of people with each other.

    - `model`, `people`: coefficients by label; those of people are on all sentences that several reviewed
    - `scores`: of each label against gold, and `macro_f1`
    - `unanswered`: the number of sentences with gold to which the model gave no answer; they are left out
    """

    model: Figures
    people: Figures
    scores: Mapping[str, Scores]
    macro_f1: float | None
    unanswered: int
    influenced: int


def human_agreement(coder: ModelCoder, humans: HumanLabels, codebook: Codebook, store: Store) -> HumanAgreement:
    """Measure the agreement of a model coder with gold.

    Raises:
        InputError: the coder has answered no sentence with gold.
        CodebookError: see `ModelCoder.labels_under`.
    """
    answers = coder.labels_under(codebook, store.codebooks.history())
    both = sorted(answers.keys() & humans.gold.keys())
    if not both:
        raise InputError(
            f"{coder.name} has answered no sentence with human labels. Label sentences that it has answered, or let it "
            "code labelled sentences: `communique llm code --labelled`."
        )
    units = [Unit(humans.sentences[one], {PEOPLE: humans.gold[one], coder.name: answers[one]}) for one in both]
    gold, given = (_indicator([labels[one] for one in both], codebook) for labels in (humans.gold, answers))
    counts = count(gold, given)
    columns = zip(counts.precision, counts.recall, counts.f1, gold.sum(axis=0), given.sum(axis=0), strict=True)
    scores = {
        name: Scores(_defined(precision), _defined(recall), _defined(f1), int(there), int(assigned))
        for name, (precision, recall, f1, there, assigned) in zip(codebook.label_names, columns, strict=True)
    }
    return HumanAgreement(
        figures(_ordered(units), codebook, DEFAULT_BOOTSTRAP),
        figures(humans.people, codebook, DEFAULT_BOOTSTRAP),
        scores,
        _defined(float(counts.macro_f1)),
        sum(one in humans.gold for one in coder.unanswered),
        humans.influenced,
    )


def compare_coders(
    first: ModelCoder, second: ModelCoder, humans: HumanLabels, codebook: Codebook, store: Store
) -> tuple[Comparison, int]:
    """Compare two model coders on the sentences with gold that both have answered, and count those that only one has.

    Raises:
        InputError: there is no such sentence.
        CodebookError: see `ModelCoder.labels_under`.
    """
    history = store.codebooks.history()
    answers = [coder.labels_under(codebook, history) for coder in (first, second)]
    both = sorted(humans.gold.keys() & answers[0].keys() & answers[1].keys())
    if not both:
        raise InputError(
            f"No sentence with human labels has answers by both {first.name} and {second.name}. Let both code the same "
            "sentences: `communique llm code --labelled`."
        )
    numbers = {document: number for number, document in enumerate(sorted(_documents(both, humans)))}
    groups = [numbers[humans.sentences[it].document_id] for it in both]
    gold, one, other = (_indicator([own[it] for it in both], codebook) for own in (humans.gold, *answers))
    one_only = humans.gold.keys() & (answers[0].keys() ^ answers[1].keys())
    return compare_predictions(codebook.label_names, gold, one, other, groups), len(one_only)


def drift(
    coder: ModelCoder, prompt: Prompt, endpoint: Endpoint, sentences: Sequence[Sentence], journal: Journal
) -> TestResult:
    """Ask the same questions again, with the same seeds, and count the answers that differ from the recorded ones.

    The new answers are not recorded as the coder's.

    Raises:
        EndpointError, InputError: see `Endpoint.ask`.
    """
    answers = ask_all(endpoint, [Question(prompt, one.text) for one in sentences], journal, "Asking again")
    pairs = list(zip(sentences, answers, strict=True))
    changed = sum(answer.labels != coder.answers[one.id].labels for one, answer in pairs)
    missing = sum(answer.labels is None for answer in answers)
    return TestResult(f"same {counted(len(pairs), 'sentence')} again", len(pairs), changed, missing)


def _documents(ids: Sequence[str], humans: HumanLabels) -> set[str]:
    return {humans.sentences[one].document_id for one in ids}


def _ordered(units: Sequence[Unit]) -> list[Unit]:
    """Units in document order, so that intervals do not depend on the order of labelling."""
    return sorted(units, key=lambda unit: (unit.sentence.document_id, unit.sentence.start, unit.sentence.end))


def _indicator(sets: Sequence[tuple[str, ...]], codebook: Codebook) -> Bools:
    return np.array([[name in labels for name in codebook.label_names] for labels in sets], dtype=bool)


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
