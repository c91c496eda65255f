"""Read articles from files, split them into sentences, store both, and count what was added or left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from labels.environment.progress import report_progress
from labels.records import Document
from labels.store.database import batches
from labels.store.texts.resplit import Resplit
from labels.store.texts.versions import NewVersion

if TYPE_CHECKING:
    from labels.records import Sentence
    from labels.store import Store
    from labels.store.documents import Withdrawn
    from labels.store.texts.identity import Added

_DOCUMENTS_PER_TRANSACTION = 200
"""With one transaction per document, ingestion would be slow; a single one would block annotators for too long."""


@dataclass
class IngestReport:
    """The result of `ingest`.

    - `boilerplate`: number of sentences in new documents that must not be labelled, by reason
    - `rejected`: one message for every file or document that was left out
    - `notes`: remarks on how tables were read, and on outputs of communique that were skipped
    - `versions`: the new documents that are later versions of others
    - `resplit`: the changes in documents that were split again
    - `documents_removed`: number of documents that the store has as removed documents
    - `purged`: number of documents that were not added because they were purged, by the day of the purge
    - `purged_versions`: the same for documents of which another version was purged
    """

    documents_read: int = 0
    documents_added: int = 0
    sentences_added: int = 0
    boilerplate: Counter[str] = field(default_factory=Counter)
    rejected: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: list[NewVersion] = field(default_factory=list)
    resplit: Resplit = field(default_factory=Resplit)
    documents_removed: int = 0
    purged: Counter[str] = field(default_factory=Counter)
    purged_versions: Counter[str] = field(default_factory=Counter)

    @property
    def documents_present(self) -> int:
        """The number of documents that were already in the store or occurred earlier in the files."""
        return self.documents_read - self.documents_added - self.purged.total() - self.purged_versions.total()


def ingest(
    store: Store,
    paths: Iterable[Path],
    text_column: str = "",
    *,
    keep_quotes: bool = False,
    resplit: bool = False,
    even_purged: bool = False,
) -> IngestReport:
    """Add the documents under `paths` with their sentences. Documents that are already stored do not change.

    Args:
        text_column: the column with the texts of tables; empty for `text`.
        keep_quotes: keep a quotation of several sentences as one sentence.
        resplit: split the documents that are already stored again; see `labels.store.texts.resplit`.
        even_purged: also add other versions of purged documents; a purged text itself is never added again.

    Raises:
        DataError: a path does not exist, or it contains no readable file.
        StoreError: the store cannot be written.
    """
    # Imported here because commands that only read the store do not need the file parsers.
    from labels.text.documents import find_files
    from labels.text.sentences import split_sentences

    report = IngestReport()
    files = find_files(paths)
    report.notes += files.notes
    found = _documents(files.files, report, text_column)
    cut = partial(split_sentences, keep_quotes=keep_quotes)
    for batch in batches(found, _DOCUMENTS_PER_TRANSACTION):
        new = [(document, cut(document)) for document in store.documents.unknown(batch)]
        added_ids = {document.id for document, _ in new}
        present = [document for document in batch if document.id not in added_ids]
        added = store.documents.add_new(new, present, even_purged=even_purged)
        report.documents_read += len(batch)
        _count_added(report, new, added)
        if present:
            _count_withdrawn(report, store.documents.withdrawn(present))
        if resplit:
            report.resplit += store.documents.resplit(batch, cut)
    return report


def _count_added(report: IngestReport, new: Sequence[tuple[Document, list[Sentence]]], added: Added) -> None:
    """Count the new documents that were added, and those left out because another version was purged."""
    from labels.text.sentences import count_boilerplate

    report.purged_versions.update(moment[:10] for *_, moment in added.like_purged)
    report.documents_added += added.documents
    report.sentences_added += added.sentences
    report.versions += added.versions
    report.notes += (
        f"document {new} was added, but looks like a version of the removed document {old}. If this version must "
        f"not be used either, type `communique documents remove {new}`"
        for new, old in added.like_removed
    )
    left_out = {one for one, *_ in added.like_purged}
    for document, own in new:
        if document.id not in left_out:
            report.boilerplate += count_boilerplate(own)


def _count_withdrawn(report: IngestReport, withdrawn: Sequence[Withdrawn]) -> None:
    """Count the documents that are not added again, because they were removed or purged."""
    report.documents_removed += sum(not one.is_purged for one in withdrawn)
    report.purged.update(one.moment[:10] for one in withdrawn if one.is_purged)


def _documents(files: Sequence[Path], report: IngestReport, text_column: str) -> Iterator[Document]:
    from labels.text.documents import read_file

    for done, path in enumerate(files):
        report_progress("Reading", done, len(files))
        yield from read_file(path, report.rejected.append, text_column, report.notes.append)
    report_progress("Reading", len(files), len(files))
