"""Offsets index the text that the user has, whatever its line ends."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from labels.records import Document
from labels.text.documents import read_documents
from labels.text.sentences import split_sentences

WRAPPED = (
    "The two governments said on Monday that the agreement on the harbour had{end}been extended by a year. "
    "Rain fell.{end}{end}Share this article{end}{end}* Oslo pledged winter fuel.{end}The envoy called for a truce.{end}"
)
SENTENCES = [
    "The two governments said on Monday that the agreement on the harbour had{end}been extended by a year.",
    "Rain fell.",
    "Share this article",
    "Oslo pledged winter fuel.",
    "The envoy called for a truce.",
]
LINE_ENDS = ["\n", "\r\n", "\r"]
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXTS = st.lists(
    st.sampled_from(["Rain fell. ", "Oslo pledged fuel.", "* ", "\r\n", "\r", "\n", " ", "x", "Share this article"])
)


def fold_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def write_row(path: Path, text: str) -> None:
    if path.suffix == ".jsonl":
        path.write_text(json.dumps({"text": text}) + "\n", encoding="utf-8")
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({"text": [text]}), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["text"], [text]])


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("end", LINE_ENDS)
def test_offsets_index_the_cell(suffix: str, end: str) -> None:
    text = WRAPPED.format(end=end)
    write_row(Path(f"rows{suffix}"), text)
    [document] = read_documents([f"rows{suffix}"], pytest.fail)
    assert document.text == text
    sentences = split_sentences(document)
    assert [text[sentence.start : sentence.end] for sentence in sentences] == [s.format(end=end) for s in SENTENCES]
    assert [sentence.text for sentence in sentences] == [s.format(end=end) for s in SENTENCES]
    assert {sentence.document_id for sentence in sentences} == {document.id}
    assert [sentence.text for sentence in sentences if sentence.boilerplate] == ["Share this article"]


def test_a_row_with_windows_line_ends_keeps_its_document_id() -> None:
    assert Document("wire", "One.\r\nTwo.").id == Document("wire", "One.\nTwo.").id


@PATIENT
@given(TEXTS)
@example(["x " * 50, "\r\n", "more words."])
@example(["x" * 50 + " " + "y" * 49, "\r\n", "more words."])
def test_the_line_ends_do_not_change_where_sentences_are_cut(pieces: list[str]) -> None:
    text = "".join(pieces)
    plain = Document("wire", fold_line_ends(text))
    found, expected = split_sentences(Document("wire", text)), split_sentences(plain)
    assert [fold_line_ends(sentence.text) for sentence in found] == [sentence.text for sentence in expected]
    assert [sentence.boilerplate for sentence in found] == [sentence.boilerplate for sentence in expected]
    assert all(text[sentence.start : sentence.end] == sentence.text for sentence in found)
