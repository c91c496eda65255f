"""The label store on SQLite or PostgreSQL: documents, sentences, codebooks, annotation events, draws, scores.

All SQL is in this package. A `Store` is composed of parts (`store.documents`, `store.events`, ...) that share one
database; each part has its own module. Every public method of a part is one transaction: it succeeds completely or
changes nothing. Events are never changed or deleted, with two exceptions: purging a document erases notes that quote
it, and an annotator can be renamed. Merging another store can move them to higher numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from labels.records import Annotation, CodebookMigration, Document, Draw, DrawItem, ScoringModel, Sentence
from labels.store.codebooks import Codebooks, insert_codebooks, insert_migrations
from labels.store.contents import Contents, Extent
from labels.store.counts import AnnotatorProgress, Counts, StrategyProgress, TextCounts
from labels.store.database import Database, last_midnight, now
from labels.store.documents import Context, Documents
from labels.store.events import Draft, Events, insert_draw
from labels.store.queues.designs import CorpusSentence, Designs
from labels.store.queues.draws import SHARED, Draws, Held
from labels.store.queues.open_draws import OpenDraw, OpenDraws
from labels.store.queues.planted import Planted
from labels.store.queues.relabelling import QueuedSentence, Relabelling
from labels.store.queues.unseen import Frame, Uncertainty, Unseen
from labels.store.queues.waiting import Waiting
from labels.store.queues.windows import Window, Windows
from labels.store.scores import Scorable, Scores
from labels.store.texts.identity import insert_aliases, insert_documents, insert_sentences, stored_sentences
from labels.store.texts.other_versions import Repeats, insert_links
from labels.store.texts.removals import DocumentSummary, Removals
from labels.store.upkeep.imports import ImportBatch, Imports, record_batch
from labels.store.upkeep.names import Names

if TYPE_CHECKING:
    from labels.codebook.schema import Codebook

__all__ = [
    "SHARED",
    "AnnotatorProgress",
    "CodebookMigration",
    "Context",
    "CorpusSentence",
    "DocumentSummary",
    "Draft",
    "Draw",
    "DrawItem",
    "Extent",
    "Frame",
    "Held",
    "ImportBatch",
    "OpenDraw",
    "QueuedSentence",
    "Repeats",
    "Scorable",
    "ScoringModel",
    "Store",
    "StrategyProgress",
    "TextCounts",
    "Uncertainty",
    "Window",
    "filled_store",
    "last_midnight",
    "now",
]


class Store:
    """An open label store. Use it as a context manager, or call `close()`.

    Args:
        store: path to a SQLite file, or a SQLAlchemy URL. Tables are created or upgraded to the newest schema.
        create: create the SQLite file if it does not exist.

    `url` is the URL of the store, `name` its name from `settings.store_name`; neither shows a password. The parts are:

    - `documents`: documents and their sentences
    - `codebooks`: versions of codebooks, and the recorded changes between them
    - `events`: append-only annotation events, and unconfirmed drafts
    - `unseen`: the sentences that are free to be drawn
    - `draws`: samples given to annotators, and reservations
    - `designs`: probability samples, and what describes their frames
    - `open_draws`: the draws that can be continued
    - `relabelling`: the queue of sentences to be labelled again
    - `planted`: sentences whose answer is known
    - `waiting`: skipped sentences and drafts
    - `windows`: open windows of annotators
    - `scores`: probabilities and embeddings from models
    - `removals`: the list of documents, and documents that were withdrawn
    - `counts`: the progress and speed of annotators
    - `names`: renaming and merging annotators
    - `imports`: batches of imported events, and their undoing
    - `contents`: all sentences to label, read document by document

    Raises:
        InputError: the SQLite file is missing or empty and `create` is false; see also `settings.store_url`.
        StoreError: the store cannot be opened, has a newer schema version, or is not a communique store.
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
        self.designs = Designs(self._database)
        self.open_draws = OpenDraws(self._database)
        self.relabelling = Relabelling(self._database)
        self.planted = Planted(self._database)
        self.waiting = Waiting(self._database)
        self.windows = Windows(self._database)
        self.scores = Scores(self._database)
        self.removals = Removals(self._database)
        self.counts = Counts(self._database)
        self.names = Names(self._database)
        self.imports = Imports(self._database)
        self.contents = Contents(self._database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, *, drop_empty: bool = False) -> None:
        """Close all connections.

        Args:
            drop_empty: delete a SQLite file that this object created, if nothing was stored in it.
        """
        self._database.close(drop_empty=drop_empty)

    def add_annotated(
        self,
        sentences: Sequence[Sentence],
        events: Sequence[Annotation],
        *,
        documents: Iterable[Document] = (),
        codebooks: Iterable[Codebook] = (),
        migrations: Iterable[CodebookMigration] = (),
        draws: Iterable[Draw] = (),
        repeats: Repeats | None = None,
        source: str = "",
        format: str = "",
    ) -> ImportBatch:
        """Add sentences, their events, and related documents, codebooks, migrations and draws, in one transaction.

        Entries that are already in the store do not change. Sentences that the store knows under other ids, such as
        ids from an earlier release, are recognized.

        Args:
            repeats: the result of `documents.repeats`; its ids are stored as further ids of the equal sentences.
            source: the name of the file or store that the events come from.
            format: the name of its format.

        Returns:
            The new events as a batch, which can be undone; its id is empty if there are none.
        """
        # The only method that writes to several parts: an import that fails midway must leave nothing behind.
        with self._database.writing() as connection:
            insert_codebooks(connection, codebooks)
            insert_migrations(connection, migrations)
            insert_documents(connection, list(documents))
            known = stored_sentences(connection, [(None, sentence) for sentence in sentences])
            ids = {one.id: stored.id for one, stored in zip(sentences, known, strict=True)}
            insert_sentences(connection, known)
            if repeats is not None:
                insert_aliases(connection, ((other, one.id) for other, one in repeats.sentences.items()))
                insert_links(connection, repeats.links)
            for draw in draws:
                items = (replace(one, sentence_id=ids.get(one.sentence_id, one.sentence_id)) for one in draw.items)
                insert_draw(connection, replace(draw, items=tuple(items)))
            moved = [replace(one, sentence_id=ids.get(one.sentence_id, one.sentence_id)) for one in events]
            return record_batch(connection, moved, source=source, format=format)


@contextmanager
def filled_store(store: str | Path) -> Iterator[Store]:
    """Open a store to fill it. A SQLite file that is created for this and stays empty is deleted again.

    Raises:
        StoreError: see `Store`.
    """
    opened = Store(store)
    try:
        yield opened
    finally:
        opened.close(drop_empty=True)
