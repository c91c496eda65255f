from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from tests.trainer.serving.application import JSON, Client, post, with_client
from trainer.model.model import Model
from trainer.serving.gate import BodyLimits

BODY = json.dumps({"texts": ["Norway pledged aid."]}).encode()


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        pytest.param(BODY, {"content-type": "text/plain"}, 415, id="media-type"),
        pytest.param(BODY, {"content-type": "application/x-www-form-urlencoded"}, 415, id="form"),
        pytest.param(BODY, {"content-type": "text/csv"}, 415, id="csv"),
        pytest.param(gzip.compress(BODY), JSON | {"content-encoding": "gzip"}, 415, id="compressed"),
        pytest.param(BODY, JSON | {"content-length": "99999999999"}, 413, id="stated-length"),
        pytest.param(b" " * 9_000_000 + BODY, JSON, 413, id="large"),
        pytest.param(BODY, {"content-type": "application/json; charset=utf-8"}, 200, id="charset"),
    ],
)
def test_body_must_be_plain_json_within_the_limit(
    tfidf_model: Model, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = post(tfidf_model, body, headers=headers)
    assert answer.status_code == status
    assert status == 200 or answer.json()["detail"][0]["msg"]


def test_body_without_a_length_is_read_no_further_than_the_limit(tfidf_model: Model) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b"x" * 1_000_000

    async def work(client: Client) -> httpx.Response:
        return await client.post("/predict", content=chunks(), headers=JSON)

    assert with_client(tfidf_model, work).status_code == 413
    assert sent < 20


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def _exchange(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the middleware sends in answer to messages; then the connection is silent."""
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        if not messages:
            await asyncio.sleep(60)
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers}
    asyncio.run(BodyLimits(_echo, seconds=0.05)(scope, receive, send))
    return sent


def test_slow_body_ends_with_a_timeout() -> None:
    sent = _exchange([{"type": "http.request", "body": b"{", "more_body": True}])
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


def test_client_that_leaves_in_the_middle_of_its_body_gets_no_answer() -> None:
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    assert _exchange(messages) == []


def test_pieces_of_a_body_are_put_together() -> None:
    pieces = [{"type": "http.request", "body": piece, "more_body": piece != b"}"} for piece in (b"{", b"", b"}")]
    assert _exchange(pieces)[1]["body"] == b"{}"
