"""Sentences with known answers, mixed blind into a draw."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labels.agreement.against_gold import planted_hits
from labels.agreement.report import agreement
from labels.annotate.reviewing import Filters, ReviewSession
from labels.annotate.tasks import LabellingSession
from labels.codebook.schema import Codebook
from labels.errors import InputError
from labels.gold import resolve
from labels.records import PLANTED
from labels.sampling.drawing import DrawRequest
from labels.sampling.strategies import Assignment, next_assignment
from labels.store import Store
from tests.labels.store.builders import added, decision, sentences


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Twenty free sentences, and four whose answer is known: three agreed or adjudicated, one by the expert eva."""
    with Store(url) as opened:
        known = added(opened, 6, "known")
        opened.events.add(
            [
                decision(known[0], "ben", labels=("aid",)),
                decision(known[0], "carl", labels=("aid",)),
                decision(known[1], "ben", labels=("aid",)),
                decision(known[1], "carl"),
                decision(known[1], "eva", "adjudicate", labels=("truce",)),
                decision(known[2], "eva", labels=("truce",)),
                decision(known[3], "ben"),
                decision(known[4], "ben"),
                decision(known[4], "carl", labels=("aid",)),
                decision(known[5], "ben"),
                decision(known[5], "carl"),
                decision(known[5], "ana", state="skipped"),
            ]
        )
        added(opened, 20, "free")
        yield opened


def ids() -> list[str]:
    return [one.id for one in sentences(6, "known")]


def assigned(store: Store, annotator: str = "ana", **more: object) -> Assignment:
    request = DrawRequest(**{"size": 10, "planted": 0.2, **more})  # type: ignore[arg-type]
    found = next_assignment(store, annotator, request)
    assert found is not None
    return found


def strategies(assignment: Assignment) -> list[str]:
    """The strategy of each sentence, in the order in which the annotator sees them."""
    pairs = [(item.position or 0, draw.strategy) for draw in assignment.draws for item in draw.items]
    assert sorted(position for position, _ in pairs) == list(range(len(pairs)))
    return [strategy for _, strategy in sorted(pairs)]


@pytest.mark.parametrize(
    ("annotator", "experts", "places"), [("ana", (), [0, 1]), ("ana", ("eva",), [0, 1, 2]), ("eva", (), [0, 5])]
)
def test_an_answer_is_known_if_people_agree_or_an_expert_gave_it(
    store: Store, annotator: str, experts: tuple[str, ...], places: list[int]
) -> None:
    assert store.planted.candidates(annotator, experts) == sorted(ids()[place] for place in places)


@pytest.mark.parametrize(("strategy", "query"), [("random", ""), ("search", "text")])
def test_a_share_of_the_draw_is_planted(store: Store, strategy: str, query: str) -> None:
    found = strategies(assigned(store, strategy=strategy, query=query))

    assert (len(found), found.count(PLANTED)) == (10, 2)


def test_a_sentence_of_the_draw_is_not_planted_in_it_too(store: Store) -> None:
    assert strategies(assigned(store, strategy="also-by", query="ben", size=5)) == ["also-by"] * 4


def test_no_words_come_twice_in_a_draw_with_planted_sentences(store: Store) -> None:
    found = assigned(store, size=24, planted=0.1)  # the free sentences have the words of all known ones

    words = [one.text for one in store.documents.sentences(found.pending)]
    assert strategies(found).count(PLANTED) == 0
    assert len(words) == len(set(words)) == 20
    assert store.draws.release("ana") == 20
    found = assigned(store, size=10, planted=0.2)
    words = [one.text for one in store.documents.sentences(found.pending)]
    assert len(words) == len(set(words))


@pytest.mark.parametrize(
    ("annotator", "more", "message"),
    [
        ("ana", {"size": 5, "planted": 0.05}, "--planted 0.05 of 5 sentences is less than one sentence."),
        ("zoe", {"size": 10, "planted": 0.2}, "has no sentence with a known answer that is new to zoe"),
    ],
)
def test_a_draw_in_which_nothing_can_be_planted_is_refused(
    store: Store, annotator: str, more: dict[str, object], message: str
) -> None:
    store.events.add([decision(one, "zoe", state="skipped") for one in ids()])

    with pytest.raises(InputError, match=message):
        assigned(store, annotator, must_plant=True, **more)
    assert store.draws.annotators() == []


def test_a_review_has_planted_sentences_like_all_others(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana", DrawRequest(size=10, planted=0.2))
    while session.remaining:
        session.review(("aid",))
    gold = resolve(store.events.all(), codebook).gold

    review = ReviewSession(store, codebook, "ana", Filters(label="aid"))
    assert review.total == 10
    for place in range(1, 11):
        review.go_to(place)
        review.review(("truce",))

    assert review.corrected == 10
    after = resolve(store.events.all(), codebook).gold
    assert {key: after[key] for key in ids() if key in gold} == {key: gold[key] for key in ids() if key in gold}
    assert {one.label: one.given for one in planted_hits(store.events.all(), codebook)} == {"aid": 0, "truce": 2}


def test_a_decision_after_looking_at_others_does_not_measure(store: Store, codebook: Codebook) -> None:
    session = LabellingSession(store, codebook, "ana", DrawRequest(size=10, planted=0.2))
    while session.remaining:
        session.review(("aid",))
    before = planted_hits(store.events.all(), codebook)
    review = ReviewSession(store, codebook, "ana", unblind=True)
    for place in range(1, 11):
        review.go_to(place)
        review.current()
        review.review(())

    assert planted_hits(store.events.all(), codebook) == before


def test_a_draw_goes_on_until_its_planted_sentences_are_decided(store: Store, codebook: Codebook) -> None:
    first = assigned(store)
    session = LabellingSession(store, codebook, "ana", DrawRequest(size=10, planted=0.2))
    assert session.task == "random"
    while session.remaining:
        session.review(())
        again = next_assignment(store, "ana", DrawRequest(size=10, planted=0.2)) if session.remaining else None
        assert again is None or {draw.id for draw in again.draws} == {draw.id for draw in first.draws}

    assert PLANTED not in strategies(assigned(store))  # nobody is asked the same known answer twice


def test_planted_decisions_measure_and_change_nothing_else(store: Store, codebook: Codebook) -> None:
    before = resolve(store.events.all(), codebook)
    draws = {draw.strategy: draw for draw in assigned(store).draws}
    shown = [item.sentence_id for item in draws[PLANTED].items]
    made = [decision(one, "ana", labels=("aid",), draw_id=draws[PLANTED].id) for one in shown]
    store.events.add(made)

    events = store.events.all()
    assert resolve(events, codebook) == before
    assert "ana" not in {name for name, count in _reviewed(store).items() if count}
    texts = store.documents.by_first_version({event.sentence_id for event in events})
    assert "ana" not in agreement(events, texts, codebook).other.figures.annotators
    scores = {one.label: (one.sentences, one.hits, one.gold, one.given) for one in planted_hits(events, codebook)}
    assert scores == {"aid": (2, 1, 1, 2), "truce": (2, 1, 1, 0)}
    assert {one.strategy: one.reviewed for one in store.counts.strategies()}[PLANTED] == 2
    assert shown[0] not in store.planted.candidates("ana")


def _reviewed(store: Store) -> dict[str, int]:
    return {one.annotator: one.reviewed for one in store.counts.annotators(today="")}


def test_undone_planted_decisions_do_not_count(store: Store, codebook: Codebook) -> None:
    (planted,) = (draw for draw in assigned(store).draws if draw.strategy == PLANTED)
    one = planted.items[0].sentence_id
    store.events.add([decision(one, "ana", draw_id=planted.id), decision(one, "ana", "undo", draw_id=planted.id)])

    assert planted_hits(store.events.all(), codebook) == ()


def test_nothing_is_planted_where_nothing_else_is_drawn(store: Store) -> None:
    store.events.add([decision(one, "ben") for one in store.unseen.ids()])
    assert next_assignment(store, "ana", DrawRequest(size=10, planted=0.2)) is None


def test_a_retest_cannot_be_planted(store: Store) -> None:
    with pytest.raises(InputError, match="no sentences can be planted in a draw by strategy 'retest'"):
        assigned(store, strategy="retest")
