"""Documents and their sentences in the store.

`ingest` reads files, splits documents into sentences, stores both, and counts what was added or left out.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from labels.progress import report_progress
from labels.records import Document, Sentence
from labels.store import tables
from labels.store.database import Part, batches, insert_new, rows_among
from labels.text.spans import Span, without_overlaps

if TYPE_CHECKING:
    from labels.store import Store


_DOCUMENTS_PER_TRANSACTION = 200
"""One transaction per document would be slow; a single transaction would block annotators who want to write."""


@dataclass(frozen=True)
class Context:
    """The sentences before and after a sentence in its document, and the document's title and date.

    There are fewer sentences near the start and end of the document. Title and date are empty if the document is not in
    the store.
    """

    before: tuple[Sentence, ...]
    after: tuple[Sentence, ...]
    title: str
    date: str


class Documents(Part):
    """The part of the store with documents and their sentences."""

    def add(self, documents: Iterable[tuple[Document, Sequence[Sentence]]]) -> tuple[int, int]:
        """Add documents with their sentences. Documents and sentences that are already stored do not change.

        A sentence that overlaps a stored sentence of its document is left out: the store keeps its spans.

        Returns:
            The numbers of new documents and new sentences.
        """
        documents = list(documents)
        sentences = [sentence for _, own in documents for sentence in own]
        with self._database.writing() as connection:
            return (
                insert_documents(connection, [document for document, _ in documents]),
                insert_sentences(connection, _without_stored_spans(connection, sentences)),
            )

    def sentences(self, ids: Iterable[str] | None = None, *, document_id: str | None = None) -> list[Sentence]:
        """Sentences by document and position, boilerplate included.

        Args:
            ids: return only the sentences with these ids.
            document_id: return only the sentences of this document.
        """
        table = tables.sentences
        query = _sentence_query().order_by(table.c.document_id, table.c.start)
        if document_id is not None:
            query = query.where(table.c.document_id == document_id)
        if ids is None:
            return [Sentence(*row) for row in self._rows(query)]
        with self._database.reading() as connection:
            found = [Sentence(*row) for row in rows_among(connection, query, table.c.id, ids)]
        # Rows are sorted within each batch of ids, but not across batches.
        return sorted(found, key=lambda sentence: (sentence.document_id, sentence.start))

    def ids_of_numbers(self, numbers: Sequence[int]) -> list[str]:
        """Sentence ids in the order of `numbers`."""
        table = tables.sentences
        query = sa.select(table.c.number, table.c.id)
        with self._database.reading() as connection:
            found = {row.number: row.id for row in rows_among(connection, query, table.c.number, numbers)}
        return [found[number] for number in numbers]

    def context(self, sentence: Sentence, reach: int = 2) -> Context:
        """The context of a sentence: up to `reach` sentences on each side, and the document's title and date."""
        table, documents = tables.sentences, tables.documents
        near = _sentence_query().where(table.c.document_id == sentence.document_id)
        before = near.where(table.c.start < sentence.start).order_by(table.c.start.desc()).limit(reach)
        after = near.where(table.c.start > sentence.start).order_by(table.c.start).limit(reach)
        heading = sa.select(documents.c.title, documents.c.date).where(documents.c.id == sentence.document_id)
        with self._database.reading() as connection:
            earlier = [Sentence(*row) for row in connection.execute(before)]
            later = [Sentence(*row) for row in connection.execute(after)]
            title, date = connection.execute(heading).first() or ("", "")
        return Context(tuple(reversed(earlier)), tuple(later), title, date)

    def paragraph_breaks(self, sentences: Sequence[Sentence]) -> list[bool]:
        """For every sentence except the first, whether a line break precedes it in the document's text.

        Args:
            sentences: consecutive sentences of one document.
        """
        if not sentences:
            return []
        table = tables.documents
        start, end = sentences[0].start, sentences[-1].start
        # The database extracts the passage: a transcript can be long, and this query runs for every displayed sentence.
        piece = sa.func.substr(table.c.text, start + 1, end - start)
        with self._database.reading() as connection:
            text = connection.execute(sa.select(piece).where(table.c.id == sentences[0].document_id)).scalar() or ""
        gaps = ((left.end - start, right.start - start) for left, right in pairwise(sentences))
        return [bool(re.search(r"[\r\n]", text[left:right])) for left, right in gaps]

    def with_texts(self, ids: Iterable[str]) -> Iterator[tuple[str, Document]]:
        """Yield the id and the content of each of these documents that the store has, in no particular order."""
        table = tables.documents
        names = ("source", "text", "url", "title", "date", "language", "synthetic")
        query = sa.select(table.c.id, *(table.c[name] for name in names))
        with self._database.reading() as connection:
            for identifier, *values in rows_among(connection, query, table.c.id, ids):
                yield identifier, Document(*values)

    def dates(self) -> dict[str, str]:
        """Document id -> date, for documents that have a date."""
        table = tables.documents
        return {row.id: row.date for row in self._rows(sa.select(table.c.id, table.c.date).where(table.c.date != ""))}


def _without_stored_spans(connection: sa.Connection, sentences: Sequence[Sentence]) -> Sequence[Sentence]:
    """The sentences that do not overlap the sentences of their document in the store."""
    table = tables.sentences
    query = sa.select(table.c.document_id, table.c.start, table.c.end)
    taken: defaultdict[str, list[Span]] = defaultdict(list)
    for row in rows_among(connection, query, table.c.document_id, {one.document_id for one in sentences}):
        taken[row.document_id].append((row.start, row.end))
    return without_overlaps(sentences, taken) if taken else sentences


def insert_documents(connection: sa.Connection, documents: Iterable[Document]) -> int:
    """Insert the documents that are not in the store yet; returns how many were inserted."""
    # `vars` rather than `asdict`, which copies every value: there may be a million sentences.
    rows = [{"id": document.id, **vars(document)} for document in documents]
    return insert_new(connection, tables.documents, rows)


def insert_sentences(connection: sa.Connection, sentences: Sequence[Sentence]) -> int:
    """Insert the sentences that are not in the store yet, under the next numbers; returns how many were inserted.

    Numbers start at 1 and have no gaps, so a random number is a random sentence (`Unseen.random`). The caller holds the
    write lock: no other process can take the same numbers.
    """
    table = tables.sentences
    by_id = {sentence.id: sentence for sentence in sentences}
    # Do not use "on conflict do nothing": a rejected row would leave its number unused.
    known = list(rows_among(connection, sa.select(table.c.id), table.c.id, by_id))
    for row in known:
        del by_id[row.id]
    if not by_id:
        return 0
    last = int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.number), 0))).scalar_one())
    rows = [
        {"number": last + position, "id": identifier, **vars(sentence)}
        for position, (identifier, sentence) in enumerate(by_id.items(), start=1)
    ]
    connection.execute(sa.insert(table), rows)
    _mark_labellable(connection, last)
    return len(rows)


def _mark_labellable(connection: sa.Connection, last: int) -> None:
    """Mark decisions that were imported before their sentences; the new sentences have numbers above `last`."""
    table, decisions = tables.sentences, tables.decisions
    new = sa.select(table.c.id).where(table.c.number > last, table.c.boilerplate == "")
    early = (~decisions.c.labellable, decisions.c.sentence_id.in_(new))
    connection.execute(sa.update(decisions).where(*early).values(labellable=True))


def _sentence_query() -> sa.Select[Any]:
    return sa.select(*(tables.sentences.c[field.name] for field in fields(Sentence)))


# -- articles -> store


@dataclass
class IngestReport:
    """The result of `ingest`.

    `boilerplate` counts the sentences that must not be labelled, by reason; `rejected` has a message for every file or
    document that was left out; `notes` are remarks on how tables were read, and on outputs of communique that were not.
    """

    documents_read: int = 0
    documents_added: int = 0
    sentences_added: int = 0
    boilerplate: Counter[str] = field(default_factory=Counter)
    rejected: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def ingest(store: Store, paths: Iterable[Path], text_column: str = "") -> IngestReport:
    """Add the documents under `paths` with their sentences. Documents that are already stored do not change.

    Args:
        text_column: the column with the texts of tables; empty for `text`.

    Raises:
        DataError: a path does not exist, or it contains no readable file.
        StoreError: the store cannot be written.
    """
    # Imported here because commands that only read the store do not need the file parsers.
    from labels.text.documents import find_files
    from labels.text.sentences import count_boilerplate, split_sentences

    report = IngestReport()
    files = find_files(paths)
    report.notes += files.notes
    documents_read = _documents(files.files, report, text_column)
    found = ((document, split_sentences(document)) for document in documents_read)
    for batch in batches(found, _DOCUMENTS_PER_TRANSACTION):
        documents, sentences = store.documents.add(batch)
        report.documents_read += len(batch)
        report.documents_added += documents
        report.sentences_added += sentences
        for _, own in batch:
            report.boilerplate += count_boilerplate(own)
    return report


def _documents(files: Sequence[Path], report: IngestReport, text_column: str) -> Iterator[Document]:
    from labels.text.documents import read_file

    for done, path in enumerate(files):
        report_progress("Reading", done, len(files))
        yield from read_file(path, report.rejected.append, text_column, report.notes.append)
    report_progress("Reading", len(files), len(files))
