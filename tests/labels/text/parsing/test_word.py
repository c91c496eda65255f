from __future__ import annotations

from io import BytesIO

import docx
import pytest
from docx.enum.text import WD_BREAK

from labels.text.parsing.office import Limits, OfficeText, UnreadableFileError
from labels.text.parsing.word import read_word
from tests.labels.text.parsing.office_samples import WORD, body, relations, word

LAUGHS = f"<!DOCTYPE a [<!ENTITY b '{'ha' * 100}'><!ENTITY c '{'&b;' * 100}'>]>"


def read(content: bytes) -> OfficeText:
    return read_word(content, Limits())


def paragraphs(content: str, parts: dict[str, str] | None = None) -> list[str]:
    return read(word(content, parts)).text.rstrip("\n").split("\n\n")


def p(*runs: str) -> str:
    return f"<w:p>{''.join(f'<w:r><w:t>{run}</w:t></w:r>' for run in runs)}</w:p>"


def saved(document: docx.document.Document) -> bytes:
    made = BytesIO()
    document.save(made)
    return made.getvalue()


def test_a_document_of_a_word_processor_becomes_paragraphs() -> None:
    made = docx.Document()
    made.add_heading("Norway pledges aid", 0)
    made.add_heading("Background", 1)
    paragraph = made.add_paragraph("The minister  said that ")
    paragraph.add_run("Norway").bold = True
    paragraph.add_run(" would pay.")
    made.add_paragraph("Sixty clinics", style="List Bullet")
    table = made.add_table(2, 2)
    for cell, text in zip(table._cells, ("Donor", "Sum", "", "He urged a truce.\nSoon."), strict=True):
        cell.text = text
    broken = made.add_paragraph("Before.")
    broken.add_run().add_break(WD_BREAK.PAGE)
    broken.add_run("After.")
    made.sections[0].header.paragraphs[0].text = "Press release"
    found = read(saved(made))
    assert found.title == "Norway pledges aid"
    assert found.text.split("\n\n") == [
        "Norway pledges aid",
        "Background",
        "The minister said that Norway would pay.",
        "Sixty clinics",
        "Donor",
        "Sum",
        "He urged a truce.\nSoon.",
        "Before.",
        "After.\n",
    ]


def test_notes_follow_the_text_in_the_order_of_their_references() -> None:
    reference = '<w:r><w:{0}Reference w:id="{1}"/></w:r>'
    text = f"<w:p><w:r><w:t>Shells fell</w:t></w:r>{reference.format('footnote', 2)}<w:r><w:t> on Tarn.</w:t></w:r>"
    text += f"{reference.format('endnote', 1)}{reference.format('footnote', 1)}</w:p>"
    notes = {
        f"word/{kind}s.xml": f'<w:{kind}s xmlns:w="{WORD}"><w:{kind} w:id="0" w:type="separator">{p("---")}</w:{kind}>'
        + "".join(f'<w:{kind} w:id="{i}">{p(f"{kind} {i}")}</w:{kind}>' for i in (1, 2, 3))
        + f"</w:{kind}s>"
        for kind in ("footnote", "endnote")
    }
    links = {"word/_rels/document.xml.rels": relations(footnotes="footnotes.xml", endnotes="/word/endnotes.xml")}
    assert paragraphs(text, links | notes) == ["Shells fell on Tarn.", "footnote 2", "footnote 1", "endnote 1"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('<w:p><w:r><w:t>a</w:t></w:r><w:del><w:r><w:delText>b</w:delText></w:r></w:del></w:p>', "a"),
        ("<w:p><w:ins><w:r><w:t>a</w:t></w:r></w:ins></w:p>", "a"),
        ("<w:p><w:r><w:rPr><w:vanish/></w:rPr><w:t>b</w:t></w:r><w:r><w:t>a</w:t></w:r></w:p>", "a"),
        ('<w:p><w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>a</w:t></w:r></w:p>', "a"),
        ("<w:p><w:hyperlink><w:r><w:t>a</w:t></w:r></w:hyperlink><w:instrText>PAGE</w:instrText></w:p>", "a"),
        ("<w:p><w:r><w:t>a</w:t><w:noBreakHyphen/><w:t>b</w:t><w:tab/><w:t>c</w:t></w:r></w:p>", "a-b c"),
        ("<w:p><w:r><w:t>hu</w:t><w:softHyphen/><w:t>man</w:t></w:r></w:p>", "human"),
        (
            '<w:sdt><w:sdtPr><w:docPartObj><w:docPartGallery w:val="Table of Contents"/></w:docPartObj></w:sdtPr>'
            f"<w:sdtContent>{p('Contents')}</w:sdtContent></w:sdt><w:sdt><w:sdtContent>{p('a')}</w:sdtContent></w:sdt>",
            "a",
        ),
        (f'<w:p><w:pPr><w:pStyle w:val="TOC1"/></w:pPr><w:r><w:t>b</w:t></w:r></w:p>{p("a")}', "a"),
        (
            '<w:p><w:r><w:t>a</w:t></w:r><mc:AlternateContent xmlns:mc="m"><mc:Choice><w:txbxContent>'
            f"{p('box')}</w:txbxContent></mc:Choice><mc:Fallback>{p('again')}</mc:Fallback></mc:AlternateContent></w:p>",
            "a\n\nbox",
        ),
    ],
    ids=["deleted", "inserted", "hidden", "shown", "link", "hyphen", "soft", "contents", "toc", "box"],
)  # fmt: skip
def test_only_visible_text_is_read(content: str, text: str) -> None:
    assert read(word(content)).text == f"{text}\n"


def test_the_strict_form_of_the_format_is_read_too() -> None:
    root = body(p("Guns fell silent.")).replace(WORD, "http://purl.oclc.org/ooxml/wordprocessingml/main")
    assert read(word("", root=root)).text == "Guns fell silent.\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (word("<w:p/>"), "has no text"),
        (word("", root="<w:document"), "damaged"),
        (word(p("a"))[:-30], "damaged"),
        (word(p("a"), {f"word/media/{i}.png": "" for i in range(5000)}), "more than 5,000 entries"),
        (word("", root=LAUGHS + body(p("&c;"))), "declares a document type"),
        (word("", root="<!DOCTYPE a [<!ENTITY b SYSTEM '/etc/passwd'>]>" + body(p("&b;"))), "declares a document type"),
        (word("", root="<!DOCTYPE a SYSTEM 'http://192.0.2.1/a.dtd'>" + body(p("a"))), "declares a document type"),
        (word("", root="<w:p>" * 400 + "</w:p>" * 400), "damaged"),
        (word("", root=body(" " * 2**21)), "compressed more than 200 times"),
    ],
    ids=["empty", "broken", "cut", "entries", "laughs", "file", "external", "deep", "ratio"],
)
def test_a_file_that_cannot_be_read_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(UnreadableFileError, match=message):
        read(content)


def test_external_and_missing_parts_are_not_followed() -> None:
    links = relations(footnotes="../../../etc/passwd", endnotes="http://192.0.2.1/a", styles="none.xml")
    assert paragraphs(p("a"), {"word/_rels/document.xml.rels": links}) == ["a"]


def test_embedded_archives_and_macros_are_not_opened() -> None:
    assert paragraphs(p("a"), {"word/embeddings/a.zip": "no ZIP archive", "word/vbaProject.bin": "no project"}) == ["a"]
