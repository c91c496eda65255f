"""The label store: documents, sentences, codebooks, append-only annotation events, draws, scores.

The only place with SQL. Events are never changed or deleted. Every public method is one transaction: it happens whole
or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from labels.codebook.schema import Codebook
from labels.records import Annotation, CodebookMigration, Document, Sentence
from labels.store.codebooks import Codebooks
from labels.store.counts import Progress
from labels.store.documents import Texts
from labels.store.draws import Draws
from labels.store.events import Events
from labels.store.relabelling import RelabellingQueue
from labels.store.scores import Scores


class Store(Texts, Codebooks, Events, Draws, RelabellingQueue, Scores, Progress):
    """An open label store. Use as a context manager, or `close()` it; see `labels.store.database.Database`."""

    def add_annotated(
        self,
        sentences: Sequence[Sentence],
        events: Sequence[Annotation],
        *,
        documents: Iterable[Document] = (),
        codebooks: Iterable[Codebook] = (),
        migrations: Iterable[CodebookMigration] = (),
    ) -> int:
        """Add sentences with the events on them, and what came with these; whatever is there already stays as it is.

        Returns:
            How many events were new.
        """
        with self._transaction("written") as connection:
            self._insert_codebooks(connection, codebooks)
            self._insert_migrations(connection, migrations)
            self._insert_documents(connection, documents)
            self._insert_sentences(connection, sentences)
            return self._insert_events(connection, events)
