from __future__ import annotations

import gzip
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from labels.records import Document
from labels.text.documents import read_file
from tests.labels.text.parsing.samples import HEADED
from tests.labels.text.test_documents import PARAGRAPHS, page

OLD_OFFICE = "an old Microsoft Office file (such as .doc) or a document with a password"
RTF = r"""{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fcharset0 Times;}}{\info{\title Draft}}
\f0\b Talks resume\b0\par
The envoy said they won\'92t sign, \ldblquote not yet\rdblquote .\par
{\field{\*\fldinst{HYPERLINK "https://news.example/truce"}}{\fldrslt{A truce}}}
 was offered in Lw\u243?w. \u55357?\u56832?\par
}"""


def read(name: str, content: str | bytes) -> tuple[list[Document], list[str]]:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    rejected: list[str] = []
    return list(read_file(Path(name), rejected.append)), rejected


def zipped(*names: str) -> bytes:
    content = BytesIO()
    with ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return content.getvalue()


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html"])
def test_a_web_page_is_read_as_its_article_whatever_its_name(name: str) -> None:
    documents, rejected = read(name, "\ufeff\n<!-- saved -->\n" + page("<h1>Envoy asks for a truce</h1>"))
    assert rejected == []
    assert [document.text.splitlines() for document in documents] == [["Envoy asks for a truce", *PARAGRAPHS]]


def test_what_a_file_is_read_as_is_reported() -> None:
    notes: list[str] = []
    for name, content in (("a.txt", page("")), ("b.txt", RTF), ("c.txt", "<p>Guns fell.</p>"), ("d.txt", HEADED)):
        Path(name).write_text(content, encoding="utf-8")
        list(read_file(Path(name), notes.append, note=notes.append))
    assert notes == [
        "a.txt: the article in this web page is read, although the extension is .txt",
        "b.txt: this RTF file is read as plain text",
        "c.txt: the words in this part of a web page are read, although the extension is .txt",
        "d.txt: this export of a news archive is read as 2 articles",
    ]


@pytest.mark.parametrize("charset", ["windows-1251", "koi8-r", "iso-8859-5"])
def test_a_page_is_read_in_the_encoding_that_it_declares(charset: str) -> None:
    words = "Посланник призвал обе стороны сложить оружие до начала жатвы в верхней долине этим летом."
    content = page(f"<p>{words}</p>", f'<meta charset="{charset}">').replace("€", "")
    ((document,), rejected) = read("a.html", content.encode(charset, "ignore"))
    assert rejected == []
    assert words in document.text


def test_a_page_that_is_not_in_its_encoding_is_refused() -> None:
    content = page("", '<meta charset="shift_jis">').encode() + b"\xff\xff"
    assert read("a.html", content)[1] == [
        "a.html: this page is not in its declared encoding shift_jis. Save the page as UTF-8."
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"%PDF-1.7", "this is a PDF file, not text. Give the file the extension .pdf."),
        (zipped("word/document.xml"), "this is a Word document (.docx), not text. Give the file the extension .docx."),
    ],
)
def test_a_document_named_as_a_table_is_refused_with_its_extension(content: bytes, message: str) -> None:
    assert read("a.csv", content)[1] == [f"a.csv: {message}"]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_table_without_plain_text_is_refused_by_kind(name: str) -> None:
    assert read(name, zipped("xl/workbook.xml"))[1] == [
        f"{name}: this is an Excel workbook (.xlsx), not text. Save the workbook as CSV, with the extension .csv."
    ]


def test_a_part_of_a_page_is_read_as_its_words() -> None:
    ((document,), rejected) = read("a.txt", "<p>Guns <b>fell</b>\nsilent.</p>\n<p>R&amp;D stopped.<br>It rained.</p>")
    assert rejected == []
    assert document.text == "Guns fell silent.\n\nR&D stopped.\n\nIt rained."


def test_a_part_of_a_page_after_front_matter_is_read_as_its_words() -> None:
    ((document,), _) = read("a.txt", "---\nsource: radio\n---\n<div>Guns fell.</div>")
    assert (document.source, document.text) == ("radio", "Guns fell.")


@pytest.mark.parametrize("text", ["<p> is a tag of HTML.", "a < b, b > c", "<Applause> Guns fell.", "<html5> was new."])
def test_text_with_angle_brackets_stays_as_it_is(text: str) -> None:
    ((document,), rejected) = read("a.txt", text)
    assert (document.text, rejected) == (text, [])


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html"])
def test_rtf_is_read_as_its_words(name: str) -> None:
    ((document,), rejected) = read(name, RTF)
    assert rejected == []
    assert document.text.splitlines() == [
        "Talks resume",
        "The envoy said they won’t sign, “not yet”.",
        "A truce was offered in Lwów. 😀",
    ]


def test_rtf_in_another_code_page_is_read_as_written() -> None:
    body = "Перемирие".encode("cp1251")
    content = rb"{\rtf1\ansi\ansicpg1251 " + b"".join(b"\\'%02x" % byte for byte in body) + b"}"
    ((document,), rejected) = read("a.txt", content)
    assert (document.text, rejected) == ("Перемирие", [])


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (zipped("xl/workbook.xml"), "an Excel workbook (.xlsx)"),
        (zipped("mimetype", "content.xml"), "an OpenDocument file (such as .odt)"),
        (zipped("META-INF/container.xml"), "an e-book (EPUB)"),
        (zipped("a.txt"), "a ZIP archive"),
        (gzip.compress(b"Guns fell silent.", mtime=0), "a gzip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 50, OLD_OFFICE),
        (b"\x89PNG\r\n\x1a\n", "a picture (PNG)"),
        (b"PAR1\x15\x04", "a Parquet file"),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html"])
def test_a_file_without_plain_text_is_refused_by_kind_with_the_repair(name: str, content: bytes, kind: str) -> None:
    documents, (rejected,) = read(name, content)
    assert documents == []
    assert rejected.startswith(f"{name}: this is {kind}, not text. ")
    assert rejected.endswith(".")


def test_a_web_archive_is_refused_with_the_repair() -> None:
    content = "From: <Saved by a browser>\nMIME-Version: 1.0\nContent-Type: multipart/related;\n\n<html></html>"
    assert read("a.txt", content) == (
        [],
        ["a.txt: this is a web archive (MHTML), not text. Save the page as HTML only."],
    )


def test_recognition_is_quick_on_hostile_beginnings() -> None:
    # A pattern that backtracks over the comments would not come to an end.
    text = "<!-- x -->" * 4000 + "Guns fell silent."
    ((document,), _) = read("a.txt", text)
    assert document.text == text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            '{"text": "Guns fell."}\n{"text": "Rain fell."}\n',
            "this is JSON lines, not prose. Give the file the extension",
        ),
        ('[{"text": "Guns fell."},\n {"text": "Rain fell."}]', "this is JSON, not prose. Write one object per line"),
        ('{\n  "text": "Guns fell."\n}', "this is JSON, not prose"),
        ('id,text\n1,"Guns fell, and"\n2,Rain fell.\n', "this is a table with commas, not prose. Give the file"),
        ("ID;Headline;Body\n1;Truce;Guns fell.\n2;Rain;Rain fell.\n", "this is a table with semicolons"),
        ("headline\tbody\nTruce\tGuns fell.\nRain\tRain fell.\n", "this is a table with tabs"),
        ('<?xml version="1.0"?>\n<news><p>Guns fell.</p></news>', "this is XML, not prose"),
    ],
    ids=["lines", "array", "object", "commas", "semicolons", "tabs", "xml"],
)
@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_data_in_a_text_file_are_refused_by_kind(name: str, content: str, problem: str) -> None:
    documents, (rejected,) = read(name, content)
    assert documents == []
    assert rejected.startswith(f"{name}: {problem}")


@pytest.mark.parametrize(
    "content",
    [
        "Oslo, Norway\n\nGuns fell silent, and rain fell.\nThe envoy left, he said.",
        "[Draft] Guns fell silent.\nThe envoy left.",
        "{Oslo} Guns fell silent.",
        "Dear all, thank you\nGuns fell, at last\nRain fell, too",
        "Guns fell; rain fell.\nThe envoy left; nobody came.\nAll stayed; all waited.",
    ],
)
def test_prose_with_separators_or_brackets_is_read(content: str) -> None:
    documents, rejected = read("a.txt", content)
    assert rejected == []
    assert [document.text for document in documents] == [content]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("\\documentclass{article}\nGuns fell.", "LaTeX"),
        ("TY  - NEWS\nTI  - Guns fell\nER  -", "a list of references"),
        ("@article{lind2024,\n  title = {Guns}\n}", "a list of references"),
        ("Subject: Aid\nMIME-Version: 1.0\n\nGuns fell =E2=80=93 silent.", "an email"),
    ],
)
def test_markup_of_other_programs_is_refused_by_kind(content: str, kind: str) -> None:
    documents, (rejected,) = read("a.txt", content)
    assert documents == []
    assert rejected.startswith(f"a.txt: this is {kind}, not prose")


@pytest.mark.parametrize(("content", "kind"), [("<html><body>x</body></html>", "a web page"), (RTF, "an RTF document")])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_page_is_no_table(name: str, content: str, kind: str) -> None:
    documents, (rejected,) = read(name, content)
    assert documents == []
    assert rejected.startswith(f"{name}: this is {kind}, not a table")


@pytest.mark.parametrize(("name", "content"), [("a.csv", "text,label\n"), ("a.jsonl", "\n\n")])
def test_a_table_without_rows_is_reported(name: str, content: str) -> None:
    assert read(name, content) == ([], [f"{name}: the file has no rows. Add rows, or remove the file."])


def test_an_impossible_date_of_a_row_is_refused() -> None:
    documents, (rejected,) = read("a.csv", "text,date\nGuns fell.,2024-13-45\nRain fell.,2024-06-08\n")
    assert [document.date for document in documents] == ["2024-06-08"]
    assert rejected == "a.csv:2: the `date` 2024-13-45 does not exist in the calendar. Fix the date."
