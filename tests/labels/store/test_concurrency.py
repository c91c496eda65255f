"""Two real processes on one store."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.synchronize import Barrier as BarrierType
from typing import Any

from labels.queue import next_draw
from labels.records import Annotation, Sentence
from labels.store import Store

Job = Callable[[Store, str], Any]


def in_two_processes(url: str, job: Job) -> list[Any]:
    """What `job` returned, or the error it ended with, in two processes that open the store at the same moment."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_work, args=(job, url, name, barrier, results)) for name in ("ana", "ben")]
    for worker in workers:
        worker.start()
    found = dict(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    return [found["ana"], found["ben"]]


def _work(job: Job, url: str, name: str, barrier: BarrierType, results: Any) -> None:
    from alembic import command  # noqa: F401  # imported early, so that both are ready at the same moment

    barrier.wait(timeout=60)
    try:
        with Store(url) as store:
            results.put((name, job(store, name)))
    except Exception as error:
        results.put((name, repr(error)))


def decision(annotator: str, number: int) -> Annotation:
    return Annotation(
        f"{annotator}-{number}", f"s{number}", annotator, "annotate", "reviewed", ("aid",), "hash", "2026-01-01"
    )


def append_one_by_one(store: Store, annotator: str) -> int:
    return sum(store.append([decision(annotator, number)]) for number in range(100))


def append_the_same(store: Store, _: str) -> int:
    return sum(store.append([decision("eva", number) for number in range(start, start + 10)]) for start in range(50))


def draw_five_times(store: Store, name: str) -> list[str]:
    draws = [next_draw(store, f"{name}{i}", size=10, seed=1) for i in range(5)]
    return [identifier for draw in draws if draw is not None for identifier, _ in draw.items]


def count_events(store: Store, _: str) -> int:
    return store.counts().events


def test_two_processes_may_make_a_new_store_at_the_same_moment(url: str) -> None:
    assert in_two_processes(url, count_events) == [0, 0]


def test_no_event_is_lost_when_two_processes_append_at_once(url: str) -> None:
    Store(url).close()

    assert in_two_processes(url, append_one_by_one) == [100, 100]
    with Store(url) as store:
        for annotator in ("ana", "ben"):
            assert store.events(annotator=annotator) == [decision(annotator, number) for number in range(100)]


def test_an_event_that_two_processes_append_at_once_is_kept_and_counted_once(url: str) -> None:
    Store(url).close()

    assert sum(in_two_processes(url, append_the_same)) == 59
    with Store(url) as store:
        assert sorted(event.event_id for event in store.events()) == sorted(f"eva-{number}" for number in range(59))


def test_two_processes_that_draw_at_once_never_draw_the_same_sentence(url: str) -> None:
    with Store(url) as store:
        store.add_sentences(Sentence("d1", 10 * i, 10 * i + 9, f"Text {i:04d}") for i in range(100))

    ana, ben = in_two_processes(url, draw_five_times)

    assert len(ana) == len(ben) == 50
    assert len({*ana, *ben}) == 100
