"""The folder `.OUT.progress` beside an output: what an unfinished run has done, so that the same command continues it.

job.json      the model, the options and the inputs of the run
state.json    how far the run has come: the place in the input, the lengths of the drafts, the counts
sentences, documents, rejects, repeats, texts    drafts, to which each block is appended

A block counts when `state.json` is replaced, which is atomic. Continuing cuts the drafts to the lengths in
`state.json`: what a killed run appended after that is written again, byte for byte. The folder is removed when the
output is complete, or if no block was finished. Texts of documents are collected in a folder of their own
(`KeptTexts`), and moved into place with the output.
 || The texts of documents (`--texts`), written while blocks are read, and moved into place with the output."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labels.errors import DataError
from labels.output.drafts import check_file, explained, hidden_beside, take_place
from labels.output.folders import INDEX, check_text_folder, write_text
from labels.records import Document
from trainer.predict.blocks import Cursor
from trainer.predict.outcome import PredictReport

FORMAT = 1
JOB, STATE = "job.json", "state.json"
SENTENCES, DOCUMENTS, REJECTS, REPEATS, TEXTS = "sentences", "documents", "rejects", "repeats", "texts"


@dataclass
class State:
    """How far a run has come.

    - `blocks`, `cursor`: the number of finished blocks, and the place in the input after them
    - `share`: the share of the input, from 0 to 1, that is finished
    - `lengths`: the length of each draft in bytes
    - `complete`: whether only the drafts remain to be turned into the output
    """

    blocks: int = 0
    cursor: Cursor = field(default_factory=dict)
    share: float = 0.0
    lengths: dict[str, int] = field(default_factory=dict)
    report: PredictReport = field(default_factory=PredictReport)
    complete: bool = False

    def to_json(self) -> dict[str, Any]:
        """The state as plain values."""
        return vars(self) | {"report": self.report.to_json()}


class Job:
    """An open, locked folder of a run; made by `open_job`.

    Attributes:
        state: how far the run has come.
        identity: the content of `job.json`; None if the run begins now.
        kept: the number of sentences in finished blocks.
        transient: whether the folder is removed at the end in any case.
    """

    def __init__(self, output: Path, folder: Path) -> None:
        self.output, self.folder = output, folder
        self.state, self.transient = State(), False
        self.identity = self._read()
        self.kept = self.state.report.sentences

    def draft(self, name: str) -> Path:
        """The path of a draft."""
        return self.folder / name

    def _read(self) -> dict[str, Any] | None:
        """Read the folder of an interrupted run; None if no block of it was finished."""
        if not (self.folder / STATE).is_file():
            return None
        try:
            identity: dict[str, Any] = json.loads((self.folder / JOB).read_text(encoding="utf-8"))
            content = json.loads((self.folder / STATE).read_text(encoding="utf-8"))
            self.state = State(**(content | {"report": PredictReport.from_json(content["report"])}))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged() from error
        if identity.get("format") != FORMAT:
            raise self._damaged()
        return identity

    def _damaged(self) -> DataError:
        return DataError(
            f"{self.folder}: this folder of an unfinished run is damaged, or was made by another version of "
            "communique. Start again with --restart."
        )

    def begin(self, identity: Mapping[str, Any]) -> None:
        """Write what the run is, into an empty folder: a run that was killed early may have left drafts."""
        with self.writing():
            _empty(self.folder)
            (self.folder / JOB).write_text(json.dumps({"format": FORMAT, **identity}), encoding="utf-8")

    def cut(self) -> None:
        """Cut the drafts to what the finished blocks wrote.

        Raises:
            DataError: a draft is shorter, so that the run cannot be continued.
        """
        for name, length in self.state.lengths.items():
            path = self.draft(name)
            if not path.is_file() or path.stat().st_size < length:
                raise self._damaged()
            os.truncate(path, length)

    def append(self, pieces: Mapping[str, bytes]) -> None:
        """Append to drafts; counts when `save` is called."""
        with self.writing():
            for name, content in pieces.items():
                with self.draft(name).open("ab") as file:
                    file.write(content)
                self.state.lengths[name] = self.state.lengths.get(name, 0) + len(content)

    def save(self) -> None:
        """Replace the state on disk."""
        fresh = self.folder / f"{STATE}.new"
        with self.writing():
            fresh.write_text(json.dumps(self.state.to_json()), encoding="utf-8")
            fresh.replace(self.folder / STATE)
        self.kept = self.state.report.sentences

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Explain errors of the file system, with what was kept."""
        try:
            with explained(self.output):
                yield
        except DataError as error:
            if not self.is_begun or not isinstance(error.__cause__, OSError):
                raise
            kept = f"The {self.kept:,} sentences so far are kept, and the same command continues after them."
            raise DataError(str(error).replace("Nothing was changed.", kept)) from error

    @property
    def is_begun(self) -> bool:
        """Whether a block was finished, so that the folder is worth keeping."""
        return (self.folder / STATE).is_file()

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def open_job(output: Path, *, restart: bool = False, check: Callable[[Path], object] = check_file) -> Iterator[Job]:
    """Open and lock the folder of a run, or create it. It is removed at the end if no block was finished.

    Args:
        restart: remove what an unfinished run has done.
        check: checks that the output can be written.

    Raises:
        DataError: another process writes this output, the output cannot be written, or the folder is damaged.
    """
    folder = hidden_beside(output, "progress")
    if not folder.is_dir():
        check(output)
    with _locked(folder, output):
        if restart:
            with explained(output):
                (folder / STATE).unlink(missing_ok=True)
        job = Job(output, folder)
        try:
            yield job
        finally:
            if job.transient or not job.is_begun:
                job.remove()


def _empty(folder: Path) -> None:
    for entry in list(folder.iterdir()):
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


@contextmanager
def _locked(folder: Path, output: Path) -> Iterator[None]:
    """Create the folder if necessary, and hold its lock; the system releases the lock of a process that is killed."""
    with explained(output):
        descriptor = _open_locked(folder, output)
    try:
        yield
    finally:
        os.close(descriptor)


def _open_locked(folder: Path, output: Path) -> int:
    while True:
        folder.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):  # a run that has just finished removed it
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    os.close(descriptor)
                    raise DataError(
                        f"{output}: another process is writing this output. Wait until it has finished, or choose "
                        "another file with --out."
                    ) from None
                return descriptor  # the file system has no locks
            if folder.is_dir() and os.path.samestat(os.fstat(descriptor), folder.stat()):
                return descriptor
            os.close(descriptor)


# -- the texts of documents (`--texts`)


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
        """Remove the folder of a run that has finished no block."""
        if self._job.transient or not self._job.is_begun:
            shutil.rmtree(self._folder, ignore_errors=True)
