"""Create the output folders of commands, which replace only the output of an earlier command, and check files.

A folder of texts (`text_folder`) serves programs that use the offsets of sentences. Its file `DOCUMENT_ID.txt` has the
text of a document in UTF-8, with its original line ends. If it is opened with `newline=""`, every sentence is
`text[start:end]`. The index lists the file, source, URL, title and date of each document.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labels.errors import DataError, InputError
from labels.output.drafts import check_folder, explained, whole_folder
from labels.output.table_files import json_text
from labels.records import Document

OUTPUT_MARKS = (
    *("report.json", "manifest.json", "learning_curve.json", "study.journal", "texts.json"),
    *("estimate.json", "regression.json", "bridge.json"),
)
"""Files that identify the output folder of a run or evaluation, an export, a learning curve, a sweep, texts, or an
estimate."""


@contextmanager
def output_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield the path of a draft folder; if the block ends without an error, the draft replaces `path`.

    Raises:
        DataError: see `refuse_occupied` and `whole_folder`.
    """
    refuse_occupied(path, overwrite=overwrite)
    with whole_folder(path, overwrite=overwrite) as draft:
        yield draft


def refuse_occupied(
    path: Path,
    *,
    overwrite: bool = False,
    reads: Iterable[str | Path] = (),
    repair: str = "Choose another folder with --out, or add --overwrite.",
) -> None:
    """Raise DataError if no output folder can be created at `path`; call it before long computations.

    `overwrite` replaces only the output of an earlier command. It never replaces the working folder or its parents, a
    folder without one of the `OUTPUT_MARKS`, or a folder that contains one of the input files `reads`.
    """
    check_folder(path, overwrite=overwrite, repair=repair)
    if not path.is_dir() or not any(path.iterdir()):
        return
    # A typing error in --out must not delete another folder of the user.
    if not any((path / mark).is_file() for mark in OUTPUT_MARKS):
        raise DataError(
            f"{path}: --overwrite replaces only the output of an earlier command, but this folder contains none of "
            f"{', '.join(OUTPUT_MARKS)}. Choose another folder with --out, or empty this folder yourself."
        )
    for read in map(Path, reads):
        if read.resolve().is_relative_to(path.resolve()):
            raise DataError(
                f"{path}: --overwrite would delete {read}, which this command reads. Choose another folder with --out."
            )


def refuse_existing(file: Path, *, overwrite: bool = False) -> None:
    """Raise InputError if a file exists and must not be replaced. Folders are checked when they are written."""
    with explained(file):
        if file.is_file() and not overwrite:
            raise InputError(f"{file}: this file exists. Choose another file, or add --overwrite.")


def free_name(name: str) -> str:
    """The name of a file in the working folder, with a number if a file of this name exists."""
    path = Path(name)
    names = (path, *(path.with_stem(f"{path.stem}-{number}") for number in range(2, 100)))
    return str(next((one for one in names if not one.exists()), path))


def make_folder(path: Path, *, empty: bool = False) -> None:
    """Create a folder and its missing parents; with `empty`, the content of an existing folder is deleted.

    Raises:
        DataError: the folder cannot be created or emptied.
    """
    with explained(path):
        if empty and path.is_dir():
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)


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
