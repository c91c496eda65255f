"""Under which codebook version the sentences in the relabelling queue are to be labelled."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from labels.codebook.changes import shape, titled
from labels.codebook.reading import CodebookHistory, VersionReader
from labels.codebook.schema import Codebook
from labels.errors import CodebookError
from labels.gold import resolve, standing
from labels.records import Annotation
from labels.settings import relabel_command
from labels.store import Store


def awaited_codebooks(store: Store, queued: Collection[str]) -> dict[str, Codebook]:
    """The codebook versions under which queued sentences are undecided, by NAME@HASH.

    Only versions that a recorded change led to and none has replaced count.
    """
    history = store.codebooks.history()
    known = history.versions
    changes = [
        (known[e.old_hash], known[e.new_hash]) for e in history.edges if {e.old_hash, e.new_hash} <= known.keys()
    ]
    replaced = {shape(old) for old, _ in changes}
    newest = {new.hash: new for _, new in changes if shape(new) not in replaced}
    stands = standing(store.events.all(sentence_ids=queued) if newest else [])
    decisions = [*stands.annotations.values(), *stands.adjudications.values()]
    return {f"{book.name}@{book.hash}": book for book in newest.values() if _undecided(decisions, book, history)}


def _undecided(decisions: Iterable[Annotation], codebook: Codebook, history: CodebookHistory) -> bool:
    """Whether the decisions leave a sentence undecided; those under unrelated codebooks do not count."""
    reader = VersionReader(codebook, history)
    related = [decision for decision in decisions if reader.route(decision.codebook_hash) is not None]
    return bool(resolve(related, codebook, history).undecided)


def refuse_replaced(store: Store, used: Codebook, annotator: str) -> None:
    """Refuse to label the queue under a version whose decisions would leave it undecided under the awaited one.

    Raises:
        CodebookError: with the command that uses the awaited version.
    """
    awaited = awaited_codebooks(store, {entry.sentence_id for entry in store.relabelling.waiting(annotator)})
    if awaited and shape(used) not in map(shape, awaited.values()):
        reference, wanted = next(iter(awaited.items()))
        raise CodebookError(
            f"{store.name}: queued sentences are undecided under codebook {titled(wanted)}, and decisions under "
            f"{titled(used)} would leave them undecided. "
            f"Use `{relabel_command(annotator, store=store.name, codebook=reference)}`."
        )
