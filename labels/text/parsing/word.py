"""Read the text of Word files (.docx) with zipfile and lxml.

Paragraphs, headings, list items and the cells of tables become paragraphs of the text, in their order. Footnotes and
endnotes follow at the end, so that they do not interrupt a sentence. Page headers and footers, comments, deleted and
hidden text, tables of contents, field instructions, pictures and embedded files are left out. Links are never followed,
and macros are never run, because this module does not open the parts of the archive that contain them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile
from zlib import error as ZlibError  # noqa: N812

from lxml import etree

from labels.text.parsing.office import MAX_BYTES, SAVE_TEXT, Limits, OfficeText, UnreadableFileError
from labels.text.parsing.recognition import describe_zip

_MAX_ENTRIES = 5000
_MAX_RATIO, _SMALL = 200, 2**20
"""Maximum ratio of unpacked to packed size, for parts of more than `_SMALL` bytes."""
_SKIPPED = frozenset(
    {"del", "moveFrom", "instrText", "delText", "delInstrText", "pPr", "rPr", "sectPr", "tblPr", "trPr", "tcPr"}
    | {"rt", "annotationRef", "footnoteRef", "endnoteRef"}
)
_CHARACTERS = {"tab": " ", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": " "}
_BLANKS = re.compile(r"[^\S\n]+")
_DAMAGED = "this is a damaged Word file or ZIP archive. Open the document in a word processor and save it again."


def read_word(content: bytes, _: Limits) -> OfficeText:
    """Return the text of a Word file.

    Raises:
        UnreadableFileError: the file is damaged, made to exhaust its reader, not a Word file, or has no text.
    """
    try:
        with ZipFile(BytesIO(content)) as archive:
            return _read(_Parts(archive))
    except (BadZipFile, ZlibError, EOFError, etree.XMLSyntaxError, NotImplementedError, ValueError) as error:
        raise UnreadableFileError(_DAMAGED) from error
    except RuntimeError as error:  # zipfile raises it for encrypted archives
        raise UnreadableFileError("the archive is encrypted. Remove the password and save the file again.") from error


def _read(parts: _Parts) -> OfficeText:
    main = next(parts.related("", "/officeDocument"), "")
    root = parts.tree(main) if main else None
    if root is None or _local(root) != "document":
        raise UnreadableFileError(parts.describe())
    styles = next(parts.related(main, "/styles"), "")
    body = _Body(_style_names(parts.tree(styles)) if styles else {})
    paragraphs = list(body.paragraphs(root))
    for kind in ("footnote", "endnote"):
        place = next(parts.related(main, f"/{kind}s"), "")
        if place and body.references[kind]:
            paragraphs += _notes(parts.tree(place), body, kind)
    if not paragraphs:
        raise UnreadableFileError(
            "the Word file has no text: it is empty or contains only pictures. If the pictures show text, type it "
            "into a .txt file."
        )
    return OfficeText("\n\n".join(paragraphs) + "\n", title=body.title)


class _Parts:
    """The parts of the archive. The parts that are read may unpack to at most `MAX_BYTES` together."""

    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive
        self._left = MAX_BYTES
        self._infos = {info.filename: info for info in archive.infolist()}
        if len(archive.infolist()) > _MAX_ENTRIES:
            raise UnreadableFileError(f"the archive has more than {_MAX_ENTRIES:,} entries. {SAVE_TEXT}")
        if len(self._infos) < len(archive.infolist()):
            raise UnreadableFileError(f"the archive has two entries of the same name: {_DAMAGED}")

    def tree(self, name: str) -> Any:
        """Return the root of an XML part. Entities, document types and external references are refused."""
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
        )
        root = etree.fromstring(self._unpack(name), parser)
        if root.getroottree().docinfo.doctype:
            raise UnreadableFileError(f"{name} declares a document type, which Word files never do. {SAVE_TEXT}")
        return root

    def related(self, name: str, kind: str) -> Iterator[str]:
        """Yield the names of existing parts to which a part refers by a relationship whose type ends with `kind`."""
        folder, base = posixpath.split(name)
        relations = posixpath.join(folder, "_rels", f"{base}.rels")
        if relations not in self._infos:
            return
        for relation in self.tree(relations):
            target = str(relation.get("Target", ""))
            place = posixpath.normpath(target[1:] if target.startswith("/") else posixpath.join(folder, target))
            external = relation.get("TargetMode") == "External"
            if str(relation.get("Type", "")).endswith(kind) and not external and place in self._infos:
                yield place

    def describe(self) -> str:
        """Describe an archive that is not a Word file, and add the repair."""
        return _DAMAGED if "word/document.xml" in self._infos else describe_zip(self._infos)

    def _unpack(self, name: str) -> bytes:
        info = self._infos[name]
        if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise UnreadableFileError(_DAMAGED)
        # The size in the directory may be wrong on purpose, so count the bytes themselves.
        with self._archive.open(info) as file:
            content = file.read(self._left + 1)
        self._left -= len(content)
        if self._left < 0:
            raise UnreadableFileError(
                f"the file unpacks to more than {MAX_BYTES // 2**20} MB of text. Split the document into smaller files."
            )
        if len(content) > max(_SMALL, _MAX_RATIO * info.compress_size):
            raise UnreadableFileError(
                f"{name} is compressed more than {_MAX_RATIO} times, as in files made to exhaust their reader. "
                "Save the text as a .txt file."
            )
        return content


def _style_names(styles: Any) -> dict[str, str]:
    """Map style ids to names in lower case: Word translates ids, but not names."""
    return {
        _attribute(style, "styleId"): _attribute(name, "val").lower()
        for style in styles
        for name in style
        if _local(style) == "style" and _local(name) == "name"
    }


def _notes(root: Any, body: _Body, kind: str) -> Iterator[str]:
    own = {_attribute(note, "id"): note for note in root if not _attribute(note, "type")}
    for identifier in dict.fromkeys(body.references[kind]):
        if identifier in own:
            yield from body.paragraphs(own[identifier])


@dataclass
class _Body:
    """Collects paragraphs, the ids of notes in the order of the text (`references`), and the `title`."""

    styles: dict[str, str]
    title: str = ""
    references: dict[str, list[str]] = field(default_factory=lambda: {"footnote": [], "endnote": []})

    def paragraphs(self, parent: Any) -> Iterator[str]:
        """Yield the paragraphs below an element, in the order of the document."""
        for child in _children(parent):
            if _local(child) == "p":
                yield from self._paragraph(child)
            elif not (_local(child) == "sdt" and _is_contents(child)):
                yield from self.paragraphs(child)

    def _paragraph(self, paragraph: Any) -> Iterator[str]:
        style = self._style(paragraph)
        if style.startswith("toc"):
            return
        boxes: list[Any] = []
        text = _tidy("".join(self._words(paragraph, boxes)))
        if text:
            if style == "title" and not self.title:
                self.title = " ".join(text.split())
            yield text
        for box in boxes:
            yield from self.paragraphs(box)

    def _style(self, paragraph: Any) -> str:
        for properties in paragraph:
            if _local(properties) == "pPr":
                found = next((_attribute(one, "val") for one in properties if _local(one) == "pStyle"), "")
                return self.styles.get(found, found.lower())
        return ""

    def _words(self, parent: Any, boxes: list[Any]) -> Iterator[str]:
        """Yield the text of a paragraph in pieces; text boxes are added to `boxes`."""
        for child in _children(parent):
            name = _local(child)
            if name == "t":
                yield child.text or ""
            elif name == "br" and _attribute(child, "type") in ("page", "column"):
                yield "\n\n"
            elif name in _CHARACTERS:
                yield _CHARACTERS[name]
            elif name == "txbxContent":
                boxes.append(child)
            elif name in ("footnoteReference", "endnoteReference"):
                self.references[name.removesuffix("Reference")].append(_attribute(child, "id"))
            elif not (name == "r" and _is_hidden(child)):
                yield from self._words(child, boxes)


def _children(parent: Any) -> Iterable[Any]:
    """Return the children with text. If a text has alternative forms for older programs, only the first counts."""
    if _local(parent) == "AlternateContent":
        return list(parent)[:1]
    return [child for child in parent if _local(child) not in _SKIPPED]


def _is_contents(block: Any) -> bool:
    galleries = (_attribute(one, "val") for one in block.iter("{*}docPartGallery"))
    return "Table of Contents" in galleries


def _is_hidden(run: Any) -> bool:
    vanish = (one for properties in run if _local(properties) == "rPr" for one in properties if _local(one) == "vanish")
    return any(_attribute(one, "val") not in ("0", "false") for one in vanish)


def _tidy(text: str) -> str:
    lines = (" ".join(_BLANKS.sub(" ", line).split()) for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


# Ignore namespaces, because they differ between the strict and the usual form of the format.
def _local(element: Any) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _attribute(element: Any, name: str) -> str:
    return next((str(value) for key, value in element.attrib.items() if key.rpartition("}")[2] == name), "")
