"""What there is to export: the decisions that stand, or the gold that they resolve to, each with its sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from labels.codebook import Codebook
from labels.errors import DataError
from labels.history import standing
from labels.records import Annotation, Sentence
from labels.resolve import resolve
from labels.spelling import did_you_mean
from labels.store import Store
from labels.versions import history_of

Decision = tuple[Annotation, Sentence]


@dataclass(frozen=True)
class Selection:
    """Decisions in the order in which they were made, and what was left out, by kind."""

    decisions: list[Decision]
    left_out: Mapping[str, int]

    def by_sentence(self) -> list[list[Decision]]:
        """The decisions of each sentence together, in order of the first."""
        groups: dict[str, list[Decision]] = {}
        for event, sentence in self.decisions:
            groups.setdefault(sentence.id, []).append((event, sentence))
        return list(groups.values())


def events_of(store: Store, annotator: str = "") -> list[Annotation]:
    """Every event in the order in which they were appended, or those of one annotator.

    Raises:
        DataError: `annotator` has no event.
    """
    events = store.events(annotator=annotator or None)
    if annotator and not events:
        raise _nothing_decided(annotator, store.events())
    return events


def standing_decisions(store: Store, annotator: str = "", *, skipped: bool = True) -> Selection:
    """Every decision that stands, adjudications included, or those of one annotator; `skipped`: with skipped ones.

    Raises:
        DataError: `annotator` decided nothing that stands.
    """
    events = _standing(store.events())
    if annotator:
        everybodys, events = events, [event for event in events if event.annotator == annotator]
        if not events:
            raise _nothing_decided(annotator, everybodys)
    kept = [event for event in events if skipped or event.state == "reviewed"]
    return Selection(_with_sentences(store, kept), _counts({"skipped decisions": len(events) - len(kept)}))


def gold_decisions(store: Store, codebook: Codebook, annotator: str = "") -> Selection:
    """One decision for each sentence with gold: its adjudication, else the first of the agreeing annotations. With
    `annotator`, the reviewed annotations of that one instead.

    Raises:
        CodebookError: an annotation bears a label that `codebook` lacks.
        DataError: as `standing_decisions`.
    """
    if annotator:
        return standing_decisions(store, annotator, skipped=False)
    events = store.events()
    resolution = resolve(events, codebook, history_of(store))
    first: dict[str, Annotation] = {}
    for event in _standing(events):
        if event.event == "adjudicate":
            first[event.sentence_id] = event
        elif event.state == "reviewed":
            first.setdefault(event.sentence_id, event)
    gold = [event for sentence, event in first.items() if sentence in resolution.gold]
    left_out = {"disputed sentences": len(resolution.disputed), "skipped sentences": len(resolution.skipped)}
    return Selection(_with_sentences(store, gold), _counts(left_out))


def _standing(events: Iterable[Annotation]) -> list[Annotation]:
    events = list(events)
    stands = standing(events)
    kept = {event.event_id for event in (*stands.annotations.values(), *stands.adjudications.values())}
    return [event for event in events if event.event_id in kept]


def _counts(kinds: Mapping[str, int]) -> dict[str, int]:
    return {kind: number for kind, number in kinds.items() if number}


def _nothing_decided(annotator: str, events: Iterable[Annotation]) -> DataError:
    names = sorted({event.annotator for event in events})
    return DataError(
        f"'{annotator}' has decided nothing in this store{did_you_mean(annotator, names)}. "
        f"Its annotators: {', '.join(names) or 'none'}."
    )


def _with_sentences(store: Store, events: list[Annotation]) -> list[Decision]:
    sentences = {sentence.id: sentence for sentence in store.sentences({event.sentence_id for event in events})}
    return [(event, sentences[event.sentence_id]) for event in events]
