"""Shards: the parts of a corpus that machines of a cluster predict, each a Parquet file of its own.

A shard is a few blocks (`blocks`) of one or more files. It is first written under a temporary name, and counts
only under its final name. An unfinished shard is computed again, and a later call continues after the finished ones.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labels.output.drafts import explained
from labels.store import Extent, Store
from trainer.model.model import Model
from trainer.predict.blocks import Block, FileBlocks, Source, StoreBlocks
from trainer.predict.inputs import InputFile
from trainer.predict.outcome import Answers, PredictReport
from trainer.predict.worker import Processing, Repeats, Worker, count_block, in_batches, reject_lines
from trainer.predict.writing import to_parquet

SHARD = 16
"""Number of blocks in a shard: about 24,000 sentences."""
PART = re.compile(r"part-(?P<group>\d{5})-(?P<shard>\d{5})\.parquet")
META = b"communique"


@dataclass(frozen=True)
class Stored:
    """The sentences of a label store: its path or URL, and its extent (`labels.store.Extent`)."""

    address: str
    sentences: int
    last: int


@dataclass(frozen=True)
class Group:
    """What one task reads: several small files, one large file, or a label store.

    `blocks` is the number of blocks in a shard, and `done` are the shards already written.
    """

    number: int
    files: tuple[InputFile, ...]
    blocks: int = SHARD
    done: frozenset[int] = frozenset()
    stored: Stored | None = None


@dataclass(frozen=True)
class Shard:
    """Some blocks of a group; `last` marks the last shard of its group."""

    group: int
    number: int
    blocks: tuple[Block, ...]
    last: bool

    @property
    def name(self) -> str:
        """The name of the file; names sort as the input is ordered."""
        return f"part-{self.group:05}-{self.number:05}.parquet"


@dataclass(frozen=True)
class ShardMeta:
    """The counts of a shard, and whether it is the last shard of its group."""

    report: PredictReport
    last: bool


def read_shards(group: Group, processing: Processing) -> Iterator[Shard]:
    """Read the input of a group; yields the shards that are not written yet."""
    waiting: list[Block] = []
    number = 0
    with _source(group, processing) as source:
        for block in source.blocks({}, 0):
            if len(waiting) == group.blocks:
                if number not in group.done:
                    yield Shard(group.number, number, tuple(waiting), last=False)
                number, waiting = number + 1, []
            waiting.append(block)
    if number not in group.done:
        yield Shard(group.number, number, tuple(waiting), last=True)


def shared_store(store: str | Path) -> str:
    """The path or URL of a store for processes with other working folders."""
    return str(store) if "://" in str(store) else str(Path(store).absolute())


@contextmanager
def _source(group: Group, processing: Processing) -> Iterator[Source]:
    if group.stored is None:
        yield FileBlocks(group.files, processing.reading)
        return
    with Store(group.stored.address, create=False) as store:
        yield StoreBlocks(store, Extent(group.stored.sentences, group.stored.last))


class ShardWriter:
    """Predicts shards and writes them to a folder.

    Args:
        folder: the folder of the job; `parts`, `documents` and `rejects` in it get a file per shard.
    """

    def __init__(self, model: Model, processing: Processing, folder: Path) -> None:
        self._model, self._processing, self._folder = model, processing, folder

    def write(self, shard: Shard) -> int:
        """Write a shard; returns its number of sentences.

        Raises:
            DataError: the folder cannot be written, for example because the disk is full.
        """
        with explained(self._processing.sentences.path.parent):
            return self._write(shard)

    def _write(self, shard: Shard) -> int:
        worker, repeats = Worker(self._processing), Repeats(len(self._model.labels))
        report, left_out = PredictReport(), []
        own = {"parts": [self._processing.sentences.start()], "documents": []}
        if self._processing.documents:
            own["documents"].append(self._processing.documents.start())
        for block in shard.blocks:
            split = worker.split(block)
            plan = repeats.plan(split.keys)
            fresh = in_batches(self._model, [split.texts[row] for row in plan.fresh])
            probabilities = repeats.resolve(plan, fresh)
            answers = Answers.of(self._model, probabilities)
            rendered = worker.render(block.number, answers, 1, 1)
            own["parts"].append(rendered.sentences)
            own["documents"].append(rendered.documents)
            count_block(report, split, plan, answers.counts(self._model.labels))
            left_out += split.left_out
        self._replace("rejects", f"{shard.name}.jsonl", reject_lines(left_out))
        meta = {"report": report.to_json(), "last": shard.last}
        if self._processing.documents:
            self._write_parquet("documents", shard.name, b"".join(own["documents"]), {})
        # The sentences come last: with them, the shard counts.
        self._write_parquet("parts", shard.name, b"".join(own["parts"]), meta)
        return report.sentences

    def _write_parquet(self, kind: str, name: str, stream: bytes, meta: Mapping[str, Any]) -> None:
        made = self._fresh(kind)
        draft = made.with_suffix(".arrow")
        draft.write_bytes(stream)
        to_parquet(draft, made, {META: json.dumps(meta).encode()})
        draft.unlink()
        made.replace(self._folder / kind / name)

    def _replace(self, kind: str, name: str, content: bytes) -> None:
        made = self._fresh(kind)
        made.write_bytes(content)
        made.replace(self._folder / kind / name)

    def _fresh(self, kind: str) -> Path:
        # Ray may run the work of a worker that seems dead twice.
        return self._folder / kind / f".{uuid.uuid4().hex}.new"


def read_meta(path: Path) -> ShardMeta:
    """What `ShardWriter` noted in the file of a shard."""
    import pyarrow.parquet as pq

    found = json.loads(pq.read_schema(path).metadata[META])
    return ShardMeta(PredictReport.from_json(found["report"]), bool(found["last"]))
