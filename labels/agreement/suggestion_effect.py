"""What a shown suggestion does to decisions: those made with it in sight against those from which it was withheld.

The comparison is fair where chance decided what was withheld, so draws that always withhold (audit, overlap, retest)
have no part in it. Figures only: nothing is read from a store or printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from labels.agreement.coefficients import Bootstrap, Estimate, Resampling, ratio, resample
from labels.agreement.comparisons import LabelSet
from labels.agreement.report import sentence_of
from labels.codebook.reading import CodebookHistory, VersionReader
from labels.codebook.schema import Codebook
from labels.errors import CodebookError
from labels.gold import kept_annotations
from labels.records import Annotation, Sentence
from labels.sampling.strategies import BLIND


@dataclass(frozen=True)
class Contrast:
    """A share of decisions: `shown` of the `n_shown` made with the suggestion in sight, `blind` of the `n_blind` made
    without, each None where there are none; `difference` is shown - blind.
    """

    n_shown: int
    n_blind: int
    shown: float | None
    blind: float | None
    difference: Estimate


@dataclass(frozen=True)
class LabelEffect:
    """The share of decisions that have the label, among those whose suggestion had it, and among the others."""

    suggested: Contrast
    not_suggested: Contrast


@dataclass(frozen=True)
class SuggestionEffect:
    """`exact` is the share of decisions equal to the suggestion.

    Left out were `always_blind` decisions, of draws that withhold every suggestion, and `unreadable` ones: they or
    their suggestion bear a label that the codebook lacks, or changes of the codebook leave open what they say.
    """

    n_documents: int
    always_blind: int
    unreadable: int
    exact: Contrast
    per_label: dict[str, LabelEffect]


def suggestion_effect(
    events: Iterable[Annotation],
    sentences: Mapping[str, Sentence],
    codebook: Codebook,
    history: CodebookHistory | None = None,
    *,
    draws: int = 1000,
    seed: int = 13,
    confidence: float = 0.95,
) -> SuggestionEffect:
    """How much more often people decide what was suggested when they see the suggestion.

    Of each annotator and sentence counts the last review, not undone, for which there was a suggestion: the last that
    was made with it in sight, if there is any, as nobody unsees what they were shown. Reviews of draws that withhold
    every suggestion (`labels.sampling.strategies.BLIND`) do not count: their sentences are others, and chance had no
    say.

    Args:
        events: in the order in which they were appended.
        sentences: by id, at least those of the events.
        codebook: what the labels mean.
        history: of the codebook, if decisions were made under other versions.
        draws, seed, confidence: of the bootstrap over documents.

    Raises:
        DataError: a decision's sentence is not in `sentences`.
    """
    suggested = [found for history in kept_annotations(events) if (found := _suggested(history))]
    by_chance = [found for history in suggested if (found := _withheld_by_chance(history))]
    decisions = [_last_shown(history) for history in by_chance]
    readable = list(_read(decisions, VersionReader(codebook, history or CodebookHistory())))
    documents = [sentence_of(decision, sentences).document_id for decision in readable]
    resampling = resample(documents, Bootstrap(draws, seed, confidence))
    everywhere = [True] * len(readable)
    return SuggestionEffect(
        n_documents=resampling.n_documents,
        always_blind=len(suggested) - len(by_chance),
        unreadable=len(decisions) - len(readable),
        exact=_contrast(readable, everywhere, [_as_suggested(decision) for decision in readable], resampling),
        per_label={label: _label_effect(readable, label, resampling) for label in codebook.label_names},
    )


def _suggested(history: Sequence[Annotation]) -> list[Annotation]:
    return [event for event in history if event.state == "reviewed" and event.suggestion is not None]


def _withheld_by_chance(history: Sequence[Annotation]) -> list[Annotation]:
    """Those of which chance decided whether the suggestion was shown."""
    return [event for event in history if event.strategy not in BLIND]


def _last_shown(history: Sequence[Annotation]) -> Annotation:
    """The last with its suggestion in sight, the last of all where it never was."""
    return ([event for event in history if not event.blind] or history)[-1]


def _read(decisions: Iterable[Annotation], reader: VersionReader) -> Iterator[Annotation]:
    """Decisions with labels and suggestion in the words of the reader's codebook, but for those that have none."""
    for decision in decisions:
        try:
            reading = reader.read(decision)
        except CodebookError:
            continue
        suggestion = reader.read_suggestion(decision)
        if not reading.undecided and suggestion is not None and set(suggestion) <= set(reader.codebook.label_names):
            yield replace(decision, labels=reading.labels, suggestion=suggestion)


def _suggestion(decision: Annotation) -> LabelSet:
    return decision.suggestion or ()


def _as_suggested(decision: Annotation) -> bool:
    return set(decision.labels) == set(_suggestion(decision))


def _label_effect(decisions: Sequence[Annotation], label: str, resampling: Resampling) -> LabelEffect:
    had = [label in _suggestion(decision) for decision in decisions]
    has = [label in decision.labels for decision in decisions]
    return LabelEffect(
        suggested=_contrast(decisions, had, has, resampling),
        not_suggested=_contrast(decisions, [not value for value in had], has, resampling),
    )


def _contrast(
    decisions: Sequence[Annotation], counted: Sequence[bool], hits: Sequence[bool], resampling: Resampling
) -> Contrast:
    """The share of hits among the decisions that are counted."""
    import numpy as np

    blind = np.array([decision.blind for decision in decisions], dtype=bool)
    among, hit = np.array(counted, dtype=bool), np.array(hits, dtype=bool)
    columns = [among & ~blind, among & ~blind & hit, among & blind, among & blind & hit]
    groups, n_documents = resampling.groups, resampling.n_documents
    sums = np.column_stack([np.bincount(groups, column.astype(float), n_documents) for column in columns])
    n_shown, hits_shown, n_blind, hits_blind = (resampling.weights @ sums).T
    shown, withheld = ratio(hits_shown, n_shown), ratio(hits_blind, n_blind)
    documents = int(min((sums[:, 0] > 0).sum(), (sums[:, 2] > 0).sum()))
    missing = "shown" if not n_shown[0] else "withheld"
    return Contrast(
        n_shown=int(n_shown[0]),
        n_blind=int(n_blind[0]),
        shown=float(shown[0]) if n_shown[0] else None,
        blind=float(withheld[0]) if n_blind[0] else None,
        difference=resampling.estimate(
            shown - withheld, f"no decision of this kind had its suggestion {missing}", n_documents=documents
        ),
    )
