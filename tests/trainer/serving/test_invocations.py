from __future__ import annotations

from typing import Any

import pytest

from tests.trainer.serving.application import post
from trainer.model.model import Model

TEXTS = ["Norway pledged 40 trucks.", 'He said "no, a truce".', "Line\nbreak"]


def quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


CSV = "\r\n".join(["id,text", *(f"{n},{quoted(text)}" for n, text in enumerate(TEXTS))]).encode()
BODIES: dict[str, Any] = {
    "split": {"dataframe_split": {"index": [0, 1, 2], "columns": ["id", "text"], "data": [[1, t] for t in TEXTS]}},
    "records": {"dataframe_records": [{"text": text, "id": 1} for text in TEXTS]},
    "inputs": {"inputs": TEXTS},
    "inputs-named": {"inputs": {"text": TEXTS}},
    "inputs-rows": {"inputs": [[text] for text in TEXTS]},
    "instances": {"instances": [{"text": text} for text in TEXTS]},
    "csv": CSV,
    "csv-with-a-mark": b"\xef\xbb\xbf" + CSV,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_every_form_gets_the_same_predictions(tfidf_model: Model, body: Any) -> None:
    headers = {"content-type": "text/csv" if isinstance(body, bytes) else "application/json"}
    answer = post(tfidf_model, body, "/invocations", headers)
    assert answer.status_code == 200, answer.text
    found = answer.json()["predictions"]
    probabilities = tfidf_model.predict_proba(TEXTS)
    assert [tuple(each["labels"]) for each in found] == tfidf_model.label_sets(probabilities)
    assert [list(each["probabilities"].values()) for each in found] == [
        pytest.approx(row.tolist(), abs=1e-6) for row in probabilities
    ]


BAD: dict[str, tuple[Any, str]] = {
    "not-json": (b"{", "not valid JSON"),
    "deep": (b"[" * 100_000, "not valid JSON"),
    "no-form": ({"texts": ["a"]}, "exactly one of the keys dataframe_split"),
    "two-forms": ({"inputs": ["a"], "instances": ["a"]}, "exactly one of the keys"),
    "list": (["a"], "exactly one of the keys"),
    "no-column": (
        {"dataframe_split": {"columns": ["Text"], "data": [["a"]]}},
        "has no column `text`. Its columns: Text",
    ),
    "no-data": ({"dataframe_split": {"columns": ["text"]}}, "the lists `columns` and `data`"),
    "short-row": ({"dataframe_split": {"columns": ["text"], "data": [[]]}}, "one value per column"),
    "no-rows": ({"inputs": []}, "the body has no rows"),
    "null": ({"dataframe_records": [{"text": "a"}, {"text": None}]}, "row 1: `text` is not a string"),
    "blank": ({"inputs": [" "]}, "row 0: `text` is blank"),
    "long": ({"inputs": ["x" * 20_001]}, "longer than 20,000 characters"),
    "many": ({"inputs": ["x"] * 1001}, "1,001 rows, but at most 1,000"),
    "number": ({"inputs": 3}, "must be a list of texts"),
    "surrogate": (b'{"inputs": ["\\ud800"]}', "unpaired surrogate"),
}


@pytest.mark.parametrize(("body", "message"), BAD.values(), ids=BAD)
def test_bad_body_is_refused_with_the_reason(tfidf_model: Model, body: Any, message: str) -> None:
    answer = post(tfidf_model, body, "/invocations")
    assert answer.status_code == 422
    assert message in answer.json()["detail"][0]["msg"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no rows"),
        (b"text\n", "no rows"),
        (b"\xff", "not UTF-8"),
        (b'text\n"a\n', "not valid CSV"),
        (b"text,id\na\n", "as many cells"),
    ],
)
def test_bad_csv_is_refused_with_the_reason(tfidf_model: Model, body: bytes, message: str) -> None:
    answer = post(tfidf_model, body, "/invocations", {"content-type": "text/csv"})
    assert answer.status_code == 422
    assert message in answer.json()["detail"][0]["msg"]
