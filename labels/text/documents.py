"""Read documents from plain text, Markdown, HTML, Word, PDF, and from rows of JSONL, CSV and Parquet files.

If the content of a file does not match its extension, the content decides how the file is read, or the file is refused.
An export from a news archive contains several documents. A file or row that cannot be read is reported and skipped,
and reading continues. `labels.text.sentences` splits the documents into sentences; `labels.store` stores them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from labels.errors import DataError, counted, refuse_lone_string
from labels.records import DATE_LENGTH, LANGUAGE_LENGTH, Document, Origin
from labels.text.headers import ColumnNames
from labels.text.labelled.exported import describe_skipped, own_folder, own_table
from labels.text.parsing.articles import Article
from labels.text.parsing.markup import (
    Matter,
    check_date,
    decode_page,
    html_fragment_text,
    markdown_text,
    read_page,
    rtf_text,
    split_front_matter,
)
from labels.text.parsing.news_exports import read_factiva, read_nexis
from labels.text.parsing.office import MAX_BYTES, is_office, read_office
from labels.text.parsing.recognition import (
    Oddities,
    is_html_fragment,
    is_page,
    is_rtf,
    refuse_binary,
    refuse_data,
    refuse_web_archive,
)
from labels.text.rows import ROW_SUFFIXES, EqualTexts, NamedRows, Reject, Row, is_unicode, row_text
from labels.unicode import is_blank, is_missing, read_bytes, read_text

FILE_SUFFIXES = (".txt", ".md", ".html", ".htm", ".docx", ".pdf")
DOCUMENT_SUFFIXES = FILE_SUFFIXES + ROW_SUFFIXES

_ABOUT = "about the folder, not articles"
_ABOUT_NAMES = frozenset({"README", "CHANGELOG", "LICENSE", "LICENCE", "COPYING", "CONTRIBUTING", "CODE_OF_CONDUCT"})
"""Names, in capitals and without extension, of files that describe a project or data set."""

Note = Callable[[str], object]

_PROVENANCE = ("source", "url", "title", "date", "language")
_TRUE = ("true", "yes", "on", "1")
_LONGEST = {"date": DATE_LENGTH, "language": LANGUAGE_LENGTH}


# -- finding files


@dataclass(frozen=True)
class FoundFiles:
    """The files with documents in some paths, and notes on files and folders inside that are not read."""

    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def find_files(paths: Iterable[str | Path]) -> FoundFiles:
    """Find the files in `paths`, including the files inside folders, sorted within each folder.

    Hidden files inside folders are skipped, and so are outputs of communique and MLflow and files about the folder
    (`README.md`, `LICENSE.txt`...). A file or folder that is named in `paths` is always read.

    Raises:
        DataError: a path does not exist, a file has an unsupported extension, or no file was found.
    """
    refuse_lone_string(paths, "paths")
    given = [Path(path) for path in paths]
    found: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    for path in given:
        if path.is_dir():
            for file, output in _files_in(path):
                skipped.append((file, output)) if output else found.append(file)
        elif not path.exists():
            raise DataError(f"{path}: this file or folder does not exist. Check the path.")
        elif path.suffix.lower() not in DOCUMENT_SUFFIXES:
            raise DataError(
                f"{path}: documents can only be read from {', '.join(DOCUMENT_SUFFIXES)} files. Convert the file."
            )
        else:
            found.append(path)
    notes = tuple(describe_skipped(skipped))
    if not found:
        others = "".join(f" Note: {note}. To read such a file anyway, pass its own path." for note in notes)
        raise DataError(
            f"{', '.join(map(str, given))}: no documents found. Files must have one of the extensions "
            f"{', '.join(DOCUMENT_SUFFIXES)}.{others}"
        )
    return FoundFiles(tuple(found), notes)


def _files_in(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file inside a folder with an empty string, or with its kind of content if it is not a document."""
    # Only names below the folder are checked: if the folder itself is hidden, the user chose it on purpose.
    for path in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
        if path.is_dir():
            if not path.is_symlink():
                output = own_folder(path)
                yield from [(path, output)] if output else _files_in(path)
        elif path.suffix.lower() in DOCUMENT_SUFFIXES and path.is_file():
            yield path, _ABOUT if path.stem.upper() in _ABOUT_NAMES else own_table(path)


# -- reading


def read_documents(paths: Iterable[str | Path], reject: Reject) -> Iterator[Document]:
    """Yield the documents of all files in order; `reject` is called with a message for each skipped file or row.

    `source` comes from the front matter or the row, otherwise from the row's `document_id` or `id`, otherwise it is
    the file name. A file name is not part of a document's identity (see `labels.records`).

    Raises:
        DataError: see `find_files`.
    """
    found = find_files(paths)
    for note in found.notes:
        reject(note)
    for path in found.files:
        yield from read_file(path, reject)


def read_file(
    path: Path,
    reject: Reject,
    text_column: str = "",
    note: Note = lambda _: None,
    columns: Sequence[str] = (),
) -> Iterator[Document]:
    """Yield the documents of one file.

    Args:
        reject: called with a message if the file or a row cannot be read.
        text_column: the column with the texts of a table; empty for `text`.
        note: called with each remark on how a file was read, such as the separator of a table.
        columns: the columns of a table that documents keep in `Document.kept`, if the row has them.
    """
    try:
        if path.suffix.lower() in ROW_SUFFIXES:
            rows = NamedRows(path, ColumnNames(text_column), reject)
            yield from _row_documents(rows, reject, columns, note)
            for remark in rows.notes:
                note(remark)
        else:
            yield from _file_documents(path, reject, note)
    except DataError as error:
        reject(str(error))


def read_front_matter(path: Path) -> Matter:
    """Return the complete front matter of a .txt or .md file, including keys that `Document` does not have.

    The result is empty if the file has no front matter or has another extension.

    Raises:
        DataError: the front matter is not valid, or the file cannot be read.
    """
    return split_front_matter(read_text(path), path)[0] if path.suffix.lower() in (".txt", ".md") else {}


def _file_documents(path: Path, reject: Reject, note: Note) -> Iterator[Document]:
    office = is_office(read_bytes(path, 1024))
    if not office:
        refuse_binary(path)
    content = read_bytes(path, MAX_BYTES + 1 if office else -1)
    if office:
        found = _read_office(content, path, note)
    elif is_rtf(content):
        found = _Content({}, rtf_text(content, path))
        note(f"{path}: this RTF file is read as plain text")
    else:
        found = _parse(decode_page(content, path), path, note)
    if is_blank(found.text):
        raise DataError(f"{path}: the file contains no text. Remove the file, or check how it was saved.")
    articles = None if found.matter and not office else read_nexis(found.text) or read_factiva(found.text)
    if articles is None:
        document = _document(found.matter, found.text, path, str(path))
        yield replace(document, former_text=found.former_text) if found.former_text else document
    else:
        note(f"{path}: this export of a news archive is read as {counted(len(articles), 'article')}")
        yield from _article_documents(articles, path, reject)


class _Content(NamedTuple):
    matter: Matter
    text: str
    former_text: str = ""


def _read_office(content: bytes, path: Path, note: Note) -> _Content:
    found = read_office(content, path)
    if path.suffix.lower() not in (".docx", ".pdf"):
        note(f"{path}: the text of this Word or PDF file is read, although the extension is {path.suffix}")
    for remark in found.notes:
        note(f"{path}: {remark}")
    return _Content({"title": found.title} if found.title else {}, found.text)


def _parse(content: str, path: Path, note: Note) -> _Content:
    """Return the metadata and the text of a file that is not binary."""
    refuse_web_archive(content, path)
    suffix = path.suffix.lower()
    if suffix in (".html", ".htm"):
        return _Content(*read_page(content, path))
    if is_page(content):
        note(f"{path}: the article in this web page is read, although the extension is {suffix}")
        return _Content(*read_page(content, path))
    matter, body = split_front_matter(content, path)
    if not matter:
        refuse_data(body, path)
    if suffix == ".md":
        text = markdown_text(body)
        _note_oddities(text, path, note)
        return _Content(matter, text, markdown_text(body, soft_break="\n"))
    if not is_html_fragment(body):
        _note_oddities(body, path, note)
        return _Content(matter, body)
    note(f"{path}: the words in this part of a web page are read, although the extension is {suffix}")
    return _Content(matter, html_fragment_text(body))


def _note_oddities(text: str, path: Path, note: Note) -> None:
    for remark in Oddities.of([text]).notes(path):
        note(remark)


def _article_documents(articles: Iterable[Article], path: Path, reject: Reject) -> Iterator[Document]:
    """Yield the articles of a news archive's export; `reject` is called for each article that cannot be read."""
    for article in articles:
        place = DataError.place(path, article.line)
        if article.problem:
            reject(f"{place}: {article.problem}. Correct the export, or move the text to a separate file.")
            continue
        try:
            yield _document(article.matter, article.text, path, place)
        except DataError as error:
            reject(str(error))


def _row_documents(rows: NamedRows, reject: Reject, columns: Sequence[str], note: Note) -> Iterator[Document]:
    equal = EqualTexts()
    previous, told = None, False
    for number, row in rows:
        own = row.get("document_id")
        if own == previous and not told and not is_missing(own):
            note(
                f"{rows.path}: rows with the same `document_id` are read as separate documents, so intervals treat "
                "them as independent. To avoid this, put the whole text of a document in one row"
            )
            told = True
        previous = own
        try:
            document = _row_document(rows.path, number, row, equal)
        except DataError as error:
            reject(str(error))
        else:
            kept = {name: row[name] for name in columns if name in row}
            yield replace(document, kept=kept) if kept else document
    if rows.is_empty:
        reject(f"{rows.path}: the file has no rows. Add rows, or remove the file.")


def _row_document(path: Path, number: int, row: Row, equal: EqualTexts) -> Document:
    place = DataError.place(path, number)
    text = row_text(row, place)
    names = (row.get("source"), row.get("document_id"), row.get("id"))
    source = next((name for name in names if not is_missing(name)), None)
    origin = Origin.of(row)
    if not origin.is_stated:
        origin = Origin(number=equal.number(text))
    given = {key: None if is_missing(value) else value for key, value in row.items()}
    check_date(str(given.get("date")), place)
    return _document(given | {"source": source}, text, path, place, origin)


def _document(matter: Matter, text: str, path: Path, place: str, origin: Origin | None = None) -> Document:
    provided = (key for key in _PROVENANCE if matter.get(key) not in (None, ""))
    given: dict[str, Any] = {key: _provenance(key, matter[key], place) for key in provided}
    stated = origin or Origin.of(matter)
    if "source" not in given:
        given["source"] = _file_name(path)
    document = Document(text=text, synthetic=str(matter.get("synthetic")).lower() in _TRUE, origin=stated, **given)
    _check_storable(document, place)
    return document


def _provenance(key: str, value: Any, place: str) -> str:
    if isinstance(value, dict | list | tuple):
        raise DataError(
            f"{place}: `{key}` must be one value, but it is a list or an object. Put text with brackets in quotes."
        )
    return str(value)


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
                f"{place}: `{name}` has {counted(length, 'character')}, but at most {longest} are allowed. "
                "Shorten the value."
            )
