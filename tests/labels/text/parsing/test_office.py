from __future__ import annotations

from pathlib import Path

import pytest

from labels.errors import DataError
from labels.records import Document
from labels.text.documents import find_files, read_file
from labels.text.parsing import office
from labels.text.parsing.office import Limits, read_office
from tests.labels.text.parsing.office_samples import one_page, packed, stream, word

TEXT = stream(b"BT /F 12 Tf 72 700 Td (Guns fell silent.) Tj ET")
PARAGRAPH = "<w:p><w:r><w:t>Guns fell silent.</w:t></w:r></w:p>"


def read(name: str, content: bytes) -> tuple[list[Document], list[str]]:
    Path(name).write_bytes(content)
    said: list[str] = []
    return list(read_file(Path(name), said.append, note=said.append)), said


@pytest.mark.parametrize(("name", "content"), [("a.docx", word(PARAGRAPH)), ("a.pdf", one_page(TEXT))])
def test_a_document_is_read_with_its_file_as_the_source(name: str, content: bytes) -> None:
    ((document,), said) = read(name, content)
    assert (document.text, document.source, said) == ("Guns fell silent.\n", name, [])
    assert find_files(["."]).files == (Path(name),)


@pytest.mark.parametrize("content", [word(PARAGRAPH), one_page(TEXT)], ids=["word", "pdf"])
def test_the_content_decides_how_a_file_is_read(content: bytes) -> None:
    ((document,), said) = read("a.txt", content)
    assert document.text == "Guns fell silent.\n"
    assert said == ["a.txt: the text of this Word or PDF file is read, although the extension is .txt"]


def test_an_export_of_a_news_archive_is_read_as_its_articles() -> None:
    lines = ["Envoy asks for truce", "Harbour Gazette", "June 8, 2024", "Length: 7 words", "Body", "Guns fell silent."]
    lines += ["End of Document"]
    export = "".join(f"<w:p><w:r><w:t>{line}</w:t></w:r></w:p>" for line in lines * 2)
    documents, _ = read("a.docx", word(export))
    assert [document.title for document in documents] == ["Envoy asks for truce"] * 2


def test_a_text_named_as_a_document_is_read_as_text() -> None:
    ((document,), _) = read("a.docx", b"Guns fell silent.")
    assert document.text == "Guns fell silent."


# 400 MB in a few hundred bytes.
BOMB = one_page(packed(b" " * (400 * 2**20), times=2))
ENDLESS = one_page(packed(b"BT /F 12 Tf (a) Tj ET\n" * 2_000_000))
HUGE = word("", root="<a>" + "<b/>" * (12 * 2**20) + "</a>")


@pytest.mark.parametrize(
    ("content", "limits", "message"),
    [
        (BOMB, Limits(memory=256 * 2**20), "the file is damaged, or reading it needs more than 256 MB of memory"),
        (ENDLESS, Limits(seconds=1, memory=4 * 2**30), "reading the file takes longer than 1 s"),
        (one_page(TEXT), Limits(seconds=0), "reading the file takes longer than 0 s"),
        (word("", root="<a>" + " " * (60 * 2**20)), Limits(), "the file unpacks to more than 50 MB"),
        (HUGE, Limits(), "word/document.xml is compressed more than 200 times"),
        (one_page(TEXT), Limits(characters=5), "the text has more than 5 characters"),
        (word("<w:p/>"), Limits(), "the Word file has no text"),
    ],
    ids=["memory", "processor", "wall", "unpacked", "ratio", "characters", "problem"],
)
def test_the_parent_survives_and_names_the_file(content: bytes, limits: Limits, message: str) -> None:
    with pytest.raises(DataError, match=f"^a.bin: {message}"):
        read_office(content, "a.bin", limits)


def test_a_file_that_is_too_large_starts_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office, "MAX_BYTES", 2**20)
    monkeypatch.setattr(office.subprocess, "run", None)
    with pytest.raises(DataError, match="larger than 1 MB"):
        read_office(b"%PDF-" + bytes(2**20), "a.pdf")


def test_without_the_extra_a_pdf_file_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office, "find_spec", lambda _: None)
    with pytest.raises(DataError, match=r'need the extra `docs`. Install it: pip install "communique\[docs\]"'):
        read_office(one_page(TEXT), "a.pdf")


def test_the_child_sees_no_secrets_and_opens_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    program = "import os\nfrom labels.text.parsing import office_child as own\nown._forbid_opening()\n"
    program += "try:\n    open('/etc/passwd')\nexcept OSError as error:\n    found = error.strerror\n"
    program += "import json\nprint(json.dumps({'text': found, 'title': '', 'notes': sorted(os.environ)}))"
    (tmp_path / "spy.py").write_text(program)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(office, "_CHILD", "spy")
    found = read_office(one_page(TEXT), "a.pdf")
    assert found.text == "Too many open files"
    assert "DATABASE_PASSWORD" not in found.notes
