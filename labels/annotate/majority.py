"""Adjudication by rule: a label set that more than half of at least three annotators gave becomes gold."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from labels.codebook.reading import VersionReader
from labels.codebook.schema import Codebook
from labels.errors import StoreError
from labels.gold import resolve, standing
from labels.records import Annotation
from labels.store import Store, now

CODERS = 3
"""The least number of annotators whose answers the rule counts."""
_ATTEMPTS = 10

Answer = tuple[str, ...] | None
"""A label set, or None for "not a sentence"."""


@dataclass(frozen=True)
class Settled:
    """The numbers of disputes that the majority settled, and of disputes that are left."""

    settled: int
    left: int


def settle_by_majority(store: Store, codebook: Codebook, adjudicator: str) -> Settled:
    """Adjudicate every dispute in which more than half of at least three annotators gave the same whole answer.

    The decisions are events of kind `adjudicate` with basis "rule". Skips are no answers. A sentence with an answer
    that the codebook's changes leave undecided is not settled.

    Raises:
        CodebookError: an annotation has a label that the codebook does not have.
        StoreError: other annotators decided on these sentences at every attempt.
    """
    history = store.codebooks.history()
    reader = VersionReader(codebook, history)
    store.codebooks.add(codebook)
    for _ in range(_ATTEMPTS):
        events = store.events.all(sentence_ids=store.events.shared_sentences())
        disputed = resolve(events, codebook, history).disputed
        given: dict[str, list[Annotation]] = {sentence: [] for sentence in disputed}
        for (sentence, _annotator), annotation in standing(events).annotations.items():
            if sentence in given and annotation.state != "skipped":
                given[sentence].append(annotation)
        won = {sentence: answer for sentence, own in given.items() if (answer := majority(_answers(own, reader)))}
        known = {event.event_id for event in events if event.sentence_id in won}
        verdicts = [_verdict(sentence, answer[0], adjudicator, codebook) for sentence, answer in won.items()]
        # Checked in the transaction that writes: a decision made in the meantime may change the majority.
        if not verdicts or store.events.add(verdicts, only_if=lambda found: {one.event_id for one in found} == known):  # noqa: B023
            return Settled(len(verdicts), len(disputed) - len(verdicts))
    raise StoreError(f"{store.name}: other annotators are deciding on the same sentences. Try again later.")


def majority(answers: Iterable[Answer]) -> tuple[Answer] | None:
    """The answer of more than half of at least three annotators, in a tuple; None if there is none."""
    counts = Counter(answers)
    total = counts.total()
    return next(((one,) for one, count in counts.items() if total >= CODERS and 2 * count > total), None)


def _answers(annotations: Iterable[Annotation], reader: VersionReader) -> list[Answer]:
    """The answers under the codebook in use; an empty list if one of them is undecided."""
    found: list[Answer] = []
    for one in annotations:
        if one.state == "not_a_sentence":
            found.append(None)
            continue
        reading = reader.read(one)
        if reading.undecided:
            return []
        found.append(reading.labels)
    return found


def _verdict(sentence: str, answer: Answer, adjudicator: str, codebook: Codebook) -> Annotation:
    return Annotation(
        event_id=uuid.uuid4().hex,
        sentence_id=sentence,
        annotator=adjudicator,
        event="adjudicate",
        state="not_a_sentence" if answer is None else "reviewed",
        labels=answer or (),
        codebook_hash=codebook.hash,
        created_at=now(),
        basis="rule",
    )
