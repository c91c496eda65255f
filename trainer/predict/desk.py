"""The work on a block that needs no other block: reading listed files, splitting, and rendering rows.

A desk keeps the sentences of its blocks until they are rendered, so that texts travel between processes only once. With
a model, it also predicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from labels.records import Document, Sentence
from labels.text.sentences import count_boilerplate, split_sentences, whole_sentence
from trainer.calibration.calibration import Probabilities
from trainer.model.model import Model
from trainer.predict.blocks import Block, LeftOut, Passage, Reading
from trainer.predict.outcome import Answers, document_row, sentence_rows
from trainer.predict.repeats import digests
from trainer.predict.writing import Writing

BATCH = 2048
"""Maximum number of texts in one call of the model: enough for its batches, and small enough for the memory."""


@dataclass(frozen=True)
class Duties:
    """What a desk does with documents; see the arguments of `predict_files`.

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


class Desk:
    """Works on blocks: first `split`, then perhaps `predict`, at last `render`, for each block.

    Args:
        model: needed only for `predict`.
    """

    def __init__(self, duties: Duties, model: Model | None = None) -> None:
        self._duties, self._model = duties, model
        self._cut = partial(split_sentences, keep_quotes=duties.keep_quotes) if duties.split else _whole
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
            for event in self._duties.reading.events(file):
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
            if not self._duties.keep_boilerplate:
                held.boilerplate += count_boilerplate(sentences)
                sentences = [sentence for sentence in sentences if not sentence.boilerplate]
        held.pairs += ((passage.document, sentence) for sentence in sentences)
        held.documents.append((passage.id, passage.document, len(sentences)))

    def predict(self, number: int, rows: Sequence[int]) -> Probabilities:
        """(rows, labels) probabilities of some sentences of a block, with the model of this desk."""
        assert self._model is not None
        pairs = self._held[number].pairs
        return in_batches(self._model, [pairs[row][1].text for row in rows])

    def render(self, number: int, answers: Answers, first: int, first_document: int) -> Rendered:
        """The rows of a block; `first` is the number of the first row in the file, from 1.

        Raises:
            DataError: a cell contains characters that a CSV file cannot contain.
        """
        held, duties = self._held.pop(number), self._duties
        rows = duties.sentences.render(sentence_rows(held.pairs, answers, duties.sentences.stamp), first)
        if duties.documents is None:
            return Rendered(rows, b"")
        return Rendered(rows, duties.documents.render(list(self._document_rows(held, answers)), first_document))

    def _document_rows(self, held: _Held, answers: Answers) -> Iterator[dict[str, object]]:
        start = 0
        for identifier, document, count in held.documents:
            part = slice(start, start + count)
            own = Answers(answers.probabilities[part], answers.decisions[part])
            yield document_row(identifier, document, own, self._duties.sentences.stamp)
            start += count


def in_batches(model: Model, texts: Sequence[str]) -> Probabilities:
    """(n, labels) probabilities, in calls of at most `BATCH` texts."""
    found = [model.predict_proba(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
    return np.concatenate(found) if found else np.zeros((0, len(model.labels)), dtype=np.float32)


def _whole(document: Document) -> list[Sentence]:
    return [whole_sentence(document)]
