from __future__ import annotations

import pytest

from labels.annotate.majority import Answer, Settled, majority, settle_by_majority
from labels.codebook.schema import Codebook
from labels.gold import resolve
from labels.records import Annotation
from labels.store import Store
from tests.labels.store.builders import added, decision

AID, BOTH, NONE = ("aid",), ("aid", "truce"), ()


@pytest.mark.parametrize(
    ("answers", "winner"),
    [
        ([AID, AID, NONE], (AID,)),
        ([NONE, NONE, AID], (NONE,)),
        ([None, None, AID], (None,)),
        ([AID, BOTH, NONE], None),
        ([AID, AID], None),
        ([AID, AID, NONE, NONE], None),
        ([AID, AID, AID, NONE], (AID,)),
        ([], None),
    ],
)
def test_more_than_half_of_at_least_three_win(answers: list[Answer], winner: tuple[Answer] | None) -> None:
    assert majority(answers) == winner


def test_settled_disputes_are_recorded_as_rule_and_annotations_stay(store: Store, codebook: Codebook) -> None:
    first, second, third, fourth = added(store, 4)
    given: list[tuple[str, tuple[tuple[str, ...] | str, ...]]] = [
        (first, (AID, AID, NONE)),
        (second, (AID, BOTH, NONE)),
        (third, (AID, NONE, "skipped")),
        (fourth, ("not_a_sentence", NONE, "not_a_sentence")),
    ]
    events: list[Annotation] = []
    for sentence, answers in given:
        for name, answer in zip(("ana", "ben", "eva"), answers, strict=True):
            state = answer if isinstance(answer, str) else "reviewed"
            labels = () if isinstance(answer, str) else answer
            events.append(decision(sentence, name, state=state, labels=labels))
    store.events.add(events)

    assert settle_by_majority(store, codebook, "mia") == Settled(2, 2)
    assert settle_by_majority(store, codebook, "mia") == Settled(0, 2)

    assert store.events.all()[: len(events)] == events
    verdicts = store.events.all()[len(events) :]
    assert {(one.sentence_id, one.annotator, one.event, one.basis) for one in verdicts} == {
        (first, "mia", "adjudicate", "rule"),
        (fourth, "mia", "adjudicate", "rule"),
    }
    resolution = resolve(store.events.all(), codebook)
    assert resolution.gold == {first: AID}
    assert resolution.not_sentences == (fourth,)
    assert set(resolution.disputed) == {second, third}
