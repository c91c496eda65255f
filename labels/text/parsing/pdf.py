"""Read the lines of PDF files and their places on the page with PDFium; `pdf_prose` joins them into paragraphs.

PDFium does not run scripts or follow links here. Loops in a file end at the limits of PDFium or of the process.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from labels.text.parsing.office import Limits, OfficeText, UnreadableFileError
from labels.text.parsing.pdf_prose import Line, prose

_PASSWORD, _SECURITY = 4, 5
"""PDFium's codes for a wrong password and an unknown kind of encryption."""
_HYPHENS = {"\x02": "-", "\ufffe": "-", "\xad": "-"}
_NOTE_MARKS = frozenset("0123456789*†‡,")
_SMALL, _RAISED = 0.85, 0.15
"""A note reference is smaller than this share of the line's size, and raised by at least this share of it."""
_SHOWN_PAGES = 10


def read_pdf(content: bytes, limits: Limits) -> OfficeText:
    """Return the text of a PDF file.

    Raises:
        UnreadableFileError: the file is damaged, protected by a password, too long, or has no text layer.
    """
    document = _open(content)
    if len(document) > limits.pages:
        raise UnreadableFileError(
            f"the PDF file has {len(document):,} pages, but at most {limits.pages:,} are read. Divide the file."
        )
    pages, pictures, damaged = [list[Line]() for _ in range(len(document))], list[int](), list[int]()
    for index in range(len(document)):
        try:
            page = document[index]
        except pypdfium2.PdfiumError:
            damaged.append(index + 1)
            continue
        pages[index] = list(_lines(page.get_textpage()))
        if not pages[index] and pdfium.FPDFPage_CountObjects(page.raw):
            pictures.append(index + 1)
        page.close()
    text = prose(pages)
    if not text:
        raise UnreadableFileError(
            "the PDF file has no text layer: its pages are pictures, or empty. "
            "Add a text layer by OCR, for example with `ocrmypdf IN.pdf OUT.pdf`."
        )
    notes = [
        *_note(pictures, "has no text layer", "have no text layer"),
        *_note(damaged, "is damaged", "are damaged"),
    ]
    return OfficeText(text, _title(document, text), tuple(notes))


def _open(content: bytes) -> Any:
    try:
        return pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (_PASSWORD, _SECURITY):
            raise UnreadableFileError(
                "the PDF file is protected by a password. Open it with the password and save a copy without one."
            ) from error
        raise UnreadableFileError("the PDF file is damaged. Open it in a viewer and print it to a new PDF.") from error


def _note(pages: list[int], one: str, several: str) -> Iterator[str]:
    if pages:
        more = f" and {len(pages) - _SHOWN_PAGES} more" if len(pages) > _SHOWN_PAGES else ""
        numbers = ", ".join(map(str, pages[:_SHOWN_PAGES]))
        if len(pages) == 1:
            yield f"page {numbers} was left out because it {one}"
        else:
            yield f"pages {numbers}{more} were left out because they {several}"


def _title(document: Any, text: str) -> str:
    """Return the title in the metadata if the text begins with it: many are only names of files or templates."""
    title = " ".join(document.get_metadata_value("Title").split())
    return title if title and title.lower() in " ".join(text[:1000].split()).lower() else ""


# -- lines of a page


def _lines(page: Any) -> Iterator[Line]:
    """Yield the lines of a page in PDFium's order, which is the order of the content."""
    previous: Line | None = None
    for start, end in _pieces(page):
        line = _line(page, start, end)
        if line is None:
            continue
        # PDFium divides a line at a raised note reference.
        if previous is not None and _goes_on(previous, line):
            previous = previous.joined(line)
            continue
        if previous is not None:
            yield previous
        previous = line
    if previous is not None:
        yield previous


def _pieces(page: Any) -> Iterator[tuple[int, int]]:
    start, count = 0, page.count_chars()
    for index in range(count):
        if pdfium.FPDFText_GetUnicode(page.raw, index) in (10, 13):
            yield start, index
            start = index + 1
    yield start, count


def _goes_on(line: Line, following: Line) -> bool:
    same_row = abs(line.base - following.base) < 0.2 * line.size
    return same_row and -0.3 * line.size < following.left - line.right < line.size


def _line(page: Any, start: int, end: int) -> Line | None:
    characters = [chr(pdfium.FPDFText_GetUnicode(page.raw, index)) for index in range(start, end)]
    seen = [index for index, character in enumerate(characters) if not character.isspace()]
    boxes = {index: _numbers(pdfium.FPDFText_GetLooseCharBox, page, start + index, pdfium.FS_RECTF()) for index in seen}
    boxes = {index: box for index, box in boxes.items() if box[2] > box[0] and box[1] > box[3]}
    if not boxes:
        return None
    bases = {index: _origin(page, start + index) for index in boxes}
    size, base = median(box[1] - box[3] for box in boxes.values()), median(bases.values())
    references = {
        index
        for index, box in boxes.items()
        if characters[index] in _NOTE_MARKS and box[1] - box[3] < _SMALL * size and bases[index] - base > _RAISED * size
    }
    text = "".join(_HYPHENS.get(one, one) for index, one in enumerate(characters) if index not in references)
    left, right = min(box[0] for box in boxes.values()), max(box[2] for box in boxes.values())
    ends = (min(boxes), max(boxes))
    bold = all("bold" in _font(page, start + index).lower() for index in ends)
    return Line(" ".join(text.split()), left, right, base, size, bold) if text.strip() else None


def _numbers(ask: Callable[..., int], page: Any, index: int, box: Any) -> tuple[float, float, float, float]:
    ask(page.raw, index, box)
    return box.left, box.top, box.right, box.bottom


def _origin(page: Any, index: int) -> float:
    x, y = ctypes.c_double(), ctypes.c_double()
    pdfium.FPDFText_GetCharOrigin(page.raw, index, x, y)
    return y.value


def _font(page: Any, index: int) -> str:
    buffer, flags = ctypes.create_string_buffer(100), ctypes.c_int()
    length = pdfium.FPDFText_GetFontInfo(page.raw, index, buffer, len(buffer), flags)
    return buffer.raw[: min(length, len(buffer))].decode("utf-8", "replace")
