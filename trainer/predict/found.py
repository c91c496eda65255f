"""The input of a run: files or a label store, and whether it is still the input of an interrupted run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from labels.errors import DataError
from labels.store import Extent, Store
from trainer.predict.blocks import Block, Cursor, FileBlocks, KeepText, Reading, StoreBlocks
from trainer.predict.inputs import InputFile, changed_input, check_columns, find_inputs
from trainer.predict.writing import SENTENCE_COLUMNS, documents_output, rejects_output


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
        since are no difference, and are not read."""
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
            raise DataError(f"{opened.name}: this store has no sentences to label. Add articles: `communique ingest`.")
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
