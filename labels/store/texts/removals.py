"""Withdraw documents from the store: remove them temporarily, or purge them permanently.

The sentences of a removed document get the reason `REMOVED` and are not labelled. Its decisions are deleted from the
derived table `decisions`, as are its reservations, scores and embeddings. Events stay, so that `restore` brings every
decision back. `purge` also erases texts, for legal reasons: title, URL, text, embeddings, drafts, all notes on its
sentences, and records of other tools. States and labels stay, as do hashes of the title, the URL and the sentences, by
which a later version of the document is recognized and refused. All versions of an article are withdrawn together.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from labels.errors import InputError
from labels.store import tables
from labels.store.database import Part, batches, insert_new, now, rows_among
from labels.store.events import fold
from labels.store.texts.identity import aliases_among
from labels.store.texts.other_versions import linked_to
from labels.store.texts.versions import REMOVED, UNCHANGED, text_hash

_FILES = (".txt", ".md", ".html", ".htm", ".jsonl", ".csv", ".parquet", ".json")


_BEGINNING = 60
"""The number of characters of the text that are shown if a document has no title."""


@dataclass(frozen=True)
class DocumentSummary:
    """A document in a list.

    - `source`, `title`, `date`: empty if unknown or erased
    - `beginning`: the first characters of the text
    - `to_label`: number of sentences to label, not counting sentences that an earlier version also has
    - `decisions`: number of standing decisions; 0 while the document is removed
    - `state`: "", "removed" or "purged"
    - `version_of`: the id of the first version; empty if this is the first version
    """

    id: str
    source: str
    title: str
    date: str
    to_label: int
    decisions: int
    state: str
    version_of: str
    beginning: str = ""


class Removals(Part):
    """The part of the store that lists, withdraws and restores documents."""

    def summaries(self, *, source: str = "", state: str = "") -> list[DocumentSummary]:
        """Return the documents, sorted by source, date and title.

        Args:
            source: return only documents whose source contains this text, ignoring case.
            state: return only documents in this state: "stored", "removed" or "purged".
        """
        query = _summaries()
        if source:
            query = query.where(tables.documents.c.source.icontains(source, autoescape=True))
        found = [_summary(row) for row in self._rows(query)]
        return [one for one in found if not state or one.state == state.replace("stored", "")]

    def find(self, reference: str) -> list[DocumentSummary]:
        """Return the document with this id, or the only document whose id begins so, and all its other versions.

        Raises:
            InputError: no document or several documents match.
        """
        table = tables.documents
        with self._database.reading() as connection:
            known = aliases_among(connection, [reference]).get(reference, reference)
            query = sa.select(table.c.id, table.c.version_of).where(table.c.id.startswith(known, autoescape=True))
            rows = connection.execute(query.limit(3)).all() if known else []
            exact = [row for row in rows if row.id == known] or rows
            if len(exact) != 1:
                some = f"matches several documents, e.g. {', '.join(row.id for row in rows)}" if rows else "is unknown"
                raise InputError(
                    f"{self._database.name}: the document id '{reference}' {some}. Use an id that "
                    "`communique documents` shows."
                )
            root = exact[0].version_of or exact[0].id
            family = sa.or_(table.c.id == root, table.c.version_of == root)
            return [_summary(row) for row in connection.execute(_summaries().where(family))]

    def among(self, document_ids: Collection[str]) -> set[str]:
        """Return the ids among `document_ids` of documents that are removed or purged."""
        column = tables.removals.c.document_id
        with self._database.reading() as connection:
            return {row[0] for row in rows_among(connection, sa.select(column), column, document_ids)}

    def remove(self, ids: Sequence[str]) -> None:
        """Withdraw documents; documents that are already withdrawn do not change."""
        with self._database.writing() as connection:
            _withdraw(connection, _with_links(connection, ids), purged=False)

    def restore(self, ids: Sequence[str]) -> None:
        """Bring removed documents back with all decisions. The caller checks that they are not purged."""
        removals, sentences = tables.removals, tables.sentences
        with self._database.writing() as connection:
            for batch in batches(_with_links(connection, ids)):
                connection.execute(sa.delete(removals).where(removals.c.document_id.in_(batch), ~removals.c.purged))
                back = (sentences.c.document_id.in_(batch), sentences.c.boilerplate == REMOVED)
                connection.execute(sa.update(sentences).where(*back).values(boilerplate=""))
                fold(connection, set(_sentence_ids(connection, batch)))

    def purge(self, ids: Sequence[str]) -> int:
        """Erase the text of documents and everything that may quote it; decisions stay.

        SQLite overwrites the erased text in the file. Other databases free the space at their next vacuum.

        Returns:
            The number of notes that were erased.
        """
        with self._database.erasing() as connection:
            every = _with_links(connection, ids)
            _withdraw(connection, every, purged=True)
            return sum(_erase(connection, identifier) for identifier in every)


# -- in the caller's transaction


def _with_links(connection: sa.Connection, ids: Sequence[str]) -> list[str]:
    """Return the ids, and the ids of other versions of which the store only has sentences, from an import."""
    return list(dict.fromkeys((*ids, *linked_to(connection, ids))))


def _withdraw(connection: sa.Connection, ids: Sequence[str], *, purged: bool) -> None:
    """Record the removal, and delete the data derived from the documents' sentences."""
    sentences = tables.sentences
    rows = [{"document_id": identifier, "purged": purged, "created_at": now()} for identifier in ids]
    insert_new(connection, tables.removals, rows)
    for batch in batches(ids):
        if purged:
            of_batch = tables.removals.c.document_id.in_(batch)
            new = sa.update(tables.removals).where(of_batch, ~tables.removals.c.purged)
            connection.execute(new.values(purged=True, created_at=now()))
        to_label = (sentences.c.document_id.in_(batch), sentences.c.boilerplate == "")
        connection.execute(sa.update(sentences).where(*to_label).values(boilerplate=REMOVED))
        of_documents = sa.select(sentences.c.id).where(sentences.c.document_id.in_(batch))
        for table in (tables.decisions, tables.reservations):
            connection.execute(sa.delete(table).where(table.c.sentence_id.in_(of_documents)))
        numbers = sa.select(sentences.c.number).where(sentences.c.document_id.in_(batch))
        for table in (tables.scores, tables.embeddings):
            connection.execute(sa.delete(table).where(table.c.sentence_number.in_(numbers)))


def _erase(connection: sa.Connection, document_id: str) -> int:
    """Erase a document's text; returns the number of erased notes."""
    documents, sentences, events, drafts = tables.documents, tables.sentences, tables.events, tables.drafts
    own = documents.c.id == document_id
    source = connection.execute(sa.select(documents.c.source).where(own)).scalar() or ""
    # A file name is often the headline. A source from the data is usually just the name of a newspaper.
    kept = "" if source.endswith(_FILES) else source
    connection.execute(sa.update(documents).where(own).values(text="", title="", url="", source=kept))
    _keep_hashes(connection, document_id)
    connection.execute(sa.update(sentences).where(sentences.c.document_id == document_id).values(text=""))
    notes = 0
    for batch in batches(_sentence_ids(connection, [document_id])):
        of_batch = events.c.sentence_id.in_(batch)
        connection.execute(sa.delete(drafts).where(drafts.c.sentence_id.in_(batch)))
        connection.execute(sa.update(events).where(of_batch).values(extra=None))
        # Any note may quote the text or name a person, even a short one.
        noted = sa.update(events).where(of_batch, events.c.note != "")
        notes += connection.execute(noted.values(note="")).rowcount
    return notes


def _keep_hashes(connection: sa.Connection, document_id: str) -> None:
    """Store the hashes of a document's sentences to label; a sentence that is already erased keeps its hash."""
    table = tables.sentences
    to_label = (table.c.boilerplate.in_((REMOVED, UNCHANGED)), table.c.text != "")
    query = sa.select(table.c.id, table.c.text).where(table.c.document_id == document_id, *to_label)
    rows = [{"sentence_id": row.id, "hash": text_hash(row.text)} for row in connection.execute(query)]
    insert_new(connection, tables.erased_sentences, rows)


def _sentence_ids(connection: sa.Connection, document_ids: Sequence[str]) -> Sequence[str]:
    table = tables.sentences
    return connection.execute(sa.select(table.c.id).where(table.c.document_id.in_(document_ids))).scalars().all()


def _summaries() -> sa.Select[Any]:
    """Build a query for the documents with their numbers of sentences and decisions."""
    documents, sentences, removals = tables.documents, tables.sentences, tables.removals
    to_label = (
        sa.select(sa.func.count())
        .where(sentences.c.document_id == documents.c.id, sentences.c.boilerplate.in_(("", REMOVED)))
        .correlate(documents)
    )
    decided = (
        sa.select(sa.func.count())
        .select_from(tables.decisions)
        .join(sentences, sentences.c.id == tables.decisions.c.sentence_id)
        .where(sentences.c.document_id == documents.c.id)
        .correlate(documents)
    )
    columns = (documents.c[name] for name in ("id", "source", "title", "date", "version_of"))
    return (
        sa.select(
            *columns,
            to_label.scalar_subquery().label("to_label"),
            decided.scalar_subquery().label("decisions"),
            removals.c.purged,
            sa.func.substr(documents.c.text, 1, _BEGINNING).label("beginning"),
        )
        .outerjoin(removals, removals.c.document_id == documents.c.id)
        .order_by(documents.c.source, documents.c.date, documents.c.title, documents.c.id)
    )


def _summary(row: sa.Row[Any]) -> DocumentSummary:
    values = dict(row._mapping)
    state = {None: "", False: "removed", True: "purged"}[values.pop("purged")]
    return DocumentSummary(state=state, **values)
