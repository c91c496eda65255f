"""Reads a folder of labelled documents in the layout of `seeds/`: documents/ with front matter, and annotations/."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labels.codebook.schema import Codebook
from labels.errors import DataError
from labels.exchange.jsonl import read_annotations
from labels.exchange.lines import Line
from labels.gold import resolve
from labels.records import Document, Sentence
from labels.text.documents import find_files, read_file, read_front_matter
from labels.text.sentences import split_sentences

LabelSet = tuple[str, ...]


@dataclass(frozen=True)
class LabelledDocument:
    """A document, what its front matter says of it, and its sentences to label, in order."""

    path: Path
    document: Document
    form: str
    region: str
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class LabelledCorpus:
    """What a folder holds, cut by the present splitter. `gold` maps sentence id -> labels where they are decided."""

    documents: tuple[LabelledDocument, ...]
    lines: tuple[Line, ...]
    gold: dict[str, LabelSet]

    @property
    def placed(self) -> Iterator[tuple[LabelledDocument, Sentence]]:
        """Every sentence to label with its document."""
        return ((own, sentence) for own in self.documents for sentence in own.sentences)


def read_labelled_corpus(folder: Path, codebook: Codebook) -> LabelledCorpus:
    """The documents of a folder, cut anew, with the annotations beside them and the gold that these decide.

    Raises:
        DataError: documents/ or annotations/ is missing or empty, or a file in it does not validate.
    """
    documents = tuple(own for path in find_files([folder / "documents"]) for own in _labelled_documents(path))
    files = sorted((folder / "annotations").glob("*.jsonl"))
    if not files:
        raise DataError(f"{folder / 'annotations'}: no .jsonl file there. Give a folder in the layout of the seeds.")
    lines = tuple(line for path in files for line in read_annotations(path, codebook))
    return LabelledCorpus(documents, lines, resolve([line.event for line in lines], codebook).gold)


def _labelled_documents(path: Path) -> Iterator[LabelledDocument]:
    matter = read_front_matter(path)
    for document in read_file(path, reject=_refuse):
        sentences = tuple(sentence for sentence in split_sentences(document) if not sentence.boilerplate)
        form, region = (str(matter.get(name) or "unknown") for name in ("form", "region"))
        yield LabelledDocument(path, document, form, region, sentences)


def _refuse(message: str) -> None:
    raise DataError(message)
