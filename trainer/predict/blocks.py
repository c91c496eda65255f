"""The input of a run in fixed blocks of documents: the unit of work, of batches and of continuing a run.

The input is files or a label store. The blocks depend only on the input and the options. A block never divides a
document. Small files are only listed in a block, and read by the process that splits them; a large table is read here,
row by row, because equal texts without provenance are numbered within their file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from labels.errors import DataError
from labels.records import Document, Sentence
from labels.store import Extent, Store
from labels.text.documents import read_file
from trainer.predict.inputs import FACTS, InputFile, changed_input, check_columns, find_inputs, partition_keys
from trainer.predict.writing import SENTENCE_COLUMNS, documents_output, rejects_output

CHARACTERS = 200_000
"""Number of characters, or of bytes of small files, after which a block ends: about 1,500 sentences."""
DOCUMENTS = 2048
"""Maximum number of documents in a block."""

KeepText = Callable[[str, Document], object]
"""Called with the id of a document and the document; see `labels.output.folders`."""

Cursor = dict[str, Any]
"""The place in the input after a block: plain values."""


class LeftOut(NamedTuple):
    """A file or row that could not be read: the line of `OUT.rejects.jsonl`, and the whole message."""

    file: str
    row: int | None
    reason: str
    message: str

    @classmethod
    def of(cls, path: str, message: str) -> LeftOut:
        """Divide a message that begins with the file, and perhaps the row."""
        rest = message.removeprefix(f"{path}:")
        if rest == message:
            return cls(path, None, message, message)
        row, _, reason = rest.partition(": ")
        if row.isdecimal():
            return cls(path, int(row), reason, message)
        return cls(path, None, rest.strip(), message)


@dataclass(frozen=True)
class Passage:
    """A document with its id; `sentences` is None if the document still has to be split."""

    id: str
    document: Document
    sentences: tuple[Sentence, ...] | None = None


Event = Document | LeftOut | str
"""What reading a file yields: a document, something left out, or a remark."""


@dataclass(frozen=True)
class Block:
    """Documents that have been read, or files to read, with what was left out before them.

    `after` is the place in the input after the block, `files_done` the number of files read until then, and `share` the
    share of the input, from 0 to 1.
    """

    number: int
    after: Cursor
    share: float
    files_done: int
    files: tuple[InputFile, ...] = ()
    passages: tuple[Passage, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """How files are read: the column with the texts, and the columns to keep; see `labels.text.documents.read_file`."""

    text_column: str = ""
    columns: tuple[str, ...] = ()

    def events(self, file: InputFile) -> Iterator[Event]:
        """Yield everything that happens when a file is read, in order."""
        waiting: list[Event] = []
        documents = read_file(
            Path(file.path),
            lambda message: waiting.append(LeftOut.of(file.path, message)),
            self.text_column,
            waiting.append,
            self.columns,
        )
        keys = partition_keys(file.path) if self.columns else {}
        for document in documents:
            yield from waiting
            waiting.clear()
            yield self._with_keys(document, keys) if self.columns else document
        yield from waiting

    def _with_keys(self, document: Document, keys: Mapping[str, str | None]) -> Document:
        """The document with its facts and the keys of its folders among its columns; cells of a table come first."""
        facts = {name: value for name in FACTS if (value := getattr(document, name))}
        found = {**keys, **facts, **document.kept}
        return replace(document, kept={name: found[name] for name in self.columns if name in found})


class FileBlocks:
    """The blocks of files.

    Args:
        keep_text: called with each document, which is left out if this raises DataError. All files are then read here.
    """

    def __init__(self, files: Sequence[InputFile], reading: Reading, keep_text: KeepText | None = None) -> None:
        self._files, self._reading, self._keep_text = files, reading, keep_text
        self._before = [0, *accumulate(file.size for file in files)]

    @property
    def size(self) -> int:
        """The size of all files in bytes."""
        return self._before[-1]

    def blocks(self, cursor: Cursor, number: int) -> Iterator[Block]:
        """Yield the blocks after a place; an empty cursor is the beginning. `number` is the number of the first block.

        Raises:
            DataError: a file was changed while it was being read.
        """
        at, event = cursor.get("file", 0), cursor.get("event", 0)
        while at < len(self._files):
            listed = 0 if event or self._keep_text else self._small(at)
            if listed:
                after = at + listed
                yield Block(number, {"file": after}, self._share(after), after, tuple(self._files[at:after]))
                number, at = number + 1, after
                continue
            for block in self._read(at, event, number):
                yield block
                number = block.number + 1
            at, event = at + 1, 0

    def _small(self, first: int) -> int:
        """The number of files from `first` on that one block can list; 0 for a large table."""
        total = 0
        for count, file in enumerate(self._files[first : first + DOCUMENTS]):
            total += file.size
            if total > CHARACTERS:
                alone = 0 if file.is_table else 1
                return count or alone
        return min(DOCUMENTS, len(self._files) - first)

    def _read(self, at: int, skipped: int, number: int) -> Iterator[Block]:
        """Yield the blocks of one file after its first `skipped` events."""
        file, collected = self._files[at], _Collected()
        seen = 0
        for seen, event in enumerate(self._reading.events(file), start=1):
            if seen <= skipped:
                continue
            collected.add(self._kept(event, file))
            if collected.is_full:
                file.check()
                share = self._share(at, min(1.0, seen / max(file.rows, 1)) if file.is_table else 0.5)
                yield collected.block(number, {"file": at, "event": seen}, share, at)
                collected, number = _Collected(), number + 1
        file.check()
        yield collected.block(number, {"file": at + 1}, self._share(at + 1), at + 1)

    def _kept(self, event: Event, file: InputFile) -> Event:
        if self._keep_text and isinstance(event, Document):
            try:
                self._keep_text(event.id, event)
            except DataError as error:
                return LeftOut.of(file.path, str(error))
        return event

    def _share(self, at: int, part: float = 0.0) -> float:
        own = self._files[at].size if at < len(self._files) else 0
        return (self._before[at] + part * own) / max(self.size, 1)


class _Collected:
    """The events of a block so far."""

    def __init__(self) -> None:
        self._passages: list[Passage] = []
        self._left_out: list[LeftOut] = []
        self._notes: list[str] = []
        self._characters = 0

    def add(self, event: Event) -> None:
        if isinstance(event, Document):
            self._passages.append(Passage(event.id, event))
            self._characters += len(event.text)
        elif isinstance(event, LeftOut):
            self._left_out.append(event)
        else:
            self._notes.append(event)

    @property
    def is_full(self) -> bool:
        found = len(self._passages) + len(self._left_out)
        return self._characters >= CHARACTERS or found >= DOCUMENTS

    def block(self, number: int, after: Cursor, share: float, files_done: int) -> Block:
        own = tuple(self._passages), tuple(self._left_out), tuple(self._notes)
        return Block(number, after, share, files_done, (), *own)


class StoreBlocks:
    """The blocks of a label store: its documents in the order of their ids, with their sentences to label."""

    _DOCUMENTS = 100

    def __init__(self, store: Store, extent: Extent, keep_text: KeepText | None = None) -> None:
        self._store, self._extent, self._keep_text = store, extent, keep_text
        self.size = extent.sentences * 150
        """An estimate of the size in bytes."""

    def blocks(self, cursor: Cursor, number: int) -> Iterator[Block]:
        """Yield the blocks after a place; see `FileBlocks.blocks`."""
        after, done = cursor.get("document", ""), cursor.get("sentences", 0)
        while found := self._store.contents.after(after, self._extent.last, self._DOCUMENTS):
            passages = tuple(Passage(identifier, document, tuple(own)) for identifier, document, own in found)
            for passage in passages:
                if self._keep_text:
                    self._keep_text(passage.id, passage.document)
            after, done = passages[-1].id, done + _count(passages)
            share = min(1.0, done / max(self._extent.sentences, 1))
            yield Block(number, {"document": after, "sentences": done}, share, 0, passages=passages)
            number += 1


def _count(passages: Iterable[Passage]) -> int:
    return sum(len(passage.sentences or ()) for passage in passages)


# -- the input, and whether it is still the input of an interrupted run


class Source(Protocol):
    """An input in blocks; `size` is its size in bytes."""

    @property
    def size(self) -> int:
        """The size in bytes, or an estimate."""

    def blocks(self, cursor: Cursor, number: int) -> Iterator[Block]:
        """Yield the blocks after a place."""


@dataclass(frozen=True)
class Found:
    """The files of a run, with notes on outputs of communique that are not read; or an open store."""

    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    store: Store | None = None

    def describe(self) -> dict[str, Any]:
        """What identifies the input, as plain values; reads all files once."""
        if self.store is None:
            return {"files": [InputFile.of(path).to_json() for path in self.files]}
        extent = self.store.contents.extent()
        return {"store": self.store.name, "sentences": extent.sentences, "last": extent.last}

    def difference(self, before: Mapping[str, Any]) -> str:
        """How the input differs from an earlier description; empty if it does not. Sentences that were added to a store
        since do not count, and are not read."""
        if ("store" in before) != (self.store is not None):
            return "it read files, not a store" if self.store else "it read a store, not files"
        if self.store is None:
            return changed_input(before["files"], self.files)
        if self.store.name != before["store"]:
            return f"it read the store {before['store']}"
        now = self.store.contents.extent(before["last"])
        return "" if now.sentences == before["sentences"] else f"sentences of {self.store.name} were changed or removed"

    def source(self, described: Mapping[str, Any], reading: Reading, keep: KeepText | None) -> Source:
        """The input in blocks, as it was described."""
        if self.store is not None:
            return StoreBlocks(self.store, Extent(described["sentences"], described["last"]), keep)
        return FileBlocks(self.recorded(described), reading, keep)

    def recorded(self, described: Mapping[str, Any]) -> list[InputFile]:
        """The files as they were described."""
        # A file with the same content may have a new time of change.
        files = [InputFile(**one) for one in described["files"]]
        return [replace(one, mtime_ns=Path(one.path).stat().st_mtime_ns) for one in files]


@contextmanager
def found_store(store: str | Path) -> Iterator[Found]:
    """Open a store as the input.

    Raises:
        DataError: the store has no sentences to label.
    """
    with Store(store, create=False) as opened:
        if not opened.contents.extent().sentences:
            raise DataError(
                f"{opened.name}: this store has no sentences to label. Add articles with `communique ingest`."
            )
        yield Found(store=opened)


def find_corpus(
    inputs: Iterable[str | Path], output: Path, texts: Path | None = None, columns: Sequence[str] = ()
) -> Found:
    """Find the input files.

    Raises:
        DataError: see `find_inputs` and `check_columns`.
    """
    found = find_inputs({"--out": output} | ({"--texts": texts} if texts else {}), inputs)
    own = {documents_output(output).resolve(), rejects_output(output).resolve()}
    files = tuple(file for file in found.files if file.resolve() not in own)
    check_columns(files, columns, SENTENCE_COLUMNS)
    return Found(files, found.notes)
