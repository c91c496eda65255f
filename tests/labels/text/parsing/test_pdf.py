from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph, SimpleDocTemplate
from reportlab.platypus.paragraph import ParagraphStyle

from labels.text.parsing.office import Limits, OfficeText, UnreadableFileError
from labels.text.parsing.pdf import read_pdf
from tests.labels.text.parsing.office_samples import one_page, pdf, stream

STYLES = getSampleStyleSheet()
JUSTIFIED = ParagraphStyle("justified", parent=STYLES["BodyText"], alignment=4)
SENTENCES = (
    "The foreign minister said that Norway would provide another forty million kroner for relief in the valley, and "
    "that the long-range air defence systems promised in spring would arrive before the winter. He urged both parties "
    "to agree on an immediate cease-fire, and asked the donors for sixty mobile clinics and a winter's worth of fuel."
)


def read(content: bytes, **limits: int) -> OfficeText:
    return read_pdf(content, Limits(**limits))


def furniture(canvas: Canvas, document: Any) -> None:
    canvas.drawString(72, 810, "Ministry of Foreign Affairs")
    canvas.drawCentredString(300, 30, f"Page {document.page} of 3")


def built(*story: Paragraph, columns: int = 1, **options: Any) -> bytes:
    made = BytesIO()
    if columns == 1:
        SimpleDocTemplate(made, **options).build(list(story), onFirstPage=furniture, onLaterPages=furniture)
    else:
        frames = [Frame(50 + 260 * i, 60, 240, 320, id=str(i)) for i in range(columns)]
        BaseDocTemplate(made, pageTemplates=[PageTemplate(frames=frames, onPage=furniture)]).build(list(story))
    return made.getvalue()


def drawn(*pages: str, title: str = "", **options: Any) -> bytes:
    made = BytesIO()
    canvas = Canvas(made, **options)
    canvas.setTitle(title)
    for page in pages:
        canvas.drawString(72, 700, page)
        canvas.showPage()
    canvas.save()
    return made.getvalue()


@pytest.mark.parametrize("style", [JUSTIFIED, STYLES["BodyText"]], ids=["justified", "ragged"])
@pytest.mark.parametrize("columns", [1, 2])
def test_pages_become_headings_and_paragraphs_without_furniture(style: ParagraphStyle, columns: int) -> None:
    expected = ["Norway pledges aid"]
    story = [Paragraph("Norway pledges aid", STYLES["Heading2"])]
    for number in range(22):
        expected.append(f"{SENTENCES} This is paragraph {number}.")
        story.append(Paragraph(expected[-1], style))
    found = read(built(*story, columns=columns, title="Norway pledges aid")).text
    assert found.rstrip("\n").split("\n\n") == expected


def test_note_references_are_left_out_and_notes_follow_at_the_end() -> None:
    small = ParagraphStyle("small", parent=STYLES["BodyText"], fontSize=7)
    text = SENTENCES.replace("winter. He", "winter.<super>1</super> He")
    found = read(built(*[Paragraph(text, JUSTIFIED)] * 18, Paragraph("Statement of 3 May.", small))).text
    assert found == f"{SENTENCES}\n\n" * 18 + "Statement of 3 May.\n"


def test_the_title_counts_only_if_the_text_begins_with_it() -> None:
    assert read(drawn("Talks in Oslo", title="Talks in  Oslo")).title == "Talks in Oslo"
    assert read(drawn("Talks in Oslo", title="template_2.dot")).title == ""


def test_a_file_that_opens_without_a_password_is_read() -> None:
    for_owner = StandardEncryption("", ownerPassword="secret", canCopy=0, strength=128)
    assert read(drawn("Guns fell silent.", encrypt=for_owner)).text == "Guns fell silent.\n"


def test_pages_without_text_are_reported() -> None:
    made = BytesIO()
    canvas = Canvas(made)
    for text in ("Guns fell silent.", "", "Rain fell."):
        canvas.drawString(72, 700, text) if text else canvas.rect(0, 0, 300, 300, fill=1)
        canvas.showPage()
    canvas.showPage()  # a blank page
    canvas.save()
    found = read(made.getvalue())
    assert (found.text, found.notes) == (
        "Guns fell silent.\n\nRain fell.\n",
        ("page 2 was left out because it has no text layer",),
    )


SCANNED = one_page(
    stream(b"q 600 0 0 800 0 0 cm /I Do Q"), "/XObject << /I 5 0 R >>", stream(b"\x80", "/Type /XObject")
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SCANNED, "has no text layer"),
        (drawn(""), "has no text layer"),
        (drawn("a", encrypt=StandardEncryption("secret", strength=128)), "protected by a password"),
        (drawn("a")[:300], "damaged"),
        (b"%PDF-1.7\n", "damaged"),
        (drawn(*"abc"), "has 3 pages, but at most 2"),
    ],
    ids=["scanned", "blank", "encrypted", "cut", "empty", "pages"],
)
def test_a_file_that_cannot_be_read_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(UnreadableFileError, match=message):
        read(content, pages=2)


LOOP = pdf(
    "<< /Type /Catalog /Pages 2 0 R >>",
    "<< /Type /Pages /Kids [2 0 R 3 0 R] /Count 2 >>",
    "<< /Type /Pages /Parent 2 0 R /Kids [2 0 R] /Count 1 >>",
)
MANY = pdf("<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [] /Count 999999999 >>")


@pytest.mark.parametrize("content", [LOOP, MANY], ids=["loop", "count"])
def test_a_page_tree_without_an_end_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableFileError):
        read(content)


def test_a_form_that_contains_itself_is_read_once() -> None:
    entries = "/Type /XObject /Subtype /Form /BBox [0 0 600 800] /Resources << /XObject << /X 5 0 R >> >>"
    form = stream(b"BT /F 12 Tf 9 9 Td (Again.) Tj ET /X Do", entries)
    found = read(one_page(stream(b"BT /F 12 Tf 72 700 Td (Guns fell.) Tj ET /X Do"), "/XObject << /X 5 0 R >>", form))
    assert found.text == "Guns fell.\n\nAgain.\n"
