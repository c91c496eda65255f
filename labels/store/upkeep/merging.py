"""Merge other stores into a store: everything or nothing, and twice is the same as once.

`merged_texts` adds the documents and sentences, `merged_events` the events; this module adds the rest, finds what
contradicts, and compares the standing decisions before and after. Reservations and open windows are not merged: they
belong to people who work in the other store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from labels.environment.settings import sqlite_file, store_name, store_url
from labels.errors import InputError
from labels.records import Draw
from labels.store import tables
from labels.store.database import Database, batches, count_rows, insert_new, rows_among
from labels.store.events import erased_among
from labels.store.queues.designs import Decisions, decision_rows
from labels.store.upkeep.backups import opened_copy
from labels.store.upkeep.merged_codebooks import Replaced, Versions, unrelated_codebooks
from labels.store.upkeep.merged_events import Log, Standing, merge_events, standing_in
from labels.store.upkeep.merged_texts import Texts, merge_texts
from labels.store.upkeep.names import merge_former_names, names_in_merge, people_of

_ROWS = 5_000
_LISTED = 5
"""The maximum number of contradictions and sentences that a message lists."""


@dataclass(frozen=True)
class Source:
    """A store to merge.

    - `store`: its path or URL
    - `renamed`: new names of its annotators, by their names there
    - `prefix`: put before the names of its other annotators
    """

    store: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""


@dataclass(frozen=True)
class Person:
    """An annotator of a merged store: the name there and here, and the numbers of all events and of new ones.

    `was_here` is true if this store had an annotator of this name: both count as one person.
    """

    there: str
    here: str
    events: int
    new: int
    was_here: bool


@dataclass(frozen=True)
class Amount:
    """How many entries of a kind the other store has, and how many of them were added."""

    kind: str
    there: int
    new: int


@dataclass(frozen=True)
class Merged:
    """What a merge added from one store.

    - `versions`: number of new documents that are other versions of an article in this store
    - `shared`: number of sentences on which different people decided in the two stores
    - `changed_here`, `changed_there`: sentences on which a decision of this store, or of the other store, no longer
      stands: the same annotator decided on it in both, or withdrew the decision in one of them
    - `hidden`: ids of documents that are withdrawn in this store, so that their decisions do not show
    - `kept`: ids of documents that are withdrawn in the other store only, and stay here
    - `replaced`: decisions under replaced versions of a codebook, whose sentences are not queued here
    """

    store: str
    amounts: tuple[Amount, ...]
    people: tuple[Person, ...]
    versions: int
    shared: int
    changed_here: tuple[str, ...]
    changed_there: tuple[str, ...]
    hidden: tuple[str, ...]
    kept: tuple[str, ...]
    replaced: tuple[Replaced, ...]


class _DryRunError(Exception):
    """Ends the transaction of a dry run, so that the database takes everything back."""


def merge_stores(
    store: str, sources: Sequence[Source], *, dry_run: bool = False, same_versions: bool = False
) -> list[Merged]:
    """Merge other stores into `store`, which is created if it does not exist. The other stores do not change.

    Args:
        dry_run: add nothing, and return what a merge would add.
        same_versions: keep codebooks of the same name and version with other content side by side.

    Raises:
        InputError: a store is missing or named twice, a new name is ambiguous, or the stores contradict each other.
        StoreError: a store cannot be read, or this store cannot be written; nothing was changed.
    """
    _check_different([store, *(source.store for source in sources)])
    done: list[Merged] = []
    with ExitStack() as stack:
        # Copied before this store is locked: others can go on working in the meantime.
        copies = [stack.enter_context(opened_copy(source.store)) for source in sources]
        database = Database(store)
        stack.callback(database.close, drop_empty=True)
        with suppress(_DryRunError), database.writing() as here:
            for source, there in zip(sources, copies, strict=True):
                done.append(_Merge(here, there, source, same_versions=same_versions).run())
            if dry_run:
                raise _DryRunError
    return done


def _check_different(stores: Sequence[str]) -> None:
    seen: dict[object, str] = {}
    for store in stores:
        url = store_url(store)
        file = sqlite_file(url)
        key = url.set(password=None) if file is None else file.resolve()
        if key in seen:
            raise InputError(f"{store_name(store)}: this store is named twice. Name every store once.")
        seen[key] = store


class _Merge:
    """The merge of one store, in the caller's transaction."""

    def __init__(self, here: sa.Connection, there: sa.Connection, source: Source, *, same_versions: bool) -> None:
        self._here, self._there, self._source = here, there, source
        self._name = store_name(source.store)
        self._same_versions = same_versions
        self._people_here = people_of(here)
        self._names = names_in_merge(here, there, source.renamed, source.prefix, self._name)

    def run(self) -> Merged:
        """Add everything, and compare the standing decisions.

        Raises:
            InputError: the stores contradict each other.
        """
        before = standing_in(self._here)
        foreign = unrelated_codebooks(self._here, self._there, self._name)
        self._refuse([*self._codebook_conflicts(), *self._row_conflicts(), *foreign])
        versions = Versions(self._here, "this store")
        amounts = [self._copied("codebook versions", tables.codebooks)]
        self._copied("", tables.codebook_migrations)
        versions.keep()
        texts = merge_texts(self._here, self._there)
        self._refuse(texts.conflicts)
        draws = self._merge_draws(texts)
        log = merge_events(self._here, self._there, texts, self._names)
        self._refuse(log.conflicts)
        amounts += [
            Amount("documents", texts.all_documents, len(texts.new_documents)),
            Amount("sentences", texts.all_sentences, texts.new_sentences),
            draws,
            Amount("events", log.all_events, log.new_events),
            Amount("imports", count_rows(self._there, tables.imports), log.batches),
            *self._merge_scores(texts),
            self._merge_people_rows("drafts", tables.drafts, texts, before),
        ]
        self._merge_people_rows("", tables.unblinded, texts, {})
        merge_former_names(self._here, self._there, self._names)
        return self._merged(amounts, texts, log, before, tuple(versions.replaced()))

    def _merged(
        self, amounts: Sequence[Amount], texts: Texts, log: Log, before: Standing, replaced: tuple[Replaced, ...]
    ) -> Merged:
        theirs, after = standing_in(self._there, texts, self._names), standing_in(self._here)
        withdrawn = self._withdrawn_sentences()
        people = tuple(
            Person(name, self._names[name], *log.by_annotator.get(name, (0, 0)), self._names[name] in self._people_here)
            for name in sorted(self._names)
        )
        return Merged(
            self._name,
            tuple(amounts),
            people,
            texts.versions,
            _shared(before, theirs),
            _changed(before, after, withdrawn),
            _changed(theirs, after, withdrawn),
            tuple(texts.withdrawn),
            tuple(texts.kept),
            replaced,
        )

    def _withdrawn_sentences(self) -> set[str]:
        sentences, removals = tables.sentences, tables.removals
        query = sa.select(sentences.c.id).join(removals, removals.c.document_id == sentences.c.document_id)
        return set(self._here.execute(query).scalars())

    def _refuse(self, conflicts: Sequence[str]) -> None:
        if conflicts:
            more = f"; and {len(conflicts) - _LISTED} more" if len(conflicts) > _LISTED else ""
            listed = "; ".join(conflicts[:_LISTED])
            raise InputError(f"{self._name}: this store cannot be merged: {listed}{more}. Nothing was changed.")

    # -- contradictions

    def _codebook_conflicts(self) -> Iterator[str]:
        """Codebooks with the same name and version but different content, so that a version would be ambiguous."""
        table = tables.codebooks
        if self._same_versions:
            return
        own = {(row.name, row.version): row.hash for row in self._here.execute(sa.select(table))}
        known = set(self._here.execute(sa.select(table.c.hash)).scalars())
        for row in self._there.execute(sa.select(table).order_by(table.c.name, table.c.version)):
            other = own.get((row.name, row.version))
            if other is not None and row.hash not in known:
                yield (
                    f"codebook {row.name}@{row.version} has different content there ({row.hash}) and here ({other}); "
                    "compare them with `communique codebook diff`, or keep both with --same-versions"
                )

    def _row_conflicts(self) -> Iterator[str]:
        """Changes between codebook versions, models and draws that have the same id but different content."""
        compared = (
            (tables.codebook_migrations, ("old_hash", "new_hash"), "steps", "change of the codebook"),
            (tables.models, ("id",), "labels", "model"),
            (tables.draws, ("id",), "strategy", "draw"),
        )
        for table, key, content, noun in compared:
            own = {tuple(row._mapping[one] for one in key): row._mapping[content] for row in _rows(self._here, table)}
            for row in _rows(self._there, table):
                found = tuple(row._mapping[one] for one in key)
                if found in own and own[found] != row._mapping[content]:
                    yield f"{noun} {' to '.join(found)} has different {content} there and here"

    # -- rows

    def _copied(self, kind: str, table: sa.Table) -> Amount:
        rows = [dict(row._mapping) for row in _rows(self._there, table)]
        return Amount(kind, len(rows), insert_new(self._here, table, rows))

    def _merge_draws(self, texts: Texts) -> Amount:
        """Add the draws and their sentences; the name in a draw of another annotator's sentences changes as well."""
        rows = [
            dict(row._mapping)
            | {"annotator": self._names.get(row.annotator, row.annotator)}
            | ({"query": self._names.get(row.query, row.query)} if row.strategy == "also-by" else {})
            | self._frame(row, texts)
            for row in _rows(self._there, tables.draws)
        ]
        amount = Amount("draws", len(rows), insert_new(self._here, tables.draws, rows))
        for batch in batches(_rows(self._there, tables.draw_items), _ROWS):
            items = [dict(row._mapping) | {"sentence_id": texts.sentence(row.sentence_id)} for row in batch]
            insert_new(self._here, tables.draw_items, items)
        return amount

    def _frame(self, row: sa.Row[Any], texts: Texts) -> dict[str, Any]:
        """The frame of a draw, as it can be read in this store."""
        draw = self._decisions.listed(Draw(**row._mapping))
        held = None if draw.frame_held is None else tuple(sorted(map(texts.sentence, draw.frame_held)))
        return {"frame_last": draw.frame_last, "frame_seq": draw.frame_seq, "frame_held": held}

    @cached_property
    def _decisions(self) -> Decisions:
        return Decisions(decision_rows(self._there))

    def _merge_people_rows(self, kind: str, table: sa.Table, texts: Texts, decided: Standing) -> Amount:
        """Add rows of annotators on sentences, except on erased ones, and on those that they had decided on here."""
        rows = [
            dict(row._mapping)
            | {"sentence_id": texts.sentence(row.sentence_id), "annotator": self._names[row.annotator]}
            for row in _rows(self._there, table)
        ]
        erased = erased_among(self._here, (row["sentence_id"] for row in rows))
        new = [
            row
            for row in rows
            if row["sentence_id"] not in erased and (row["sentence_id"], row["annotator"], "annotate") not in decided
        ]
        return Amount(kind, len(rows), insert_new(self._here, table, new))

    def _merge_scores(self, texts: Texts) -> Iterator[Amount]:
        """Add models, their scores and embeddings, for sentences that are labelled here."""
        yield self._copied("models", tables.models)
        for kind, table in (("scores", tables.scores), ("embeddings", tables.embeddings)):
            total = new = 0
            query = sa.select(table, tables.sentences.c.id).join(
                tables.sentences, tables.sentences.c.number == table.c.sentence_number
            )
            for batch in batches(self._there.execute(query), _ROWS):
                total += len(batch)
                new += insert_new(self._here, table, list(self._numbered(batch, texts)))
            yield Amount(kind, total, new)

    def _numbered(self, rows: Sequence[sa.Row[Any]], texts: Texts) -> Iterator[dict[str, Any]]:
        """The rows with the numbers of their sentences in this store."""
        column = tables.sentences.c
        query = sa.select(column.id, column.number).where(column.boilerplate == "")
        ids = {row.id: texts.sentence(row.id) for row in rows}
        numbers = {row.id: row.number for row in rows_among(self._here, query, column.id, ids.values())}
        for row in rows:
            if (number := numbers.get(ids[row.id])) is not None:
                values = dict(row._mapping) | {"sentence_number": number}
                del values["id"]
                yield values


def _rows(connection: sa.Connection, table: sa.Table) -> Iterable[sa.Row[Any]]:
    return connection.execute(sa.select(table))


def _shared(here: Standing, there: Standing) -> int:
    """The number of sentences on which different people decided in the two stores."""
    people: dict[str, set[str]] = {}
    for sentence, annotator, kind in here:
        if kind == "annotate":
            people.setdefault(sentence, set()).add(annotator)
    theirs = {(sentence, who) for sentence, who, kind in there if kind == "annotate"}
    return len({one for one, who in theirs if people.get(one, set()) - {who}})


def _changed(before: Standing, after: Standing, withdrawn: set[str]) -> tuple[str, ...]:
    """The sentences on which a decision no longer stands, without those of withdrawn documents."""
    changed = {key[0] for key, event in before.items() if after.get(key) != event}
    return tuple(sorted(changed - withdrawn))
