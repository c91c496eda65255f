"""Articles -> store: read files, cut documents into sentences, add them, and count what was added and left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labels.progress import report_progress
from labels.records import Document
from labels.store import Store
from labels.store.database import batches
from labels.text.documents import find_files, read_file
from labels.text.sentences import count_boilerplate, split_sentences

_DOCUMENTS_PER_TRANSACTION = 200
"""A transaction for each document would be slow; one for all would keep annotators from writing meanwhile."""


@dataclass
class IngestReport:
    """What `ingest` did.

    `boilerplate` counts sentences that are not to be labelled, by reason; `rejected` says what was left out and why.
    """

    documents_read: int = 0
    documents_added: int = 0
    sentences_added: int = 0
    boilerplate: Counter[str] = field(default_factory=Counter)
    rejected: list[str] = field(default_factory=list)


def ingest(store: Store, paths: Iterable[Path]) -> IngestReport:
    """Add the documents under `paths` with their sentences; those in the store already stay as they are.

    Raises:
        DataError: a path does not exist, or there is nothing readable.
        StoreError: the store cannot be written.
    """
    report = IngestReport()
    found = (
        (document, split_sentences(document)) for document in _documents(find_files(paths), report.rejected.append)
    )
    for batch in batches(found, _DOCUMENTS_PER_TRANSACTION):
        documents, sentences = store.documents.add(batch)
        report.documents_read += len(batch)
        report.documents_added += documents
        report.sentences_added += sentences
        for _, own in batch:
            report.boilerplate += count_boilerplate(own)
    return report


def _documents(files: Sequence[Path], reject: Callable[[str], None]) -> Iterator[Document]:
    for done, path in enumerate(files):
        report_progress("Reading", done, len(files))
        yield from read_file(path, reject)
    report_progress("Reading", len(files), len(files))
