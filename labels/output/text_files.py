"""Write the texts of documents to a folder, for programs that use the offsets of sentences.

The file `DOCUMENT_ID.txt` has the text of a document in UTF-8, with its original line ends. If it is opened with
`newline=""`, every sentence is `text[start:end]`. The index lists the file, source, URL, title and date of each
document.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labels.errors import DataError
from labels.output.drafts import check_folder, explained, whole_folder
from labels.output.table_files import json_text
from labels.records import Document

INDEX = "texts.json"
_OURS = re.compile(r"[0-9a-f]{16}\.txt|texts\.json")


@contextmanager
def text_folder(path: Path) -> Iterator[Callable[[str, Document], None]]:
    """Yield a function that writes the text of a document; the folder is replaced when the block ends without an error.

    The function takes a document and the id by which its sentences refer to it; see `write_text`.

    Raises:
        DataError: see `check_text_folder`.
    """
    check_text_folder(path)
    with (
        whole_folder(path, overwrite=True) as draft,
        (draft / INDEX).open("w", encoding="utf-8", newline="\n") as index,
    ):
        before = "[\n"

        def write(identifier: str, document: Document) -> None:
            nonlocal before
            if entry := write_text(draft, identifier, document):
                index.write(before + entry)
                before = ",\n"

        yield write
        index.write("[]\n" if before == "[\n" else "\n]\n")


def check_text_folder(path: Path) -> None:
    """Check that `text_folder` can write the folder.

    Raises:
        DataError: the folder cannot be written, or it contains files that no earlier call wrote.
    """
    with explained(path):
        ours = path.is_dir() and all(_OURS.fullmatch(entry.name) for entry in path.iterdir())
    check_folder(path, overwrite=ours, repair="Choose another folder with --texts.")


def write_text(folder: Path, identifier: str, document: Document) -> str:
    """Write a text to a new file; returns the line of the index, or an empty string if the file already has this text.

    Raises:
        DataError: the file exists with another text. Texts that differ only in line ends or in the Unicode form of
            accents have the same id.
    """
    file = folder / f"{identifier}.txt"
    try:
        with file.open("x", encoding="utf-8", newline="") as opened:
            opened.write(document.text)
    except FileExistsError:
        with file.open(encoding="utf-8", newline="") as opened:
            if opened.read() == document.text:
                return ""
        raise DataError(
            f"{document.source}: an earlier document has the same text with other line ends or accents, and therefore "
            f"the same document_id {identifier}. Remove one of the two documents, or leave out --texts."
        ) from None
    return json_text(_entry(identifier, document))


def _entry(identifier: str, document: Document) -> dict[str, str]:
    named = {name: getattr(document, name) for name in ("source", "url", "title", "date")}
    return {"document_id": identifier, "file": f"{identifier}.txt"} | named
