"""What bulk prediction returns: rows for sentences and documents, and a report with counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from labels.records import Document, Sentence
from labels.text.rows import Row
from trainer.model.model import Model

SAID = 20
"""Maximum number of unreadable files and rows for which a report gives the reason, and of other remarks."""
DIGITS = 6
"""Number of decimals of a probability in a row."""

Pairs = Sequence[tuple[Document, Sentence]]


@dataclass
class PredictReport:
    """The counts of a call of `predict_files`, including the part that an interrupted call had finished.

    `boilerplate` counts the sentences set aside, by reason; `assigned` counts sentences by label, `abstained` those
    about which the model abstains, and `screened` those to read. `left_out` is the
    number of files and rows that could not be read; `rejected` has the messages for the first `SAID` of them, and the
    file `OUT.rejects.jsonl` has all of them. `notes` are remarks on how tables were read, and on outputs of communique
    that were not read. `repeated` counts the sentences whose probabilities were taken from an equal sentence,
    `continued` the sentences that an interrupted call had finished. `seconds` is the duration of this call, and
    `model_seconds` the part of it in which the model of this process predicted.
    """

    documents: int = 0
    sentences: int = 0
    left_out: int = 0
    boilerplate: Counter[str] = field(default_factory=Counter)
    assigned: Counter[str] = field(default_factory=Counter)
    abstained: Counter[str] = field(default_factory=Counter)
    screened: Counter[str] = field(default_factory=Counter)
    rejected: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    repeated: int = 0
    continued: int = 0
    seconds: float = 0.0
    model_seconds: float = 0.0

    def reject(self, message: str) -> None:
        """Count a file or row that could not be read; only the first `SAID` messages are kept."""
        self.left_out += 1
        if self.left_out <= SAID:
            self.rejected.append(message)

    def note(self, remark: str) -> None:
        """Keep a remark; only the first `SAID` are kept, because each of a million files may have one."""
        if len(self.notes) < SAID:
            self.notes.append(remark)

    def to_json(self) -> dict[str, Any]:
        """The counts as plain values, without the durations."""
        return {name: value for name, value in vars(self).items() if not name.endswith("seconds")}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The report that `to_json` wrote."""
        counters = {name: Counter(content.get(name, {})) for name in _COUNTERS}
        return cls(**(dict(content) | counters))


_COUNTERS = ("boilerplate", "assigned", "abstained", "screened")


class Answers(NamedTuple):
    """What a model says about n sentences, in arrays of shape (n, labels).

    `marks` has the columns `abstained` and `screened`, if the model has such rules (`Stamp.marks`).
    """

    probabilities: NDArray[np.float32]
    decisions: NDArray[np.bool_]
    marks: Mapping[str, NDArray[np.bool_]] = {}

    @classmethod
    def of(cls, model: Model, probabilities: NDArray[np.float32]) -> Self:
        """The answers of a model with these probabilities."""
        marks = {name: found for name, found in _marks(model, probabilities).items() if found is not None}
        return cls(probabilities, model.decide(probabilities), marks)

    def counts(self, labels: Sequence[str]) -> dict[str, dict[str, int]]:
        """The numbers of sentences by label: `assigned`, and one entry per mark."""
        columns = {"assigned": self.decisions, **self.marks}
        return {name: dict(zip(labels, own.sum(axis=0).tolist(), strict=True)) for name, own in columns.items()}

    def part(self, rows: slice) -> Answers:
        """The answers for some of the sentences."""
        marks = {name: found[rows] for name, found in self.marks.items()}
        return Answers(self.probabilities[rows], self.decisions[rows], marks)


def _marks(model: Model, probabilities: NDArray[np.float32]) -> dict[str, NDArray[np.bool_] | None]:
    return {"abstained": model.abstained(probabilities), "screened": model.screened(probabilities)}


class Stamp(NamedTuple):
    """The columns that are equal in all rows, the names of the labels, and the columns with marks."""

    labels: tuple[str, ...]
    model_id: str
    codebook_hash: str
    marks: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: Model) -> Self:
        """The stamp of a model's predictions."""
        none = np.zeros((0, len(model.labels)), dtype=np.float32)
        return cls(model.labels, model.id, model.codebook.hash, tuple(Answers.of(model, none).marks))


def predict_rows(model: Model, sentences: Pairs) -> list[Row]:
    """Predict sentences; returns one row per sentence with provenance, labels, and probabilities by label name."""
    probabilities = model.predict_proba([sentence.text for _, sentence in sentences])
    return sentence_rows(sentences, Answers.of(model, probabilities), Stamp.of(model))


def sentence_rows(sentences: Pairs, answers: Answers, stamp: Stamp) -> list[Row]:
    """One row per sentence, followed by the columns kept from its document."""
    labels = stamp.labels
    marks = {name: _names(labels, answers.marks[name]) for name in stamp.marks}
    return [
        {
            "document_id": sentence.document_id,
            "sentence_id": sentence.id,
            "source": document.source,
            "start": sentence.start,
            "end": sentence.end,
            "text": sentence.text,
            "labels": decided,
            **{name: found[place] for name, found in marks.items()},
            "probabilities": {name: round(p, DIGITS) for name, p in zip(labels, row, strict=True)},
            "model_id": stamp.model_id,
            "codebook_hash": stamp.codebook_hash,
            "splitter": sentence.splitter,
            "heading": sentence.heading,
            **document.kept,
        }
        for place, ((document, sentence), decided, row) in enumerate(
            zip(sentences, _names(labels, answers.decisions), answers.probabilities.tolist(), strict=True)
        )
    ]


def _names(labels: Sequence[str], found: NDArray[np.bool_]) -> list[list[str]]:
    return [[name for name, own in zip(labels, row, strict=True) if own] for row in found.tolist()]


def document_row(identifier: str, document: Document, answers: Answers, stamp: Stamp) -> Row:
    """One row for a document from the answers for its sentences.

    `labels` are the labels of any sentence, `shares` the share of sentences with each label, and `probabilities` the
    highest probability of each label in any sentence. A document without sentences has no labels, shares of None and
    probabilities of None.
    """
    names, found = stamp.labels, len(answers.decisions)
    counts = answers.decisions.sum(axis=0).tolist()
    highest = answers.probabilities.max(axis=0).tolist() if found else [None] * len(names)
    shares = [round(count / found, DIGITS) if found else None for count in counts]
    return {
        "document_id": identifier,
        "source": document.source,
        "title": document.title,
        "date": document.date,
        "url": document.url,
        "sentences": found,
        "labels": [name for name, count in zip(names, counts, strict=True) if count],
        "shares": dict(zip(names, shares, strict=True)),
        "probabilities": {
            name: None if p is None else round(p, DIGITS) for name, p in zip(names, highest, strict=True)
        },
        "model_id": stamp.model_id,
        "codebook_hash": stamp.codebook_hash,
        **{name: value for name, value in document.kept.items() if name not in ("title", "date", "url")},
    }
