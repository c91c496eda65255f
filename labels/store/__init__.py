"""The label store on SQLite or PostgreSQL: documents, sentences, codebooks, annotation events, draws, scores.

The only place with SQL. A `Store` is composed of parts (`store.documents`, `store.events`, ...), one module each, that
share one database. Every public method of a part is one transaction: it happens completely or not at all. Events are
never changed or deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from labels.records import Annotation, CodebookMigration, Document, Draw, DrawItem, ScoringModel, Sentence
from labels.store.codebooks import Codebooks, insert_codebooks, insert_migrations
from labels.store.counts import AnnotatorProgress, Counts, StrategyProgress, TextCounts
from labels.store.database import Database, last_midnight, now
from labels.store.documents import Context, Documents, insert_documents, insert_sentences
from labels.store.draws import SHARED, Draws, QueuedSentence, Relabelling
from labels.store.events import Draft, Events, insert_events
from labels.store.scores import Scorable, Scores
from labels.store.unseen import Frame, Uncertainty, Unseen

if TYPE_CHECKING:
    from labels.codebook.schema import Codebook

__all__ = [
    "SHARED",
    "AnnotatorProgress",
    "CodebookMigration",
    "Context",
    "Draft",
    "Draw",
    "DrawItem",
    "Frame",
    "QueuedSentence",
    "Scorable",
    "ScoringModel",
    "Store",
    "StrategyProgress",
    "TextCounts",
    "Uncertainty",
    "last_midnight",
    "now",
]


class Store:
    """An open label store. Use as a context manager, or `close()` it.

    Args:
        store: path of a SQLite file, or a SQLAlchemy URL. Its tables are created, or brought to the newest schema.
        create: make the SQLite file if it is absent.

    `url` is its URL, `name` what `labels.settings.store_name` calls it; neither shows a password. The parts:

    - `documents`: documents and their sentences
    - `codebooks`: versions of codebooks, and the recorded changes between them
    - `events`: who decided what, append-only; drafts that are not confirmed yet
    - `unseen`: the sentences that are free to be drawn
    - `draws`: samples handed to annotators, and reservations
    - `relabelling`: the queue of sentences to be labelled again
    - `scores`: models' probabilities and embeddings
    - `counts`: who did what, how fast, how far

    Raises:
        InputError: the SQLite file is absent or empty and `create` is false; or as `labels.settings.store_url`.
        StoreError: it cannot be opened, is of a newer schema version, or is not a store.
    """

    def __init__(self, store: str | Path, *, create: bool = True) -> None:
        self._database = Database(store, create=create)
        self.url = self._database.url
        self.name = self._database.name
        self.documents = Documents(self._database)
        self.codebooks = Codebooks(self._database)
        self.events = Events(self._database)
        self.unseen = Unseen(self._database)
        self.draws = Draws(self._database)
        self.relabelling = Relabelling(self._database)
        self.scores = Scores(self._database)
        self.counts = Counts(self._database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give all connections back."""
        self._database.close()

    def add_annotated(
        self,
        sentences: Sequence[Sentence],
        events: Sequence[Annotation],
        *,
        documents: Iterable[Document] = (),
        codebooks: Iterable[Codebook] = (),
        migrations: Iterable[CodebookMigration] = (),
    ) -> int:
        """Add sentences, the events on them and what came with these, in one transaction.

        What is in the store already stays as it is.

        Returns:
            How many events were new.
        """
        # The only writer that spans parts: an import that fails half-way must leave nothing behind.
        with self._database.writing() as connection:
            insert_codebooks(connection, codebooks)
            insert_migrations(connection, migrations)
            insert_documents(connection, documents)
            insert_sentences(connection, sentences)
            return insert_events(connection, events)
