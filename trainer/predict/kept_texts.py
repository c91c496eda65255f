"""The texts of documents (`--texts`), written while blocks are read, and moved into place with the output."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from labels.errors import DataError
from labels.output.drafts import explained, hidden_beside, take_place
from labels.output.folders import INDEX, check_text_folder, write_text
from labels.records import Document
from trainer.predict.job import TEXTS, Job


class KeptTexts:
    """The folder beside `path` in which texts are collected. Their index is a draft of the job.

    Raises:
        DataError: the folder cannot be written, or `path` contains files that no earlier call wrote.
    """

    def __init__(self, path: Path, job: Job) -> None:
        check_text_folder(path)
        self._path, self._job = path, job
        self._folder = hidden_beside(path, "progress")
        self._entries: list[str] = []
        self._failed: DataError | None = None
        with explained(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._remove_unfinished()

    def _remove_unfinished(self) -> None:
        """Remove the texts after the last finished block: they are written again."""
        index, length = self._job.draft(TEXTS), self._job.state.lengths.get(TEXTS, 0)
        finished = set()
        if length:
            with index.open(encoding="utf-8") as lines:
                finished = {json.loads(line)["file"] for line in lines}
        for entry in list(self._folder.iterdir()):
            if entry.name not in finished:
                entry.unlink()

    def keep(self, identifier: str, document: Document) -> None:
        """Write the text of a document; see `labels.output.folders.write_text`."""
        try:
            with self._job.writing():
                if entry := write_text(self._folder, identifier, document):
                    self._entries.append(f"{entry}\n")
        except DataError as error:
            # The reader counts this document as rejected; if it is the disk that failed, `check` says so.
            self._failed = error if error.__cause__ else self._failed
            raise

    def check(self) -> None:
        """Raise the error by which a text could not be written, if any."""
        if self._failed:
            raise self._failed

    def taken(self) -> bytes:
        """The new lines of the index, once; raises DataError if a text could not be written."""
        self.check()
        lines, self._entries = "".join(self._entries), []
        return lines.encode()

    def finish(self) -> None:
        """Write the index and move the folder into place."""
        if not self._folder.is_dir():  # moved by a run that was killed after that
            return
        with self._job.writing():
            with (self._folder / INDEX).open("w", encoding="utf-8", newline="\n") as index:
                separator = "[\n"
                with self._job.draft(TEXTS).open(encoding="utf-8") as lines:
                    for line in lines:
                        index.write(separator + line.removesuffix("\n"))
                        separator = ",\n"
                index.write("[]\n" if separator == "[\n" else "\n]\n")
            self._path.parent.mkdir(parents=True, exist_ok=True)
            take_place(self._folder, self._path, overwrite=True)

    def close(self) -> None:
        """Remove the folder of a run of which no block was finished."""
        if self._job.transient or not self._job.is_begun:
            shutil.rmtree(self._folder, ignore_errors=True)
