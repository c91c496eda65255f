"""Read documents from plain text, Markdown, HTML, and from rows of JSONL, CSV and Parquet files.

A file or row that cannot be read is reported and skipped, and reading continues. `labels.text.sentences` splits the
documents into sentences; `labels.store` stores them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from labels.errors import DataError, refuse_lone_string
from labels.files import read_text
from labels.records import DATE_LENGTH, LANGUAGE_LENGTH, Document
from labels.text.rows import ROW_SUFFIXES, Reject, Row, is_unicode, read_rows, row_text

FILE_SUFFIXES = (".txt", ".md", ".html", ".htm")
DOCUMENT_SUFFIXES = FILE_SUFFIXES + ROW_SUFFIXES

Matter = dict[str, Any]
"""Metadata of a text: `source`, `url`, `title`, `date`, `language`, `synthetic`, and any other keys in the file."""

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_WORDLESS = ("image", "html_inline")
_SILENT_TAGS = ("script", "style")
_INLINE_TAG = re.compile("a|abbr|b|big|cite|code|del|em|font|i|img|ins|mark|q|s|small|span|strong|su[bp]|time|tt|u|wbr")
_PROVENANCE = ("source", "url", "title", "date", "language")
_LONGEST = {"date": DATE_LENGTH, "language": LANGUAGE_LENGTH}


# -- finding files


def find_files(paths: Iterable[str | Path]) -> list[Path]:
    """List the files in `paths`, including the files inside folders, sorted within each folder.

    Hidden files inside folders are skipped.

    Raises:
        DataError: a path does not exist, a file has an unsupported extension, or no file was found.
    """
    refuse_lone_string(paths, "paths")
    given = [Path(path) for path in paths]
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            found += _files_in(path)
        elif not path.exists():
            raise DataError(f"{path}: this file or folder does not exist. Check the path.")
        elif path.suffix.lower() not in DOCUMENT_SUFFIXES:
            raise DataError(
                f"{path}: documents can only be read from {', '.join(DOCUMENT_SUFFIXES)} files. Convert the file."
            )
        else:
            found.append(path)
    if not found:
        raise DataError(
            f"{', '.join(map(str, given))}: no documents found. Files must have one of the extensions "
            f"{', '.join(DOCUMENT_SUFFIXES)}."
        )
    return found


def _files_in(folder: Path) -> list[Path]:
    inside = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in DOCUMENT_SUFFIXES and path.is_file()]
    # Only names below the folder are checked: if the folder itself is hidden, the user chose it on purpose.
    return [path for path in inside if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


# -- reading


def read_documents(paths: Iterable[str | Path], reject: Reject) -> Iterator[Document]:
    """Yield the documents of all files in order; `reject` is called with a message for each skipped file or row.

    `source` comes from the front matter or the row, otherwise from the row's `document_id` or `id`, otherwise it is
    the file name.

    Raises:
        DataError: see `find_files`.
    """
    for path in find_files(paths):
        yield from read_file(path, reject)


def read_file(path: Path, reject: Reject) -> Iterator[Document]:
    """Yield the documents of one file; `reject` is called with a message if the file or a row cannot be read."""
    try:
        if path.suffix.lower() in ROW_SUFFIXES:
            yield from _row_documents(path, reject)
        else:
            yield _file_document(path)
    except DataError as error:
        reject(str(error))


def read_front_matter(path: Path) -> Matter:
    """The complete front matter of a .txt or .md file, including keys that `Document` does not have.

    Empty if the file has no front matter or has another extension.

    Raises:
        DataError: the front matter is not valid YAML, or the file cannot be read.
    """
    return _front_matter(read_text(path), path)[0] if path.suffix.lower() in (".txt", ".md") else {}


def _file_document(path: Path) -> Document:
    parsers: dict[str, Callable[[str, Path], tuple[Matter, str]]] = {".md": _markdown, ".html": _html, ".htm": _html}
    parse = parsers.get(path.suffix.lower(), _front_matter)
    matter, text = parse(read_text(path), path)
    if not text.strip():
        raise DataError(f"{path}: the file contains no text. Remove the file, or check how it was saved.")
    return _document(matter, text, path, str(path))


def _row_documents(path: Path, reject: Reject) -> Iterator[Document]:
    for number, row in read_rows(path, reject):
        try:
            document = _row_document(path, number, row)
        except DataError as error:
            reject(str(error))
        else:
            yield document


def _row_document(path: Path, number: int, row: Row) -> Document:
    place = DataError.place(path, number)
    text = row_text(row, place)
    names = (row.get("source"), row.get("document_id"), row.get("id"))
    source = next((name for name in names if name not in (None, "")), None)
    return _document(row | {"source": source}, text.replace("\r\n", "\n"), path, place)


def _document(matter: Matter, text: str, path: Path, place: str) -> Document:
    given = {key: str(matter[key]) for key in _PROVENANCE if matter.get(key) not in (None, "")}
    if "source" not in given:
        given["source"] = _file_name(path)
    document = Document(text=text, synthetic=matter.get("synthetic") in (True, "true", "True"), **given)
    _check_storable(document, place)
    return document


def _file_name(path: Path) -> str:
    if not is_unicode(path.name):
        raise DataError(f"{path}: the file name is not UTF-8 text. Rename the file, or add a `source` to its content.")
    return path.name


def _check_storable(document: Document, place: str) -> None:
    """Raise DataError for text or metadata that some databases reject: PostgreSQL forbids NUL and limits columns."""
    for name in ("text", *_PROVENANCE):
        value = getattr(document, name)
        if not is_unicode(value):
            raise DataError(f"{place}: `{name}` contains an unpaired surrogate. Fix or remove the character.")
        if "\0" in value:
            raise DataError(
                f"{place}: `{name}` contains a NUL character. Remove the character, or save the file as UTF-8."
            )
    for name, longest in _LONGEST.items():
        length = len(getattr(document, name))
        if length > longest:
            raise DataError(
                f"{place}: `{name}` has {length} characters, but at most {longest} are allowed. Shorten the value."
            )


# -- parsing: file content -> (front matter, text)


def _front_matter(content: str, path: Path) -> tuple[Matter, str]:
    """The YAML block between `---` lines at the top of a file, and the remaining text."""
    import yaml

    match = _FRONT_MATTER.match(content)
    if match is None:
        return {}, content
    try:
        matter = yaml.safe_load(match.group(1))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        row = mark.line + 2 if mark is not None else None  # marks start at 0 and do not include the first `---` line
        raise DataError(
            f"{DataError.place(path, row)}: the front matter is not valid YAML. Fix or remove the front matter."
        ) from error
    if not isinstance(matter, dict):
        return {}, content  # not front matter: the text begins with a horizontal rule
    return matter, content[match.end() :].lstrip("\n")


def _markdown(content: str, path: Path) -> tuple[Matter, str]:
    """The plain text of Markdown, one paragraph per block.

    Link texts are kept; images, tags and fenced code are removed. Indented blocks are kept, because in articles most of
    them are paragraphs, not code.
    """
    from markdown_it import MarkdownIt

    matter, body = _front_matter(content, path)
    blocks: list[str] = []
    for token in MarkdownIt("commonmark").parse(body):
        if token.type == "inline":
            words = {"softbreak": "\n", "hardbreak": "\n"}
            pieces = (words.get(part.type, part.content) for part in token.children or () if part.type not in _WORDLESS)
            blocks.append("".join(pieces))
        elif token.type == "html_block":
            blocks += _html_paragraphs(token.content)
        elif token.type == "code_block":
            blocks.append(token.content)
    return matter, "\n\n".join(block.strip() for block in blocks if block.strip())


class _HtmlWords(HTMLParser):
    """Collects the text of HTML; every tag that is not inline starts a new paragraph."""

    def __init__(self) -> None:
        super().__init__()
        self.paragraphs = [""]
        self._silent = False

    def handle_starttag(self, tag: str, _: object) -> None:
        self._silent = tag in _SILENT_TAGS
        self._break_at(tag)

    def handle_endtag(self, tag: str) -> None:
        self._silent = False
        self._break_at(tag)

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.paragraphs[-1] += data

    def _break_at(self, tag: str) -> None:
        if not _INLINE_TAG.fullmatch(tag):
            self.paragraphs.append("")


def _html_paragraphs(block: str) -> list[str]:
    words = _HtmlWords()
    words.feed(block.replace("<![", "<!"))  # the parser raises an error on unknown marked sections
    words.close()
    return words.paragraphs


def _html(content: str, path: Path) -> tuple[Matter, str]:
    from trafilatura import bare_extraction

    page = bare_extraction(content, include_comments=False, include_tables=False, with_metadata=True)
    if page is None or not page.text:
        raise DataError(f"{path}: this page contains no article text. Save the text of the page as a .txt file.")
    title = page.title or ""
    # A headline is often a statement, so it becomes the first paragraph.
    text = page.text if not title or page.text.startswith(title) else f"{title}\n\n{page.text}"
    return {"source": page.sitename, "url": page.url, "title": title, "date": page.date}, text
