from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import numpy as np
import pytest

from labels.codebook.schema import codebook_from_dict
from tests.lazy import Lazy
from trainer.model.model import Model
from trainer.runs.run import RunResult

create_app = Lazy("trainer.serving.app:create_app")

T = TypeVar("T")
TEXTS = ["Norway pledged 40 trucks.", "Rain fell.", "Japan pledged a loan and called for a truce.", "Ça va?"]


def with_client(model: Model, work: Callable[[httpx.AsyncClient], Awaitable[T]]) -> T:
    """What `work` returns, given a client of a running application; a failing one answers 500, as under uvicorn."""

    async def run() -> T:
        app = create_app(model)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://communique") as client,
        ):
            return await work(client)

    return asyncio.run(asyncio.wait_for(run(), 60))


def post(model: Model, body: Any) -> httpx.Response:
    """The answer to one POST /predict; bytes are sent as they are."""
    content: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
    headers = {"content-type": "application/json"}
    return with_client(model, lambda client: client.post("/predict", headers=headers, **content))


def get(model: Model, path: str) -> httpx.Response:
    return with_client(model, lambda client: client.get(path))


def test_predictions_are_those_of_the_model_in_the_order_of_the_texts(tfidf_model: Model) -> None:
    answer = post(tfidf_model, {"texts": TEXTS})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["model_id"], body["codebook_hash"]) == (tfidf_model.id, tfidf_model.codebook.hash)
    probabilities = tfidf_model.predict_proba(TEXTS)
    assert [tuple(said["labels"]) for said in body["predictions"]] == tfidf_model.label_sets(probabilities)
    for said, row in zip(body["predictions"], probabilities, strict=True):
        assert list(said["probabilities"]) == ["aid", "truce"]
        assert list(said["probabilities"].values()) == pytest.approx(row.tolist(), abs=1e-6)


def test_exclusive_model_assigns_at_most_one_label(exclusive_run: RunResult) -> None:
    model = Model.load(exclusive_run.artefact)
    said = post(model, {"texts": TEXTS}).json()["predictions"]
    assert [tuple(each["labels"]) for each in said] == model.label_sets(model.predict_proba(TEXTS))
    assert {len(each["labels"]) for each in said} <= {0, 1}
    assert all(sum(each["probabilities"].values()) <= 1 + 1e-6 for each in said)


@pytest.mark.parametrize(
    "texts",
    [["x"], ["Rain fell."] * 1000, ["x" * 20_000], ["a\nb\tc"], ["\u200bç 🕊"], ["same", "same"]],
    ids=["one", "a-thousand", "the-longest", "line-breaks", "not-ascii", "repeated"],
)
def test_any_text_within_the_limits_is_answered(tfidf_model: Model, texts: list[str]) -> None:
    answer = post(tfidf_model, {"texts": texts})
    assert answer.status_code == 200
    assert len(answer.json()["predictions"]) == len(texts)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="no-texts"),
        pytest.param({"texts": []}, id="empty-list"),
        pytest.param({"texts": "Rain fell."}, id="no-list"),
        pytest.param({"texts": ["fine", ""]}, id="empty-text"),
        pytest.param({"texts": [" \n\t\u00a0"]}, id="blank-text"),
        pytest.param({"texts": [3]}, id="number"),
        pytest.param({"texts": [None]}, id="null"),
        pytest.param({"texts": ["x"] * 1001}, id="too-many"),
        pytest.param({"texts": ["x" * 20_001]}, id="too-long"),
        pytest.param({"texts": ["fine"], "threshold": 0.3}, id="unknown-key"),
        pytest.param(["fine"], id="no-object"),
        pytest.param(b"texts=fine", id="no-json"),
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"texts": [NaN]}', id="not-a-number"),
        pytest.param(b'{"texts": ["\\ud800"]}', id="half-a-character"),
    ],
)
def test_bad_request_is_refused_with_the_place(tfidf_model: Model, body: Any) -> None:
    answer = post(tfidf_model, body)
    assert answer.status_code == 422
    assert all(problem["loc"][0] == "body" and problem["msg"] for problem in answer.json()["detail"])


def test_refusal_does_not_send_the_text_back(tfidf_model: Model) -> None:
    assert "xxx" not in post(tfidf_model, {"texts": ["x" * 20_001]}).text


def test_server_goes_on_after_a_bad_request(tfidf_model: Model) -> None:
    async def work(client: httpx.AsyncClient) -> list[int]:
        bodies: list[dict[str, Any]] = [{"texts": []}, {"texts": ["fine"]}, {}, {"texts": ["fine"]}]
        return [(await client.post("/predict", json=body)).status_code for body in bodies]

    assert with_client(tfidf_model, work) == [422, 200, 422, 200]


def test_concurrent_requests_get_their_own_answers(tfidf_model: Model) -> None:
    requests = [[f"{text} {i}" for text in TEXTS[: 1 + i % 4]] for i in range(40)]

    async def work(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(client.post("/predict", json={"texts": texts}) for texts in requests))

    for texts, answer in zip(requests, with_client(tfidf_model, work), strict=True):
        said = [list(each["probabilities"].values()) for each in answer.json()["predictions"]]
        np.testing.assert_allclose(said, tfidf_model.predict_proba(texts), atol=1e-6)


def test_health_says_what_is_served(tfidf_model: Model) -> None:
    answer = get(tfidf_model, "/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "kind": "tfidf",
        "model_id": tfidf_model.id,
        "codebook": "small 1",
        "labels": ["aid", "truce"],
        "synthetic": False,
    }


def test_codebook_is_served_whole(tfidf_model: Model) -> None:
    body = get(tfidf_model, "/codebook").json()
    stated = body.pop("hash")
    assert codebook_from_dict(body, "served").hash == stated == tfidf_model.codebook.hash


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_documentation_needs_nothing_from_elsewhere(tfidf_model: Model, path: str) -> None:
    async def work(client: httpx.AsyncClient) -> tuple[str, dict[str, int]]:
        html = (await client.get(path)).text
        needed = re.findall(r"""(?:src|href|spec-url)=["']([^"']+)["']|url: ["']([^"']+)["']""", html)
        addresses = {one or other for one, other in needed}
        return html, {address: (await client.get(address)).status_code for address in addresses}

    html, needed = with_client(tfidf_model, work)
    assert not re.search(r"""["'(](https?:)?//""", html)
    assert len(needed) >= 3
    assert "/openapi.json" in needed
    assert set(needed.values()) == {200}


def test_documentation_describes_the_interface(tfidf_model: Model) -> None:
    schema = get(tfidf_model, "/openapi.json").json()
    assert set(schema["paths"]) == {"/predict", "/health", "/codebook"}
    assert "small" in schema["info"]["title"]
    assert "aid, truce" in schema["info"]["description"]
    [example] = schema["components"]["schemas"]["PredictRequest"]["examples"]
    assert post(tfidf_model, example).status_code == 200


def test_page_is_html_that_asks_only_this_server(tfidf_model: Model) -> None:
    answer = get(tfidf_model, "/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "<textarea" in answer.text
    assert not re.search(r"https?://|src=|@import", answer.text)
    assert set(re.findall(r'fetch\("([^"]+)"', answer.text)) == {"health", "predict"}
