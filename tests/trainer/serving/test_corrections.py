from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from labels.environment.keys import KeyFile
from labels.errors import InputError
from labels.records import Document, Origin
from labels.store import Store
from labels.text.sentences import split_sentences
from tests.trainer.serving.application import Client, with_client
from trainer.model.model import Model
from trainer.serving.corrections import Corrections

TEXT = "Norway pledged 40 trucks. Rain fell.\n\nShare this article"
FIRST = {"start": 0, "end": 25, "labels": ["aid", "truce"], "suggestion": ["aid"]}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    Store(tmp_path / "labels.db").close()
    return tmp_path / "labels.db"


def send(model: Model, store: Path, body: Any, scope: str = "correct", keyless: bool = False) -> httpx.Response:
    """The answer to corrections sent with a key of annotator ana."""
    keys = KeyFile(store.with_name("keys.json"))
    token = keys.add(f"key-{len(keys.all())}", [scope], annotator="ana")
    headers = {} if keyless else {"Authorization": f"Bearer {token}"}

    async def work(client: Client) -> httpx.Response:
        return await client.post("/corrections", json=body, headers=headers)

    return with_client(model, work, keys=keys.path, keyless=keyless, corrections=Corrections(store))


def body(*corrections: dict[str, Any], text: str = TEXT, stored: bool = True) -> dict[str, Any]:
    return {"document": {"text": text}, "corrections": list(corrections), "store_document": stored}


def test_correction_arrives_in_the_store_as_described(tfidf_model: Model, store: Path) -> None:
    answer = send(tfidf_model, store, body(FIRST | {"note": "both"}))
    assert (answer.status_code, answer.json()) == (200, {"recorded": 1, "annotator": "ana"})
    with Store(store) as opened:
        [event] = opened.events.all()
        [sentence] = opened.documents.sentences([event.sentence_id])
        assert [one.text for one in opened.documents.sentences()][:2] == ["Norway pledged 40 trucks.", "Rain fell."]
        assert opened.codebooks.get(f"small@{event.codebook_hash}").hash == tfidf_model.codebook.hash
    assert sentence.text == "Norway pledged 40 trucks."
    assert (event.annotator, event.event, event.state) == ("ana", "annotate", "reviewed")
    assert (event.labels, event.suggestion, event.blind) == (("aid", "truce"), ("aid",), False)
    assert (event.strategy, event.note) == ("page", "both")
    assert event.inclusion_probability is None


def test_document_is_stored_only_if_the_reader_agrees(tfidf_model: Model, store: Path) -> None:
    assert send(tfidf_model, store, body(FIRST, stored=False)).status_code == 422
    with Store(store) as opened:
        assert (opened.documents.sentences(), opened.events.all()) == ([], [])


def test_known_document_is_recognized_with_any_line_ends(tfidf_model: Model, store: Path) -> None:
    document = Document(source="a.txt", text=TEXT, origin=Origin())
    with Store(store) as opened:
        opened.documents.add([(document, split_sentences(document))])
    answer = send(tfidf_model, store, body(FIRST, text=TEXT.replace("\n", "\r\n"), stored=False))
    assert answer.status_code == 200, answer.text
    with Store(store) as opened:
        assert len(opened.documents.sentences()) == 3
        assert opened.events.all()[0].sentence_id == split_sentences(document)[0].id


@pytest.mark.parametrize(
    ("correction", "message"),
    [
        ({"start": 1}, "the document has no sentence from 1 to 25"),
        ({"start": 38, "end": 56}, "the document has no sentence from 38 to 56"),  # boilerplate
        ({"labels": ["aids"]}, "aids"),
        ({"suggestion": ["aids"]}, "aids"),
    ],
)
def test_bad_correction_is_refused_and_nothing_is_stored(
    tfidf_model: Model, store: Path, correction: dict[str, Any], message: str
) -> None:
    answer = send(tfidf_model, store, body(FIRST, FIRST | correction))
    assert answer.status_code == 422
    assert message in answer.json()["detail"][0]["msg"]
    with Store(store) as opened:
        assert (opened.documents.sentences(), opened.events.all()) == ([], [])


def test_correction_needs_a_key_with_its_scope(tfidf_model: Model, store: Path) -> None:
    assert send(tfidf_model, store, body(FIRST), scope="predict").status_code == 403
    assert send(tfidf_model, store, body(FIRST), keyless=True).status_code == 401


def test_server_without_corrections_has_no_such_route(tfidf_model: Model, store: Path) -> None:
    keys = KeyFile(store.with_name("keys.json"))
    headers = {"Authorization": f"Bearer {keys.add('ana', ['correct'], annotator='ana')}"}

    async def work(client: Client) -> int:
        return (await client.post("/corrections", json=body(FIRST), headers=headers)).status_code

    assert with_client(tfidf_model, work, keys=keys.path) == 404


def test_missing_store_is_reported_before_serving(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.db"):
        Corrections(tmp_path / "nowhere.db")
