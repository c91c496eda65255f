"""The competence of annotators by the model of Dawid and Skene, estimated without knowing the right answers.

The model assumes that every sentence has a right answer, and that each annotator errs at rates of their own, which
depend on the right answer only. Both are estimated together, so an error that most annotators share counts as right.

Source: Dawid and Skene (1979), "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from labels.agreement.coefficients import Bootstrap, Estimate, Floats, Resampling, ratio, resample
from labels.agreement.comparisons import LabelSet
from labels.agreement.report import independent_readings, sentence_of
from labels.codebook.reading import CodebookHistory
from labels.codebook.schema import Codebook
from labels.environment.progress import report_progress
from labels.errors import counted
from labels.records import Annotation, Sentence

FEWEST_ANNOTATORS = 3
"""With two annotators, different error rates explain the same decisions equally well."""
FEWEST_SENTENCES = 20
"""Minimum number of sentences that three annotators reviewed, and of an annotator's sentences that others reviewed."""
FEWEST_WITH_LABEL = 10
"""Minimum number of these sentences to which somebody gave the label."""

_BOOTSTRAP = Bootstrap(draws=200)
_ROUNDS, _ROUNDS_OF_DRAWS, _TOLERANCE = 20_000, 500, 1e-9
_LEAST = 1e-300
"""Stands for zero where a logarithm or a quotient is taken."""
_YES, _NO = "yes", "no"
_NONE = ""
"""The class of a sentence without a label, in an exclusive codebook."""

Rating = tuple[str, str, str]
"""A sentence, an annotator, and the answer."""


@dataclass(frozen=True)
class Fitted:
    """The fitted model.

    - `prior`: the share of each right answer, summing to 1
    - `rates`: annotator -> right answer -> given answer -> probability, summing to 1 over the given answers
    - `likely`: sentence -> its most probable right answer
    """

    prior: Mapping[str, float]
    rates: Mapping[str, Mapping[str, Mapping[str, float]]]
    likely: Mapping[str, str]


@dataclass(frozen=True)
class Competence:
    """The estimated error rates of an annotator for a label, from `sentences` that others reviewed as well.

    `found` is the probability of giving the label where it applies, and `false` where it does not. `competence` is
    `found` - `false`: 1 for a perfect annotator, 0 for one who guesses, negative for one who is misled. The figures are
    undefined if there are too few sentences with the label.
    """

    annotator: str
    label: str
    sentences: int
    found: Estimate
    false: Estimate
    competence: Estimate


@dataclass(frozen=True)
class CompetenceReport:
    """The competence of every annotator, by label.

    - `sentences`: number of sentences that at least two of the annotators reviewed independently of each other
    - `with_three`: number of these that at least three reviewed
    - `prevalence`: the estimated share of sentences to which a label applies
    - `given`: number of sentences to which somebody gave the label
    - `refused`: why nothing was estimated; empty if something was
    """

    annotators: tuple[str, ...]
    sentences: int
    with_three: int
    prevalence: dict[str, Estimate]
    given: dict[str, int]
    coders: tuple[Competence, ...]
    refused: str = ""


@dataclass(frozen=True)
class _Given:
    """The label sets of a sentence by annotator, and its document."""

    document: str
    sets: Mapping[str, LabelSet]


def competence(
    events: Iterable[Annotation],
    sentences: Mapping[str, Sentence],
    codebook: Codebook,
    history: CodebookHistory | None = None,
    bootstrap: Bootstrap = _BOOTSTRAP,
) -> CompetenceReport:
    """Estimate the competence of annotators from their independent reviews of the same sentences.

    In an exclusive codebook, the classes are compared together; otherwise each label is a question of its own.

    Raises:
        DataError: a sentence is not in `sentences`.
    """
    given = _reviewed_together(independent_readings(events, codebook, history), sentences)
    sizes = Counter(annotator for one in given for annotator in one.sets)
    with_three = sum(len(one.sets) >= FEWEST_ANNOTATORS for one in given)
    counts = {
        label: sum(any(label in labels for labels in one.sets.values()) for one in given)
        for label in codebook.label_names
    }
    names = tuple(sorted(sizes))
    if len(names) < FEWEST_ANNOTATORS or with_three < FEWEST_SENTENCES:
        reason = _refusal(len(names), with_three)
        return CompetenceReport(names, len(given), with_three, {}, counts, (), reason)
    resampling = resample([one.document for one in given], bootstrap)
    shares: dict[str, Estimate] = {}
    coders: list[Competence] = []
    for label, model, answer in _models(given, names, codebook, counts, resampling):
        few = "" if model else f"fewer than {FEWEST_WITH_LABEL} sentences were given the label: {counts[label]}"
        shares[label] = resampling.estimate(model.prior[:, answer], few) if model else Estimate(None, undefined=few)
        for place, name in enumerate(names):
            figures = _figures(model, place, answer, resampling) if model else [Estimate(None, undefined=few)] * 3
            coders.append(Competence(name, label, sizes[name], *figures))
    ordered = tuple(sorted(coders, key=lambda one: one.annotator))
    return CompetenceReport(names, len(given), with_three, shares, counts, ordered)


def _reviewed_together(
    readings: Iterable[tuple[Annotation, LabelSet]], sentences: Mapping[str, Sentence]
) -> list[_Given]:
    """The label sets of sentences with several reviews, by annotators who share enough sentences with others."""
    given: dict[str, dict[str, LabelSet]] = {}
    documents: dict[str, str] = {}
    for decision, labels in readings:
        given.setdefault(decision.sentence_id, {})[decision.annotator] = labels
        documents[decision.sentence_id] = sentence_of(decision, sentences).document_id
    few: set[str] = set()
    while True:
        given = {one: {who: own[who] for who in own if who not in few} for one, own in given.items()}
        given = {one: own for one, own in given.items() if len(own) > 1}
        sizes = Counter(annotator for own in given.values() for annotator in own)
        few = {annotator for annotator, size in sizes.items() if size < FEWEST_SENTENCES}
        if not few:
            return [_Given(documents[one], given[one]) for one in sorted(given)]


def _refusal(annotators: int, with_three: int) -> str:
    return (
        f"competence needs {FEWEST_ANNOTATORS} annotators who share {FEWEST_SENTENCES} sentences each with others, and "
        f"{FEWEST_SENTENCES} sentences that three of them reviewed without seeing a suggestion or each other's "
        f"decisions. These conditions are met by {counted(annotators, 'annotator')} and "
        f"{counted(with_three, 'sentence')}"
    )


def _models(
    given: Sequence[_Given],
    names: Sequence[str],
    codebook: Codebook,
    counts: Mapping[str, int],
    resampling: Resampling,
) -> Iterator[tuple[str, _Model | None, int]]:
    """Yield each label, the model with its rates, and the position of the answer that stands for the label."""

    def fitted(answers: Sequence[str], answer: Callable[[LabelSet], str]) -> _Model:
        ratings = [
            (str(place), who, answer(labels)) for place, one in enumerate(given) for who, labels in one.sets.items()
        ]
        tasks = [str(place) for place in range(len(given))]
        return _drawn(_counts(ratings, tasks, names, answers), resampling)

    classes = [_NONE, *codebook.label_names]
    together = fitted(classes, lambda labels: labels[0] if labels else _NONE) if codebook.exclusive else None
    for done, label in enumerate(codebook.label_names):
        report_progress("Competence", done, len(codebook.label_names))
        if counts[label] < FEWEST_WITH_LABEL:
            yield label, None, 0
        elif together is not None:
            yield label, together, classes.index(label)
        else:
            yield label, fitted([_NO, _YES], partial(_yes_or_no, label)), 1


def _yes_or_no(label: str, labels: LabelSet) -> str:
    return _YES if label in labels else _NO


def _figures(model: _Model, person: int, answer: int, resampling: Resampling) -> list[Estimate]:
    """The probabilities of giving an answer where it is right and where it is wrong, and their difference."""
    prior, rates = model.prior, model.rates[:, person]
    wrong = [other for other in range(prior.shape[1]) if other != answer]
    weights = prior[:, wrong]
    found = np.where(prior[:, answer] > 0, rates[:, answer, answer], np.nan)
    false = ratio((weights * rates[:, wrong, answer]).sum(axis=1), weights.sum(axis=1))
    reason = "the label applies to every sentence, or to none"
    return [resampling.estimate(figures, reason) for figures in (found, false, found - false)]


# -- the model


@dataclass(frozen=True)
class _Model:
    """Fitted models: shares of the right answers, of shape (draws, answers), and rates.

    The rates have the shape (draws, people, right answers, given answers).
    """

    prior: Floats
    rates: Floats


def dawid_skene(ratings: Sequence[Rating]) -> Fitted:
    """Fit the model by expectation maximization, from the shares of answers. A sentence can be rated repeatedly.

    Source: Dawid and Skene (1979), formulas 2.3 to 2.5 and 3.1.
    """
    tasks, people, answers = (sorted({rating[place] for rating in ratings}) for place in range(3))
    counts = _counts(ratings, tasks, people, answers)
    weights = np.ones((1, len(tasks)))
    model = _maximum(counts, weights, _ROUNDS)
    (chances,) = _expected(counts, model)
    rates = zip(people, model.rates[0].tolist(), strict=True)
    return Fitted(
        dict(zip(answers, model.prior[0].tolist(), strict=True)),
        {
            person: {right: dict(zip(answers, row, strict=True)) for right, row in zip(answers, own, strict=True)}
            for person, own in rates
        },
        {task: answers[best] for task, best in zip(tasks, chances.argmax(axis=1).tolist(), strict=True)},
    )


def _counts(ratings: Sequence[Rating], tasks: Sequence[str], people: Sequence[str], answers: Sequence[str]) -> Floats:
    """How often each person gave each answer to each task, of shape (tasks, people, answers)."""
    places = [{name: place for place, name in enumerate(names)} for names in (tasks, people, answers)]
    counts = np.zeros((len(tasks), len(people), len(answers)))
    for rating in ratings:
        counts[tuple(place[name] for place, name in zip(places, rating, strict=True))] += 1
    return counts


def _drawn(counts: Floats, resampling: Resampling) -> _Model:
    """The models of the original data and of every draw. Tasks with the same answers are fitted together."""
    patterns, places = np.unique(counts.reshape(len(counts), -1), axis=0, return_inverse=True)
    in_documents = np.zeros((resampling.n_documents, len(patterns)))
    np.add.at(in_documents, (resampling.groups, places.ravel()), 1)
    weights = resampling.weights @ in_documents
    distinct = patterns.reshape(len(patterns), *counts.shape[1:])
    parts = [_maximum(distinct, weights[:1], _ROUNDS)]
    if len(weights) > 1:
        parts.append(_maximum(distinct, weights[1:], _ROUNDS_OF_DRAWS))
    return _Model(np.concatenate([one.prior for one in parts]), np.concatenate([one.rates for one in parts]))


def _maximum(counts: Floats, weights: Floats, rounds: int) -> _Model:
    """The models of highest likelihood.

    Args:
        counts: how often each answer was given, of shape (tasks, people, answers).
        weights: how often each task counts, of shape (draws, tasks).
    """
    shares = counts.sum(axis=1) / counts.sum(axis=(1, 2))[:, None]
    chances = np.broadcast_to(shares, (len(weights), *shares.shape))
    for _ in range(rounds):
        model = _maximized(counts, weights, chances)
        before, chances = chances, _expected(counts, model)
        if np.abs(chances - before).max() < _TOLERANCE:
            break
    return _maximized(counts, weights, chances)


def _maximized(counts: Floats, weights: Floats, chances: Floats) -> _Model:
    mass = weights[:, :, None] * chances
    flat = mass.transpose(0, 2, 1) @ counts.reshape(len(counts), -1)
    rates = flat.reshape(*flat.shape[:2], *counts.shape[1:]).transpose(0, 2, 1, 3)
    prior = mass.sum(axis=1) / weights.sum(axis=1)[:, None]
    return _Model(prior, rates / np.maximum(rates.sum(axis=3, keepdims=True), _LEAST))


def _expected(counts: Floats, model: _Model) -> Floats:
    """The probability of each right answer to each task, of shape (draws, tasks, answers)."""
    logs = np.log(np.maximum(model.rates, _LEAST)).transpose(0, 1, 3, 2)
    flat = logs.reshape(len(logs), -1, logs.shape[-1])
    total = counts.reshape(len(counts), -1) @ flat + np.log(np.maximum(model.prior, _LEAST))[:, None, :]
    chances: Floats = np.exp(total - total.max(axis=2, keepdims=True))
    chances /= chances.sum(axis=2, keepdims=True)
    return chances
