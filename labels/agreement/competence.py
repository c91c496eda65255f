"""The competence of annotators by the model of Dawid and Skene, estimated without knowing the right answers.

The model assumes that every sentence has a right answer, and that each annotator errs at rates of their own, which
depend on the right answer only. Both are estimated together, so an error that most annotators share counts as right.

Source: Dawid and Skene (1979), "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from labels.agreement.coefficients import Floats
from labels.agreement.comparisons import LabelSet
from labels.agreement.report import independent_readings
from labels.codebook.reading import CodebookHistory
from labels.codebook.schema import Codebook
from labels.environment.progress import report_progress
from labels.errors import counted
from labels.records import Annotation

FEWEST_ANNOTATORS = 3
"""With two annotators, different error rates explain the same decisions equally well."""
FEWEST_SENTENCES = 20
"""Minimum number of sentences that three annotators reviewed, and of an annotator's sentences that others reviewed."""
FEWEST_WITH_LABEL = 10
"""Minimum number of these sentences to which somebody gave the label."""

_ROUNDS, _TOLERANCE = 20_000, 1e-9
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

    `found` is the probability to give the label where it applies, `false` the probability to give it where it does not.
    Both are None if there are too few sentences with the label.
    """

    annotator: str
    label: str
    sentences: int
    found: float | None
    false: float | None

    @property
    def competence(self) -> float | None:
        """`found` - `false`: 1 for a perfect annotator, 0 for one who guesses, negative for one who is misled."""
        return None if self.found is None or self.false is None else self.found - self.false


@dataclass(frozen=True)
class CompetenceReport:
    """The competence of every annotator, by label.

    - `sentences`: number of sentences that at least two of the annotators reviewed independently of each other
    - `with_three`: number of these that at least three reviewed
    - `prevalence`: the estimated share of sentences to which a label applies; None if it was not estimated
    - `given`: number of sentences to which somebody gave the label
    - `refused`: why nothing was estimated; empty if something was
    """

    annotators: tuple[str, ...]
    sentences: int
    with_three: int
    prevalence: dict[str, float | None]
    given: dict[str, int]
    coders: tuple[Competence, ...]
    refused: str = ""


def competence(
    events: Iterable[Annotation], codebook: Codebook, history: CodebookHistory | None = None
) -> CompetenceReport:
    """Estimate the competence of annotators from their independent reviews of the same sentences.

    In an exclusive codebook, the classes are compared together; otherwise each label is a question of its own.
    """
    given = _reviewed_together(independent_readings(events, codebook, history))
    names = sorted({annotator for own in given.values() for annotator in own})
    with_three = sum(len(own) >= FEWEST_ANNOTATORS for own in given.values())
    counts = {
        label: sum(any(label in labels for labels in own.values()) for own in given.values())
        for label in codebook.label_names
    }
    shares: dict[str, float | None] = dict.fromkeys(codebook.label_names)
    report = CompetenceReport(tuple(names), len(given), with_three, shares, counts, ())
    if len(names) < FEWEST_ANNOTATORS or with_three < FEWEST_SENTENCES:
        return _refused(report)
    sizes = Counter(annotator for own in given.values() for annotator in own)
    coders: list[Competence] = []
    for label, fitted, answer in _fits(given, codebook, counts):
        shares[label] = fitted.prior.get(answer, 0.0) if fitted else None
        coders += [Competence(one, label, sizes[one], *_rates(fitted, one, answer)) for one in names]
    ordered = tuple(sorted(coders, key=lambda one: one.annotator))
    return CompetenceReport(tuple(names), len(given), with_three, shares, counts, ordered)


def _reviewed_together(readings: Iterable[tuple[Annotation, LabelSet]]) -> dict[str, dict[str, LabelSet]]:
    """The label sets by sentence and annotator, of annotators who share enough sentences with others."""
    given: dict[str, dict[str, LabelSet]] = {}
    for decision, labels in readings:
        given.setdefault(decision.sentence_id, {})[decision.annotator] = labels
    while True:
        given = {sentence: own for sentence, own in given.items() if len(own) > 1}
        sizes = Counter(annotator for own in given.values() for annotator in own)
        few = {annotator for annotator, size in sizes.items() if size < FEWEST_SENTENCES}
        if not few:
            return given
        given = {
            sentence: {who: labels for who, labels in own.items() if who not in few} for sentence, own in given.items()
        }


def _refused(report: CompetenceReport) -> CompetenceReport:
    people = counted(len(report.annotators), "annotator")
    reason = (
        f"competence needs {FEWEST_ANNOTATORS} annotators who share {FEWEST_SENTENCES} sentences each with others, and "
        f"{FEWEST_SENTENCES} sentences that three of them reviewed without seeing a suggestion or each other's "
        f"decisions. There are {people} and {counted(report.with_three, 'sentence')} of this kind"
    )
    return CompetenceReport(**vars(report) | {"refused": reason})


def _fits(
    given: Mapping[str, Mapping[str, LabelSet]], codebook: Codebook, counts: Mapping[str, int]
) -> Iterator[tuple[str, Fitted | None, str]]:
    """Yield each label, the model that has its rates, and the answer that stands for the label in the model."""
    enough = [label for label in codebook.label_names if counts[label] >= FEWEST_WITH_LABEL]
    flat = [(sentence, who, labels) for sentence, own in given.items() for who, labels in own.items()]
    if codebook.exclusive:
        fitted = dawid_skene([(one, who, labels[0] if labels else _NONE) for one, who, labels in flat])
    for done, label in enumerate(codebook.label_names):
        report_progress("Competence", done, len(codebook.label_names))
        if label not in enough:
            yield label, None, label
        elif codebook.exclusive:
            yield label, fitted, label
        else:
            yield label, dawid_skene([(one, who, _YES if label in labels else _NO) for one, who, labels in flat]), _YES


def _rates(fitted: Fitted | None, annotator: str, answer: str) -> tuple[float | None, float | None]:
    """The probabilities of giving an answer where it is right, and where it is wrong."""
    if fitted is None:
        return None, None
    rates, prior = fitted.rates[annotator], fitted.prior
    wrong = [other for other in prior if other != answer]
    weight = sum(prior[other] for other in wrong)
    if answer not in prior or not weight:
        return None, None
    false = sum(prior[other] * rates[other].get(answer, 0.0) for other in wrong) / weight
    return rates[answer].get(answer, 0.0), false


def dawid_skene(ratings: Sequence[Rating]) -> Fitted:
    """Fit the model by expectation maximization, from the shares of answers. A sentence can be rated repeatedly.

    Source: Dawid and Skene (1979), formulas 2.3 to 2.5 and 3.1.
    """
    tasks, people, answers = (sorted({rating[place] for rating in ratings}) for place in range(3))
    counts = _counts(ratings, tasks, people, answers)
    chances = counts.sum(axis=1) / counts.sum(axis=(1, 2))[:, None]
    for _ in range(_ROUNDS):
        prior, rates = _maximized(counts, chances)
        before, chances = chances, _expected(counts, prior, rates)
        if np.abs(chances - before).max() < _TOLERANCE:
            break
    prior, rates = _maximized(counts, chances)
    return Fitted(
        dict(zip(answers, prior.tolist(), strict=True)),
        {
            person: {right: dict(zip(answers, row, strict=True)) for right, row in zip(answers, own, strict=True)}
            for person, own in zip(people, rates.tolist(), strict=True)
        },
        {task: answers[best] for task, best in zip(tasks, chances.argmax(axis=1).tolist(), strict=True)},
    )


def _counts(ratings: Sequence[Rating], tasks: list[str], people: list[str], answers: list[str]) -> Floats:
    """How often each person gave each answer to each task, of shape (tasks, people, answers)."""
    places = [{name: place for place, name in enumerate(names)} for names in (tasks, people, answers)]
    counts = np.zeros((len(tasks), len(people), len(answers)))
    for rating in ratings:
        counts[tuple(place[name] for place, name in zip(places, rating, strict=True))] += 1
    return counts


def _maximized(counts: Floats, chances: Floats) -> tuple[Floats, Floats]:
    """The shares of the right answers, and the rates of shape (people, right answers, given answers)."""
    rates = np.einsum("tj,tpl->pjl", chances, counts)
    return chances.mean(axis=0), rates / np.maximum(rates.sum(axis=2, keepdims=True), _LEAST)


def _expected(counts: Floats, prior: Floats, rates: Floats) -> Floats:
    """The probability of each right answer to each task, of shape (tasks, answers)."""
    logs = np.einsum("tpl,pjl->tj", counts, np.log(np.maximum(rates, _LEAST))) + np.log(np.maximum(prior, _LEAST))
    chances: Floats = np.exp(logs - logs.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    return chances
