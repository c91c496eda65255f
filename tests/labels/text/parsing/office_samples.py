"""Word and PDF files for the tests, made by python-docx and reportlab, or by hand where they must be hostile."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile
from zlib import compress

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def relations(**targets: str) -> str:
    links = (f'<Relationship Id="r{kind}" Type="{_OFFICE}/{kind}" Target="{to}"/>' for kind, to in targets.items())
    return f'<Relationships xmlns="{_RELATIONS}">{"".join(links)}</Relationships>'


def body(content: str) -> str:
    return f'<w:document xmlns:w="{WORD}"><w:body>{content}</w:body></w:document>'


def word(content: str, parts: dict[str, Any] | None = None, *, root: str = "") -> bytes:
    """A Word file with the XML of its body, and other parts by name."""
    made = BytesIO()
    with ZipFile(made, "w", ZIP_DEFLATED) as archive:
        archive.writestr("_rels/.rels", relations(officeDocument="word/document.xml"))
        archive.writestr("word/document.xml", root or body(content))
        for name, part in (parts or {}).items():
            archive.writestr(name, part)
    return made.getvalue()


def pdf(*objects: str | bytes, root: int = 1) -> bytes:
    """A PDF file with numbered objects, from 1."""
    content, places = bytearray(b"%PDF-1.7\n"), []
    for number, one in enumerate(objects, start=1):
        places.append(len(content))
        content += f"{number} 0 obj\n".encode() + (one.encode() if isinstance(one, str) else one) + b"\nendobj\n"
    start = len(content)
    content += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    content += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    content += f"trailer\n<< /Size {len(objects) + 1} /Root {root} 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(content)


def stream(content: bytes, entries: str = "") -> bytes:
    return f"<< /Length {len(content)} {entries} >>\nstream\n".encode() + content + b"\nendstream"


def packed(content: bytes, times: int = 1) -> bytes:
    """A stream that is compressed several times."""
    for _ in range(times):
        content = compress(content, 9)
    return stream(content, f"/Filter [{' /FlateDecode' * times}]")


def one_page(content: bytes, resources: str = "", *more: str | bytes) -> bytes:
    """A PDF file of one page, whose content is object 4; further objects begin with 5."""
    page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R"
    font = "/Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"
    return pdf(
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"{page} /Resources << {font} {resources} >> >>",
        content,
        *more,
    )
