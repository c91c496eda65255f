"""Real processes at once on one store."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Barrier as BarrierType
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command  # noqa: F401  # imported early, so that all are ready at the same moment

from labels.annotate.tasks import LabellingSession
from labels.codebook.schema import codebook_from_dict
from labels.records import Annotation, Document, Sentence
from labels.sampling.drawing import DrawRequest
from labels.sampling.strategies import next_assignment
from labels.store import Store, tables
from tests.labels.store.builders import rows_of, score_all

Job = Callable[[Store, str], Any]
TWO = ("ana", "ben")
FOUR = ("ana", "ben", "eva", "zoe")
EACH = 120


def at_once(url: str, job: Job, names: Sequence[str] = TWO) -> list[Any]:
    """What `job` returned, or the error it ended with, in processes that open the store at the same moment."""
    # One process imports what all need, once for all tests, and makes the others.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", __name__])
    barrier, results = context.Barrier(len(names)), context.Queue()
    workers = [context.Process(target=_work, args=(job, url, name, barrier, results)) for name in names]
    for worker in workers:
        worker.start()
    found = dict(results.get(timeout=600) for _ in workers)
    for worker in workers:
        worker.join()
    return [found[name] for name in names]


def _work(job: Job, url: str, name: str, barrier: BarrierType, results: Any) -> None:
    barrier.wait(timeout=600)
    try:
        with Store(url) as store:
            results.put((name, job(store, name)))
    except Exception as error:
        results.put((name, repr(error)))


def decision(annotator: str, number: int) -> Annotation:
    return Annotation(
        f"{annotator}-{number}", f"s{number}", annotator, "annotate", "reviewed", ("aid",), "hash", "2026-01-01"
    )


def texts(n: int, document: str = "d1") -> list[Sentence]:
    return [Sentence(document, 10 * i, 10 * i + 9, f"Text {i:04d}") for i in range(n)]


def append_one_by_one(store: Store, annotator: str) -> int:
    return sum(store.events.add([decision(annotator, number)]) for number in range(100))


def append_the_same(store: Store, _: str) -> int:
    return sum(
        store.events.add([decision("eva", number) for number in range(start, start + 10)]) for start in range(50)
    )


def append_where_nobody_has(store: Store, annotator: str) -> int:
    return sum(
        store.events.add([decision(annotator, number)], only_if=lambda events: not events) for number in range(100)
    )


def add_sentences(store: Store, name: str) -> int:
    def add(rows: list[Sentence]) -> int:
        return store.documents.add([(Document("src", "One."), rows)])[1]

    own = sum(add(texts(7, f"{name} {turn}")) for turn in range(20))
    return own + sum(add(texts(7 * turn, "common")) for turn in range(20))


def draw(store: Store, annotator: str, request: DrawRequest) -> list[str]:
    assignment = next_assignment(store, annotator, request)
    return sorted(assignment.pending) if assignment else []


def draw_five_times(store: Store, name: str) -> list[str]:
    return [found for i in range(5) for found in draw(store, f"{name}{i}", DrawRequest(size=10))]


def draw_the_least_sure(store: Store, name: str) -> list[str]:
    request = DrawRequest("uncertainty", size=10, model_id="m")
    return [found for i in range(5) for found in draw(store, f"{name}{i}", request)]


def draw_overlap(store: Store, name: str) -> list[str]:
    return draw(store, name, DrawRequest(size=40, overlap=1.0))


def draw_relabelling(store: Store, name: str) -> list[str]:
    return [found for i in range(5) for found in draw(store, f"{name}{i}", DrawRequest("relabel", size=10))]


def label_in_small_draws(store: Store, annotator: str) -> list[str]:
    """Decide on `EACH` sentences, 30 a session."""
    codebook = codebook_from_dict({"name": "small", "labels": [{"name": "aid"}, {"name": "truce"}]}, "small")
    decided: list[str] = []
    while len(decided) < EACH:
        session = LabellingSession(store, codebook, annotator, DrawRequest(size=30, seed=1))
        while (item := session.current()) is not None:
            session.review(["aid"] if len(decided) % 2 else [])
            decided.append(item.sentence.id)
    return decided


def test_two_processes_can_create_a_store_at_once(empty_url: str) -> None:
    assert at_once(empty_url, _count_events) == [0, 0]


def _count_events(store: Store, _: str) -> int:
    return len(store.events.all())


def test_no_event_is_lost_when_two_processes_append_at_once(url: str) -> None:
    assert at_once(url, append_one_by_one) == [100, 100]
    with Store(url) as store:
        for annotator in TWO:
            assert store.events.all(annotator=annotator) == [decision(annotator, number) for number in range(100)]


def test_an_event_appended_by_two_processes_is_counted_once(url: str) -> None:
    assert sum(at_once(url, append_the_same)) == 59
    with Store(url) as store:
        assert sorted(event.event_id for event in store.events.all()) == sorted(f"eva-{number}" for number in range(59))


def test_of_two_conditional_appends_at_once_one_succeeds(url: str) -> None:
    assert sum(at_once(url, append_where_nobody_has)) == 100
    with Store(url) as store:
        assert {event.sentence_id for event in store.events.all()} == {f"s{number}" for number in range(100)}


def test_numbers_have_no_gap_when_two_processes_add_at_once(url: str) -> None:
    assert sum(at_once(url, add_sentences)) == 2 * 20 * 7 + 19 * 7
    table = tables.sentences
    numbers = [row.number for row in rows_of(url, sa.select(table.c.number).order_by(table.c.number))]
    assert numbers == list(range(1, 2 * 20 * 7 + 19 * 7 + 1))


def test_two_processes_never_draw_the_same_sentence(url: str) -> None:
    with Store(url) as store:
        store.add_annotated(texts(100), [])

    ana, ben = at_once(url, draw_five_times)

    assert len(ana) == len(ben) == 50
    assert len({*ana, *ben}) == 100


def test_two_processes_never_draw_the_same_uncertain_sentence(url: str) -> None:
    with Store(url) as store:
        store.add_annotated(texts(100), [])
        score_all(store, [0.1, 0.2, 0.3, 0.4])

    ana, ben = at_once(url, draw_the_least_sure)

    assert len(ana) == len(ben) == 50
    assert len({*ana, *ben}) == 100


def test_three_readers_at_once_never_share_one_sentence(url: str) -> None:
    with Store(url) as store:
        store.add_annotated(texts(60), [])

    drawn = at_once(url, draw_overlap, FOUR[:3])

    readers = Counter(identifier for ids in drawn for identifier in ids)
    # The first opens 40, the second reads those, and the third opens what is left.
    assert sorted(map(len, drawn)) == [20, 40, 40]
    assert sorted(readers.values()) == [1] * 20 + [2] * 40


def test_two_processes_never_relabel_the_same_sentence(url: str) -> None:
    with Store(url) as store:
        rows = texts(100)
        store.add_annotated(rows, [])
        store.relabelling.add([(row.id, "doubt", ()) for row in rows], source="doubts")

    ana, ben = at_once(url, draw_relabelling)

    assert len(ana) == len(ben) == 50
    assert len({*ana, *ben}) == 100


@pytest.mark.slow
def test_four_annotators_at_once_label_each_sentence_once(url: str) -> None:
    with Store(url) as store:
        store.add_annotated(texts(4 * EACH + 100), [])

    decided = at_once(url, label_in_small_draws, FOUR)

    assert [len(ids) for ids in decided] == [EACH] * 4
    assert len({identifier for ids in decided for identifier in ids}) == 4 * EACH
    with Store(url) as store:
        assert [len(store.events.all()), *store.counts.reviewed()] == [4 * EACH, 4 * EACH, 0]
        for annotator, ids in zip(FOUR, decided, strict=True):
            assert [event.sentence_id for event in store.events.all(annotator=annotator)] == ids
        assert store.unseen.frame().size == 100
