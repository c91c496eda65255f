"""The effect of suggestions: decisions made while seeing the suggestion, compared with decisions made without it.

The comparison is valid only if suggestions were withheld at random. Draws that always withhold suggestions (audit,
overlap, retest) are therefore excluded. This module does not read a store or print.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from labels.agreement.coefficients import DEFAULT_BOOTSTRAP, Bootstrap, Estimate, Resampling, ratio, resample
from labels.agreement.report import sentence_of
from labels.codebook.reading import CodebookHistory, VersionReader
from labels.codebook.schema import Codebook
from labels.errors import CodebookError
from labels.gold import kept_annotations
from labels.records import PAGE, Annotation, Sentence
from labels.sampling.strategies import BLIND


@dataclass(frozen=True)
class Contrast:
    """A share of decisions, for shown and for withheld suggestions.

    `shown` is the share among the `n_shown` decisions made while seeing the suggestion; `blind` is the share among the
    `n_blind` decisions made without it. A share is None if there are no such decisions. `difference` is shown - blind.
    """

    n_shown: int
    n_blind: int
    shown: float | None
    blind: float | None
    difference: Estimate


@dataclass(frozen=True)
class LabelEffect:
    """The share of decisions with a label, for sentences with and without the label among the suggestions."""

    suggested: Contrast
    not_suggested: Contrast


@dataclass(frozen=True)
class SuggestionEffect:
    """The effect of suggestions on decisions; `exact` is the share of decisions equal to the suggestion.

    Two kinds of decisions are excluded and counted. `always_blind`: the draw withholds every suggestion. `unreadable`:
    the decision or the suggestion has a label that is not in the codebook, or a codebook change left labels undecided.
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
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> SuggestionEffect:
    """Measure how much more often annotators agree with a suggestion if they see it.

    One review per annotator and sentence counts: the last review with a suggestion that was not undone. If the
    annotator ever saw the suggestion, the last review with a visible suggestion counts, because a suggestion cannot be
    forgotten. Reviews in draws that withhold every suggestion (`labels.sampling.strategies.BLIND`) do not count: these
    draws choose other sentences, and their suggestions were not withheld at random.

    For the arguments and errors, see `labels.agreement.report.agreement`. Unlike there, decisions that cannot be read
    are counted instead of raising a CodebookError.
    """
    histories = [[event for event in kept if _has_suggestion(event)] for kept in kept_annotations(events)]
    # Only decisions for which chance determined whether the suggestion was shown.
    by_chance = [[event for event in history if event.strategy not in BLIND] for history in histories]
    decisions = [_last_shown(history) for history in by_chance if history]
    readable = list(_read(decisions, VersionReader(codebook, history or CodebookHistory())))
    resampling = resample([sentence_of(decision, sentences).document_id for decision in readable], bootstrap)
    as_suggested = [set(decision.labels) == set(decision.suggestion or ()) for decision in readable]
    return SuggestionEffect(
        n_documents=resampling.n_documents,
        always_blind=sum(map(bool, histories)) - len(decisions),
        unreadable=len(decisions) - len(readable),
        exact=_contrast(readable, [True] * len(readable), as_suggested, resampling),
        per_label={label: _label_effect(readable, label, resampling) for label in codebook.label_names},
    )


def _has_suggestion(event: Annotation) -> bool:
    # On the server's page, readers decide only on labels that they see and want to change.
    return event.state == "reviewed" and event.suggestion is not None and event.strategy != PAGE


def _last_shown(history: Sequence[Annotation]) -> Annotation:
    """The last decision made while seeing the suggestion, or the last decision if no suggestion was shown."""
    return ([event for event in history if not event.blind] or history)[-1]


def _read(decisions: Iterable[Annotation], reader: VersionReader) -> Iterator[Annotation]:
    """Yield the decisions with labels and suggestions under the reader's codebook; unreadable decisions are skipped."""
    for decision in decisions:
        try:
            reading = reader.read(decision)
        except CodebookError:
            continue
        suggestion = reader.read_suggestion(decision)
        if not reading.undecided and suggestion is not None and set(suggestion) <= set(reader.codebook.label_names):
            yield replace(decision, labels=reading.labels, suggestion=suggestion)


def _label_effect(decisions: Sequence[Annotation], label: str, resampling: Resampling) -> LabelEffect:
    had = [label in (decision.suggestion or ()) for decision in decisions]
    has = [label in decision.labels for decision in decisions]
    return LabelEffect(
        suggested=_contrast(decisions, had, has, resampling),
        not_suggested=_contrast(decisions, [not value for value in had], has, resampling),
    )


def _contrast(
    decisions: Sequence[Annotation], counted: Sequence[bool], hits: Sequence[bool], resampling: Resampling
) -> Contrast:
    """The share of `hits` among the `counted` decisions, for shown and for withheld suggestions."""
    blind = np.array([decision.blind for decision in decisions], dtype=bool)
    among, hit = np.array(counted, dtype=bool), np.array(hits, dtype=bool)
    columns = [among & ~blind, among & ~blind & hit, among & blind, among & blind & hit]
    groups, n_documents = resampling.groups, resampling.n_documents
    # Sums per document: a bootstrap draw only multiplies them by its weights.
    sums = np.column_stack([np.bincount(groups, column.astype(float), n_documents) for column in columns])
    n_shown, hits_shown, n_blind, hits_blind = (resampling.weights @ sums).T
    shown, withheld = ratio(hits_shown, n_shown), ratio(hits_blind, n_blind)
    # The side with fewer documents limits the certainty of the difference.
    documents = int(min((sums[:, 0] > 0).sum(), (sums[:, 2] > 0).sum()))
    missing = "shown" if not n_shown[0] else "withheld"
    return Contrast(
        n_shown=int(n_shown[0]),
        n_blind=int(n_blind[0]),
        shown=float(shown[0]) if n_shown[0] else None,
        blind=float(withheld[0]) if n_blind[0] else None,
        difference=resampling.estimate(
            shown - withheld, f"there is no decision of this kind with a {missing} suggestion", n_documents=documents
        ),
    )
