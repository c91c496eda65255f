from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labels.errors import ArtefactError
from tests.lazy import Lazy
from tests.trainer.conftest import TrackedRun
from tests.trainer.serving.application import Client, Metrics, Watch, get, with_client
from tests.trainer.serving.test_served import MovingAlias, model_id
from trainer.model.model import Model
from trainer.runs.run import RunResult

run_server = Lazy("trainer.serving.server:run_server")
Options = Lazy("trainer.serving.server:Options")
Source = Lazy("trainer.serving.served:Source")
profile_of = Lazy("trainer.serving.drift_watch:profile_of")

SECRET = "Zanzibarian"
UNUSUAL = [f"{SECRET} pledged 40 trucks."] * 20


async def send(client: Client, texts: Sequence[str], times: int = 1) -> None:
    for _ in range(times):
        assert (await client.post("/predict", json={"texts": list(texts)})).status_code == 200


async def drift(client: Client) -> dict[str, Any]:
    answer = await client.get("/drift")
    assert answer.status_code == 200
    return dict(answer.json())


def without_profile(model: Model) -> Model:
    assert model.manifest is not None
    manifest = model.manifest.model_copy(update={"profile": None})
    return Model(model.codebook, model.classifier, model.calibration, manifest)


def test_drift_raises_the_alarm_in_route_metrics_and_log_without_words(
    tfidf_model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(client: Client) -> tuple[dict[str, Any], dict[str, Any], str]:
        await send(client, UNUSUAL)
        before = await drift(client)
        await send(client, UNUSUAL, 200)
        return before, await drift(client), (await client.get("/metrics")).text

    with caplog.at_level(logging.WARNING, "communique.serving"):
        before, after, metrics = with_client(tfidf_model, work, watch=True)
    assert (before["alarm"], before["windows"], before["sentences"]) == (False, 1, 20)
    assert (after["alarm"], after["windows"], after["sentences"]) == (True, 201, 4020)
    assert "label: aid" in after["drifted"]
    assert after["alarm_since"]
    aid = next(found for found in after["quantities"] if found["quantity"] == "label: aid")
    assert aid["recent"] == pytest.approx(1)
    assert aid["recent"] > aid["bounds"][1] > aid["reference"]
    assert "communique_drift_alarm 1.0" in metrics
    assert "communique_drift_windows 201.0" in metrics
    logged = [record.fields for record in caplog.records if record.getMessage() == "drift"]
    assert [fields["event"] for fields in logged] == ["drift"]  # once, although the drift goes on
    assert logged[0]["drifted"]["label: aid"]["recent"] > 0.9
    shown = json.dumps([before, after, logged]) + metrics
    assert SECRET.lower() not in shown.lower()
    assert "trucks" not in shown


def test_a_document_is_one_observation_and_headings_count_as_sentences_do(tfidf_model: Model) -> None:
    async def work(client: Client) -> dict[str, Any]:
        article = " ".join(f"Norway pledged {number} trucks." for number in range(60))
        body = {"documents": [article, "Rain fell. The envoy left."]}
        assert (await client.post("/predict", json=body)).status_code == 200
        return await drift(client)

    found = with_client(tfidf_model, work, watch=True)
    assert (found["windows"], found["sentences"]) == (1, 60)  # the second document waits for a full window


def test_evidence_survives_a_reload_of_the_model_but_not_another_model(
    tracked_run: TrackedRun, exclusive_run: RunResult
) -> None:
    first = Model.load(tracked_run.result.artefact)
    alias = MovingAlias(tracked_run.result.artefact)

    async def moved_to(client: Client, folder: Path, model: str) -> dict[str, Any]:
        alias.folder = folder
        async with asyncio.timeout(30):
            while await model_id(client) != model or alias.fetched == 0:
                await asyncio.sleep(0.01)
        alias.fetched = 0
        return await drift(client)

    async def work(client: Client) -> list[dict[str, Any]]:
        await send(client, UNUSUAL, 3)
        before = await drift(client)
        other = await moved_to(client, exclusive_run.artefact, Model.load(exclusive_run.artefact).id)
        again = await moved_to(client, tracked_run.result.artefact, first.id)
        return [before, other, again]

    before, other, again = with_client(first, work, source=alias.source, watch=True)
    assert (before["windows"], other["windows"], again["windows"]) == (3, 0, 3)
    assert len({found["model_id"] for found in (before, other)}) == 2


def test_metrics_show_the_drift_of_the_current_model_only(tracked_run: TrackedRun, exclusive_run: RunResult) -> None:
    first, second = Model.load(tracked_run.result.artefact), Model.load(exclusive_run.artefact)
    metrics = Metrics()
    watch = Watch(metrics)

    async def work() -> list[str]:
        of_first, seen = watch.observer(first), list[str]()
        for model in (first, second):
            watch.observer(model)
            of_first([UNUSUAL] * 200, first.predict_proba(UNUSUAL * 200))  # the old model may answer for a while
            await watch.settle()
            seen.append(metrics.text().decode())
        return seen

    found = [
        (
            "communique_drift_alarm 1.0" in text,
            {label for label in first.labels + second.labels if f'quantity="label: {label}"' in text},
        )
        for text in asyncio.run(work())
    ]
    assert found == [(True, set(first.labels)), (False, set(second.labels))]


def test_workers_pool_their_windows(tfidf_model: Model, tmp_path: Path) -> None:
    texts = ["Norway pledged 40 trucks."] * 20
    probabilities = tfidf_model.predict_proba(texts)

    async def settled(watch: Any, times: int) -> Any:
        observe = watch.observer(tfidf_model)
        for _ in range(times):
            observe([texts], probabilities)
        return await watch.report(tfidf_model)

    async def work(folder: Path | None) -> list[Any]:
        one, other = Watch(Metrics(), folder), Watch(Metrics(), folder)
        await settled(one, 30)
        return [await settled(other, 31), await settled(one, 0)]

    pooled, same = asyncio.run(work(tmp_path))
    apart, _ = asyncio.run(work(None))
    assert (pooled.windows, same.windows, apart.windows) == (61, 61, 31)
    assert same == pooled


def test_watch_that_fails_does_not_keep_the_server_from_answering(
    tfidf_model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        (tmp_path / "file").touch()
        watch = Watch(Metrics(), tmp_path / "file")
        watch.observer(tfidf_model)([UNUSUAL], tfidf_model.predict_proba(UNUSUAL))
        await watch.settle()

    asyncio.run(work())
    assert [record.fields["event"] for record in caplog.records] == ["drift watch failed"]


def test_too_many_waiting_sentences_are_left_out(tfidf_model: Model) -> None:
    probabilities = np.full((1000, 2), 0.1, dtype=np.float32)

    async def work() -> int:
        watch = Watch(Metrics())
        observe = watch.observer(tfidf_model)
        for _ in range(30):
            observe([["Rain fell."] * 1000], probabilities)
        return int((await watch.report(tfidf_model)).sentences)

    assert asyncio.run(work()) == 20_000


def test_server_does_not_start_to_watch_a_model_without_profile(tfidf_model: Model, monkeypatch: Any) -> None:
    source = Source("x", Path)
    monkeypatch.setattr(type(source), "load", lambda _: without_profile(tfidf_model))
    with pytest.raises(ArtefactError, match=r"has no profile.*Train the model again"):
        run_server(source, Options(port=0, watch=True), lambda *_: pytest.fail("started"))


def test_reloaded_model_without_profile_answers_and_drift_says_why_not(tfidf_model: Model) -> None:
    async def work(client: Client) -> tuple[int, str]:
        await send(client, UNUSUAL)
        answer = await client.get("/drift")
        return answer.status_code, answer.json()["detail"][0]["msg"]

    status, message = with_client(without_profile(tfidf_model), work, watch=True)
    assert status == 409
    assert "has no profile" in message


def test_without_watch_there_is_no_route(tfidf_model: Model) -> None:
    assert get(tfidf_model, "/drift").status_code == 404
