from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from labels.queue import LEASE, frame_hash, next_draw
from labels.records import Annotation, Sentence
from labels.store import Draw, Store, now

PAST = "2001-01-01T00:00:00.000000+00:00"


@pytest.fixture
def store() -> Iterator[Store]:
    """A store of twenty sentences to label and five of page furniture."""
    with Store("store.db") as opened:
        opened.add_sentences(Sentence("d1", 10 * i, 10 * i + 9, f"Text {i:04d}") for i in range(20))
        opened.add_sentences(Sentence("d2", i, i + 1, "x", boilerplate="mark") for i in range(5))
        yield opened


def drawn(store: Store, annotator: str, size: int, seed: int = 1) -> list[str]:
    draw = next_draw(store, annotator, size=size, seed=seed)
    assert draw is not None
    return [identifier for identifier, _ in draw.items]


def decide(store: Store, annotator: str, *ids: str) -> None:
    for identifier in ids:
        event_id = f"{annotator}-{identifier}"
        store.append([Annotation(event_id, identifier, annotator, "annotate", "reviewed", (), "hash", now())])


def test_a_draw_says_how_it_was_made(store: Store) -> None:
    frame = store.unseen()

    draw = next_draw(store, "ana", size=5, seed=3)

    assert draw is not None
    assert (draw.strategy, draw.annotator, draw.seed) == ("random", "ana", 3)
    assert (draw.frame_size, draw.frame_hash) == (20, frame_hash(frame))
    assert {probability for _, probability in draw.items} == {5 / 20}
    ids = {identifier for identifier, _ in draw.items}
    assert len(ids) == 5
    assert ids <= set(frame)


def test_the_probability_is_that_of_the_frame_that_was_left(store: Store) -> None:
    drawn(store, "ana", 5)
    decide(store, "ben", store.unseen()[0])

    draw = next_draw(store, "eva", size=7, seed=1)

    assert draw is not None
    assert draw.frame_size == 14
    assert {probability for _, probability in draw.items} == {7 / 14}


def test_a_draw_larger_than_the_frame_takes_all_of_it_for_certain(store: Store) -> None:
    draw = next_draw(store, "ana", size=100, seed=1)

    assert draw is not None
    assert sorted(draw.items) == [(identifier, 1.0) for identifier in sorted(i for i, _ in draw.items)]
    assert len(draw.items) == 20


def test_seed_annotator_and_frame_decide_the_sample() -> None:
    rows = [Sentence("d1", i, i + 1, "x") for i in range(40)]
    samples = []
    for name, annotator, seed in (("1", "ana", 1), ("2", "ana", 1), ("3", "ana", 2), ("4", "ben", 1)):
        with Store(f"{name}.db") as store:
            store.add_sentences(rows)
            samples.append(drawn(store, annotator, 10, seed))

    assert samples[0] == samples[1]
    assert len({tuple(sample) for sample in samples}) == 3


def test_every_sentence_of_the_frame_is_as_likely_to_be_drawn() -> None:
    with Store("template.db") as template:
        template.add_sentences(Sentence("d1", i, i + 1, "x") for i in range(6))
    counts: Counter[str] = Counter()
    for seed in range(60):
        shutil.copy("template.db", f"{seed}.db")
        with Store(f"{seed}.db") as store:
            counts.update(drawn(store, "ana", 2, seed))

    # 60 draws of 2 from 6: each sentence 20 times, with a standard deviation of 3.7.
    assert len(counts) == 6
    assert all(8 <= count <= 32 for count in counts.values())


def test_two_annotators_never_draw_the_same_sentence(store: Store) -> None:
    samples = [drawn(store, annotator, 6) for annotator in ("ana", "ben", "eva")]

    assert len({identifier for sample in samples for identifier in sample}) == 18
    assert len(drawn(store, "zoe", 6)) == 2
    assert next_draw(store, "max", size=6, seed=1) is None


def test_nothing_is_drawn_where_nothing_is_left() -> None:
    with Store("empty.db") as store:
        assert next_draw(store, "ana", size=5, seed=1) is None


def test_an_unfinished_draw_comes_before_a_new_one(store: Store) -> None:
    first = drawn(store, "ana", 4)
    decide(store, "ana", first[0], first[2])

    assert drawn(store, "ana", 10, seed=99) == [first[1], first[3]]


def test_a_finished_draw_is_followed_by_a_new_one_of_other_sentences(store: Store) -> None:
    first = drawn(store, "ana", 4)
    decide(store, "ana", *first)

    second = drawn(store, "ana", 4)

    assert len(second) == 4
    assert not set(first) & set(second)


def test_a_draw_is_reserved_for_the_time_of_the_lease(store: Store) -> None:
    before = datetime.now(UTC)
    ids = drawn(store, "ana", 20)
    after = datetime.now(UTC)

    just_held = before + LEASE - timedelta(microseconds=1)
    just_free = after + LEASE + timedelta(microseconds=1)
    assert store.unseen(at=just_held.isoformat(timespec="microseconds")) == []
    assert store.unseen(at=just_free.isoformat(timespec="microseconds")) == sorted(ids)


def expired_draw(store: Store, annotator: str) -> list[str]:
    ids = store.unseen()
    items = tuple((identifier, 1.0) for identifier in ids)
    made = Draw("old", "random", annotator, frame_hash(ids), len(ids), 1, PAST, items)
    assert store.add_draw(made, expires_at=PAST)
    return ids


def test_sentences_whose_reservation_has_run_out_are_drawn_by_others(store: Store) -> None:
    ids = expired_draw(store, "ana")

    assert sorted(drawn(store, "ben", 20)) == sorted(ids)
    assert next_draw(store, "ana", size=20, seed=1) is None


def test_who_resumes_after_the_reservation_ran_out_shares_no_sentence_with_the_next(store: Store) -> None:
    expired_draw(store, "ana")

    resumed = drawn(store, "ana", 5)
    other = next_draw(store, "ben", size=5, seed=1)

    assert len(resumed) == 20
    assert other is None


def test_a_frame_is_identified_by_its_sentences_in_any_order() -> None:
    assert frame_hash(["b", "a", "c"]) == frame_hash(["a", "b", "c"])
    assert frame_hash(["a", "b"]) != frame_hash(["ab"])
    assert len(frame_hash(["a"])) == 16
