from __future__ import annotations

import asyncio
import threading

import pytest

from labels.text.parsing.office import OfficeText
from tests.labels.text.parsing.office_samples import one_page, stream, word
from tests.trainer.serving.application import Client, get, post, with_client
from trainer.model.model import Model
from trainer.serving import bodies
from trainer.serving.gate import FILE_TYPES

PDF, DOCX = ({"content-type": name} for name in FILE_TYPES)
GUNS = "<w:p><w:r><w:t>The envoy called for a truce. Rain fell 🕊.</w:t></w:r></w:p>"


def test_a_word_file_is_labelled_like_its_text(tfidf_model: Model) -> None:
    [document] = post(tfidf_model, word(GUNS), "/predict/file", DOCX).json()["documents"]
    [same] = post(tfidf_model, {"documents": [document["text"]]}).json()["documents"]
    assert document == same | {"notes": []}
    assert len(document["sentences"]) == 2


def test_a_pdf_file_is_labelled_like_its_text(tfidf_model: Model) -> None:
    content = one_page(stream(b"BT /F 12 Tf 72 700 Td (The envoy called for a truce.) Tj ET"))
    [document] = post(tfidf_model, content, "/predict/file", PDF).json()["documents"]
    assert document["text"] == "The envoy called for a truce.\n"


@pytest.mark.parametrize(
    ("content", "headers", "status", "message"),
    [
        (b"a,b", PDF, 422, "body: this is neither a Word file (.docx) nor a PDF file. Send its text as JSON"),
        (one_page(stream(b"")), PDF, 422, "body: the PDF file has no text layer"),
        (word("<w:p/>"), DOCX, 422, "body: the Word file has no text"),
        (word(f"<w:p><w:r><w:t>{'ab ' * 70_000}</w:t></w:r></w:p>"), DOCX, 422, "longer than 200,000 characters"),
        (word(GUNS), {"content-type": "application/json"}, 415, "the Content-Type must be application/pdf or"),
        (b"%PDF-" + bytes(9 * 2**20), PDF, 413, "Send fewer texts per request, or a smaller file"),
    ],
    ids=["other", "scan", "empty", "long", "type", "size"],
)
def test_a_file_that_cannot_be_read_is_refused(
    tfidf_model: Model, content: bytes, headers: dict[str, str], status: int, message: str
) -> None:
    answer = post(tfidf_model, content, "/predict/file", headers)
    assert answer.status_code == status
    assert message in answer.json()["detail"][0]["msg"]


def test_few_files_are_read_at_once_and_too_many_are_refused(
    tfidf_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, running, most = threading.Event(), 0, 0
    lock = threading.Lock()

    def read(_content: bytes, _name: str) -> OfficeText:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        may_end.wait(30)
        with lock:
            running -= 1
        return OfficeText("The envoy called for a truce.")

    async def work(client: Client) -> list[int]:
        asked = [asyncio.create_task(client.post("/predict/file", content=word(GUNS), headers=DOCX)) for _ in range(9)]
        refused, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert [one.result().headers["retry-after"] for one in refused] == ["8"]
        assert (await client.post("/predict", json={"texts": ["a"]})).status_code == 200
        may_end.set()
        return sorted([one.status_code for one in await asyncio.gather(*asked)])

    monkeypatch.setattr(bodies, "read_office", read)
    assert with_client(tfidf_model, work) == [200] * 8 + [503]
    assert most == bodies.AT_ONCE


def test_the_route_is_documented(tfidf_model: Model) -> None:
    route = get(tfidf_model, "/openapi.json").json()["paths"]["/predict/file"]["post"]
    assert set(route["requestBody"]["content"]) == set(FILE_TYPES)
