from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
import sqlalchemy as sa

from labels.records import Sentence, State
from labels.store import Draw, DrawItem, QueuedSentence, Store, tables
from tests.labels.store.builders import FUTURE, PAST, added, decision, draw, rows_of, sentences


def pending(store: Store, annotator: str, *strategies: str, expires_at: str = FUTURE) -> set[str]:
    """What the annotator's last draws of these strategies still ask for."""
    return store.draws.hold_pending(store.draws.last(annotator, strategies or ("random",)), expires_at=expires_at)


def in_an_hour(seconds: int = 0) -> str:
    return (datetime.now(UTC) + timedelta(hours=1, seconds=seconds)).isoformat(timespec="microseconds")


# -- what is free


def test_unseen_sentences_are_undecided_and_not_boilerplate(store: Store) -> None:
    ids = added(store, 4)
    added(store, 2, "d2", boilerplate="caption")
    store.events.add([decision(ids[0]), decision(ids[1], "ben", state="skipped")])

    assert store.unseen.ids() == sorted(ids[2:])


def test_a_sentence_is_unseen_again_when_its_decision_is_undone(store: Store) -> None:
    ids = added(store, 1)
    store.events.add([decision(ids[0])])
    assert store.unseen.ids() == []

    store.events.add([decision(ids[0], kind="undo")])
    assert store.unseen.ids() == ids


def test_the_frame_counts_what_is_unseen(store: Store) -> None:
    ids = added(store, 10)
    furniture = added(store, 3, "d2", boilerplate="caption")
    store.events.add([decision(ids[0]), decision(ids[0], "ben"), decision(ids[1], "eva", "adjudicate")])
    store.events.add([decision(furniture[0]), decision("a sentence that is elsewhere")])
    store.draws.add([draw("ana", ids[2:4])], expires_at=FUTURE)
    store.draws.add([draw("ben", ids[2:3], strategy="audit")], expires_at=FUTURE)
    store.draws.add([draw("ben", ids[4:5])], expires_at=PAST)

    assert store.unseen.frame().size == len(store.unseen.ids()) == 6


def test_decisions_imported_before_their_sentences_leave_the_frame(store: Store) -> None:
    rows, furniture = sentences(3), sentences(2, "d2", boilerplate="caption")
    store.events.add(
        [decision(rows[0].id), decision(rows[0].id, "ben"), decision(furniture[0].id), decision("elsewhere")]
    )
    store.add_annotated([*rows, *furniture], [])
    store.events.add([decision(rows[1].id), decision(rows[1].id, kind="undo")])

    assert store.unseen.frame().size == len(store.unseen.ids()) == 2


def test_the_frame_hash_changes_with_the_frame(store: Store) -> None:
    changes: list[Callable[[], object]] = [
        lambda: added(store, 2),
        lambda: added(store, 1, "d2"),
        lambda: store.events.add([decision("s1")]),
        lambda: store.events.add([decision("s1", kind="undo")]),
        lambda: store.draws.add([draw("ana", [sentences(1)[0].id])], expires_at=FUTURE),
    ]
    hashes = [store.unseen.frame().hash]
    for change in changes:
        change()
        hashes.append(store.unseen.frame().hash)

    assert len(set(hashes)) == len(hashes)
    assert store.unseen.frame().hash == hashes[-1]
    assert {len(found) for found in hashes} == {16}


# -- samples of what is free


def mixed(store: Store, labellable: int, free: int) -> list[str]:
    """A store of boilerplate, of what was decided on or is held, and of `free` sentences, whose ids these are."""
    ids = added(store, labellable)
    added(store, labellable // 4, "d2", boilerplate="caption")
    taken = Random(1).sample(ids, labellable - free)
    half = len(taken) // 2
    store.events.add([decision(identifier) for identifier in taken[:half]])
    store.draws.add([draw("eva", taken[half:])], expires_at=FUTURE)
    return sorted(set(ids) - set(taken))


@pytest.mark.parametrize("labellable", [8, 150], ids=["guessed", "listed"])
def test_every_ordered_sample_is_equally_likely(store: Store, labellable: int) -> None:
    free, generator = mixed(store, labellable, 5), Random(7)

    counts = Counter(tuple(store.unseen.random(2, generator)) for _ in range(200))

    assert {identifier for sample in counts for identifier in sample} == set(free)
    assert all(one != two for one, two in counts)
    # 20 ordered pairs of 5: chi-square with 19 degrees of freedom is above 43.8 once in a thousand times.
    assert len(counts) == 20
    assert sum((found - 10) ** 2 / 10 for found in counts.values()) < 43.8


@pytest.mark.parametrize("labellable", [12, 300], ids=["guessed", "listed"])
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11])
def test_a_sample_has_the_wanted_size_and_no_repeats(store: Store, labellable: int, count: int) -> None:
    free = mixed(store, labellable, 10)

    sample = store.unseen.random(count, Random(3))

    assert len(sample) == len(set(sample)) == min(count, 10)
    assert set(sample) <= set(free)


def test_the_generator_decides_the_sample(store: Store) -> None:
    added(store, 40)

    assert store.unseen.random(5, Random(1)) == store.unseen.random(5, Random(1)) != store.unseen.random(5, Random(2))


def test_nothing_is_sampled_from_an_empty_store(store: Store) -> None:
    assert store.unseen.random(5, Random(1)) == []


TEXTS = {
    "asks": "Kyiv asks for Air Defence and fuel.",
    "sends": "Berlin sends air defence systems.",
    "split": "Defence of the air.",
    "percent": "Growth of 100% was under_scored.",
    "letters": "Growth of 100x was underscored.",
    "umlaut": "ZÜRICH hört zu.",
}


@pytest.fixture
def texts(store: Store) -> Store:
    """A store of a few real texts and one piece of boilerplate."""
    store.add_annotated([Sentence(name, 0, len(text), text) for name, text in TEXTS.items()], [])
    store.add_annotated([Sentence("furniture", 0, 11, "Air defence", boilerplate="caption")], [])
    return store


def found(store: Store, *words: str, count: int = 10) -> set[str]:
    return {sentence.document_id for sentence in store.documents.sentences(store.unseen.matching(words, count))}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("air", "defence"), {"asks", "sends", "split"}),
        (("AIR DEFENCE",), {"asks", "sends"}),
        (("air defence", "fuel"), {"asks"}),
        (("100%",), {"percent"}),
        (("r_s",), {"percent"}),
        (("/",), set()),
        (("zürich", "HÖRT"), {"umlaut"}),
        (("nowhere",), set()),
    ],
)
def test_matching_needs_all_words_and_phrases_in_any_case(
    texts: Store, words: tuple[str, ...], names: set[str]
) -> None:
    assert found(texts, *words) == names


def test_matching_gives_unseen_sentences_up_to_the_count(texts: Store) -> None:
    ids = {sentence.document_id: sentence.id for sentence in texts.documents.sentences()}
    assert len(found(texts, "air", count=2)) == 2
    texts.events.add([decision(ids["asks"])])
    texts.draws.add([draw("ana", [ids["sends"]])], expires_at=FUTURE)

    assert found(texts, "air") == {"split"}


def test_own_decisions_are_random_single_and_old(store: Store) -> None:
    ids = added(store, 8)
    strategies = ("random", "overlap", "search", "retest")
    draws = {name: draw("ana", ids[:6], strategy=name) for name in strategies}
    for made in draws.values():
        store.draws.add([made], expires_at=PAST)
    old, late = "2026-01-01T00:00:00+00:00", "2026-03-03T00:00:00+00:00"
    store.events.add(
        [
            decision(ids[0], draw_id=draws["random"].id, labels=("aid",)),
            decision(ids[1], draw_id=draws["overlap"].id),
            decision(ids[2], draw_id=draws["search"].id),
            decision(ids[3], draw_id=draws["random"].id, state="skipped"),
            decision(ids[4], draw_id=draws["random"].id),
            decision(ids[4], kind="undo", draw_id=draws["random"].id),
            decision(ids[5], draw_id=draws["random"].id),
            decision(ids[5], draw_id=draws["retest"].id),
            decision(ids[6]),
            decision(ids[0], "ben", draw_id=draws["random"].id),
        ]
    )

    assert store.draws.own_decisions("ana", before=late) == sorted(ids[:2])
    assert store.draws.own_decisions("ana", before=old) == []


def test_a_skipped_retest_can_be_drawn_again(store: Store) -> None:
    ids = added(store, 1)
    first, again = draw("ana", ids), draw("ana", ids, strategy="retest")
    for made in (first, again):
        store.draws.add([made], expires_at=FUTURE)
        store.events.add([decision(ids[0], draw_id=made.id, state="reviewed" if made is first else "skipped")])

    assert store.draws.own_decisions("ana", before=FUTURE) == ids


# -- draws and reservations


def test_a_reserved_sentence_is_not_unseen(store: Store) -> None:
    ids = added(store, 3)

    assert store.draws.add([draw("ana", ids[:1])], expires_at=in_an_hour())

    assert store.unseen.ids() == sorted(ids[1:])
    assert len(store.unseen.ids(at=in_an_hour(-60))) == 2
    assert len(store.unseen.ids(at=in_an_hour(60))) == 3


def test_draws_round_trip(store: Store) -> None:
    ids = added(store, 4)
    items = (
        DrawItem(ids[2], 0.25, "0.3-0.6", ("aid", "truce"), 1),
        DrawItem(ids[0], None, "why: “ü”", (), 3),
    )
    one = draw("ana", [], strategy="overlap", items=items, model_id="m", query='"air" x', created_at=PAST)
    two = draw("ana", [], items=(DrawItem(ids[1], 1.0, position=0),), seed=None, frame_size=None, created_at=PAST)
    two = Draw(**{**vars(two), "query": one.query, "model_id": "m"})
    store.draws.add([one, two], expires_at=FUTURE)

    assert store.draws.last("ana", ("random", "overlap"), query='"air" x') == sorted([one, two], key=lambda d: d.id)


def test_items_come_back_in_the_order_of_the_draw(store: Store) -> None:
    ids = added(store, 50)
    Random(1).shuffle(ids)
    store.draws.add([draw("ana", ids)], expires_at=FUTURE)

    (made,) = store.draws.last("ana", ("random",))
    assert [item.sentence_id for item in made.items] == ids
    assert [item.position for item in made.items] == list(range(50))


@pytest.mark.parametrize("held_as", ["random", "audit"])
def test_a_draw_of_a_held_sentence_is_refused_whole(store: Store, held_as: str) -> None:
    ids = added(store, 4)
    store.draws.add([draw("ana", ids[:1], strategy=held_as)], expires_at=FUTURE)

    refused = [draw("ben", ids[3:], strategy="overlap"), draw("ben", [ids[1], ids[0], ids[2]])]
    assert not store.draws.add(refused, expires_at=FUTURE)

    assert store.draws.last("ben", ("random", "overlap")) == []
    assert store.unseen.ids() == sorted(ids[1:])


def test_a_draw_of_a_sentence_decided_on_meanwhile_is_refused(store: Store) -> None:
    ids = added(store, 1)
    store.draws.add([draw("ana", ids)], expires_at=FUTURE)
    store.events.add([decision(ids[0], "ana")])

    assert not store.draws.add([draw("ben", ids)], expires_at=FUTURE)


@pytest.mark.parametrize("strategy", ["audit", "retest", "relabel"])
def test_a_shared_draw_may_contain_decided_sentences(store: Store, strategy: str) -> None:
    ids = added(store, 1)
    store.events.add([decision(ids[0], "ana")])
    store.relabelling.add([(ids[0], WHY, ())], source="doubts")

    assert store.draws.add([draw("ana", ids, strategy=strategy)], expires_at=FUTURE)
    assert pending(store, "ana", strategy) == set(ids)


def test_two_annotators_may_audit_the_same_sentence(store: Store) -> None:
    ids = added(store, 1)
    for annotator in ("ana", "ben"):
        assert store.draws.add([draw(annotator, ids, strategy="audit")], expires_at=FUTURE)

    assert pending(store, "ana", "audit") == pending(store, "ben", "audit") == set(ids)


def test_an_expired_reservation_frees_the_sentence(store: Store) -> None:
    ids = added(store, 2)
    store.draws.add([draw("ana", ids)], expires_at=PAST)

    assert store.unseen.ids() == sorted(ids)
    assert store.draws.add([draw("ben", ids[:1])], expires_at=FUTURE)
    assert store.unseen.ids() == ids[1:]


def test_undecided_sentences_of_a_draw_are_pending(store: Store) -> None:
    ids = added(store, 4)
    made = draw("ana", ids)
    store.draws.add([made], expires_at=FUTURE)
    store.events.add([decision(ids[1], draw_id=made.id), decision(ids[3], draw_id=made.id, state="skipped")])

    assert pending(store, "ana") == {ids[0], ids[2]}


def test_an_undone_decision_is_pending_again(store: Store) -> None:
    ids = added(store, 2)
    made = draw("ana", ids)
    store.draws.add([made], expires_at=FUTURE)
    twice = [decision(ids[1], draw_id=made.id), decision(ids[1], draw_id=made.id, labels=("aid",))]
    store.events.add([decision(ids[0], draw_id=made.id), *twice])
    assert pending(store, "ana") == set()

    store.events.add([decision(identifier, kind="undo", draw_id=made.id) for identifier in ids])
    assert pending(store, "ana") == {ids[0]}


def test_sentences_decided_in_another_draw_are_not_pending(store: Store) -> None:
    ids = added(store, 2)
    store.draws.add([draw("ana", ids)], expires_at=PAST)
    search = draw("ana", ids[:1], strategy="search")
    store.draws.add([search], expires_at=FUTURE)
    store.events.add([decision(ids[0], draw_id=search.id)])

    assert pending(store, "ana") == {ids[1]}


def test_sentences_taken_by_another_are_not_pending(store: Store) -> None:
    ids = added(store, 3)
    store.draws.add([draw("ana", ids)], expires_at=PAST)
    store.draws.add([draw("ben", ids[:1])], expires_at=FUTURE)
    store.events.add([decision(ids[1], "eva")])

    assert pending(store, "ana") == {ids[2]}


@pytest.mark.parametrize("strategy", ["overlap", "audit", "retest"])
def test_shared_sentences_stay_pending_after_anothers_decision(store: Store, strategy: str) -> None:
    ids = added(store, 1)
    store.draws.add([draw("ana", ids, strategy=strategy)], expires_at=FUTURE)
    store.events.add([decision(ids[0], "ben")])

    assert pending(store, "ana", strategy) == set(ids)


@pytest.mark.parametrize(("annotator", "strategy"), [("ben", "random"), ("ana", "uncertainty")])
def test_last_draws_are_those_of_the_annotator_and_strategy(store: Store, annotator: str, strategy: str) -> None:
    store.draws.add([draw("ana", added(store, 1))], expires_at=FUTURE)

    assert store.draws.last(annotator, (strategy,)) == []


def test_last_draws_are_those_of_the_query_and_model(store: Store) -> None:
    ids = added(store, 2)
    one = draw("ana", ids[:1], strategy="search", query="truce", created_at=PAST)
    two = draw("ana", ids[1:], strategy="search", query="aid", model_id="m")
    store.draws.add([one], expires_at=FUTURE)
    store.draws.add([two], expires_at=FUTURE)

    assert [made.id for made in store.draws.last("ana", ("search",), query="truce")] == [one.id]
    assert [made.id for made in store.draws.last("ana", ("search",), query="aid", model_id="m")] == [two.id]
    assert store.draws.last("ana", ("search",), query="aid", model_id="n") == []
    assert store.draws.last("ana", ("search",)) == []


def test_the_last_draws_are_those_made_last_at_one_moment(store: Store) -> None:
    ids = added(store, 3)
    late = [draw("ana", [ids[i]], strategy=name, created_at=FUTURE) for i, name in enumerate(("random", "overlap"))]
    store.draws.add(late, expires_at=FUTURE)
    store.draws.add([draw("ana", ids[2:], created_at=PAST)], expires_at=FUTURE)

    assert {made.id for made in store.draws.last("ana", ("random", "overlap"))} == {made.id for made in late}


@pytest.mark.parametrize("before", [PAST, FUTURE], ids=["run out", "running"])
def test_pending_sentences_are_reserved_again(store: Store, before: str) -> None:
    ids = added(store, 2)
    store.draws.add([draw("ana", ids)], expires_at=before)

    assert pending(store, "ana", expires_at=in_an_hour()) == set(ids)

    assert store.unseen.ids() == []
    assert store.unseen.ids(at=in_an_hour(-60)) == []
    assert len(store.unseen.ids(at=in_an_hour(60))) == 2


def test_reserving_again_takes_nothing_from_others(store: Store) -> None:
    ids = added(store, 2)
    store.draws.add([draw("ben", ids[1:])], expires_at=FUTURE)
    for identifier in ids:
        store.draws.reserve(identifier, "ana", "some draw", expires_at=FUTURE)

    assert store.unseen.ids() == []


def test_held_by_others_counts_current_reservations(store: Store) -> None:
    ids = added(store, 3)
    for identifier, name, until in zip(ids, ("ana", "ben", "ben"), (FUTURE, FUTURE, PAST), strict=True):
        store.draws.reserve(identifier, name, "", expires_at=until)

    assert store.draws.held_by_others("ana") == {ids[1]}
    assert store.draws.held_by_others("eva") == set(ids[:2])


def test_the_next_draw_removes_expired_reservations(store: Store, url: str) -> None:
    ids = added(store, 2)
    store.draws.add([draw("ana", ids[:1])], expires_at=PAST)
    store.draws.add([draw("ben", ids[1:])], expires_at=FUTURE)

    assert [row.annotator for row in rows_of(url, sa.select(tables.reservations))] == ["ben"]


# -- overlap


def overlap(store: Store, annotator: str, ids: list[str], *, second_readings: list[str] | None = None) -> bool:
    made = draw(annotator, ids, strategy="overlap")
    return store.draws.add([made], expires_at=FUTURE, second_readings=second_readings or [])


def test_an_opened_overlap_is_offered_to_all_others(store: Store) -> None:
    ids = added(store, 4)
    overlap(store, "ana", ids[:2])
    store.draws.add([draw("ana", ids[2:3])], expires_at=FUTURE)
    store.events.add([decision(ids[0], "ana")])

    expected = [DrawItem(identifier, 0.5) for identifier in sorted(ids[:2])]
    assert store.draws.overlap_candidates("ben") == store.draws.overlap_candidates("eva") == expected
    assert store.draws.overlap_candidates("ana") == []


def test_an_overlap_closes_with_its_second_reader(store: Store) -> None:
    ids = added(store, 2)
    overlap(store, "ana", ids)

    assert overlap(store, "ben", ids[:1], second_readings=ids[:1])

    assert [item.sentence_id for item in store.draws.overlap_candidates("eva")] == ids[1:]


def test_a_third_reader_at_the_same_moment_is_refused(store: Store) -> None:
    ids = added(store, 2)
    overlap(store, "ana", ids)
    overlap(store, "ben", ids[:1], second_readings=ids[:1])

    assert not overlap(store, "eva", ids, second_readings=ids)

    assert store.draws.last("eva", ("overlap",)) == []
    assert overlap(store, "eva", ids[1:], second_readings=ids[1:])


def test_an_overlap_of_a_held_sentence_is_refused(store: Store) -> None:
    ids = added(store, 1)
    overlap(store, "ana", ids)

    assert not overlap(store, "ben", ids)


def test_sentences_decided_before_are_not_offered_as_overlap(store: Store) -> None:
    ids = added(store, 2)
    overlap(store, "ana", ids)
    store.events.add([decision(ids[0], "ben")])

    assert [item.sentence_id for item in store.draws.overlap_candidates("ben")] == ids[1:]


def test_an_imported_overlap_opens_nothing(store: Store) -> None:
    store.events.add([decision(added(store, 1)[0], strategy="overlap", inclusion_probability=0.5)])

    assert store.draws.overlap_candidates("ben") == []


# -- labelling again

WHY = "the model gives truce 0.93"


def relabelled(store: Store, sentence: str, annotator: str = "ana", state: State = "reviewed") -> Draw:
    made = draw(annotator, [sentence], strategy="relabel")
    store.draws.add([made], expires_at=FUTURE)
    store.events.add([decision(sentence, annotator, draw_id=made.id, state=state)])
    return made


def test_the_queue_is_oldest_first(store: Store) -> None:
    assert store.relabelling.add([("s2", WHY, ("aid", "truce")), ("s1", "doubt", ())], source="doubts") == 2
    assert store.relabelling.add([("s3", "codebook", ("aid",))], source="migration") == 1

    expected = [
        QueuedSentence("s2", WHY, ("aid", "truce")),
        QueuedSentence("s1", "doubt", ()),
        QueuedSentence("s3", "codebook", ("aid",)),
    ]
    assert store.relabelling.waiting() == store.relabelling.waiting("ana") == expected
    assert store.relabelling.waiting(limit=2) == expected[:2]


def test_a_sentence_waits_only_once(store: Store) -> None:
    store.relabelling.add([("s1", WHY, ())], source="doubts")

    assert store.relabelling.add([("s1", "again", ()), ("s2", WHY, ()), ("s2", WHY, ())], source="doubts") == 1
    assert store.relabelling.add([], source="doubts") == 0
    assert [entry.sentence_id for entry in store.relabelling.waiting()] == ["s1", "s2"]


def test_a_queued_sentence_is_done_while_its_new_review_stands(store: Store) -> None:
    ids = added(store, 2)
    store.relabelling.add([(identifier, WHY, ()) for identifier in ids], source="doubts")
    store.events.add([decision(ids[1], "ben"), decision(ids[0], "ben")])
    assert len(store.relabelling.waiting()) == 2

    made = relabelled(store, ids[0])
    assert [entry.sentence_id for entry in store.relabelling.waiting()] == ids[1:]

    store.events.add([decision(ids[0], kind="undo", draw_id=made.id)])
    assert [entry.sentence_id for entry in store.relabelling.waiting()] == ids


def test_a_relabelled_sentence_can_be_queued_again(store: Store) -> None:
    ids = added(store, 1)
    store.relabelling.add([(ids[0], WHY, ())], source="doubts")
    relabelled(store, ids[0])

    assert store.relabelling.add([(ids[0], "once more", ("aid",))], source="doubts") == 1
    assert store.relabelling.waiting() == [QueuedSentence(ids[0], "once more", ("aid",))]


@pytest.mark.parametrize("before", [True, False], ids=["labelled before", "not labelled before"])
def test_a_skipped_queued_sentence_is_left_to_others(store: Store, before: bool) -> None:
    ids = added(store, 2)
    store.events.add([decision(ids[0], "ana")] * before)
    store.relabelling.add([(identifier, WHY, ()) for identifier in ids], source="doubts")
    made = relabelled(store, ids[0], "ana", "skipped")

    assert [entry.sentence_id for entry in store.relabelling.waiting("ana")] == ids[1:]
    assert [entry.sentence_id for entry in store.relabelling.waiting("ben")] == ids
    assert [entry.sentence_id for entry in store.relabelling.waiting()] == ids
    assert pending(store, "ana", "relabel") == set()

    store.events.add([decision(ids[0], kind="undo", draw_id=made.id)])
    assert [entry.sentence_id for entry in store.relabelling.waiting("ana")] == ids
    assert pending(store, "ana", "relabel") == {ids[0]}


def test_a_skipped_queued_sentence_is_done_by_another(store: Store) -> None:
    ids = added(store, 1)
    store.relabelling.add([(ids[0], WHY, ())], source="doubts")
    relabelled(store, ids[0], "ana", "skipped")
    relabelled(store, ids[0], "ben")

    assert store.relabelling.waiting() == []


def test_a_sentence_queued_again_is_offered_after_a_skip(store: Store) -> None:
    ids = added(store, 1)
    store.relabelling.add([(ids[0], WHY, ())], source="doubts")
    relabelled(store, ids[0], "ana", "skipped")
    relabelled(store, ids[0], "ben")
    store.relabelling.add([(ids[0], "once more", ())], source="doubts")

    assert [entry.reason for entry in store.relabelling.waiting("ana")] == ["once more"]


def test_queued_sentences_held_by_others_are_not_offered(store: Store) -> None:
    ids = added(store, 3)
    store.relabelling.add([(identifier, WHY, ()) for identifier in ids], source="doubts")
    store.draws.add([draw("ben", ids[:1], strategy="relabel")], expires_at=FUTURE)
    store.draws.add([draw("eva", ids[1:2], strategy="relabel")], expires_at=PAST)

    assert [entry.sentence_id for entry in store.relabelling.waiting("ana")] == ids[1:]
    assert [entry.sentence_id for entry in store.relabelling.waiting("ana", 1)] == ids[1:2]
    assert [entry.sentence_id for entry in store.relabelling.waiting("ben")] == ids
    assert len(store.relabelling.waiting()) == 3


def test_two_annotators_never_relabel_the_same_sentence(store: Store) -> None:
    ids = added(store, 2)
    store.relabelling.add([(identifier, WHY, ()) for identifier in ids], source="doubts")
    store.draws.add([draw("ben", ids[:1], strategy="relabel")], expires_at=FUTURE)

    assert not store.draws.add([draw("ana", ids, strategy="relabel")], expires_at=FUTURE)
    assert store.draws.last("ana", ("relabel",)) == []
    assert store.draws.add([draw("ana", ids[1:], strategy="relabel")], expires_at=FUTURE)


def test_sentences_relabelled_by_another_are_not_pending(store: Store) -> None:
    ids = added(store, 3)
    store.relabelling.add([(identifier, WHY, ()) for identifier in ids], source="doubts")
    store.draws.add([draw("ana", ids, strategy="relabel")], expires_at=PAST)
    store.draws.add([draw("ben", ids[:1], strategy="relabel")], expires_at=FUTURE)
    relabelled(store, ids[1], "eva")

    assert pending(store, "ana", "relabel") == {ids[2]}


def test_a_long_reason_is_kept_whole(store: Store) -> None:
    ids, reason = added(store, 1), "because " * 50
    store.relabelling.add([(ids[0], reason, ())], source="doubts")
    made = draw("ana", [], strategy="relabel", items=(DrawItem(ids[0], None, reason, ()),))
    store.draws.add([made], expires_at=FUTURE)

    assert store.draws.last("ana", ("relabel",))[0].items[0].stratum == reason


def test_open_draws_are_those_with_sentences_to_decide_on(store: Store) -> None:
    ids = added(store, 6)
    made = [
        draw("ana", ids[:2], created_at="2026-01-01T00:00:00+00:00"),
        draw("ana", ids[2:4], created_at="2026-01-02T00:00:00+00:00", strategy="search", query="text"),
        draw("ben", ids[4:], created_at="2026-01-02T00:00:00+00:00", strategy="retest-only"),
    ]
    for one in made:
        assert store.draws.add([one], expires_at=FUTURE)
    store.events.add([decision(ids[0], "ana", draw_id=made[0].id), decision(ids[2], "ana", draw_id=made[1].id)])

    found = {(one.annotator, one.option): one.pending for one in store.open_draws.all()}

    assert found == {
        ("ana", "search text"): {ids[3]},
        ("ana", "random"): {ids[1]},
        ("ben", "retest"): set(ids[4:]),
    }
    assert [one.strategy for one in store.open_draws.all("ana")] == ["search", "random"]
    store.draws.release("ana")
    assert store.open_draws.all("ana") == []
    assert {one.strategy: (one.drawn, one.reviewed) for one in store.counts.strategies()} == {
        "random": (1, 1),
        "search": (1, 1),
        "retest-only": (2, 0),
    }
