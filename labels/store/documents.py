"""Documents and their sentences in the store; `labels.store.ingestion` reads them from files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from labels.records import Document, Sentence
from labels.store import tables
from labels.store.database import Part, rows_among
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
from labels.store.texts.other_versions import Repeats, find_repeats, link_query
from labels.store.texts.overlaps import REPLACED_SPAN
from labels.store.texts.resplit import Cut, Resplit, family, resplit, stored_documents
from labels.text.spans import fill_gaps

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Context:
    """The sentences before and after a sentence in its document, and the document's title and date.

    There are fewer sentences near the start and end of the document. A document without a title has the name of its
    file or its first words instead. Title and date are empty if the document is not in the store.
    """

    before: tuple[Sentence, ...]
    after: tuple[Sentence, ...]
    title: str
    date: str


class Withdrawn(NamedTuple):
    """A document that was removed or purged, and the time of its removal."""

    document_id: str
    moment: str
    is_purged: bool


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
        """Return the documents that are not in the store yet, each once."""
        by_id = {document.id: document for document in documents}
        table = tables.documents
        with self._database.reading() as connection:
            stored = recognise(connection, by_id.values())
            known = {row.id for row in rows_among(connection, sa.select(table.c.id), table.c.id, stored.values())}
        same = {own for own, other in stored.items() if own != other and other in by_id}
        return [one for own, one in by_id.items() if own not in same and stored.get(own) not in known]

    def add_new(
        self,
        documents: Iterable[tuple[Document, Sequence[Sentence]]],
        present: Sequence[Document] = (),
        *,
        even_purged: bool = False,
    ) -> Added:
        """Add documents that are not in the store yet. Sentences that an earlier version also has are only linked.

        Some sentences of a document can be in the store already, from an import; new sentences never overlap them.

        Args:
            present: documents that the store has, perhaps under other ids; these ids are added as aliases.
            even_purged: also add other versions of purged documents.
        """
        documents = list(documents)
        result = Added()
        with self._database.writing() as connection:
            for batch in without_common_keys(documents):
                add_batch(connection, batch, result, even_purged=even_purged)
            insert_aliases_of(connection, present, recognise(connection, present))
        return result

    def stored(self, pairs: Sequence[tuple[Document | None, Sentence]]) -> list[Sentence]:
        """Return the sentences under their ids in the store; see `texts.identity.stored_sentences`."""
        with self._database.reading() as connection:
            return stored_sentences(connection, pairs)

    def resolve(self, ids: Iterable[str]) -> dict[str, str]:
        """Map other ids of stored sentences to their ids in the store; ids that are in the store are left out."""
        with self._database.reading() as connection:
            return resolve_sentences(connection, ids)

    def repeats(self, sentences: Iterable[Sentence]) -> Repeats:
        """Find the sentences that occur in another version of their document; see `store.texts.other_versions`."""
        with self._database.reading() as connection:
            return find_repeats(connection, sentences)

    def withdrawn(self, documents: Iterable[Document]) -> list[Withdrawn]:
        """Return the given documents that were removed from the store or purged."""
        table = tables.removals
        query = sa.select(table.c.document_id, table.c.created_at, table.c.purged)
        with self._database.reading() as connection:
            stored = recognise(connection, documents)
            return [Withdrawn(*row) for row in rows_among(connection, query, table.c.document_id, stored.values())]

    def first_versions(self) -> dict[str, str]:
        """Map the ids of later versions of documents to the id of the first version."""
        table = tables.documents
        query = sa.select(table.c.id, table.c.version_of).where(table.c.version_of != "")
        return {row[0]: row[1] for row in (*self._rows(link_query()), *self._rows(query))}

    def resplit(self, documents: Iterable[Document], cut: Cut) -> Resplit:
        """Split stored documents again, with their other versions; see `labels.store.texts.resplit`.

        Documents that are not in the store, or were removed, are ignored.

        Args:
            cut: a function that splits a document. It is applied to the text in the store, to which the offsets refer.
        """
        with self._database.reading() as connection:
            ids = family(connection, recognise(connection, documents).values())
            stored = stored_documents(connection, ids)
        sentences = [(identifier, cut(document)) for identifier, document in stored.items()]
        with self._database.writing() as connection:
            return resplit(connection, sentences)

    def sentences(self, ids: Iterable[str] | None = None, *, document_id: str | None = None) -> list[Sentence]:
        """Return sentences by document and position, boilerplate included.

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
        """Map ids to sentences, with the first version of an article as their document, for figures by document."""
        first = self.first_versions()
        found = self.sentences(ids)
        return {one.id: replace(one, document_id=first.get(one.document_id, one.document_id)) for one in found}

    def ids_of_numbers(self, numbers: Sequence[int]) -> list[str]:
        """Return the ids of the sentences with these numbers, in the order of `numbers`."""
        table = tables.sentences
        query = sa.select(table.c.number, table.c.id)
        with self._database.reading() as connection:
            found = {row.number: row.id for row in rows_among(connection, query, table.c.number, numbers)}
        return [found[number] for number in numbers]

    def with_passages(self, sentences: Iterable[Sentence]) -> list[Sentence]:
        """Return the sentences whose documents are in the store, with the text of their span in the document."""
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
        """Return the context of a sentence: up to `reach` sentences on each side, and the document's title and date."""
        table, documents = tables.sentences, tables.documents
        near = _sentence_query().where(table.c.document_id == sentence.document_id).limit(_CANDIDATES * reach)
        before = near.where(table.c.end <= sentence.start).order_by(table.c.start.desc())
        after = near.where(table.c.start >= sentence.end).order_by(table.c.start)
        # The beginning of the text only: a transcript can be long.
        words = sa.func.substr(documents.c.text, 1, _FIRST_WORDS)
        heading = sa.select(documents.c.title, documents.c.date, documents.c.source, words)
        heading = heading.where(documents.c.id == sentence.document_id)
        with self._database.reading() as connection:
            earlier = _in_sequence([Sentence(*row) for row in connection.execute(before)])
            later = _in_sequence([Sentence(*row) for row in connection.execute(after)])
            title, date, source, text = connection.execute(heading).first() or ("", "", "", "")
        title = title or document_name(source, text)
        return Context(tuple(earlier[max(0, len(earlier) - reach) :]), tuple(later[:reach]), title, date)

    def paragraph_breaks(self, sentences: Sequence[Sentence]) -> list[bool]:
        """Return for every sentence except the first whether a line break precedes it in the document's text.

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
        """Yield the id and the content of each document among `ids` that the store has, in no particular order."""
        table = tables.documents
        names = ("source", "text", "url", "title", "date", "language", "synthetic")
        query = sa.select(table.c.id, *(table.c[name] for name in names))
        with self._database.reading() as connection:
            for identifier, *values in rows_among(connection, query, table.c.id, ids):
                yield identifier, Document(*values)

    def metadata(self) -> dict[str, dict[str, str]]:
        """Map document ids to their source, date and language; what is not known is left out."""
        table, names = tables.documents, ("source", "date", "language")
        rows = self._rows(sa.select(table.c.id, *(table.c[name] for name in names)))
        stated = ((row.id, {name: getattr(row, name) for name in names}) for row in rows)
        return {identifier: {name: value for name, value in own.items() if value} for identifier, own in stated}


_FIRST_WORDS = 60
"""The number of characters by which a document without a title and a file is named."""
_FILE = re.compile(r"[^/\\\s][^/\\]*\.[A-Za-z]{2,5}")


def document_name(source: str, text: str) -> str:
    """The name of a document without a title: that of the file it was read from, or its first words.

    `text` has the first `_FIRST_WORDS` characters.
    """
    file = re.split(r"[/\\]", source)[-1]
    if _FILE.fullmatch(file):
        return file
    words = " ".join(text.split())
    return f"{words.rpartition(' ')[0] or words} …" if len(text) == _FIRST_WORDS else words


_CANDIDATES = 8
"""The number of stored sentences read per sentence of context: a passage may be stored as several sentences."""


def _sentence_query() -> sa.Select[Any]:
    return sa.select(*(tables.sentences.c[field.name] for field in fields(Sentence)))


def _in_sequence(sentences: Sequence[Sentence]) -> list[Sentence]:
    """Sort sentences by position, each passage once; a replaced sentence is kept if no other covers its passage."""
    replaced = [one for one in sentences if one.boilerplate == REPLACED_SPAN]
    return fill_gaps([one for one in sentences if one.boilerplate != REPLACED_SPAN], replaced)
