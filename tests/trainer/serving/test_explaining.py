from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from tests.trainer.serving.application import Client, get, post, with_client
from trainer.classifiers.explanations import Explanation, Pause, Span
from trainer.model.model import Model
from trainer.serving import scheduling
from trainer.serving.scheduling import MAX_EXPLAINED, MAX_EXPLAINED_WAITING, DeadlineError, Explainer, QueueFullError

TRUCE = "Rain fell 🕊, and the envoy called for a truce."
COMPATIBLE = Path(__file__).parents[2] / "compatibility" / "data" / "runs"
T = TypeVar("T")


# -- the API


def test_words_are_explained_with_offsets_in_the_sentence(tfidf_model: Model) -> None:
    body = {"texts": [TRUCE, "Prices rose."], "explain": True, "thresholds": {"aid": 0.0}}
    first, second = post(tfidf_model, body).json()["predictions"]
    probabilities = first["probabilities"]
    explained = [one["label"] for one in first["explanations"]]
    assert explained == sorted(probabilities, key=probabilities.get, reverse=True)  # type: ignore[arg-type]
    assert [one["label"] for one in second["explanations"]] == second["labels"] == ["aid"]
    for explanation in first["explanations"]:
        words = explanation["words"]
        assert [TRUCE[word["start"] : word["end"]] for word in words][:4] == ["Rain", "fell", "🕊,", "and"]
        total = explanation["bias"] + sum(word["weight"] for word in words) + explanation["delta"]
        assert total == pytest.approx(explanation["logit"], abs=1e-6)


def test_sentences_of_documents_are_explained(tfidf_model: Model) -> None:
    body = {"documents": [f"{TRUCE} Prices rose."], "explain": True, "top_k": 1}
    [document] = post(tfidf_model, body).json()["documents"]
    assert [len(sentence["explanations"]) for sentence in document["sentences"]] == [1, 1]


def test_without_a_request_nothing_is_explained(tfidf_model: Model) -> None:
    [prediction] = post(tfidf_model, {"texts": [TRUCE]}).json()["predictions"]
    assert "explanations" not in prediction
    assert get(tfidf_model, "/health").json()["explains"] is True


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"texts": ["a"] * 17, "explain": True}, "explain: at most 16 sentences are explained per request, but"),
        ({"documents": ["Rain fell. " * 17], "explain": True}, "but there are 17. Send fewer sentences"),
        ({"texts": ["a"], "explain": "words"}, "explain must be true or false"),
    ],
    ids=["texts", "documents", "type"],
)  # fmt: skip
def test_requests_beyond_the_limit_are_refused(tfidf_model: Model, body: dict[str, Any], message: str) -> None:
    assert MAX_EXPLAINED == 16
    answer = post(tfidf_model, body)
    assert answer.status_code == 422
    assert message in answer.json()["detail"][0]["msg"]


def test_a_model_that_cannot_be_explained_says_so() -> None:
    model = Model.load(COMPATIBLE / "majority" / "artefact")
    assert get(model, "/health").json()["explains"] is False
    answer = post(model, {"texts": ["a"], "explain": True})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["msg"].startswith("explain: a model of kind majority cannot be explained")


# -- turns


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def limited() -> T:
        return await asyncio.wait_for(work(), 30)

    return asyncio.run(limited())


def explain(text: str, labels: Sequence[str], pause: Pause) -> list[Explanation]:
    for _ in range(3):
        pause()
    return [Explanation(label, "terms", 0, 0, (Span(0, len(text), 1.0),)) for label in labels]


def test_each_text_gets_its_labels() -> None:
    found = run(lambda: Explainer(explain, lambda: False).explain(["a", "b"], [["x"], ["x", "y"]], seconds=10))
    assert [[one.label for one in own] for own in found] == [["x"], ["x", "y"]]


def test_predictions_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "_LONGEST_WAIT", 60.0)
    busy = threading.Event()
    busy.set()

    async def work() -> None:
        asked = asyncio.create_task(Explainer(explain, busy.is_set).explain(["a"], [["x"]], seconds=20))
        await asyncio.sleep(0.1)
        assert not asked.done()
        busy.clear()
        assert len(await asked) == 1

    run(work)


def test_a_busy_server_does_not_starve_explanations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "_LONGEST_WAIT", 0.01)
    monkeypatch.setattr(scheduling, "_SHARE", 0)
    assert len(run(lambda: Explainer(explain, lambda: True).explain(["a"], [["x"]], seconds=20))) == 1


def test_on_a_busy_server_explanations_take_a_tenth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0

    def sleep(seconds: float) -> None:
        nonlocal clock
        clock += seconds

    monkeypatch.setattr(scheduling, "time", SimpleNamespace(monotonic=lambda: clock, sleep=sleep))
    turn = scheduling._Turn(lambda: True, deadline=100.0)
    turn.pause()
    assert clock == pytest.approx(0.5, abs=0.01)
    clock += 1.0  # a slice
    turn.pause()
    assert clock == pytest.approx(10.5, abs=0.01)


def test_late_explanations_are_refused() -> None:
    with pytest.raises(DeadlineError) as error:
        run(lambda: Explainer(explain, lambda: True).explain(["a"], [["x"]], seconds=0.05))
    assert not error.value.started


def test_too_many_texts_are_refused_and_an_empty_queue_accepts_any() -> None:
    async def work() -> None:
        explainer = Explainer(explain, lambda: True)
        first = asyncio.create_task(
            explainer.explain(["a"] * 2 * MAX_EXPLAINED_WAITING, [["x"]] * 2 * MAX_EXPLAINED_WAITING, seconds=0.2)
        )
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError, match="too many explanations are waiting"):
            await explainer.explain(["a"], [["x"]], seconds=1)
        with pytest.raises(DeadlineError):
            await first

    run(work)


def test_work_for_a_client_that_has_gone_ends() -> None:
    ended = threading.Event()

    def endless(_text: str, _labels: Sequence[str], pause: Pause) -> list[Explanation]:
        try:
            while True:
                pause()
                time.sleep(0.001)
        finally:
            ended.set()

    async def work() -> None:
        asked = asyncio.create_task(Explainer(endless, lambda: False).explain(["a"], [["x"]], seconds=60))
        await asyncio.sleep(0.1)
        asked.cancel()
        assert await asyncio.to_thread(ended.wait, 10)

    run(work)


def test_plain_requests_are_answered_while_one_is_explained(
    tfidf_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = threading.Event()
    monkeypatch.setattr(Model, "explain_text", lambda *_: may_end.wait(30) and [])

    async def work(client: Client) -> None:
        asked = asyncio.create_task(client.post("/predict", json={"texts": [TRUCE], "explain": True}))
        assert (await client.post("/predict", json={"texts": [TRUCE]})).status_code == 200
        assert not asked.done()
        may_end.set()
        assert (await asked).json()["predictions"][0]["explanations"] == []

    with_client(tfidf_model, work)
