from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels.records import Document
from labels.text.documents import read_file
from labels.text.parsing.news_exports import read_factiva, read_nexis
from labels.text.sentences import split_sentences
from tests.labels.text.parsing.samples import CLASSIC, CODED, HEADED, UNI

ALL = (CLASSIC, UNI, CODED, HEADED)


def read(text: str, name: str = "export.txt") -> tuple[list[Document], list[str]]:
    Path(name).write_text(text, encoding="utf-8")
    rejected: list[str] = []
    return list(read_file(Path(name), rejected.append)), rejected


def provenance(documents: list[Document]) -> list[tuple[str, str, str, str]]:
    return [(document.title, document.source, document.date, document.language) for document in documents]


def test_a_classic_nexis_export_is_several_documents() -> None:
    documents, rejected = read(CLASSIC)
    assert rejected == []
    assert provenance(documents) == [
        ("Envoy asks both sides for a truce", "The Valley Herald", "2024-06-08", "en"),
        ("Headline without a field", "Talblatt (Oberstadt)", "2010-01-11", "de"),
    ]
    assert [document.text.strip().split("\n\n") for document in documents] == [
        [
            "Envoy asks both sides for a truce",
            "The envoy called on both sides to lay down their arms before the harvest\nbegins in the upper valley this "
            "summer.",
            '"We won\'t sign," the general said.',
            "NOTES: the offer stands, an aide wrote.",
            "It rained.",
        ],
        ["Headline without a field", "The council wants silence.", "The council promised forty lorries of grain."],
    ]


def test_a_classic_export_without_centred_lines_is_read_alike() -> None:
    flat = "\n".join(line.strip() for line in CLASSIC.split("\n")).replace(
        "Edition 1;\nScotland\n", "Late Edition - Final\n"
    )
    assert [(one.text, one.source) for one in read(flat)[0]] == [(one.text, one.source) for one in read(CLASSIC)[0]]


def test_words_of_an_article_that_resemble_its_header_stay() -> None:
    export = CLASSIC.replace("Headline without a field", "Final push for the last edition of peace").replace(
        "It rained.", "Copyright was not discussed.\n\nLANGUAGE: the envoy spoke French.\n\nIt rained."
    )
    first, second = read(export)[0]
    assert "Copyright was not discussed.\n\nLANGUAGE: the envoy spoke French.\n\nIt rained." in first.text
    assert first.language == "en"
    assert second.title == "Final push for the last edition of peace"


def test_a_nexis_uni_export_is_several_documents() -> None:
    documents, rejected = read(UNI)
    assert rejected == []
    assert provenance(documents) == [
        ("Envoy asks both sides for a truce", "The Valley Herald (London)", "2024-06-08", "en"),
        ("Council promises grain", "Talblatt", "2010-01-11", "en"),
    ]
    assert [document.text.strip().split("\n\n") for document in documents] == [
        [
            "Envoy asks both sides for a truce",
            "The envoy wants silence.",
            "The envoy called on both sides to lay down their arms.",
            "Body of evidence: the general refused.",
        ],
        ["Council promises grain", "The council promised forty lorries of grain."],
    ]


def test_a_factiva_export_with_field_codes_is_several_documents() -> None:
    documents, rejected = read(CODED)
    assert rejected == []
    assert provenance(documents) == [
        ("Envoy asks both sides for a truce", "Valley Wire", "2024-06-08", "en"),
        ("Council promises grain", "Talblatt", "2010-01-11", "de"),
        ("Council votes", "Talblatt", "2010-01-12", "en"),
    ]
    assert [document.text.strip().split("\n\n") for document in documents] == [
        [
            "Envoy asks both sides for a truce",
            "OBERSTADT, June 8 (VW) - The envoy called on both sides.",
            "IN a statement, the general refused.",
            "CO deals are off, he said.",
        ],
        ["Council promises grain", "The council promised grain.", "Forty lorries wait.", "It rained."],
        ["Council votes", "The council votes on Monday."],
    ]


def test_a_factiva_export_with_plain_headers_is_several_documents() -> None:
    documents, rejected = read(HEADED)
    assert rejected == []
    assert provenance(documents) == [
        ("Envoy asks both sides for a truce", "Valley Wire", "2024-06-08", "en"),
        ("Council promises grain", "Talblatt", "2010-01-11", "de"),
    ]
    assert [document.text.strip().split("\n\n") for document in documents] == [
        [
            "Envoy asks both sides for a truce",
            "OBERSTADT, June 8 (VW) - The envoy called on both sides.",
            '"We won\'t sign," the general said.',
        ],
        ["Council promises grain", "The council promised grain.\nIt rained."],
    ]


@pytest.mark.parametrize("export", ALL)
def test_no_header_line_of_an_export_becomes_a_sentence(export: str) -> None:
    found = [sentence.text for document in read(export)[0] for sentence in split_sentences(document)]
    assert found
    for word in ("words", "LENGTH", "BYLINE", "Ana Lind", "Copyright", "LOAD-DATE", "Load-Date", "Document ", "ferry"):
        assert not [text for text in found if word in text]


def test_an_export_in_rtf_or_with_other_line_ends_is_read_alike() -> None:
    plain, _ = read(HEADED)
    lines = HEADED.replace("\\", "\\\\").split("\n")
    rtf = "{\\rtf1\\ansi\\ansicpg1252 " + "".join(f"{line}\\par\n" for line in lines) + "}"
    assert read(HEADED.replace("\n", "\r\n"))[0] == plain
    assert read(rtf)[0] == plain


def test_the_same_article_of_two_exports_is_one_document() -> None:
    first, _ = read(HEADED, "one.txt")
    second, _ = read(HEADED, "two.txt")
    assert [document.id for document in first] == [document.id for document in second]


def test_an_article_that_cannot_be_read_is_left_out_with_its_line() -> None:
    no_length = CLASSIC.replace("LENGTH: 355 words", "")
    documents, rejected = read(no_length)
    assert [document.source for document in documents] == ["The Valley Herald"]
    line = no_length.split("\n").index("                               2 of 2 DOCUMENTS") + 1
    assert rejected == [
        f"export.txt:{line}: this article has no line `LENGTH:`, so its header has no clear end. Correct "
        "the export, or move the text to a separate file."
    ]


def test_an_article_without_a_body_is_left_out_with_its_line() -> None:
    documents, rejected = read(HEADED.replace("The council promised grain.\nIt rained.\n", ""))
    assert len(documents) == 1
    assert rejected[0].startswith("export.txt:18: this article has no text. ")


@pytest.mark.parametrize("export", [UNI, HEADED])
def test_text_after_the_last_article_is_reported(export: str) -> None:
    _, rejected = read(f"{export}\nThe envoy left.\n")
    line = export.count("\n") + 2
    assert rejected[0].startswith(f"export.txt:{line}: there is text after the last article of this export. ")


@pytest.mark.parametrize(
    "text",
    [
        "The envoy spoke.\n\nEnd of Document\n",
        "Body\n\nThe envoy spoke.\n",
        "1 of 2 DOCUMENTS were lost.\n\nLENGTH: it was long.\n",
        "1 of 2 DOCUMENTS\n\nThe envoy spoke.\n",
        "LENGTH: 300 words, said the form.\n",
        "The envoy spoke.\nDocument VALW000020240608ek68000a1\n",
        "HD was a code.\nIN it went.\n",
    ],
)
def test_a_text_that_only_resembles_an_export_stays_one_document(text: str) -> None:
    (document,), rejected = read(text)
    assert (document.text, rejected) == (text, [])


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_any_mixture_of_export_lines_is_read_without_an_error(data: st.DataObject) -> None:
    lines = data.draw(st.sampled_from(ALL)).split("\n")
    kept = data.draw(st.lists(st.sampled_from(lines), max_size=60))
    for read_export in (read_nexis, read_factiva):
        for article in read_export("\n".join(kept)) or ():
            assert bool(article.text.strip()) != bool(article.problem)
            assert 1 <= article.line <= max(len(kept), 1)


@pytest.mark.parametrize(
    "line", ["TYPE: x", "GRAPHIC: x", "1 of 2 DOCUMENTS", "Document A123456789012345678", "Body", "5 words"]
)
def test_long_hostile_exports_are_read_quickly(line: str) -> None:
    # An algorithm that starts again at each line would not come to an end.
    text = "1 of 1 DOCUMENTS\n\nLENGTH: 5 words\n\n" + f"{line}\n\n" * 20_000
    assert read_nexis(text) is not None
    read_factiva(text)
