"""Agreement reports: between annotators, and between the earlier and later decisions of one annotator.

This module chooses the decisions to compare; `comparisons` computes the figures. It neither reads a store nor
prints anything. `suggestion_effect` measures the effect of suggestions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby, product
from typing import get_args

from labels.agreement.coefficients import DEFAULT_BOOTSTRAP, Bootstrap
from labels.agreement.comparisons import Figures, LabelSet, Unit, figures
from labels.codebook.reading import CodebookHistory, VersionReader
from labels.codebook.schema import Codebook
from labels.errors import CodebookError, DataError
from labels.gold import kept_annotations
from labels.records import PAGE, PLANTED, RANDOM_STRATEGIES, RETESTS, Annotation, Sentence, State

ALSO_BY = "also-by"
"""The strategy that draws at random among the sentences that another annotator has decided."""
MOST_CONFUSED = 10
EXAMPLES_EACH = 2

_Reading = tuple[Annotation, LabelSet]
"""A decision, and its labels under the current codebook."""


@dataclass(frozen=True)
class ConfusedSentence:
    """A sentence on which two annotators disagree, with the labels given by each of these two."""

    sentence_id: str
    text: str
    decisions: dict[str, LabelSet]


@dataclass(frozen=True)
class Confusion:
    """The number of pairs of decisions on a sentence that differ in these two labels: one label per decision.

    None in place of a label means that one decision had a label and the other decision had none in its place.
    """

    labels: tuple[str | None, str | None]
    count: int
    examples: tuple[ConfusedSentence, ...]


@dataclass(frozen=True)
class Response:
    """The numbers of sentences that an annotator reviewed, skipped, and marked as not a sentence.

    Only reviews count in kappa and alpha.
    """

    annotator: str
    reviewed: int
    skipped: int
    not_a_sentence: int = 0


@dataclass(frozen=True)
class Block:
    """The figures for one kind of decision, and the most frequent confusions in descending order."""

    figures: Figures
    confusions: tuple[Confusion, ...]


@dataclass(frozen=True)
class AgreementReport:
    """Agreement between annotators, in two blocks.

    `unbiased`: decisions on randomly drawn sentences, made without seeing a suggestion. `other`: all other sentences
    that at least two annotators reviewed; this block is not representative of new sentences. `undecided` counts the
    standing decisions that are excluded because a codebook change left their labels undecided.
    """

    unbiased: Block
    other: Block
    responses: tuple[Response, ...]
    undecided: int
    bootstrap: Bootstrap


@dataclass(frozen=True)
class Retest:
    """Agreement of an annotator with themselves; in `figures`, the "annotators" are `before` and `retest`."""

    annotator: str
    figures: Figures


def agreement(
    events: Iterable[Annotation],
    sentences: Mapping[str, Sentence],
    codebook: Codebook,
    history: CodebookHistory | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> AgreementReport:
    """Measure the agreement between annotators, in two blocks: unbiased decisions, and all other decisions.

    A decision is unbiased if neither a suggestion nor others' decisions were shown and the sentence was drawn at
    random: by one of `RANDOM_STRATEGIES`, or without a strategy but with inclusion probability 1, because all sentences
    were read. A decision from an "also-by" draw is unbiased if another decision on the sentence is. The first block has
    the sentences with unbiased decisions by at least two annotators, and only these decisions. The second block has all
    other sentences that at least two annotators reviewed, with their standing decisions. Undone decisions, retests,
    planted sentences, adjudications and corrections on the server's page never count.

    Only the last decision of an annotator on a sentence counts. In the first block this is the last unbiased decision,
    even if a later decision has replaced it: sentences chosen for a second decision are often difficult, and agreement
    would seem to rise if they were excluded.

    Args:
        events: annotations in the order in which they were appended.
        sentences: the sentences of the events, by id; other sentences are ignored.
        codebook: the version under which labels are read.
        history: the changes of the codebook, if decisions were made under other versions.
        bootstrap: the settings of the bootstrap for the intervals.

    Raises:
        CodebookError: a standing decision has a label that `codebook` lacks, or was made under a version from which
            no recorded change leads to `codebook`.
        DataError: a decision's sentence is not in `sentences`.
    """
    reader = VersionReader(codebook, history or CodebookHistory())
    decided = _firsthand(events)
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
    """Measure the agreement of annotators with themselves: every retest is compared with the previous review.

    If an annotator decided several times on a sentence in the same draw, only the last decision counts: it corrects the
    earlier decisions. Reviews are excluded if they cannot be read under `codebook`, or if a codebook change left their
    labels undecided. For the arguments and the other errors, see `agreement`.
    """
    reader = VersionReader(codebook, history or CodebookHistory())
    units: dict[str, list[Unit]] = {}
    for decisions in kept_annotations(events):
        for first, second in _retests(decisions, reader):
            unit = Unit(sentence_of(decisions[0], sentences), {"before": first, "retest": second})
            units.setdefault(decisions[0].annotator, []).append(unit)
    return tuple(Retest(name, figures(_in_order(units[name]), codebook, bootstrap)) for name in sorted(units))


def independent_readings(
    events: Iterable[Annotation], codebook: Codebook, history: CodebookHistory | None = None
) -> list[tuple[Annotation, LabelSet]]:
    """The last review of each annotator on each sentence without a suggestion or others' decisions, with its labels.

    Retests, planted sentences and corrections on the page never count. Reviews that cannot be read are left out.
    """
    reader = VersionReader(codebook, history or CodebookHistory())
    independent = ([one for one in decisions if not _is_influenced(one)] for decisions in _firsthand(events))
    return [reading for decisions in independent for reading in _readable(decisions[-1:], reader)]


def sentence_of(event: Annotation, sentences: Mapping[str, Sentence]) -> Sentence:
    """The sentence of a decision.

    Raises:
        DataError: the sentence is not in `sentences`.
    """
    found = sentences.get(event.sentence_id)
    if found is None:
        raise DataError(
            f"sentence {event.sentence_id}: annotator '{event.annotator}' labelled this sentence, but its text is "
            "missing. Import its document, or the annotations with their texts."
        )
    return found


# -- which decisions are compared


def _firsthand(events: Iterable[Annotation]) -> list[list[Annotation]]:
    """The decisions of each annotator on each sentence that count for agreement."""
    # A retest repeats a decision on purpose, and must not replace the first decision. A planted sentence has been
    # settled by others. A correction on the page is made by someone who saw the labels of a model.
    firsthand = (
        [event for event in kept if event.strategy not in (*RETESTS, PLANTED, PAGE)]
        for kept in kept_annotations(events)
    )
    return [decisions for decisions in firsthand if decisions]


def _read_standing(standing: Iterable[Annotation], reader: VersionReader) -> list[_Reading]:
    """The reviews among the decisions, with their labels, except reviews with undecided labels."""
    reviews = [decision for decision in standing if decision.state == "reviewed"]
    reader.check_readable(reviews)
    readings = [(decision, reader.read(decision)) for decision in reviews]
    return [(decision, reading.labels) for decision, reading in readings if not reading.undecided]


def _readable(decisions: Iterable[Annotation], reader: VersionReader) -> Iterator[_Reading]:
    """Like `_read_standing`, but also excludes reviews that cannot be read under the codebook."""
    for decision in decisions:
        if decision.state == "reviewed":
            try:
                reading = reader.read(decision)
            except CodebookError:
                continue
            if not reading.undecided:
                yield decision, reading.labels


def _retests(decisions: Iterable[Annotation], reader: VersionReader) -> Iterator[tuple[LabelSet, LabelSet]]:
    """Yield, for each retest, the last labels before the retest and the labels in the retest."""
    before: LabelSet | None = None
    # Decisions are in order, so the decisions of one draw are adjacent.
    for (strategy, _), group in groupby(decisions, key=lambda decision: (decision.strategy, decision.draw_id)):
        same_draw = list(group)
        for _, labels in _readable(same_draw[-1:] if strategy in RETESTS else same_draw, reader):
            if strategy in RETESTS and before is not None:
                yield before, labels
            before = labels


def _last_unbiased(decided: Sequence[Sequence[Annotation]], reader: VersionReader) -> Iterator[_Reading]:
    """The last unbiased decision of each annotator on each sentence, if it is a review that can be read."""
    drawn = {one.sentence_id for decisions in decided for one in decisions if _is_unbiased(one)}
    for decisions in decided:
        # "also-by" draws at random among another annotator's sentences, which may come from a search.
        unbiased = [
            one
            for one in decisions
            if _is_unbiased(one) or (one.strategy == ALSO_BY and one.sentence_id in drawn and not _is_influenced(one))
        ]
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
    # With a strategy, probability 1 does not mean that all sentences were read: an audit may draw a whole stratum.
    all_were_read = not decision.strategy and decision.inclusion_probability == 1
    drawn = decision.strategy in RANDOM_STRATEGIES or all_were_read
    return drawn and not _is_influenced(decision)


def _is_influenced(decision: Annotation) -> bool:
    """Whether the annotator had seen a model's suggestion or the decisions of others."""
    return decision.informed or (decision.suggestion is not None and not decision.blind)


def _in_order(units: Iterable[Unit]) -> list[Unit]:
    """Units in document order, so that figures do not depend on the order of labelling."""
    return sorted(units, key=lambda unit: (unit.sentence.document_id, unit.sentence.start, unit.sentence.end))


def _responses(decided: Iterable[Annotation]) -> tuple[Response, ...]:
    states = Counter((decision.annotator, decision.state) for decision in decided)
    names = sorted({annotator for annotator, _ in states})
    kinds = get_args(State)
    return tuple(Response(name, *(states[name, state] for state in kinds)) for name in names)


# -- blocks


def _block(units: Sequence[Unit], codebook: Codebook, bootstrap: Bootstrap) -> Block:
    return Block(figures(units, codebook, bootstrap), _confusions(units, codebook))


def _confusions(units: Iterable[Unit], codebook: Codebook) -> tuple[Confusion, ...]:
    """The most frequent confusions, over all pairs of decisions on a unit."""
    rank: dict[str | None, int] = {label: position for position, label in enumerate(codebook.label_names)}
    rank[None] = len(rank)
    counts: Counter[tuple[str | None, str | None]] = Counter()
    shown: dict[tuple[str | None, str | None], list[ConfusedSentence]] = {}
    for unit in units:
        for pair in combinations(unit.given.items(), 2):
            confused = _confused(unit, *pair)
            for one, another in _differences(pair[0][1], pair[1][1]):
                key = (one, another) if rank[one] < rank[another] else (another, one)
                counts[key] += 1
                seen = shown.setdefault(key, [])
                # Three annotators can confuse the same labels twice in one unit.
                if len(seen) < EXAMPLES_EACH and all(example.sentence_id != unit.sentence.id for example in seen):
                    seen.append(confused)
    most = sorted(counts, key=lambda key: (-counts[key], rank[key[0]], rank[key[1]]))[:MOST_CONFUSED]
    return tuple(Confusion(key, counts[key], tuple(shown[key])) for key in most)


def _differences(first: LabelSet, second: LabelSet) -> Iterator[tuple[str | None, str | None]]:
    """Pair the labels only in the first set with the labels only in the second; None if a set has no such label."""
    if first == second:
        return iter(())
    only_first: list[str | None] = [label for label in first if label not in second]
    only_second: list[str | None] = [label for label in second if label not in first]
    return product(only_first or [None], only_second or [None])


def _confused(unit: Unit, one: tuple[str, LabelSet], other: tuple[str, LabelSet]) -> ConfusedSentence:
    """A sentence with the labels of the two annotators who disagree, and of nobody else."""
    return ConfusedSentence(unit.sentence.id, unit.sentence.text, dict(sorted((one, other))))
