"""Documents -> store: read, cut into sentences, keep; what was added, set aside and left out is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from labels.progress import report_progress
from labels.records import Document, Sentence
from labels.store import Store
from labels.text.documents import find_files, read_file
from labels.text.sentences import count_boilerplate, split_sentences

_DOCUMENTS_PER_TRANSACTION = 200


@dataclass
class IngestReport:
    """What `ingest` did: counts of documents and sentences, boilerplate by reason, and what was left out and why."""

    documents_read: int = 0
    documents_added: int = 0
    sentences_added: int = 0
    boilerplate: Counter[str] = field(default_factory=Counter)
    rejected: list[str] = field(default_factory=list)


def ingest(store: Store, paths: Iterable[Path]) -> IngestReport:
    """Add the documents under `paths` with their sentences; those already in the store add nothing.

    Raises:
        DataError: a path does not exist or nothing readable is there.
        StoreError: the store refused.
    """
    report = IngestReport()
    files = find_files(paths)
    waiting: list[tuple[Document, list[Sentence]]] = []
    for done, path in enumerate(files):
        report_progress("Reading", done, len(files))
        for document in read_file(path, report.rejected.append):
            sentences = split_sentences(document)
            report.documents_read += 1
            report.boilerplate += count_boilerplate(sentences)
            waiting.append((document, sentences))
            if len(waiting) >= _DOCUMENTS_PER_TRANSACTION:
                _keep(store, waiting, report)
    _keep(store, waiting, report)
    report_progress("Reading", len(files), len(files))
    return report


def _keep(store: Store, waiting: list[tuple[Document, list[Sentence]]], report: IngestReport) -> None:
    documents, sentences = store.documents.add(waiting)
    report.documents_added += documents
    report.sentences_added += sentences
    waiting.clear()
