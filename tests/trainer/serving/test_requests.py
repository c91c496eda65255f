from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from labels.environment.keys import KeyFile
from tests.trainer.serving.application import JSON, Client, get, post, with_client
from trainer.model.model import Model
from trainer.serving.monitoring import JsonLines, Requests


@pytest.mark.parametrize("given", ["abc-1.2_X", "x" * 64])
def test_valid_request_id_is_kept(tfidf_model: Model, given: str) -> None:
    assert get(tfidf_model, "/ping", {"X-Request-ID": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "<b>", "a;b"])
def test_invalid_request_id_is_replaced(tfidf_model: Model, given: str) -> None:
    found = get(tfidf_model, "/ping", {"X-Request-ID": given}).headers["x-request-id"]
    assert found != given
    assert len(found) == 32


def test_log_has_one_json_line_per_request_without_texts_or_keys(
    tfidf_model: Model, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    token = keys.add("desk", ["predict"])
    headers = {"Authorization": f"Bearer {token}", "X-Request-ID": "mine"}

    async def work(client: Client) -> None:
        await client.post("/predict?secret=1", json={"texts": ["A secret text."]}, headers=headers)
        await client.post("/predict", json={"texts": ["A secret text.", " "]}, headers=headers)
        await client.get("/A%20secret%20text", headers=headers)

    with caplog.at_level(logging.INFO, "communique.serving"):
        with_client(tfidf_model, work, keys=keys.path, keyless=False)
    lines = [JsonLines().format(record) for record in caplog.records if record.name == "communique.serving"]
    first, second, third = map(json.loads, lines)
    assert {key: first[key] for key in ("event", "id", "method", "route", "status", "key", "sentences")} == {
        "event": "request",
        "id": "mine",
        "method": "POST",
        "route": "/predict",
        "status": 200,
        "key": "desk",
        "sentences": 1,
    }
    assert (second["status"], third["status"], third["route"]) == (422, 404, "other")
    assert not any(word in "".join(lines) for word in ("secret", token))


def test_unexpected_error_is_answered_with_the_request_id_and_logged_without_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    import asyncio

    from trainer.serving.monitoring import Metrics

    async def failing(*_: Any) -> None:
        raise RuntimeError("A secret text.")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"x-request-id", b"mine")]}
    app = Requests(failing, metrics=Metrics(), routes=["/"])
    with caplog.at_level(logging.INFO, "communique.serving"):
        asyncio.run(app(scope, None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 500
    assert b"request id mine" in sent[1]["body"]
    lines = [JsonLines().format(record) for record in caplog.records]
    assert "RuntimeError" in lines[0]
    assert "secret" not in "".join(lines)


def test_metrics_count_requests_labels_and_refusals(tfidf_model: Model) -> None:
    async def work(client: Client) -> str:
        await client.post("/predict", json={"texts": ["Norway pledged aid."] * 3, "thresholds": {"aid": 0, "truce": 1}})
        await client.post("/predict", json={"texts": []})
        await client.get("/unknown-1")
        return (await client.get("/metrics")).text

    text = with_client(tfidf_model, work)
    for line in (
        'communique_requests_total{method="POST",route="/predict",status="200"} 1.0',
        'communique_requests_total{method="GET",route="other",status="404"} 1.0',
        'communique_labels_total{label="aid"} 3.0',
        "communique_sentences_total 3.0",
        'communique_refusals_total{reason="content"} 1.0',
        "communique_batch_texts_count 1.0",
        "communique_queue_texts 0.0",
    ):
        assert line in text


def test_metrics_forget_the_labels_of_an_earlier_model() -> None:
    from trainer.serving.monitoring import Metrics

    metrics = Metrics()
    for label in ("old", "kept"):
        metrics.labels.labels(label).inc()
    metrics.show_labels(["kept", "new"])
    text = metrics.text().decode()
    assert 'communique_labels_total{label="kept"} 1.0' in text
    assert "old" not in text
    assert "communique_sentences_total 0.0" in text


@pytest.mark.parametrize("path", ["/", "/docs", "/predict", "/nothing"])
def test_every_answer_has_a_policy_that_allows_no_other_host(tfidf_model: Model, path: str) -> None:
    answer = post(tfidf_model, {"texts": ["a"]}) if path == "/predict" else get(tfidf_model, path, JSON)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
