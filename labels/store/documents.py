"""Documents and their sentences in the store.

`ingest` reads files, splits documents into sentences, stores both, and counts what was added or left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from labels.progress import report_progress
from labels.records import Document, Sentence
from labels.store import tables
from labels.store.database import Part, batches, rows_among
from labels.store.texts.identity import (
    Added,
    add_batch,
    insert_aliases_of,
    insert_documents,
    insert_sentences,
    recognise,
    resolve_sentences,
    stored_sentences,
    under,
    without_common_keys,
    without_stored_spans,
)
from labels.store.texts.overlaps import REPLACED_SPAN
from labels.store.texts.resplit import Cut, Resplit, family, resplit, stored_documents
from labels.store.texts.versions import NewVersion
from labels.text.spans import fill_gaps

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
        with self._database.writing() as connection:
            stored = recognise(connection, [document for document, _ in documents])
            sentences = [under(stored, one) for _, own in documents for one in own]
            added = insert_documents(connection, [document for document, _ in documents], stored)
            return added, insert_sentences(connection, without_stored_spans(connection, sentences))

    def unknown(self, documents: Iterable[Document]) -> list[Document]:
        """The documents that are not in the store yet, each once."""
        by_id = {document.id: document for document in documents}
        table = tables.documents
        with self._database.reading() as connection:
            stored = recognise(connection, by_id.values())
            known = {row.id for row in rows_among(connection, sa.select(table.c.id), table.c.id, stored.values())}
        return [document for own, document in by_id.items() if stored.get(own) not in known]

    def add_new(
        self, documents: Iterable[tuple[Document, Sequence[Sentence]]], present: Sequence[Document] = ()
    ) -> Added:
        """Add documents that are not in the store yet. Sentences that an earlier version also has are only linked.

        Some sentences of a document can be in the store already, from an import; new sentences never overlap them.

        Args:
            present: documents that the store has, perhaps under other ids; these ids are added as aliases.
        """
        documents = list(documents)
        result = Added()
        with self._database.writing() as connection:
            insert_aliases_of(connection, present, recognise(connection, present))
            for batch in without_common_keys(documents):
                add_batch(connection, batch, result)
        return result

    def stored(self, pairs: Sequence[tuple[Document | None, Sentence]]) -> list[Sentence]:
        """The sentences under the ids by which the store knows them; see `texts.identity.stored_sentences`."""
        with self._database.reading() as connection:
            return stored_sentences(connection, pairs)

    def resolve(self, ids: Iterable[str]) -> dict[str, str]:
        """Other id of a sentence -> id in the store, for the ids that are not in the store but refer to a sentence."""
        with self._database.reading() as connection:
            return resolve_sentences(connection, ids)

    def count_removed(self, documents: Iterable[Document]) -> int:
        """The number of the documents that were removed from the store or purged."""
        column = tables.removals.c.document_id
        with self._database.reading() as connection:
            stored = recognise(connection, documents)
            return sum(1 for _ in rows_among(connection, sa.select(column), column, stored.values()))

    def first_versions(self) -> dict[str, str]:
        """Document id -> id of the first version, for later versions of documents."""
        table = tables.documents
        query = sa.select(table.c.id, table.c.version_of).where(table.c.version_of != "")
        return {row.id: row.version_of for row in self._rows(query)}

    def resplit(self, documents: Iterable[Document], cut: Cut) -> Resplit:
        """Split stored documents again, with their other versions; see `labels.store.texts.resplit`.

        Documents that are not in the store, or were removed, are ignored.

        Args:
            cut: function that splits a document; applied to the text in the store, to which the offsets refer.
        """
        with self._database.reading() as connection:
            ids = family(connection, recognise(connection, documents).values())
            stored = stored_documents(connection, ids)
        sentences = [(identifier, cut(document)) for identifier, document in stored.items()]
        with self._database.writing() as connection:
            return resplit(connection, sentences)

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

    def by_first_version(self, ids: Iterable[str]) -> dict[str, Sentence]:
        """Sentence id -> sentence, for figures over documents: all versions of an article are its first version."""
        first = self.first_versions()
        found = self.sentences(ids)
        return {one.id: replace(one, document_id=first.get(one.document_id, one.document_id)) for one in found}

    def ids_of_numbers(self, numbers: Sequence[int]) -> list[str]:
        """Sentence ids in the order of `numbers`."""
        table = tables.sentences
        query = sa.select(table.c.number, table.c.id)
        with self._database.reading() as connection:
            found = {row.number: row.id for row in rows_among(connection, query, table.c.number, numbers)}
        return [found[number] for number in numbers]

    def with_passages(self, sentences: Iterable[Sentence]) -> list[Sentence]:
        """The sentences whose documents are in the store, with the text of their span."""
        by_document: dict[str, list[Sentence]] = {}
        for sentence in sentences:
            by_document.setdefault(sentence.document_id, []).append(sentence)
        table = tables.documents
        query = sa.select(table.c.id, table.c.text, table.c.synthetic)
        with self._database.reading() as connection:
            rows = list(rows_among(connection, query, table.c.id, by_document))
        return [
            replace(one, text=row.text[one.start : one.end], synthetic=row.synthetic)
            for row in rows
            for one in by_document[row.id]
            if one.start < one.end <= len(row.text)
        ]

    def context(self, sentence: Sentence, reach: int = 2) -> Context:
        """The context of a sentence: up to `reach` sentences on each side, and the document's title and date."""
        table, documents = tables.sentences, tables.documents
        near = _sentence_query().where(table.c.document_id == sentence.document_id).limit(_CANDIDATES * reach)
        before = near.where(table.c.end <= sentence.start).order_by(table.c.start.desc())
        after = near.where(table.c.start >= sentence.end).order_by(table.c.start)
        heading = sa.select(documents.c.title, documents.c.date).where(documents.c.id == sentence.document_id)
        with self._database.reading() as connection:
            earlier = _in_sequence([Sentence(*row) for row in connection.execute(before)])
            later = _in_sequence([Sentence(*row) for row in connection.execute(after)])
            title, date = connection.execute(heading).first() or ("", "")
        return Context(tuple(earlier[max(0, len(earlier) - reach) :]), tuple(later[:reach]), title, date)

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


_CANDIDATES = 8
"""The number of stored sentences read per sentence of context: a passage may be stored as several sentences."""


def _sentence_query() -> sa.Select[Any]:
    return sa.select(*(tables.sentences.c[field.name] for field in fields(Sentence)))


def _in_sequence(sentences: Sequence[Sentence]) -> list[Sentence]:
    """The sentences by position, each passage once; replaced sentences only where no other has their passage."""
    replaced = [one for one in sentences if one.boilerplate == REPLACED_SPAN]
    return fill_gaps([one for one in sentences if one.boilerplate != REPLACED_SPAN], replaced)


# -- articles -> store


@dataclass
class IngestReport:
    """The result of `ingest`.

    `boilerplate` counts the sentences of new documents that must not be labelled, by reason; `rejected` has a message
    for every file or document that was left out; `notes` are remarks on how tables were read, and on outputs of
    communique that were not; `versions` has the new documents that are later versions of others; `resplit` counts the
    changes in documents that were split again; `documents_removed` counts documents that the store has, but that were
    removed or purged.
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

    @property
    def documents_present(self) -> int:
        """The number of documents that were already in the store, or that occur again in the files."""
        return self.documents_read - self.documents_added


def ingest(
    store: Store, paths: Iterable[Path], text_column: str = "", *, keep_quotes: bool = False, resplit: bool = False
) -> IngestReport:
    """Add the documents under `paths` with their sentences. Documents that are already stored do not change.

    Args:
        text_column: the column with the texts of tables; empty for `text`.
        keep_quotes: keep a quotation of several sentences as one sentence.
        resplit: split the documents that are already stored again; see `labels.store.texts.resplit`.

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
    found = _documents(files.files, report, text_column)
    cut = partial(split_sentences, keep_quotes=keep_quotes)
    for batch in batches(found, _DOCUMENTS_PER_TRANSACTION):
        new = [(document, cut(document)) for document in store.documents.unknown(batch)]
        added_ids = {document.id for document, _ in new}
        present = [document for document in batch if document.id not in added_ids]
        added = store.documents.add_new(new, present)
        report.documents_removed += store.documents.count_removed(present) if present else 0
        report.documents_read += len(batch)
        report.documents_added += added.documents
        report.sentences_added += added.sentences
        report.versions += added.versions
        report.notes += (
            f"document {new} was added, but looks like a version of the removed document {old}. If this version must "
            f"not be used either, type `communique documents remove {new}`"
            for new, old in added.like_removed
        )
        if resplit:
            report.resplit += store.documents.resplit(batch, cut)
        for _, own in new:
            report.boilerplate += count_boilerplate(own)
    return report


def _documents(files: Sequence[Path], report: IngestReport, text_column: str) -> Iterator[Document]:
    from labels.text.documents import read_file

    for done, path in enumerate(files):
        report_progress("Reading", done, len(files))
        yield from read_file(path, report.rejected.append, text_column, report.notes.append)
    report_progress("Reading", len(files), len(files))
