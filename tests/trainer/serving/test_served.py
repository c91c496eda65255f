from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labels.errors import ArtefactError, TrackingError
from tests.lazy import Lazy
from tests.trainer.conftest import TrackedRun
from tests.trainer.serving.application import Client, Metrics, with_client
from trainer.model.model import Model
from trainer.runs.run import RunResult

Served = Lazy("trainer.serving.served:Served")
Source = Lazy("trainer.serving.served:Source")


class MovingAlias:
    """An alias that can be moved between folders, as in a model registry."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.reachable, self.fetched = folder, True, 0

    def fetch(self, _: Path) -> Path:
        self.fetched += 1
        return self.folder

    def version(self) -> str:
        if not self.reachable:
            raise TrackingError("the registry is down")
        return str(self.folder)

    @property
    def source(self) -> Any:
        return Source("models:/m@champion", self.fetch, self.version)


async def until(holds: Callable[[], Any]) -> None:
    """Wait until a condition holds; a test that waits for more than 30 seconds fails."""
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


async def model_id(client: Client) -> str:
    return str((await client.post("/predict", json={"texts": ["a"]})).json()["model_id"])


def test_moved_alias_is_followed_without_a_failed_request(tracked_run: TrackedRun, exclusive_run: RunResult) -> None:
    first, second = Model.load(tracked_run.result.artefact), Model.load(exclusive_run.artefact)
    alias = MovingAlias(tracked_run.result.artefact)

    async def work(client: Client) -> list[str]:
        seen = [await model_id(client)]
        alias.folder = exclusive_run.artefact
        async with asyncio.timeout(30):
            while seen[-1] != second.id:
                seen += await asyncio.gather(*(model_id(client) for _ in range(5)))
        return seen

    assert set(with_client(first, work, source=alias.source)) == {first.id, second.id}


def test_state_is_loading_until_the_new_model_answers(tracked_run: TrackedRun, exclusive_run: RunResult) -> None:
    model, second = Model.load(tracked_run.result.artefact), Model.load(exclusive_run.artefact)
    go_on = threading.Event()

    def fetch(_: Path) -> Path:
        go_on.wait(30)
        return exclusive_run.artefact

    async def work(client: Client) -> list[tuple[str, str]]:
        alias.folder = exclusive_run.artefact

        async def state() -> tuple[str, str]:
            answer = await client.get("/health/ready")
            assert answer.status_code == 200  # the old model answers
            return answer.json()["status"], answer.json()["model_id"]

        seen = [await state()]
        while seen[-1] != ("ok", second.id):
            await asyncio.sleep(0.005)
            if (now := await state()) != seen[-1]:
                seen.append(now)
            if now == ("loading", model.id):
                go_on.set()
        return seen

    alias = MovingAlias(tracked_run.result.artefact)
    source = Source("models:/m@champion", fetch, alias.version)
    assert with_client(model, work, source=source)[-2:] == [("loading", model.id), ("ok", second.id)]


def test_model_is_loaded_on_a_thread_that_ends(tracked_run: TrackedRun) -> None:
    seen: list[threading.Thread] = []

    def fetch(_: Path) -> Path:
        seen.append(threading.current_thread())
        return tracked_run.result.artefact

    Source("x", fetch).load()
    # Otherwise, the thread would keep its OpenMP threads, and the threads of later calls would be slow.
    assert seen[0] is not threading.current_thread()
    assert not seen[0].is_alive()


def test_broken_model_is_rejected_once_and_the_old_one_answers(tracked_run: TrackedRun, tmp_path: Path) -> None:
    model = Model.load(tracked_run.result.artefact)
    broken = shutil.copytree(tracked_run.result.artefact, tmp_path / "broken")
    (broken / "codebook.toml").write_text("altered", encoding="utf-8")
    alias = MovingAlias(tracked_run.result.artefact)

    async def work(client: Client) -> tuple[str, str]:
        alias.folder = broken
        await until(lambda: alias.fetched)
        await asyncio.sleep(0.3)  # several further checks of the alias
        return await model_id(client), (await client.get("/metrics")).text

    answered, metrics = with_client(model, work, source=alias.source)
    assert answered == model.id
    assert 'communique_reloads_total{outcome="rejected"} 1.0' in metrics


def test_registry_that_is_down_for_a_while_does_no_harm(tracked_run: TrackedRun, exclusive_run: RunResult) -> None:
    model, second = Model.load(tracked_run.result.artefact), Model.load(exclusive_run.artefact)
    alias = MovingAlias(tracked_run.result.artefact)

    async def work(client: Client) -> list[str]:
        alias.reachable = False
        await asyncio.sleep(0.2)
        during = await model_id(client)
        alias.folder, alias.reachable = exclusive_run.artefact, True
        async with asyncio.timeout(30):
            while (after := await model_id(client)) == model.id:
                await asyncio.sleep(0.01)
        return [during, after]

    assert with_client(model, work, source=alias.source) == [model.id, second.id]


def test_accepted_requests_are_answered_by_the_old_model_after_a_reload(
    tracked_run: TrackedRun, exclusive_run: RunResult
) -> None:
    model = Model.load(tracked_run.result.artefact)

    async def work() -> tuple[int, int]:
        served = Served(Source("x", lambda _: exclusive_run.artefact), model, Metrics(), poll_seconds=0)
        served.start()
        asked = asyncio.create_task(served.current.batcher.predict_proba(["a"] * 1000))
        await asyncio.sleep(0)
        assert await served.reload()
        answer, now = await asked, await served.current.batcher.predict_proba(["a"])
        await served.stop()
        return answer.shape[1], now.shape[1]

    assert asyncio.run(work()) == (2, 3)


def test_stopping_answers_what_was_accepted(tfidf_model: Model) -> None:
    async def work() -> int:
        served = Served(Source("x", Path), tfidf_model, Metrics(), poll_seconds=0)
        served.start()
        asked = [asyncio.create_task(served.current.batcher.predict_proba(["a"] * 200)) for _ in range(5)]
        await asyncio.sleep(0)
        await served.stop()
        return sum([len(await task) for task in asked])

    assert asyncio.run(work()) == 1000


@pytest.mark.parametrize("fault", ["not a number", "above 1", "wrong shape", "error"])
def test_model_with_wrong_numbers_fails_its_self_test(tfidf_model: Model, fault: str) -> None:
    from trainer.serving.served import check_model as check

    class Faulty(Model):
        def predict_proba(self, texts: Any) -> Any:
            found = super().predict_proba(texts)
            if fault == "error":
                raise RuntimeError("broken weights")
            if fault == "wrong shape":
                return found[:-1]
            found[0, 0] = float("nan") if fault == "not a number" else 1.5
            return found

    check(tfidf_model)
    faulty = Faulty(tfidf_model.codebook, tfidf_model.classifier, tfidf_model.calibration, tfidf_model.manifest)
    with pytest.raises(ArtefactError, match=r"test sentence"):
        check(faulty)
