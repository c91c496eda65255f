"""Read all sentences to label, document by document, for bulk prediction from a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import sqlalchemy as sa

from labels.records import Document, Sentence
from labels.store import tables
from labels.store.database import Part, batches
from labels.store.texts.resplit import stored_documents

Passage = tuple[str, Document, list[Sentence]]
"""The id of a document in the store, the document, and its sentences to label, in order."""


@dataclass(frozen=True)
class Extent:
    """The sentences to label in a store at one time: how many there are, and the highest number of a sentence."""

    sentences: int
    last: int


class Contents(Part):
    """The part of the store that reads all sentences to label. Sentences of removed documents are not among them."""

    def extent(self, last: int | None = None) -> Extent:
        """Return the current extent; with `last`, ignore the sentences with higher numbers, which were added later."""
        table = tables.sentences
        if last is None:
            highest = sa.select(sa.func.coalesce(sa.func.max(table.c.number), 0))
            last = int(self._rows(highest)[0][0])
        count = sa.select(sa.func.count()).where(table.c.boilerplate == "", table.c.number <= last)
        return Extent(int(self._rows(count)[0][0]), last)

    def after(self, document_id: str, last: int, limit: int) -> list[Passage]:
        """Return the next documents in the order of their ids, each with its sentences to label.

        If a document was imported without its text, the text consists only of its sentences.

        Args:
            document_id: the id of the last document in the previous result; empty in the first call.
            last: the highest number of a sentence to read.
            limit: the maximum number of documents.
        """
        table = tables.sentences
        chosen = (table.c.boilerplate == "", table.c.number <= last)
        ids = sa.select(table.c.document_id).distinct().where(table.c.document_id > document_id, *chosen)
        columns = [table.c[field.name] for field in fields(Sentence)]
        with self._database.reading() as connection:
            found = list(connection.execute(ids.order_by(table.c.document_id).limit(limit)).scalars())
            documents = stored_documents(connection, found)
            own: dict[str, list[Sentence]] = {identifier: [] for identifier in found}
            for batch in batches(found):
                query = sa.select(*columns).where(table.c.document_id.in_(batch), *chosen)
                for row in connection.execute(query.order_by(table.c.document_id, table.c.start)):
                    own[row.document_id].append(Sentence(*row))
        return [(one, documents.get(one) or _unknown(sentences), sentences) for one, sentences in own.items()]


def _unknown(sentences: Sequence[Sentence]) -> Document:
    return Document("", "", synthetic=sentences[0].synthetic)
