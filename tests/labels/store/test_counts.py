from __future__ import annotations

from dataclasses import replace

from labels.records import Annotation
from labels.store import AnnotatorProgress, Store, StrategyProgress
from tests.labels.store.builders import FUTURE, PAST, added, decision, draw

TODAY = "2026-05-05"


def at(moment: str, event: Annotation) -> Annotation:
    return replace(event, created_at=moment)


def test_an_empty_store_has_no_progress(store: Store) -> None:
    assert store.counts.annotators(today=TODAY) == []
    assert store.counts.label_sets() == {}
    assert store.counts.strategies() == []
    assert store.counts.reviewed() == (0, 0)


def test_each_annotators_standing_decisions_are_counted_most_first(store: Store) -> None:
    ids = added(store, 6)
    store.events.add(
        [
            at(f"{TODAY}T09:00:00+00:00", decision(ids[0], "ben", labels=("aid",), note="why")),
            at("2026-05-04T23:59:59+00:00", decision(ids[1], "ben")),
            at(f"{TODAY}T10:00:00+00:00", decision(ids[2], "ben", state="skipped", note="cut off")),
            at(f"{TODAY}T11:00:00+00:00", decision(ids[3], "ben")),
            at(f"{TODAY}T12:00:00+00:00", decision(ids[3], "ben", "undo")),
            at(f"{TODAY}T13:00:00+00:00", decision(ids[4], "ben", "adjudicate")),
            at("2026-05-01T00:00:00+00:00", decision(ids[0], "ana", labels=("truce",))),
            at(f"{TODAY}T14:00:00+00:00", decision(ids[0], "eva", "adjudicate")),
        ]
    )
    store.draws.add([draw("ben", [ids[5]])], expires_at=FUTURE)
    store.draws.add([draw("ana", [ids[4]], strategy="audit")], expires_at=PAST)

    assert store.counts.annotators(today=TODAY) == [
        AnnotatorProgress("ben", 2, 1, 0, 1, 1, 2, 3, 1, None, f"{TODAY}T13:00:00+00:00"),
        AnnotatorProgress("ana", 1, 0, 0, 0, 0, 0, 0, 0, None, "2026-05-01T00:00:00+00:00"),
        AnnotatorProgress("eva", 0, 0, 0, 1, 0, 0, 1, 0, None, f"{TODAY}T14:00:00+00:00"),
    ]


def test_annotators_with_equal_counts_are_ordered_by_name(store: Store) -> None:
    store.events.add([decision("s1", name) for name in ("eva", "ana", "ben")])

    assert [progress.annotator for progress in store.counts.annotators(today=TODAY)] == ["ana", "ben", "eva"]


def test_seconds_are_the_median_of_those_measured(store: Store) -> None:
    seconds: dict[str, list[float | None]] = {
        "ana": [9.0, 1.0, 2.0, None],
        "ben": [4.0, 1.0, 2.0, 100.0],
        "eva": [None],
    }
    for annotator, times in seconds.items():
        store.events.add([decision(f"s{i}", annotator, seconds=time) for i, time in enumerate(times)])

    found = {progress.annotator: progress.seconds for progress in store.counts.annotators(today=TODAY)}
    assert found == {"ana": 2.0, "ben": 3.0, "eva": None}


def test_label_sets_of_standing_reviews_are_counted(store: Store) -> None:
    store.events.add(
        [
            decision("s1", "ana", labels=("aid", "truce")),
            decision("s1", "ben", labels=("aid", "truce")),
            decision("s2", "ana", labels=("aid",)),
            decision("s3", "ana"),
            decision("s3", "ben"),
            decision("s4", "ana", state="skipped"),
            decision("s5", "ana", labels=("truce",)),
            decision("s5", "ana", labels=("Frieden “ü”",)),
            decision("s6", "ana", labels=("truce",)),
            decision("s6", "ana", "undo"),
            decision("s2", "eva", "adjudicate", labels=("truce",)),
        ]
    )

    assert store.counts.label_sets() == {("aid", "truce"): 2, ("aid",): 1, (): 2, ("Frieden “ü”",): 1}


def test_strategies_are_counted_with_outcomes_most_first(store: Store) -> None:
    ids = added(store, 6)
    random, search = draw("ana", ids[:4]), draw("ana", ids[4:], strategy="search")
    store.draws.add([random], expires_at=FUTURE)
    store.draws.add([search], expires_at=FUTURE)
    store.events.add(
        [
            decision(ids[0], draw_id=random.id),
            decision(ids[1], draw_id=random.id, state="skipped"),
            decision(ids[2], draw_id=random.id),
            decision(ids[2], kind="undo", draw_id=random.id),
            decision(ids[5], "ben"),
        ]
    )

    assert store.counts.strategies() == [StrategyProgress("random", 4, 1, 1), StrategyProgress("search", 2, 0, 0)]


def test_sentences_reviewed_once_and_twice_are_counted(store: Store) -> None:
    store.events.add(
        [
            *(decision("s1", name) for name in ("ana", "ben", "eva")),
            decision("s2", "ana"),
            decision("s2", "ben", state="skipped"),
            decision("s3", "ana", state="skipped"),
            decision("s4", "ana"),
            decision("s4", "ana", "undo"),
            decision("s5", "ana"),
            decision("s5", "eva", "adjudicate"),
        ]
    )

    assert store.counts.reviewed() == (3, 1)
