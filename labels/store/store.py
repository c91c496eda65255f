"""The label store: documents, sentences, codebooks, append-only annotation events, draws, scores.

The only place with SQL. Events are never changed or deleted. Every public method is one transaction: it happens whole
or not at all.
"""

from __future__ import annotations

from labels.store.codebooks import Codebooks
from labels.store.draws import Draws
from labels.store.events import Events
from labels.store.progress import Progress
from labels.store.scores import Scores
from labels.store.texts import Texts


class Store(Texts, Codebooks, Events, Draws, Scores, Progress):
    """An open label store. Use as a context manager, or `close()` it; see `labels.store.database.Database`."""
