from __future__ import annotations

import random
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labels.errors import StoreError
from labels.gold import standing
from labels.records import Annotation, EventKind, State
from labels.store import Draft, DrawItem, Store, tables
from tests.labels.store.builders import FUTURE, PAST, added, decision, draw, rows_of

# -- events


def test_events_round_trip_in_order(store: Store) -> None:
    rows = [
        decision("s2", labels=("aid", "truce"), note="so “wrote” he\n", seconds=1.25, suggestion=("aid",), blind=True),
        decision("s1", "ben", suggestion=(), extra={"prodigy": {"answer": "ü", "_n": [1, None]}}),
        decision("s2", "eva", "adjudicate", labels=("aid",)),
        decision("s2", "ana", "undo"),
        decision("s1", "ana", state="skipped"),
    ]

    assert store.events.add(rows) == 5
    assert store.events.all() == rows
    assert store.events.all(annotator="ana") == [rows[0], rows[3], rows[4]]
    assert store.events.all(sentence_ids=["s1"]) == [rows[1], rows[4]]
    assert store.events.all(annotator="ana", sentence_ids=["s1", "s3"]) == [rows[4]]
    assert store.events.all(sentence_ids=[]) == []


def test_decisions_after_a_look_at_others_are_informed(store: Store) -> None:
    earlier, later = "2001-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00"
    store.events.unblind("ana", ["s1", "s2"])
    store.events.unblind("ana", ["s1"])

    rows = [
        decision("s1", created_at=later),
        decision("s1", created_at=earlier),
        decision("s3", created_at=later),
        decision("s1", "ben", created_at=later),
        decision("s2", "ana", "adjudicate", created_at=later),
    ]
    store.events.add(rows)
    assert [event.informed for event in store.events.all()] == [True, False, False, False, False]

    store.names.rename("ana", "anna")
    store.events.add([decision("s2", "anna", created_at=later)])
    assert store.events.all()[-1].informed


def test_events_of_many_sentences_keep_their_order(store: Store) -> None:
    rows = [decision(f"s{i}") for i in range(1000)]
    store.events.add(rows)
    ids = [row.sentence_id for row in rows]
    random.Random(1).shuffle(ids)

    assert store.events.all(sentence_ids=ids) == rows


def test_a_known_event_stays_as_it_is_and_is_not_counted(store: Store) -> None:
    first = decision("s1", labels=("aid",))
    store.events.add([first])

    assert store.events.add([replace(first, labels=("truce",)), decision("s2")]) == 1
    assert store.events.all(sentence_ids=["s1"]) == [first]


def test_an_event_given_twice_at_once_is_kept_and_counted_once(store: Store) -> None:
    event = decision("s1")

    assert store.events.add([event, event]) == 1
    assert store.events.all() == [event]


def test_a_conditional_append_checks_earlier_events(store: Store) -> None:
    first, other, second = decision("s1"), decision("s2"), decision("s1", "ben")
    store.events.add([first, other])
    seen: list[list[Annotation]] = []

    assert store.events.add([second], only_if=lambda events: bool(seen.append(events))) == 0
    assert (seen, store.events.all()) == ([[first]], [first, other])
    assert store.events.add([second], only_if=lambda events: events == [first]) == 1
    assert store.events.all() == [first, other, second]


def test_appending_nothing_is_allowed(store: Store) -> None:
    assert store.events.add([]) == 0


def test_an_event_of_a_draw_says_how_its_sentence_was_drawn(store: Store) -> None:
    ids = added(store, 2)
    made = draw("ana", [], items=(DrawItem(ids[0], 0.25), DrawItem(ids[1])))
    store.draws.add([made], expires_at=FUTURE)
    store.events.add([decision(identifier, draw_id=made.id) for identifier in ids])

    assert [(e.strategy, e.inclusion_probability, e.draw_id) for e in store.events.all()] == [
        ("random", 0.25, made.id),
        ("random", None, made.id),
    ]


@pytest.mark.parametrize(("strategy", "probability"), [("random", 0.125), ("random", None), ("hand-picked", 1.0)])
def test_an_imported_event_keeps_how_its_sentence_was_drawn(
    store: Store, strategy: str, probability: float | None
) -> None:
    store.events.add([decision("s1", strategy=strategy, inclusion_probability=probability)])

    event = store.events.all()[0]
    assert (event.strategy, event.inclusion_probability) == (strategy, probability)


def test_nothing_of_a_refused_append_is_kept(store: Store) -> None:
    ids = added(store, 1)
    store.draws.add([draw("ana", ids)], expires_at=FUTURE)
    store.events.keep_draft(ids[0], "ben", Draft(("aid",)))
    good = [decision(ids[0], "ben", strategy="random", inclusion_probability=0.5) for _ in range(500)]
    nameless: Any = None

    with pytest.raises(StoreError, match=r"could not be written \(.*annotator"):
        store.events.add([*good, decision("s1", nameless)])

    assert store.events.all() == []
    assert store.unseen.ids() == []
    assert store.counts.reviewed() == (0, 0)
    assert store.events.draft(ids[0], "ben") == Draft(("aid",))
    assert store.counts.strategies()[0].drawn == 1


def test_events_of_draws_are_those_of_one_annotator_on_their_sentences(store: Store) -> None:
    ids = added(store, 3)
    one, two = draw("ana", ids[:1]), draw("ana", ids[1:2], strategy="overlap")
    store.draws.add([one, two], expires_at=FUTURE)
    mine = [
        decision(ids[0], draw_id=one.id),
        decision(ids[1], draw_id=two.id),
        decision(ids[0], kind="undo", draw_id=one.id),
    ]
    others = [decision(ids[0], "ben", draw_id=one.id), decision(ids[0]), decision(ids[2], draw_id=one.id)]
    store.events.add([others[0], mine[0], others[1], mine[1], others[2], mine[2]])

    assert [event.event_id for event in store.events.of_draws([one.id, two.id], "ana")] == [
        event.event_id for event in mine
    ]
    assert [event.event_id for event in store.events.of_draws([two.id], "ana")] == [mine[1].event_id]


def test_decisions_since_a_moment_leave_out_undone_ones(store: Store) -> None:
    noon = "2026-05-05T12:00:00+00:00"
    store.events.add(
        [
            replace(decision("s1"), created_at="2026-05-05T11:59:59+00:00"),
            replace(decision("s2"), created_at=noon),
            replace(decision("s3", state="skipped"), created_at="2026-05-05T13:00:00+00:00"),
            replace(decision("s3", kind="undo"), created_at="2026-05-05T13:00:01+00:00"),
            replace(decision("s4", kind="adjudicate"), created_at="2026-05-05T13:00:02+00:00"),
            replace(decision("s5", "ben"), created_at=noon),
        ]
    )

    assert store.events.count_since("ana", noon) == 2


def test_shared_sentences_have_two_reviewers(store: Store) -> None:
    store.events.add(
        [
            *(decision(sentence, annotator) for sentence in ("s1", "s2", "s3", "s5") for annotator in ("ana", "ben")),
            decision("s2", "ben", "undo"),
            decision("s3", "ben", state="skipped"),
            decision("s4", "ana"),
            decision("s4", "eva", "adjudicate"),
        ]
    )

    assert store.events.shared_sentences() == ["s1", "s5"]


# -- what stands

Happening = tuple[str, str, EventKind, State, str]
"""Sentence, annotator, kind, state and strategy."""
_run = count()
histories = st.lists(
    st.tuples(
        st.sampled_from(["s0", "s1"]),
        st.sampled_from(["ana", "ben"]),
        st.sampled_from(["annotate", "undo", "adjudicate"]),
        st.sampled_from(["reviewed", "skipped"]),
        st.sampled_from(["", "retest", "relabel"]),
    ),
    max_size=12,
)


def decisions_of(url: str, prefix: str) -> dict[tuple[str, str, str], tuple[str, State | None]]:
    """Sentence, annotator and kind -> event id and state, as the table of what stands has them."""
    decisions, events = tables.decisions, tables.events
    query = (
        sa.select(decisions, events.c.event_id)
        .join(events, events.c.seq == decisions.c.seq)
        .where(decisions.c.sentence_id.startswith(prefix))
    )
    return {(row.sentence_id, row.annotator, row.event): (row.event_id, row.state) for row in rows_of(url, query)}


@given(histories, st.integers(1, 4))
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_standing_decisions_are_the_fold_of_the_events(
    store: Store, url: str, history: list[Happening], at_once: int
) -> None:
    prefix = f"run{next(_run)}-"
    events: list[Annotation] = [
        decision(prefix + sentence, annotator, kind, state=None if kind == "undo" else state, strategy=strategy)
        for sentence, annotator, kind, state, strategy in history
    ]
    for start in range(0, len(events), at_once):
        store.events.add(events[start : start + at_once])

    stands, found = standing(events), decisions_of(url, prefix)
    assert {key[:2]: value for key, value in found.items() if key[2] == "annotate"} == {
        key: (event.event_id, event.state) for key, event in stands.annotations.items()
    }
    order = [event.event_id for event in events]
    last: dict[str, str] = {}
    for (sentence, _, kind), (event_id, _) in sorted(found.items(), key=lambda item: order.index(item[1][0])):
        if kind == "adjudicate":
            last[sentence] = event_id
    assert last == {sentence: event.event_id for sentence, event in stands.adjudications.items()}


@given(histories)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_unseen_agrees_with_the_decisions_that_stand(store: Store, history: list[Happening]) -> None:
    ids = added(store, 2, f"document {next(_run)}")
    names = {"s0": ids[0], "s1": ids[1]}
    events = [decision(names[sentence], annotator, kind) for sentence, annotator, kind, _, _ in history]
    store.events.add(events)

    stands = standing(events)
    decided = {sentence for sentence, _ in stands.annotations} | set(stands.adjudications)
    assert set(store.unseen.ids()) & set(ids) == set(ids) - decided


# -- drafts


def test_a_draft_comes_back_until_another_replaces_it(store: Store) -> None:
    assert store.events.draft("s1", "ana") == Draft()
    store.events.keep_draft("s1", "ana", Draft(("truce", "aid"), "unsure: “…”"))
    assert store.events.draft("s1", "ana") == Draft(("truce", "aid"), "unsure: “…”")

    store.events.keep_draft("s1", "ana", Draft((), "only a note"))
    assert store.events.draft("s1", "ana") == Draft((), "only a note")


def test_drafts_are_kept_apart_by_annotator_and_sentence(store: Store) -> None:
    drafts = {("s1", "ana"): Draft(("aid",)), ("s1", "ben"): Draft(("truce",)), ("s2", "ana"): Draft((), "note")}
    for (sentence, annotator), draft in drafts.items():
        store.events.keep_draft(sentence, annotator, draft)

    assert {key: store.events.draft(*key) for key in drafts} == drafts


def test_an_empty_draft_removes_the_stored_one(store: Store, url: str) -> None:
    store.events.keep_draft("s1", "ana", Draft(("aid",), "a note"))
    store.events.keep_draft("s1", "ana", Draft())

    assert store.events.draft("s1", "ana") == Draft()
    assert rows_of(url, sa.select(tables.drafts)) == []


@pytest.mark.parametrize(("kind", "kept"), [("annotate", False), ("adjudicate", False), ("undo", True)])
def test_a_decision_removes_the_annotators_own_draft(store: Store, kind: EventKind, kept: bool) -> None:
    for sentence, annotator in (("s1", "ana"), ("s1", "ben"), ("s2", "ana")):
        store.events.keep_draft(sentence, annotator, Draft(("aid",)))
    store.events.add([decision("s1", "ana", kind)])

    assert (store.events.draft("s1", "ana") == Draft(("aid",))) is kept
    assert store.events.draft("s1", "ben") == store.events.draft("s2", "ana") == Draft(("aid",))


# -- reservations


def test_a_decision_frees_only_the_annotators_own_reservation(store: Store, url: str) -> None:
    ids = added(store, 2)
    store.draws.add([draw("ana", ids)], expires_at=FUTURE)
    store.draws.add([draw("ben", ids, strategy="audit")], expires_at=FUTURE)
    store.events.add([decision(ids[0], "ana")])

    held = rows_of(url, sa.select(tables.reservations.c.sentence_id, tables.reservations.c.annotator))
    assert sorted(map(tuple, held)) == sorted([(ids[1], "ana"), (ids[0], "ben"), (ids[1], "ben")])


def test_appending_known_events_frees_no_reservation(store: Store) -> None:
    ids = added(store, 1)
    old = decision(ids[0], "ana")
    store.events.add([old, decision(ids[0], "ana", "undo")])
    store.draws.add([draw("ana", ids)], expires_at=FUTURE)

    assert store.events.add([old]) == 0
    assert store.unseen.ids() == []


def test_an_undo_frees_nothing(store: Store) -> None:
    ids = added(store, 1)
    made = draw("ana", ids)
    store.draws.add([made], expires_at=PAST)
    store.events.add([decision(ids[0], draw_id=made.id)])
    store.draws.reserve(ids[0], "ana", made.id, expires_at=FUTURE)
    store.events.add([decision(ids[0], kind="undo", draw_id=made.id)])

    assert store.unseen.ids() == []
