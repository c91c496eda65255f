"""Reports on agreement: between annotators, and of annotators with their own earlier decisions.

This module chooses which decisions are compared; the figures come from `comparisons`. Nothing is read from a store or
printed. The effect of shown suggestions is in `suggestion_effect`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby, product

from labels.agreement.coefficients import DEFAULT_BOOTSTRAP, Bootstrap
from labels.agreement.comparisons import Figures, LabelSet, Unit, figures
from labels.codebook.reading import CodebookHistory, VersionReader
from labels.codebook.schema import Codebook
from labels.errors import CodebookError, DataError
from labels.gold import kept_annotations
from labels.records import RANDOM_STRATEGIES, Annotation, Sentence

RETEST = "retest"
"""The strategy that shows annotators sentences on which they decided before."""
MOST_CONFUSED = 10
EXAMPLES_EACH = 2

_Reading = tuple[Annotation, LabelSet]
"""A decision, and its labels as the codebook in use reads them."""


@dataclass(frozen=True)
class ConfusedSentence:
    """A sentence on which annotators differ, and the labels that each gave."""

    sentence_id: str
    text: str
    decisions: dict[str, LabelSet]


@dataclass(frozen=True)
class Confusion:
    """How often one decision had a label where another on the same sentence had the other label, or none (None)."""

    labels: tuple[str | None, str | None]
    count: int
    examples: tuple[ConfusedSentence, ...]


@dataclass(frozen=True)
class Response:
    """How many sentences an annotator reviewed, and how many they skipped: a skip is not a value of kappa or alpha."""

    annotator: str
    reviewed: int
    skipped: int


@dataclass(frozen=True)
class Block:
    """The figures of one kind of decisions, and the label pairs that are confused most often, most frequent first."""

    figures: Figures
    confusions: tuple[Confusion, ...]


@dataclass(frozen=True)
class AgreementReport:
    """Agreement between annotators, in two blocks.

    `unbiased`: decisions on randomly drawn sentences, made without seeing a suggestion. `other`: all other sentences
    that two annotators reviewed (picked, suggested, or of unknown draw); this block says little about new sentences.
    `undecided` counts standing decisions that were left out because a codebook change left their labels undecided.
    """

    unbiased: Block
    other: Block
    responses: tuple[Response, ...]
    undecided: int
    bootstrap: Bootstrap


@dataclass(frozen=True)
class Retest:
    """An annotator's agreement with themselves; the "annotators" of `figures` are the two readings: before, retest."""

    annotator: str
    figures: Figures


def agreement(
    events: Iterable[Annotation],
    sentences: Mapping[str, Sentence],
    codebook: Codebook,
    history: CodebookHistory | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> AgreementReport:
    """Agreement between annotators: unbiased decisions, and all others.

    A decision is unbiased if the sentence was drawn at random (`RANDOM_STRATEGIES`, or no strategy and inclusion
    probability 1: all sentences were read) and no suggestion was shown. A sentence with unbiased decisions of two
    annotators is in the first block, with these decisions alone. Any other sentence that two annotators reviewed is in
    the second block, with all standing decisions. Undone decisions, retests and adjudications never count.

    Each annotator has one decision per sentence, the last. In the first block it is their last unbiased one, even if a
    later one has replaced it: sentences picked for a second look are the hard ones, and agreement would seem to rise
    if they dropped out.

    Args:
        events: in the order in which they were appended.
        sentences: by id, at least those of the events.
        codebook: the version under which labels are read.
        history: changes of the codebook, if decisions were made under other versions.
        bootstrap: the draws over documents behind the intervals.

    Raises:
        CodebookError: a standing decision has a label that `codebook` lacks, or was made under a version from which
            no recorded change leads to `codebook`.
        DataError: a decision's sentence is not in `sentences`.
    """
    reader = VersionReader(codebook, history or CodebookHistory())
    # A retest is a decision made twice on purpose; it must not replace the first.
    firsthand = ([event for event in kept if event.strategy != RETEST] for kept in kept_annotations(events))
    decided = [decisions for decisions in firsthand if decisions]
    standing = [decisions[-1] for decisions in decided]
    readings = _read_standing(standing, reader)
    unbiased = _units(_last_unbiased(decided, reader), sentences)
    other = _units((reading for reading in readings if reading[0].sentence_id not in unbiased), sentences)
    return AgreementReport(
        unbiased=_block(_in_order(unbiased.values()), codebook, bootstrap),
        other=_block(_in_order(other.values()), codebook, bootstrap),
        responses=_responses(standing),
        undecided=sum(decision.state == "reviewed" for decision in standing) - len(readings),
        bootstrap=bootstrap,
    )


def retest_agreement(
    events: Iterable[Annotation],
    sentences: Mapping[str, Sentence],
    codebook: Codebook,
    history: CodebookHistory | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> tuple[Retest, ...]:
    """Agreement of each annotator with themselves: every retest against their last review of the sentence before it.

    Several decisions on a sentence in the same draw are one retest, and the last counts: the others were slips. Reviews
    that `codebook` cannot read, or leaves undecided, are left out. Args and errors are otherwise those of `agreement`.
    """
    reader = VersionReader(codebook, history or CodebookHistory())
    units: dict[str, list[Unit]] = {}
    for decisions in kept_annotations(events):
        for first, second in _retests(decisions, reader):
            unit = Unit(sentence_of(decisions[0], sentences), {"before": first, "retest": second})
            units.setdefault(decisions[0].annotator, []).append(unit)
    return tuple(Retest(name, figures(_in_order(units[name]), codebook, bootstrap)) for name in sorted(units))


def sentence_of(event: Annotation, sentences: Mapping[str, Sentence]) -> Sentence:
    """The sentence of a decision.

    Raises:
        DataError: it is not in `sentences`.
    """
    found = sentences.get(event.sentence_id)
    if found is None:
        raise DataError(
            f"sentence {event.sentence_id}: annotator '{event.annotator}' decided on it, but its text is missing. "
            "Import its document, or the annotations with their texts."
        )
    return found


# -- which decisions are compared


def _read_standing(standing: Iterable[Annotation], reader: VersionReader) -> list[_Reading]:
    """The reviews among the decisions, with their labels; undecided ones are left out."""
    reviews = [decision for decision in standing if decision.state == "reviewed"]
    reader.check_readable(reviews)
    readings = [(decision, reader.read(decision)) for decision in reviews]
    return [(decision, reading.labels) for decision, reading in readings if not reading.undecided]


def _readable(decisions: Iterable[Annotation], reader: VersionReader) -> Iterator[_Reading]:
    """As `_read_standing`, but reviews whose labels the codebook can no longer read are left out too."""
    for decision in decisions:
        if decision.state == "reviewed":
            try:
                reading = reader.read(decision)
            except CodebookError:
                continue
            if not reading.undecided:
                yield decision, reading.labels


def _retests(decisions: Iterable[Annotation], reader: VersionReader) -> Iterator[tuple[LabelSet, LabelSet]]:
    """The labels given last before each retest, and those given in it."""
    before: LabelSet | None = None
    # Decisions come in order, so that those of one draw follow each other.
    for (strategy, _), group in groupby(decisions, key=lambda decision: (decision.strategy, decision.draw_id)):
        same_draw = list(group)
        for _, labels in _readable(same_draw[-1:] if strategy == RETEST else same_draw, reader):
            if strategy == RETEST and before is not None:
                yield before, labels
            before = labels


def _last_unbiased(decided: Iterable[Sequence[Annotation]], reader: VersionReader) -> Iterator[_Reading]:
    """The last unbiased decision of each annotator on each sentence, if it is a review that can be read."""
    for decisions in decided:
        unbiased = [decision for decision in decisions if _is_unbiased(decision)]
        yield from _readable(unbiased[-1:], reader)


def _units(readings: Iterable[_Reading], sentences: Mapping[str, Sentence]) -> dict[str, Unit]:
    """Sentences with at least two readings, by id."""
    by_sentence: dict[str, list[_Reading]] = {}
    for decision, labels in readings:
        by_sentence.setdefault(decision.sentence_id, []).append((decision, labels))
    return {
        identifier: Unit(
            sentence_of(found[0][0], sentences), {decision.annotator: labels for decision, labels in found}
        )
        for identifier, found in by_sentence.items()
        if len(found) > 1
    }


def _is_unbiased(decision: Annotation) -> bool:
    # With a strategy, probability 1 does not mean that all were read: an audit takes all of a stratum.
    all_were_read = not decision.strategy and decision.inclusion_probability == 1
    drawn = decision.strategy in RANDOM_STRATEGIES or all_were_read
    return drawn and (decision.suggestion is None or decision.blind)


def _in_order(units: Iterable[Unit]) -> list[Unit]:
    """Units in document order, so that no figure depends on who labelled first."""
    return sorted(units, key=lambda unit: (unit.sentence.document_id, unit.sentence.start, unit.sentence.end))


def _responses(decided: Iterable[Annotation]) -> tuple[Response, ...]:
    states = Counter((decision.annotator, decision.state) for decision in decided)
    names = sorted({annotator for annotator, _ in states})
    return tuple(Response(name, states[name, "reviewed"], states[name, "skipped"]) for name in names)


# -- blocks


def _block(units: Sequence[Unit], codebook: Codebook, bootstrap: Bootstrap) -> Block:
    return Block(figures(units, codebook, bootstrap), _confusions(units, codebook))


def _confusions(units: Iterable[Unit], codebook: Codebook) -> tuple[Confusion, ...]:
    """The label pairs that are confused most often, over all pairs of decisions on a unit."""
    rank: dict[str | None, int] = {label: position for position, label in enumerate(codebook.label_names)}
    rank[None] = len(rank)
    counts: Counter[tuple[str | None, str | None]] = Counter()
    shown: dict[tuple[str | None, str | None], list[Unit]] = {}
    for unit in units:
        for first, second in combinations(unit.given.values(), 2):
            for one, another in _differences(first, second):
                key = (one, another) if rank[one] < rank[another] else (another, one)
                counts[key] += 1
                seen = shown.setdefault(key, [])
                # Three annotators can confuse the same labels twice in one unit.
                if len(seen) < EXAMPLES_EACH and unit not in seen:
                    seen.append(unit)
    most = sorted(counts, key=lambda key: (-counts[key], rank[key[0]], rank[key[1]]))[:MOST_CONFUSED]
    return tuple(Confusion(key, counts[key], tuple(map(_confused, shown[key]))) for key in most)


def _differences(first: LabelSet, second: LabelSet) -> Iterator[tuple[str | None, str | None]]:
    """Labels only in the first set paired with labels only in the second; None where a set has no such label."""
    if first == second:
        return iter(())
    only_first: list[str | None] = [label for label in first if label not in second]
    only_second: list[str | None] = [label for label in second if label not in first]
    return product(only_first or [None], only_second or [None])


def _confused(unit: Unit) -> ConfusedSentence:
    return ConfusedSentence(unit.sentence.id, unit.sentence.text, dict(sorted(unit.given.items())))
