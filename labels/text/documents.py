"""Files and folders -> documents: plain text, Markdown, HTML, and rows of JSONL, CSV and Parquet.

A file or row that cannot be read is reported and left out; the others are read. `labels.text.sentences` cuts documents,
`labels.store` keeps them.
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
"""What a file says about its text: `source`, `url`, `title`, `date`, `language`, `synthetic`, and keys of its own."""

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_WORDLESS = ("image", "html_inline")
_SILENT_TAGS = ("script", "style")
_INLINE_TAG = re.compile("a|abbr|b|big|cite|code|del|em|font|i|img|ins|mark|q|s|small|span|strong|su[bp]|time|tt|u|wbr")
_PROVENANCE = ("source", "url", "title", "date", "language")
_LONGEST = {"date": DATE_LENGTH, "language": LANGUAGE_LENGTH}


# -- finding files


def find_files(paths: Iterable[str | Path]) -> list[Path]:
    """The files at `paths`, with those in folders, sorted; hidden files in folders are left out.

    Raises:
        DataError: a path does not exist, a file has an ending that cannot be read, or nothing was found.
    """
    refuse_lone_string(paths, "paths")
    given = [Path(path) for path in paths]
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            found += _files_in(path)
        elif not path.exists():
            raise DataError(f"{path}: there is no such file or folder. Check the path.")
        elif path.suffix.lower() not in DOCUMENT_SUFFIXES:
            raise DataError(f"{path}: documents are read from {', '.join(DOCUMENT_SUFFIXES)} files. Convert it.")
        else:
            found.append(path)
    if not found:
        raise DataError(f"{', '.join(map(str, given))}: no file ending in {', '.join(DOCUMENT_SUFFIXES)} there.")
    return found


def _files_in(folder: Path) -> list[Path]:
    inside = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in DOCUMENT_SUFFIXES and path.is_file()]
    # Only names below the folder count: a folder that is hidden itself was named on purpose.
    return [path for path in inside if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


# -- reading


def read_documents(paths: Iterable[str | Path], reject: Reject) -> Iterator[Document]:
    """Yield the documents of all files in order; `reject` gets a message for each file or row that is left out.

    `source` is taken from the front matter or the row, else from the row's `document_id` or `id`, else it is the file's
    name.

    Raises:
        DataError: as `find_files`.
    """
    for path in find_files(paths):
        yield from read_file(path, reject)


def read_file(path: Path, reject: Reject) -> Iterator[Document]:
    """Yield the documents of one file; `reject` gets a message for the file or each row that cannot be read."""
    try:
        if path.suffix.lower() in ROW_SUFFIXES:
            yield from _row_documents(path, reject)
        else:
            yield _file_document(path)
    except DataError as error:
        reject(str(error))


def read_front_matter(path: Path) -> Matter:
    """The whole front matter of a .txt or .md file, also the keys that a document does not keep.

    Empty where there is none, and for files of other endings.

    Raises:
        DataError: it is not YAML, or the file cannot be read.
    """
    return _front_matter(read_text(path), path)[0] if path.suffix.lower() in (".txt", ".md") else {}


def _file_document(path: Path) -> Document:
    parsers: dict[str, Callable[[str, Path], tuple[Matter, str]]] = {".md": _markdown, ".html": _html, ".htm": _html}
    parse = parsers.get(path.suffix.lower(), _front_matter)
    matter, text = parse(read_text(path), path)
    if not text.strip():
        raise DataError(f"{path}: there is no text in it. Remove it, or check how it was saved.")
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
        raise DataError(f"{path}: the file's name is not UTF-8 text. Rename the file, or give a `source` in it.")
    return path.name


def _check_storable(document: Document, place: str) -> None:
    """Refuse text or provenance that some stores cannot hold: PostgreSQL takes no NUL and limits columns."""
    for name in ("text", *_PROVENANCE):
        value = getattr(document, name)
        if not is_unicode(value):
            raise DataError(f"{place}: `{name}` contains an unpaired surrogate. Fix or remove it.")
        if "\0" in value:
            raise DataError(f"{place}: `{name}` contains a NUL character. Remove it, or save the file as UTF-8.")
    for name, longest in _LONGEST.items():
        length = len(getattr(document, name))
        if length > longest:
            raise DataError(f"{place}: `{name}` has {length} characters; at most {longest} are allowed. Shorten it.")


# -- parsing: content of a file -> (front matter, text)


def _front_matter(content: str, path: Path) -> tuple[Matter, str]:
    """The YAML block between `---` lines at the top of a file, and the rest."""
    import yaml

    match = _FRONT_MATTER.match(content)
    if match is None:
        return {}, content
    try:
        matter = yaml.safe_load(match.group(1))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        row = mark.line + 2 if mark is not None else None  # marks count from 0, and the first `---` is a line too
        raise DataError(f"{DataError.place(path, row)}: the front matter is not YAML. Fix or remove it.") from error
    if not isinstance(matter, dict):
        return {}, content  # a text that only happens to begin with a rule
    return matter, content[match.end() :].lstrip("\n")


def _markdown(content: str, path: Path) -> tuple[Matter, str]:
    """The words of Markdown, each block a paragraph; the text of links stays, pictures, tags and fenced code go.

    Indented blocks stay: in articles they are far more often paragraphs than code.
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
    """Collects the words of HTML; every tag that is not inside a line begins a new paragraph."""

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
    words.feed(block.replace("<![", "<!"))  # the parser fails at marked sections that it does not know
    words.close()
    return words.paragraphs


def _html(content: str, path: Path) -> tuple[Matter, str]:
    from trafilatura import bare_extraction

    page = bare_extraction(content, include_comments=False, include_tables=False, with_metadata=True)
    if page is None or not page.text:
        raise DataError(f"{path}: no article text was found in this page. Save its text as .txt instead.")
    title = page.title or ""
    # A headline often is a statement itself, so it is kept as the first paragraph.
    text = page.text if not title or page.text.startswith(title) else f"{title}\n\n{page.text}"
    return {"source": page.sitename, "url": page.url, "title": title, "date": page.date}, text
