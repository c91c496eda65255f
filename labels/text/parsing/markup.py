"""Extract the plain text of Markdown, HTML and RTF, and the YAML front matter at the top of a text file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from labels.errors import DataError
from labels.unicode import decode

if TYPE_CHECKING:
    from markdown_it.token import Token


Matter = dict[str, Any]
"""Metadata of a text: `source`, `url`, `title`, `date`, `language`, `synthetic`, and any other keys in the file."""

_BLOCK = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_NO_VALUE = ("", "~", "null")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def split_front_matter(content: str, path: Path) -> tuple[Matter, str]:
    """Split the content of a file into front matter and the remaining text.

    Single values are text exactly as written, so `language: no`, `title: 12:30` and `title: 007` do not become truth
    values or numbers. An empty value, `~` or `null` becomes None.

    Raises:
        DataError: the block is not valid YAML, has a key twice, or its `date` is not in the calendar.
    """
    import yaml

    match = _BLOCK.match(content)
    if match is None:
        return {}, content
    try:
        pairs = _pairs(match.group(1))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        raise DataError(
            f"{_place(path, mark)}: the front matter is not valid YAML ({getattr(error, 'problem', None) or error}). "
            "Put values with `: ` or brackets in quotes, or remove the front matter."
        ) from error
    if pairs is None:
        return {}, content  # not front matter: the text begins with a horizontal rule
    matter: Matter = {}
    for key, value, mark in pairs:
        if key in matter:
            raise DataError(f"{_place(path, mark)}: the front matter has `{key}` twice. Remove one of the two lines.")
        if key == "date" and isinstance(value, str):
            check_date(value, f"{_place(path, mark)}: front matter")
        matter[key] = value
    return matter, content[match.end() :].lstrip("\n")


def _pairs(block: str) -> list[tuple[str, Any, Any]] | None:
    """Return the keys, values and places of the keys in a YAML mapping; None if the block is not a mapping."""
    import yaml

    # The base loader keeps every value as text. YAML 1.1 would read `no` as false and `12:30` as 750.
    loader = yaml.BaseLoader(block)
    node = loader.get_single_node()
    if not isinstance(node, yaml.MappingNode):
        return None
    pairs = []
    for key, value in node.value:
        empty = isinstance(value, yaml.ScalarNode) and value.style is None and value.value in _NO_VALUE
        constructed = None if empty else loader.construct_object(value, deep=True)
        pairs.append((str(loader.construct_object(key, deep=True)), constructed, key.start_mark))
    return pairs


def check_date(value: str, place: str) -> None:
    """Check that a date of the form YYYY-MM-DD is in the calendar; other texts are not checked.

    Raises:
        DataError: the day does not exist; the message starts with `place`.
    """
    if _DATE.fullmatch(value):
        try:
            date.fromisoformat(value)
        except ValueError:
            raise DataError(f"{place}: the `date` {value} does not exist in the calendar. Fix the date.") from None


def _place(path: Path, mark: Any) -> str:
    # Marks count lines from 0 and do not include the first `---` line.
    return DataError.place(path, None if mark is None else mark.line + 2)


_LINE_BREAK = re.compile(r"<br\b[^>]*>", re.IGNORECASE)
_BLANKS_AROUND_BREAK = re.compile(r"(?<![^\S\n])[^\S\n]*\n\s*")  # begins only at the first blank: linear time
_SILENT_TAGS = ("script", "style")
_INLINE_TAG = re.compile("a|abbr|b|big|cite|code|del|em|font|i|img|ins|mark|q|s|small|span|strong|su[bp]|time|tt|u|wbr")
_RTF_LINK = re.compile(r'HYPERLINK\s+"[^"{}]*"')
_CHARSET = re.compile(rb"<(?:meta|\?xml)\b[^>]{0,200}?(?:charset|encoding)\s*=\s*[\"']?\s*([\w-]{2,40})", re.IGNORECASE)
_HEAD = 4096
_CODE_PAGE = re.compile(rb"\\ansicpg(\d+)")


# -- Markdown


def markdown_text(body: str, *, soft_break: str = " ") -> str:
    """Return the plain text of Markdown, one paragraph per block.

    Link texts are kept; images, tags and fenced code are removed. A line break within a paragraph is a space, unless
    Markdown asks for a new line. Indented blocks are kept, because in articles most of them are paragraphs, not code.

    Args:
        soft_break: the text that replaces a line break within a paragraph; communique 0.1 used a line feed.
    """
    from markdown_it import MarkdownIt

    blocks: list[str] = []
    for token in MarkdownIt("commonmark").parse(body):
        if token.type == "inline":
            blocks.append(_BLANKS_AROUND_BREAK.sub("\n", "".join(_words(token, soft_break))))
        elif token.type == "html_block":
            blocks.append(html_fragment_text(token.content))
        elif token.type == "code_block":
            blocks.append(token.content)
    return "\n\n".join(block.strip() for block in blocks if block.strip())


def _words(block: Token, soft_break: str) -> Iterator[str]:
    for part in block.children or ():
        if part.type == "softbreak":
            yield soft_break
        elif part.type == "hardbreak" or (part.type == "html_inline" and _LINE_BREAK.fullmatch(part.content)):
            yield "\n"
        elif part.type not in ("image", "html_inline"):
            yield part.content


# -- HTML


class _HtmlWords:
    """Collects the text of HTML for lxml's parser; every tag that is not inline starts a new paragraph."""

    def __init__(self) -> None:
        self._paragraphs: list[list[str]] = [[]]
        self._silent = False

    def start(self, tag: str, _: object) -> None:
        self._silent = tag in _SILENT_TAGS
        self._break_at(tag)

    def end(self, tag: str) -> None:
        self._silent = False
        self._break_at(tag)

    def data(self, data: str) -> None:
        if not self._silent:
            self._paragraphs[-1].append(data)

    def close(self) -> list[str]:
        return ["".join(pieces) for pieces in self._paragraphs]

    def _break_at(self, tag: str) -> None:
        if not _INLINE_TAG.fullmatch(tag):
            self._paragraphs.append([])


def _html_paragraphs(content: str) -> list[str]:
    # lxml rather than the standard library's parser, which takes quadratic time on unfinished tags and comments.
    from lxml.etree import HTMLParser

    parser = HTMLParser(target=_HtmlWords(), huge_tree=True)
    parser.feed(_finished(content))
    return cast(list[str], parser.close())


def _finished(content: str) -> str:
    """Turn an unfinished comment or tag at the end of HTML into text, so that the words after it are not lost."""
    closed, arrow, rest = content.rpartition("-->")
    content = closed + arrow + rest.replace("<!--", "&lt;!--")
    end = content.rfind(">") + 1
    return content[:end] + content[end:].replace("<", "&lt;")


def html_fragment_text(content: str) -> str:
    """Return the words in a part of a page, one paragraph per block; white space is collapsed as in a browser."""
    if "\0" in content:  # lxml would replace the NUL, but `Document` must refuse the text so that the user knows of it
        return content
    paragraphs = (" ".join(paragraph.split()) for paragraph in _html_paragraphs(content))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def decode_page(content: bytes, path: Path) -> str:
    """Like `labels.unicode.decode`, but a web page may also be in the encoding that it declares.

    Raises:
        DataError: the content is not text in any of these encodings.
    """
    try:
        return decode(content, path)
    except DataError:
        declared = _CHARSET.search(content[:_HEAD])
        name = declared[1].decode().lower() if declared else ""
        if name in ("", "utf-8", "utf8"):
            raise
        try:
            # As browsers do: pages that declare ISO 8859-1 mean its superset.
            return content.decode("cp1252" if name == "iso-8859-1" else name)
        except (UnicodeDecodeError, LookupError):
            raise DataError(
                f"{path}: this page is not in its declared encoding {name}. Save the page as UTF-8."
            ) from None


def read_page(content: str, path: Path) -> tuple[Matter, str]:
    """Return the metadata and the article of a web page.

    Raises:
        DataError: the page contains no article.
    """
    from trafilatura import bare_extraction

    page = bare_extraction(content, include_comments=False, include_tables=False, with_metadata=True)
    if page is None or not page.text:
        raise DataError(f"{path}: this page contains no article text. Save the text of the page as a .txt file.")
    title = page.title or ""
    # A headline is often a statement, so it becomes the first paragraph.
    text = page.text if not title or page.text.startswith(title) else f"{title}\n\n{page.text}"
    return {"source": page.sitename, "url": page.url, "title": title, "date": page.date}, text


# -- RTF


def rtf_text(content: bytes, path: Path) -> str:
    """Return the plain text of an RTF document, one line per paragraph, without the addresses of links.

    Raises:
        DataError: the document is damaged, or its character set is unknown.
    """
    from striprtf.striprtf import rtf_to_text

    code_page = _CODE_PAGE.search(content)
    try:
        document = content.decode(f"cp{code_page[1].decode()}" if code_page else "cp1252", errors="replace")
        text: str = rtf_to_text(_RTF_LINK.sub("", document))
        # RTF writes characters such as emoji as two halves.
        return text.encode("utf-16", "surrogatepass").decode("utf-16").replace("\r\n", "\n").replace("\r", "\n")
    except (UnicodeError, LookupError, ValueError, TypeError) as error:
        raise DataError(f"{path}: the RTF document cannot be read ({error}). Save its text as UTF-8.") from error
