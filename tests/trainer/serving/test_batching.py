from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.records import Example
from tests.trainer.conftest import Finetuned, plain_codebook, texts_of
from trainer.calibration.calibration import Probabilities, uncalibrated
from trainer.classifiers.base import Classifier
from trainer.model.model import Model
from trainer.serving.scheduling import Batcher, DeadlineError, QueueFullError

T = TypeVar("T")
CODEBOOK = plain_codebook("short", "long")


class LengthClassifier:
    """Says how long each text is. Batches are counted; they wait for `gate`, and "refused" makes them fail."""

    labels = CODEBOOK.label_names
    needs_calibration = False
    distributed = False
    notes = ()

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def fit(self, examples: Sequence[Example], validation: Sequence[Example]) -> Self:
        return self

    def predict_proba(self, texts: Sequence[str]) -> Probabilities:
        self.batches.append(list(texts))
        self.entered.set()
        self.gate.wait(10)
        if "refused" in texts:
            raise ValueError("this text is refused")
        return np.array([[1 / len(text), 1 - 1 / len(text)] for text in texts], dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Nothing is kept."""

    @classmethod
    def load(cls, folder: Path, codebook: Any) -> Self:
        return cls()

    def describe(self) -> dict[str, Any]:
        return {}


def model_of(classifier: Classifier) -> Model:
    return Model(CODEBOOK, classifier, uncalibrated(2, "", exclusive=False, allow_none=True))


def run(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; one that hangs is an error."""
    return asyncio.run(asyncio.wait_for(work, 30))


async def held(classifier: LengthClassifier, batcher: Batcher) -> asyncio.Task[Any]:
    """A request whose prediction is under way and waits for the gate."""
    classifier.gate.clear()
    request = asyncio.create_task(batcher.predict_proba(["held"]))
    await asyncio.to_thread(classifier.entered.wait, 10)
    return request


async def queued(*requests: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    """Requests that have been made."""
    tasks = [asyncio.create_task(request) for request in requests]
    await asyncio.sleep(0)
    return tasks


@settings(deadline=None, max_examples=25)
@given(
    requests=st.lists(st.lists(st.text(min_size=1, max_size=30), max_size=6), min_size=1, max_size=12),
    max_batch=st.integers(1, 12),
)
def test_every_asker_gets_its_own_answers_in_its_own_order(requests: list[list[str]], max_batch: int) -> None:
    requests = [[text.replace("refused", "taken") for text in texts] for texts in requests]
    asked = [texts for texts in requests if texts]

    async def work() -> list[Probabilities]:
        batcher = Batcher(model_of(LengthClassifier()).predict_proba, max_batch=max_batch)
        batcher.start()
        try:
            return await asyncio.gather(*(batcher.predict_proba(texts) for texts in asked))
        finally:
            await batcher.stop()

    answers = run(work())
    for texts, answer in zip(asked, answers, strict=True):
        np.testing.assert_allclose(answer[:, 0], [1 / len(text) for text in texts], rtol=1e-6)


def test_answers_of_a_real_encoder_stay_with_their_askers(finetuned: Finetuned) -> None:
    model = Model(finetuned.codebook, finetuned.classifier, uncalibrated(2, "", exclusive=False, allow_none=True))
    texts = texts_of(finetuned.unseen[:24])
    requests = [texts[:1], texts[1:8], texts[8:9], texts[9:24]]

    async def work() -> list[Probabilities]:
        batcher = Batcher(model.predict_proba)
        batcher.start()
        try:
            return await asyncio.gather(*(batcher.predict_proba(request) for request in requests))
        finally:
            await batcher.stop()

    np.testing.assert_allclose(np.concatenate(run(work())), model.predict_proba(texts), atol=1e-4)


def test_lone_request_waits_for_nobody() -> None:
    classifier = LengthClassifier()

    async def work() -> None:
        batcher = Batcher(model_of(classifier).predict_proba)
        batcher.start()
        await batcher.predict_proba(["one"])
        await batcher.predict_proba(["two", "three"])
        await batcher.stop()

    run(work())
    assert classifier.batches == [["one"], ["two", "three"]]


def test_requests_that_come_while_one_is_predicted_are_predicted_together() -> None:
    classifier = LengthClassifier()

    async def work() -> None:
        batcher = Batcher(model_of(classifier).predict_proba)
        batcher.start()
        first = await held(classifier, batcher)
        others = await queued(*(batcher.predict_proba([text]) for text in ("a", "bb", "ccc")))
        classifier.gate.set()
        await asyncio.gather(first, *others)
        await batcher.stop()

    run(work())
    assert classifier.batches == [["held"], ["a", "bb", "ccc"]]


def test_no_batch_of_several_requests_exceeds_the_most_texts() -> None:
    classifier = LengthClassifier()

    async def work() -> None:
        batcher = Batcher(model_of(classifier).predict_proba, max_batch=5)
        batcher.start()
        first = await held(classifier, batcher)
        others = await queued(*(batcher.predict_proba([letter] * 3) for letter in "abc"))
        classifier.gate.set()
        await asyncio.gather(first, *others)
        await batcher.stop()

    run(work())
    assert max(map(len, classifier.batches)) <= 5
    assert sorted("".join(map("".join, classifier.batches[1:]))) == sorted("aaabbbccc")


def test_error_reaches_its_asker_and_the_worker_goes_on() -> None:
    async def work() -> Probabilities:
        batcher = Batcher(model_of(LengthClassifier()).predict_proba)
        batcher.start()
        with pytest.raises(ValueError, match="this text is refused"):
            await batcher.predict_proba(["refused"])
        answer = await batcher.predict_proba(["fine"])
        await batcher.stop()
        return answer

    assert run(work())[0, 0] == pytest.approx(1 / 4)


def test_error_reaches_only_the_request_that_caused_it() -> None:
    classifier = LengthClassifier()

    async def work() -> list[Any]:
        batcher = Batcher(model_of(classifier).predict_proba)
        batcher.start()
        first = await held(classifier, batcher)
        others = await queued(*(batcher.predict_proba([text]) for text in ("a", "refused", "ccc")))
        classifier.gate.set()
        answers = await asyncio.gather(first, *others, return_exceptions=True)
        await batcher.stop()
        return answers

    _, before, refused, after = run(work())
    assert isinstance(refused, ValueError)
    assert before[0, 0] == pytest.approx(1)
    assert after[0, 0] == pytest.approx(1 / 3)


@pytest.mark.parametrize("fails", [False, True])
def test_asker_that_has_gone_disturbs_nobody(fails: bool) -> None:
    classifier = LengthClassifier()

    async def work() -> Any:
        batcher = Batcher(model_of(classifier).predict_proba)
        batcher.start()
        first = await held(classifier, batcher)
        gone, stays = await queued(
            batcher.predict_proba(["refused" if fails else "gone"]), batcher.predict_proba(["stays"])
        )
        gone.cancel()
        classifier.gate.set()
        await first
        await asyncio.gather(gone, stays, return_exceptions=True)
        answer = await batcher.predict_proba(["later"])
        await batcher.stop()
        return answer

    assert run(work())[0, 0] == pytest.approx(1 / 5)


def test_stopping_cancels_the_requests_under_way() -> None:
    classifier = LengthClassifier()

    async def work() -> tuple[list[asyncio.Task[Any]], set[asyncio.Task[Any]]]:
        batcher = Batcher(model_of(classifier).predict_proba)
        batcher.start()
        requests = [await held(classifier, batcher), *await queued(batcher.predict_proba(["queued"]))]
        classifier.gate.set()
        await batcher.stop()
        done, _ = await asyncio.wait(requests, timeout=1)
        return requests, done

    requests, done = run(work())
    assert done == set(requests)
    assert all(request.cancelled() for request in requests)


def test_stopping_cancels_a_request_that_did_not_fit_into_the_batch_under_way() -> None:
    classifier = LengthClassifier()

    async def work() -> tuple[list[asyncio.Task[Any]], set[asyncio.Task[Any]]]:
        batcher = Batcher(model_of(classifier).predict_proba, max_batch=1)
        requests = await queued(*(batcher.predict_proba([text]) for text in "abc"))
        classifier.gate.clear()
        batcher.start()
        await asyncio.to_thread(classifier.entered.wait, 10)
        classifier.gate.set()
        await batcher.stop()
        done, _ = await asyncio.wait(requests, timeout=1)
        return requests, done

    requests, done = run(work())
    assert done == set(requests)
    assert all(request.cancelled() for request in requests)


def test_stopping_what_never_started_is_quiet() -> None:
    run(Batcher(model_of(LengthClassifier()).predict_proba).stop())


def test_cancelled_request_is_not_computed() -> None:
    classifier = LengthClassifier()

    async def work() -> None:
        batcher = Batcher(model_of(classifier).predict_proba)
        batcher.start()
        first = await held(classifier, batcher)
        gone, stays = await queued(batcher.predict_proba(["gone"]), batcher.predict_proba(["stays"]))
        gone.cancel()
        await asyncio.sleep(0)
        classifier.gate.set()
        await asyncio.gather(first, stays)
        await batcher.stop()

    run(work())
    assert classifier.batches == [["held"], ["stays"]]


def test_long_request_is_predicted_in_pieces_that_leave_room_for_others() -> None:
    classifier = LengthClassifier()
    long = [letter * 3 for letter in "abcdefgh"]

    async def work() -> tuple[Any, Any]:
        batcher = Batcher(model_of(classifier).predict_proba, max_batch=4)
        batcher.start()
        first = await held(classifier, batcher)
        slow, quick = await queued(batcher.predict_proba(long), batcher.predict_proba(["short"]))
        classifier.gate.set()
        await asyncio.gather(first, slow, quick)
        await batcher.stop()
        return slow.result(), quick.result()

    slow, quick = run(work())
    assert [len(batch) for batch in classifier.batches] == [1, 4, 4, 1]
    assert "short" in classifier.batches[1]
    assert (slow.shape, quick.shape) == ((8, 2), (1, 2))


def test_request_beyond_the_waiting_limit_is_refused_at_once() -> None:
    classifier = LengthClassifier()

    async def work() -> None:
        batcher = Batcher(model_of(classifier).predict_proba, max_waiting=3)
        batcher.start()
        first = await held(classifier, batcher)
        [waiting] = await queued(batcher.predict_proba(["a", "b"]))
        with pytest.raises(QueueFullError) as refused:
            await batcher.predict_proba(["c", "d"])
        assert refused.value.retry_after > 0
        assert batcher.waiting == 2
        classifier.gate.set()
        await asyncio.gather(first, waiting)
        assert batcher.waiting == 0
        await batcher.predict_proba(["c", "d"])
        await batcher.stop()

    run(work())


@pytest.mark.parametrize("started", [False, True])
def test_request_past_its_deadline_ends(started: bool) -> None:
    classifier = LengthClassifier()

    async def work() -> DeadlineError:
        batcher = Batcher(model_of(classifier).predict_proba, max_batch=1)
        if started:
            classifier.gate.clear()
        else:
            await asyncio.sleep(0)
        batcher.start()
        first = await held(classifier, batcher) if not started else None
        [late] = await queued(batcher.predict_proba(["a", "b"], seconds=0.05))
        await asyncio.sleep(0.2)
        classifier.gate.set()
        with pytest.raises(DeadlineError) as error:
            await late
        if first is not None:
            await first
        await batcher.stop()
        return error.value

    assert run(work()).started is started


def test_drained_batcher_has_answered_all_requests() -> None:
    classifier = LengthClassifier()

    async def work() -> list[bool]:
        batcher = Batcher(model_of(classifier).predict_proba, max_batch=2)
        batcher.start()
        requests = [await held(classifier, batcher), *await queued(*(batcher.predict_proba([x]) for x in "abc"))]
        classifier.gate.set()
        await batcher.drain()
        await batcher.stop()
        await asyncio.wait(requests)
        return [request.cancelled() for request in requests]

    assert run(work()) == [False] * 4
