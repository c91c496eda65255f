"""The work on a block that needs no other block: reading listed files, splitting, and rendering rows.

A worker keeps the sentences of its blocks until they are rendered, so that texts travel between processes only once.
With a model, it also predicts.

Repeated sentences are predicted once (`Repeats`): the probabilities of the latest different sentences are remembered.
What is remembered depends only on the sentences so far, in order, and not on when the model answered them. A log of the
answers restores it exactly, so a continued run asks the model for the same batches as an uninterrupted run. The last
digits of a transformer's probabilities depend on the batch; equal batches give equal bytes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labels.output.table_files import json_lines
from labels.records import Document, Sentence
from labels.text.sentences import count_boilerplate, split_sentences, whole_sentence
from trainer.calibration.calibration import Probabilities
from trainer.model.model import Model
from trainer.predict.blocks import Block, LeftOut, Passage, Reading
from trainer.predict.outcome import Answers, PredictReport, document_row, sentence_rows
from trainer.predict.writing import Writing

# -- repeated sentences

CAPACITY = 100_000
"""Number of remembered sentences; together they take about 25 MB."""
_WIDTH = 16


def digests(texts: Iterable[str]) -> bytes:
    """The digests of texts, 16 bytes each."""
    # Articles may contain unpaired surrogates, which the default UTF-8 encoder rejects.
    return b"".join(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_WIDTH).digest() for text in texts
    )


@dataclass(frozen=True)
class Plan:
    """The sentences of a block that the model must answer, and where the answers for all sentences are.

    - `fresh`: indices of the sentences to predict, in order
    - `slots`: (n,) number of the answer for each sentence; answers are numbered in the order of first occurrence
    - `start`: the number of the first fresh answer
    - `keys`: the digests of the fresh sentences
    """

    fresh: list[int]
    slots: NDArray[np.int64]
    start: int
    keys: list[bytes]


class Repeats:
    """The answers for the latest `capacity` different sentences.

    Call `plan` for the blocks in order, and `resolve` for the same blocks in the same order; several blocks can be
    planned before the first is resolved.
    """

    def __init__(self, labels: int, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._slots: dict[bytes, int] = {}
        self._keys: list[bytes] = []
        self._answers = np.zeros((capacity, labels), dtype=np.float32)
        self._next = 0

    def plan(self, keys: bytes) -> Plan:
        """Find the sentences of a block that were not answered or planned before; `keys` are their `digests`."""
        start, fresh, own = self._next, [], []
        slots = np.empty(len(keys) // _WIDTH, dtype=np.int64)
        for row in range(len(slots)):
            key = keys[row * _WIDTH : (row + 1) * _WIDTH]
            slot = self._slots.get(key)
            if slot is None:
                slot = self._add(key)
                fresh.append(row)
                own.append(key)
            slots[row] = slot
        return Plan(fresh, slots, start, own)

    def _add(self, key: bytes) -> int:
        slot, place = self._next, self._next % self._capacity
        if slot < self._capacity:
            self._keys.append(key)
        else:
            del self._slots[self._keys[place]]
            self._keys[place] = key
        self._slots[key] = slot
        self._next += 1
        return slot

    def resolve(self, plan: Plan, fresh: Probabilities) -> Probabilities:
        """(n, labels) probabilities of all sentences of a block, from the probabilities of its fresh sentences."""
        found = np.empty((len(plan.slots), self._answers.shape[1]), dtype=np.float32)
        earlier = plan.slots < plan.start
        found[earlier] = self._answers[plan.slots[earlier] % self._capacity]
        found[~earlier] = fresh[plan.slots[~earlier] - plan.start]
        kept = fresh[-self._capacity :]
        last = plan.start + len(fresh)
        self._answers[np.arange(last - len(kept), last) % self._capacity] = kept
        return found

    def log(self, plan: Plan, fresh: Probabilities) -> bytes:
        """The entries of a block for the log from which `restore` reads: 16 bytes and one float32 per label each."""
        # Little-endian on every machine: the folder of a run may be shared.
        return b"".join(key + row.tobytes() for key, row in zip(plan.keys, fresh.astype("<f4"), strict=True))

    def restore(self, log: Path) -> None:
        """Remember the latest answers in a log; its length must be that of whole entries."""
        width = _WIDTH + 4 * self._answers.shape[1]
        entries = log.stat().st_size // width
        first = max(0, entries - self._capacity)
        self._next = first
        with log.open("rb") as file:
            file.seek(first * width)
            # In order from `first`, as if the ring had been filled to that place.
            self._keys = [b""] * min(first, self._capacity)
            while entry := file.read(width):
                place = self._next % self._capacity
                if place < len(self._keys):
                    self._keys[place] = entry[:_WIDTH]
                else:
                    self._keys.append(entry[:_WIDTH])
                self._slots[entry[:_WIDTH]] = self._next
                self._answers[place] = np.frombuffer(entry[_WIDTH:], dtype="<f4")
                self._next += 1


# -- blocks

BATCH = 2048
"""Maximum number of texts in one call of the model: enough for its batches, and small enough for the memory."""


@dataclass(frozen=True)
class Processing:
    """How documents are processed; see the arguments of `predict_files`.

    `documents` is the table with one row per document; None if it is not written.
    """

    reading: Reading
    sentences: Writing
    documents: Writing | None = None
    split: bool = True
    keep_boilerplate: bool = False
    keep_quotes: bool = False


class Split(NamedTuple):
    """The sentences of a block, as `digests` and perhaps texts, and the counts of its documents."""

    keys: bytes
    texts: list[str]
    documents: int
    boilerplate: Counter[str]
    left_out: list[LeftOut]
    notes: list[str]


class Rendered(NamedTuple):
    """The rows of a block, and of its documents, as bytes."""

    sentences: bytes
    documents: bytes


@dataclass
class _Held:
    """A block that is not rendered yet: its documents, and the number of sentences of each."""

    pairs: list[tuple[Document, Sentence]] = field(default_factory=list)
    documents: list[tuple[str, Document, int]] = field(default_factory=list)
    boilerplate: Counter[str] = field(default_factory=Counter)


class Worker:
    """Works on blocks. For each block, call `split`, then `predict` if the worker has the model, then `render`.

    Args:
        model: needed only for `predict`.
    """

    def __init__(self, processing: Processing, model: Model | None = None) -> None:
        self._processing, self._model = processing, model
        self._cut = partial(split_sentences, keep_quotes=processing.keep_quotes) if processing.split else _whole
        self._held: dict[int, _Held] = {}

    def split(self, block: Block) -> Split:
        """Read the listed files of a block, and split its documents.

        Raises:
            DataError: a file was changed while it was being read.
        """
        held = self._held[block.number] = _Held()
        left_out, notes = list(block.left_out), list(block.notes)
        for passage in self._passages(block, left_out, notes):
            self._add(held, passage)
        texts = [sentence.text for _, sentence in held.pairs]
        keys = digests(texts)
        # With a model, the texts stay here.
        return Split(keys, [] if self._model else texts, len(held.documents), held.boilerplate, left_out, notes)

    def _passages(self, block: Block, left_out: list[LeftOut], notes: list[str]) -> Iterator[Passage]:
        yield from block.passages
        for file in block.files:
            for event in self._processing.reading.events(file):
                if isinstance(event, Document):
                    yield Passage(event.id, event)
                elif isinstance(event, LeftOut):
                    left_out.append(event)
                else:
                    notes.append(event)
            file.check()

    def _add(self, held: _Held, passage: Passage) -> None:
        if passage.sentences is not None:
            sentences = list(passage.sentences)
        else:
            sentences = self._cut(passage.document)
            if not self._processing.keep_boilerplate:
                held.boilerplate += count_boilerplate(sentences)
                sentences = [sentence for sentence in sentences if not sentence.boilerplate]
        held.pairs += ((passage.document, sentence) for sentence in sentences)
        held.documents.append((passage.id, passage.document, len(sentences)))

    def predict(self, number: int, rows: Sequence[int]) -> Probabilities:
        """(rows, labels) probabilities of some sentences of a block, with the model of this worker."""
        assert self._model is not None
        pairs = self._held[number].pairs
        return in_batches(self._model, [pairs[row][1].text for row in rows])

    def render(self, number: int, answers: Answers, first: int, first_document: int) -> Rendered:
        """The rows of a block; `first` is the number of the first row in the file, from 1.

        Raises:
            DataError: a cell contains characters that a CSV file cannot contain.
        """
        held, processing = self._held.pop(number), self._processing
        rows = processing.sentences.render(sentence_rows(held.pairs, answers, processing.sentences.stamp), first)
        if processing.documents is None:
            return Rendered(rows, b"")
        return Rendered(rows, processing.documents.render(list(self._document_rows(held, answers)), first_document))

    def _document_rows(self, held: _Held, answers: Answers) -> Iterator[dict[str, object]]:
        start = 0
        for identifier, document, count in held.documents:
            part = slice(start, start + count)
            yield document_row(identifier, document, answers.part(part), self._processing.sentences.stamp)
            start += count


def count_block(report: PredictReport, split: Split, plan: Plan, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Add the counts of a block to a report; `counts` are those of `Answers.counts`."""
    report.documents += split.documents
    report.sentences += len(plan.slots)
    report.repeated += len(plan.slots) - len(plan.fresh)
    report.boilerplate += split.boilerplate
    for name, by_label in counts.items():
        getattr(report, name).update(by_label)
    for left in split.left_out:
        report.reject(left.message)
    for note in split.notes:
        report.note(note)


def reject_lines(left_out: Iterable[LeftOut]) -> bytes:
    """The lines of `OUT.rejects.jsonl` for files and rows that were left out."""
    lines = json_lines({"file": one.file, "row": one.row, "reason": one.reason} for one in left_out)
    return "".join(lines).encode()


def in_batches(model: Model, texts: Sequence[str]) -> Probabilities:
    """(n, labels) probabilities, in calls of at most `BATCH` texts."""
    found = [model.predict_proba(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
    return np.concatenate(found) if found else np.zeros((0, len(model.labels)), dtype=np.float32)


def _whole(document: Document) -> list[Sentence]:
    return [whole_sentence(document)]
