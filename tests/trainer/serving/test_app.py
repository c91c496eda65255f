from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import numpy as np
import pytest

from labels.codebook.schema import codebook_from_dict
from tests.trainer.serving.application import get, post, with_client
from trainer.model.model import Model
from trainer.runs.run import RunResult

TEXTS = ["Norway pledged 40 trucks.", "Rain fell.", "Japan pledged a loan and called for a truce.", "Ça va?"]
ROUTES = {
    "/predict",
    "/predict/file",
    "/invocations",
    "/codebook",
    "/health/live",
    "/health/ready",
    "/ping",
    "/version",
    "/metrics",
}


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
    assert "pydantic" not in answer.text


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
        "exclusive": False,
        "thresholds": tfidf_model.manifest.thresholds if tfidf_model.manifest else {},
        "synthetic": False,
        "corrections": False,
        "explains": True,
    }


def test_health_of_an_exclusive_model_has_no_thresholds(exclusive_run: RunResult) -> None:
    found = get(Model.load(exclusive_run.artefact), "/health/ready").json()
    assert (found["exclusive"], found["thresholds"]) == (True, {})


def test_codebook_is_served_whole(tfidf_model: Model) -> None:
    body = get(tfidf_model, "/codebook").json()
    stated = body.pop("hash")
    assert codebook_from_dict(body, "served").hash == stated == tfidf_model.codebook.hash


@pytest.mark.parametrize("path", ["/docs", "/"])
def test_documentation_needs_nothing_from_elsewhere(tfidf_model: Model, path: str) -> None:
    async def work(client: httpx.AsyncClient) -> tuple[str, dict[str, int]]:
        html = (await client.get(path)).text
        needed = re.findall(r"""(?:src|href|spec-url)=["']([^"']+)["']|url: ["']([^"']+)["']""", html)
        addresses = {one or other for one, other in needed} - {"data:,"}
        return html, {address: (await client.get(address)).status_code for address in addresses}

    html, needed = with_client(tfidf_model, work)
    assert not re.search(r"""["'(](https?:)?//""", html)
    assert set(needed.values()) <= {200}


def test_documentation_describes_the_interface(tfidf_model: Model) -> None:
    schema = get(tfidf_model, "/openapi.json").json()
    assert set(schema["paths"]) == ROUTES
    examples = schema["components"]["schemas"]["PredictRequest"]["examples"]
    assert [post(tfidf_model, example).status_code for example in examples] == [200, 200]


def test_page_is_html(tfidf_model: Model) -> None:
    answer = get(tfidf_model, "/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "<textarea" in answer.text


def test_documents_are_split_with_offsets_and_boilerplate_is_set_aside(tfidf_model: Model) -> None:
    text = "Norway pledged aid. Rain fell.\r\n\r\nShare this article"
    html = (
        "<html><body><article><p>Japan called for a truce in the valley, its minister said.</p></article></body></html>"
    )
    body = {"documents": [text, {"title": "Talks", "text": "Japan asked."}, {"html": html}]}
    plain, titled, page = post(tfidf_model, body).json()["documents"]
    assert [sentence["text"] for sentence in plain["sentences"]] == ["Norway pledged aid.", "Rain fell."]
    assert [entry["reason"] for entry in plain["set_aside"]] == ["share line"]
    assert titled["text"] == "Talks\n\nJapan asked."
    assert "truce" in page["text"]
    for document in (plain, titled, page):
        for sentence in document["sentences"]:
            assert document["text"][sentence["start"] : sentence["end"]] == sentence["text"]


def test_sentence_of_a_document_has_the_answer_of_the_same_text(tfidf_model: Model) -> None:
    text = "Japan pledged a loan and called for a truce."
    [document] = post(tfidf_model, {"documents": [text]}).json()["documents"]
    [alone] = post(tfidf_model, {"texts": [text]}).json()["predictions"]
    assert {key: document["sentences"][0][key] for key in alone} == alone


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"texts": ["a", " "]}, "texts[1] is blank"),
        ({"texts": ["x" * 20_001]}, "texts[0] is longer than 20,000 characters"),
        ({"texts": ["x"] * 1001}, "texts has 1,001 entries, but at most 1,000 are allowed"),
        ({"texts": ["a"], "documents": ["b"]}, "the request must have either `texts` or `documents`"),
        ({"documents": [{"titel": "x", "text": "a"}]}, "'titel' is not a key of this object (did you mean 'title'?)"),
        ({"documents": [{"title": "x"}]}, "documents[0] must have either `text` or `html`"),
        ({"documents": ["x" * 200_001]}, "documents[0].text is longer than 200,000 characters"),
        ({"documents": [{"html": "<p>"}]}, "documents[0].html contains no article text. Send the article"),
        ({"documents": ["Rain fell. " * 6000]}, "the documents have more than 5,000 sentences. Send fewer documents"),
        ({"texts": ["a"], "thresholds": {"aid": 2}}, "thresholds.aid must be at most 1"),
        (
            {"texts": ["a"], "thresholds": {"adi": 0.5}},
            "thresholds: 'adi' is not a label (did you mean 'aid'?).",
        ),
        ({"texts": ["a"], "top_k": 0}, "top_k must be at least 1"),
    ],
)
def test_refusal_is_in_the_words_of_the_api(tfidf_model: Model, body: Any, message: str) -> None:
    answer = post(tfidf_model, body)
    assert answer.status_code == 422
    assert any(problem["msg"].startswith(message) for problem in answer.json()["detail"]), answer.text


def test_thresholds_of_a_request_replace_those_of_the_model(tfidf_model: Model) -> None:
    low, high = (post(tfidf_model, {"texts": TEXTS, "thresholds": {"aid": t}}).json() for t in (0, 1))
    assert all("aid" in each["labels"] for each in low["predictions"])
    assert not any("aid" in each["labels"] for each in high["predictions"])


def test_exclusive_model_refuses_thresholds(exclusive_run: RunResult) -> None:
    answer = post(Model.load(exclusive_run.artefact), {"texts": ["a"], "thresholds": {"aid": 0.5}})
    assert answer.status_code == 422
    assert "exclude each other" in answer.text


def test_top_k_returns_the_most_probable_labels_first(exclusive_run: RunResult) -> None:
    model = Model.load(exclusive_run.artefact)
    for each, row in zip(
        post(model, {"texts": TEXTS, "top_k": 2}).json()["predictions"], model.predict_proba(TEXTS), strict=True
    ):
        assert list(each["probabilities"].values()) == pytest.approx(sorted(row.tolist(), reverse=True)[:2], abs=1e-6)


def test_unknown_route_and_method_are_refused(tfidf_model: Model) -> None:
    assert "no such route" in get(tfidf_model, "/nothing").json()["detail"][0]["msg"]
    assert "does not accept GET" in get(tfidf_model, "/predict").json()["detail"][0]["msg"]
