"""What a merge of stores does to their codebooks.

Unrelated codebooks are refused, this store goes on using its version of a shipped codebook, and decisions that arrive
under a replaced version are counted. `labels.store.upkeep.merging` copies the codebooks and the recorded changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from labels.records import CodebookMigration
from labels.store.codebooks import decisions_by_codebook, history_in, insert_codebooks, insert_migrations
from labels.store.database import now

if TYPE_CHECKING:
    from labels.codebook.reading import CodebookHistory, Edge
    from labels.codebook.schema import Codebook


@dataclass(frozen=True)
class Replaced:
    """Decisions under a version of a codebook, for which a recorded change leads to a version with other rules.

    - `decisions`: how many of them no earlier `codebook migrate` in this store has seen
    - `old`, `new`: name, version and hash of both versions
    - `migration`: the words after `communique` that queue the sentences to be labelled again
    """

    decisions: int
    old: str
    new: str
    migration: tuple[str, ...]


def unrelated_codebooks(here: sa.Connection, there: sa.Connection, store: str) -> Iterator[str]:
    """Describe the codebooks of decisions in the other store that have nothing to do with the decisions here.

    Codebooks are related if they have the same name, or the same labels and flags, or if recorded changes in either
    store lead from one to the other. Versions that a store does not have are not compared.

    Args:
        store: the name of the other store.
    """
    made, arriving = decisions_by_codebook(here), decisions_by_codebook(there)
    if not made or arriving.keys() <= made.keys():
        return
    from labels.codebook.changes import titled
    from labels.codebook.reading import CodebookHistory, VersionReader

    own, theirs = history_in(here, "this store"), history_in(there, store)
    history = CodebookHistory({**own.versions, **theirs.versions}, (*own.edges, *theirs.edges))
    used = [history.versions[known] for known in made if known in history.versions]
    for book in (history.versions[known] for known in arriving if known in history.versions):
        reader = VersionReader(book, history)
        if used and not any(one.name == book.name or reader.route(one.hash) is not None for one in used):
            yield (
                f"its decisions were made under codebook {titled(book)}, and the decisions here under "
                f"{' and '.join(map(titled, used))}, which are unrelated: keep decisions under different codebooks in "
                "different stores or, if one is a version of the other, first record the change with "
                "`communique codebook migrate`"
            )


# -- versions that were replaced


class Versions:
    """The versions that this store used before a merge, and what the merge changed; both in the caller's transaction.

    Args:
        here: this store, before anything is added.
        store: its name for messages.
    """

    def __init__(self, here: sa.Connection, store: str) -> None:
        self._here, self._store = here, store
        self._made = decisions_by_codebook(here)
        self._history = history_in(here, store)
        self._shipped = _shipped_in_use(self._history)

    def keep(self) -> None:
        """Record the shipped steps from older versions that arrived to the version that this store was using.

        A store uses the oldest shipped version in it, until a change is recorded.
        """
        if not self._shipped:
            return
        from labels.codebook.releases import later_versions, shipped_steps

        for name, old in _shipped_in_use(history_in(self._here, self._store)).items():
            new = self._shipped.get(name)
            if new is not None and new.hash in later_versions(old):
                steps = tuple(step.to_json() for step in shipped_steps(old, new))
                insert_codebooks(self._here, [new])
                insert_migrations(self._here, [CodebookMigration(old.hash, new.hash, steps, now())])

    def replaced(self) -> Iterator[Replaced]:
        """Count the decisions of replaced versions whose sentences no migration in this store has queued."""
        history, made = history_in(self._here, self._store), decisions_by_codebook(self._here)
        for edge in history.edges:
            # A renamed label leaves nothing to decide.
            if not {edge.old_hash, edge.new_hash} <= history.versions.keys() or _only_renames(edge):
                continue
            before = self._made if edge in self._history.edges else {}
            number = _led_through(edge, made, history) - _led_through(edge, before, history)
            if number > 0:
                yield _replaced(number, edge, history)


def _shipped_in_use(history: CodebookHistory) -> dict[str, Codebook]:
    """The version that a store uses of each shipped codebook in it, by the codebook's shipped name."""
    if not history.versions:
        return {}
    from labels.codebook.releases import kept_version
    from labels.codebook.schema import load_codebook, shipped_codebooks, shipped_versions

    changes = [(edge.old_hash, edge.new_hash) for edge in history.edges]
    return {
        name: load_codebook(kept_version(name, history.versions.keys(), changes))
        for name in shipped_codebooks()
        if any(load_codebook(version).hash in history.versions for version in shipped_versions(name))
    }


def _only_renames(edge: Edge) -> bool:
    return all(step.kind == "rename" for step in edge.steps)


def _led_through(edge: Edge, made: Mapping[str, int], history: CodebookHistory) -> int:
    """The number of decisions from which recorded changes lead to the old version of a change."""
    from labels.codebook.reading import route

    return sum(number for known, number in made.items() if route(history.edges, known, edge.old_hash) is not None)


def _replaced(number: int, edge: Edge, history: CodebookHistory) -> Replaced:
    from labels.codebook.changes import titled
    from labels.codebook.releases import shipped_steps

    old, new = (history.versions[known] for known in (edge.old_hash, edge.new_hash))
    words = ["codebook", "migrate", f"{old.name}@{old.hash}", f"{new.name}@{new.hash}"]
    if set(edge.steps) != set(shipped_steps(old, new)):
        words += [word for step in edge.steps for word in str(step).split(" ", 1)]
    return Replaced(number, titled(old), titled(new), (*words, "--apply"))
